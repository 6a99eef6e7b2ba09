"""What ships with the product: the district offices of Seoul with what they take back, and the policies of districts.

data/offices.json and data/policies.json are ours: facts in our words, gathered by the date in `checked` from public
lists and stored copies of pages. source_url is where a fact can be checked, which is not always where it was found. An
office takes what is said of this one (confirmed), or what Seoul says of district offices in general (not confirmed).
Coordinates are good to about 100 m.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TypedDict

from services.locations.centers import Center, identity

SOURCE = "eco2"

TOPICS = ("HOURS", "DAYS", "FOOD_WASTE", "PAID_BAG", "BULKY_WASTE", "ITEM")


class Rule(TypedDict):
    """topic: one of TOPICS."""

    topic: str
    text_ko: str
    text_en: str
    source_url: str


class Policy(TypedDict):
    """checked: YYYY-MM-DD."""

    region_code: str
    region_name: str
    website_url: str
    department: str
    phone: str
    rules: list[Rule]
    checked: str


def load_centers() -> list[Center]:
    shelf = _read("offices.json")
    return [
        Center(
            id=identity(office["name"], office["address"]),
            name=office["name"],
            address=office["address"],
            latitude=office["latitude"],
            longitude=office["longitude"],
            phone=office["phone"],
            website_url=office["website_url"],
            hours=shelf["hours"],
            region_code=office["region_code"],
            source=SOURCE,
            source_url=office["source_url"],
            collections=office["collects"],
        )
        for office in shelf["offices"]
    ]


def load_policies() -> list[Policy]:
    shelf = _read("policies.json")
    return [policy | {"checked": shelf["checked"]} for policy in shelf["policies"]]


def _read(name: str) -> dict:
    return json.loads((files("services.locations") / "data" / name).read_text(encoding="utf-8"))
