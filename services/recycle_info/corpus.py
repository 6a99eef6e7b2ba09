"""The sorting rules that ship with the product: corpus/*.json, ways.json, regions.json.

A file of corpus/ is a shelf: it names its category once, and then its items. Things thrown away in the same way share
an entry of ways.json, to which an item may add steps that come first (`first_*`) and warnings (`never_*`), or of which
it replaces a field; load() writes all of this onto each item. The wording is our own, the facts come from each item's
source_url. Municipalities may differ where `regional` is true; regions.py holds where and how.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NotRequired, TypedDict

RECYCLABLE = "재활용폐기물"
MIDDLES = (
    *("종이", "종이팩", "무색페트병", "플라스틱류", "비닐류", "발포합성수지"),
    *("유리병", "금속류", "의류및원단", "전지", "조명제품", "전기전자제품"),
)
OTHER_MAJORS = (
    *("일반종량제폐기물", "불연성종량제폐기물", "음식물류폐기물"),
    *("대형폐기물", "생활계유해폐기물", "공사장생활폐기물"),
)
# (major, middle). Outside the recyclables there is no middle level, so middle repeats major.
CATEGORIES = frozenset({(RECYCLABLE, middle) for middle in MIDDLES} | {(major, major) for major in OTHER_MAJORS})

ENGLISH = {
    RECYCLABLE: "Recyclables",
    "종이": "Paper",
    "종이팩": "Drink cartons",
    "무색페트병": "Clear PET bottles",
    "플라스틱류": "Plastics",
    "비닐류": "Plastic film",
    "발포합성수지": "Plastic foam",
    "유리병": "Glass bottles",
    "금속류": "Metals",
    "의류및원단": "Clothes and fabric",
    "전지": "Batteries",
    "조명제품": "Lamps",
    "전기전자제품": "Electronics",
    "일반종량제폐기물": "General waste",
    "불연성종량제폐기물": "Non-combustible waste",
    "음식물류폐기물": "Food waste",
    "대형폐기물": "Bulky waste",
    "생활계유해폐기물": "Household hazardous waste",
    "공사장생활폐기물": "Household construction waste",
}

FALLBACK = "general_waste"
# The item to answer with when only the material is known.
DEFAULTS = {
    "CARDBOARD": "cardboard_box",
    "PAPER": "paper_sheet",
    "PAPER_PACK": "milk_carton",
    "GLASS": "glass_bottle",
    "METAL": "metal_goods",
    "PLASTIC": "plastic_container",
    "VINYL": "vinyl_packaging",
    "STYROFOAM": "styrofoam_box",
    "TEXTILE": "clothes",
    "BATTERY": "dry_battery",
    "LIGHTING": "fluorescent_lamp",
    "ELECTRONICS": "small_appliance",
    "FOOD": "food_waste",
    "WOOD": "wood_piece",
    "CERAMIC": "ceramic_dish",
    "GENERAL": FALLBACK,
}
MATERIALS = frozenset(DEFAULTS)

# What can be the matter with a thing, and so change what to do with it.
TAGS = frozenset(
    {
        *("dirty", "clean", "wet", "contents_left", "label_on", "cap_on", "tape_on", "broken"),
        *("swollen", "worn_out", "mixed_material", "coated", "shredded", "battery_inside", "gas_left", "oversized"),
        *("incomplete", "battery_fixed"),
    }
)
# Nobody wants a thing in one of these, so what a rule says about a sound one is left out.
UNSOUND = frozenset({"broken", "worn_out", "dirty", "swollen", "incomplete"})


class Situation(TypedDict):
    """Steps that come before the item's own; move_to names the item whose rule holds instead."""

    tag: str
    steps_ko: list[str]
    steps_en: list[str]
    move_to: NotRequired[str]


class Item(TypedDict):
    """One thing and how to throw it away. Steps are short sentences without a full stop.

    if_sound: steps told only of a thing that somebody could still use. way: the entry of ways.json it came from.
    region: name of the municipality whose own form of the rule this is (regions.py).
    """

    key: str
    rule_id: str
    category_major: str
    category_middle: str
    material: str
    name_ko: str
    name_en: str
    aliases_ko: list[str]
    aliases_en: list[str]
    description_ko: str
    description_en: str
    bin_ko: str
    bin_en: str
    steps_ko: list[str]
    steps_en: list[str]
    do_not_ko: list[str]
    do_not_en: list[str]
    situations: list[Situation]
    if_sound_ko: NotRequired[list[str]]
    if_sound_en: NotRequired[list[str]]
    way: NotRequired[str]
    region: NotRequired[str]
    contact: NotRequired[str]
    regional: bool
    source_url: str


# Where the rules that ship lie.
SHIPPED = files(__package__)


def load(folder: Traversable = SHIPPED) -> dict[str, Item]:
    """Every item by key, in the order of the files. Fails with ValueError, which names the file, on what is no JSON or
    has another shape, on a key taken twice and on an unknown way."""
    shelves = {path.name: read(path) for path in sorted((folder / "corpus").iterdir(), key=lambda path: path.name)}
    return expand(shelves, load_ways(folder))


def load_ways(folder: Traversable = SHIPPED) -> dict[str, Any]:
    return read(folder / "ways.json")


def read(path: Traversable) -> Any:
    """A file's JSON. Fails with ValueError, which names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def expand(shelves: dict[str, Any], ways: dict[str, Any]) -> dict[str, Item]:
    """Items by key from the files as they are written: shelves by file name, ways by their name."""
    items: dict[str, Item] = {}
    for name, shelf in shelves.items():
        entries = shelf.get("items") if isinstance(shelf, dict) else None
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise ValueError(f"{name}: is no object with a list of objects under items")
        category = {field: value for field, value in shelf.items() if field != "items"}
        for entry in entries:
            key = entry.get("key", "")
            if key in items:
                raise ValueError(f"{name}: the key {key} is taken")
            if "way" in entry and entry["way"] not in ways:
                raise ValueError(f"{name}: {key} goes the way {entry['way']}, which does not exist")
            items[key] = {"rule_id": f"rule:{key}", **category, **join(ways.get(entry.get("way"), {}), entry)}
    return items


def join(way: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry on top of a way: what it says replaces, what it says first or never is put before."""
    joined = {**way, **entry}
    for language in ("ko", "en"):
        for own, field in (("first", "steps"), ("never", "do_not")):
            if added := joined.pop(f"{own}_{language}", []):
                joined[f"{field}_{language}"] = [*added, *joined.get(f"{field}_{language}", [])]
    if "situations" in way:
        own = entry.get("situations", [])
        told = {situation["tag"] for situation in own}
        joined["situations"] = [*own, *(each for each in way["situations"] if each["tag"] not in told)]
    return joined


def surfaces(item: Item) -> list[str]:
    """Every name that people give the item, Korean and English."""
    return [item["name_ko"], item["name_en"], *item["aliases_ko"], *item["aliases_en"]]
