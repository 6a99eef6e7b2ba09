"""The sorting rules that ship with the product: corpus/*.json, one file for each category.

A file names its category once; load() writes it onto each item. The wording is our own, the facts
come from each item's source_url. Municipalities may differ where regional is true.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import NotRequired, TypedDict

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
    }
)

_TEXTS = ("name", "description", "bin")
_LISTS = ("aliases", "steps", "do_not")


class Situation(TypedDict):
    """Steps that come before the item's own; move_to names the item whose rule holds instead."""

    tag: str
    steps_ko: list[str]
    steps_en: list[str]
    move_to: NotRequired[str]


class Item(TypedDict):
    """One thing and how to throw it away. Steps are short sentences without a full stop."""

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
    contact: NotRequired[str]
    regional: bool
    source_url: str


def load() -> dict[str, Item]:
    """Every item by key, in the order of the files."""
    items: dict[str, Item] = {}
    for path in sorted((files(__package__) / "corpus").iterdir(), key=lambda path: path.name):
        shelf = json.loads(path.read_text(encoding="utf-8"))
        for entry in shelf.pop("items"):
            if entry["key"] in items:
                raise ValueError(f"{path.name}: the key {entry['key']} is taken")
            items[entry["key"]] = {"rule_id": f"rule:{entry['key']}", **shelf, **entry}
    return items


def surfaces(item: Item) -> list[str]:
    """Every name that people give the item, Korean and English."""
    return [item["name_ko"], item["name_en"], *item["aliases_ko"], *item["aliases_en"]]


def find_problems(items: dict[str, Item]) -> list[str]:
    """Everything wrong with the shape of the corpus, in words; empty when it is sound."""
    problems = [f"{key}: {problem}" for key, item in items.items() for problem in _find_item_problems(item, items)]
    owners: dict[str, str] = {}
    for key, item in items.items():
        for surface in surfaces(item):
            owner = owners.setdefault(surface.casefold().replace(" ", ""), key)
            if owner != key:
                problems.append(f"{key}: '{surface}' already means {owner}")
    problems += [f"DEFAULTS: no item {key}" for key in DEFAULTS.values() if key not in items]
    problems += [f"no item in {middle}" for middle in sorted(_missing_middles(items))]
    return problems


def _missing_middles(items: dict[str, Item]) -> set[str]:
    return {middle for _, middle in CATEGORIES} - {item["category_middle"] for item in items.values()}


def _find_item_problems(item: Item, items: dict[str, Item]) -> Iterator[str]:
    known = Item.__required_keys__ | Item.__optional_keys__
    if missing := Item.__required_keys__ - item.keys():
        yield f"lacks {', '.join(sorted(missing))}"
        return
    if unknown := item.keys() - known:
        yield f"has unknown {', '.join(sorted(unknown))}"
    if not item["key"].isidentifier() or item["key"] != item["key"].lower():
        yield "its key is not snake_case"
    if (item["category_major"], item["category_middle"]) not in CATEGORIES:
        yield "its category is not in the list"
    if item["material"] not in MATERIALS:
        yield f"its material {item['material']} is not in the list"
    if not item["source_url"].startswith("https://"):
        yield "has no source"
    for language in ("ko", "en"):
        for field in (f"{name}_{language}" for name in _TEXTS + _LISTS):
            texts = item[field] if isinstance(item[field], list) else [item[field]]
            if not texts or any(not text.strip() or text.endswith(".") for text in texts):
                yield f"{field} is empty, or a text in it is or ends with a full stop"
    for field in _LISTS[1:]:
        if len(item[f"{field}_ko"]) != len(item[f"{field}_en"]):
            yield f"{field} differs in length between the languages"
    yield from _find_situation_problems(item, items)


def _find_situation_problems(item: Item, items: dict[str, Item]) -> Iterator[str]:
    tags = [situation["tag"] for situation in item["situations"]]
    if len(tags) != len(set(tags)):
        yield "has a tag twice"
    for situation in item["situations"]:
        if situation["tag"] not in TAGS:
            yield f"its tag {situation['tag']} is not in the list"
        if len(situation["steps_ko"]) != len(situation["steps_en"]):
            yield f"{situation['tag']}: steps differ in length between the languages"
        if "move_to" not in situation and not situation["steps_ko"]:
            yield f"{situation['tag']}: changes nothing"
        if situation.get("move_to", FALLBACK) not in items:
            yield f"{situation['tag']}: moves to {situation['move_to']}, which does not exist"
