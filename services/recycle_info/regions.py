"""Where a municipality does it otherwise: regions.json, laid over the items of the country.

An override names its regions (code of a district or city, five digits, and its name), what it changes (items by key, or
all items of a category), what it sets, puts first or never, and the page of the municipality that says so.
"""

from collections import ChainMap
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import NotRequired, TypedDict

from services.recycle_info.corpus import SHIPPED, Item, join, read

_SETTABLE = frozenset({"category_major", "category_middle", "contact"}) | {
    f"{field}_{language}" for field in ("bin", "steps", "do_not") for language in ("ko", "en")
}


class Override(TypedDict):
    regions: dict[str, str]
    items: NotRequired[list[str]]
    category: NotRequired[str]
    set: NotRequired[dict]
    first_ko: NotRequired[list[str]]
    first_en: NotRequired[list[str]]
    never_ko: NotRequired[list[str]]
    never_en: NotRequired[list[str]]
    source_url: str


def load(folder: Traversable = SHIPPED) -> list[Override]:
    """Fails with ValueError, which names the file, on what is no JSON."""
    return read(folder / "regions.json")


def lay_over(items: Mapping[str, Item], overrides: list[Override]) -> dict[str, Mapping[str, Item]]:
    """For each region that differs: all items, those it changes in its own form and with its own source."""
    changed: dict[str, dict[str, Item]] = {}
    for override in overrides:
        added = {field: override[field] for field in override if field.startswith(("first_", "never_"))}
        for code in override["regions"]:
            own = changed.setdefault(code, {})
            for key in affected(override, items):
                base = own.get(key, items[key])
                replaced = {**override.get("set", {}), **added, "regional": False, "source_url": override["source_url"]}
                own[key] = join(base, replaced)
    return {code: ChainMap(own, items) for code, own in changed.items()}


def names(overrides: list[Override]) -> dict[str, str]:
    """The regions that differ, by code."""
    return {code: name for override in overrides for code, name in override["regions"].items()}


def affected(override: Override, items: Mapping[str, Item]) -> list[str]:
    if "items" in override:
        return override["items"]
    return [key for key, item in items.items() if item["category_middle"] == override["category"]]


def find_problems(items: Mapping[str, Item], overrides: list[Override]) -> list[str]:
    """Everything wrong with the shape of the overrides; what they make of an item is for linter.find_problems."""
    problems, known = [], Override.__required_keys__ | Override.__optional_keys__
    for at, override in enumerate(overrides):
        where = f"override {at + 1}"
        if unknown := override.keys() - known:
            problems.append(f"{where}: has unknown {', '.join(sorted(unknown))}")
        if unknown := override.get("set", {}).keys() - _SETTABLE:
            problems.append(f"{where}: may not set {', '.join(sorted(unknown))}")
        if ("items" in override) == ("category" in override):
            problems.append(f"{where}: names either items or a category")
        elif missing := [key for key in affected(override, items) if key not in items] or not affected(override, items):
            problems.append(f"{where}: changes {missing if isinstance(missing, list) else 'nothing'}")
        if not all(code.isdecimal() and len(code) in (2, 5) and name for code, name in override["regions"].items()):
            problems.append(f"{where}: has a region without code or name")
    return problems
