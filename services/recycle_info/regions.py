"""Where a municipality does it otherwise: regions.json, laid over the items of the country.

An override names its regions (code of a district or city, five digits, and its name), what it changes (items by key, or
all items of a category), what it sets, puts first or never, and the page of the municipality that says so.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources.abc import Traversable
from typing import Any, NotRequired, TypedDict

from services.recycle_info import shapes
from services.recycle_info.corpus import SHIPPED, Item, join, read

# In these the districts are municipalities; elsewhere a city may have districts that are none.
_METROPOLITAN = frozenset({"11", "26", "27", "28", "29", "30", "31"})
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


def lay_over(items: Mapping[str, Item], overrides: Sequence[Override]) -> dict[str, Mapping[str, Item]]:
    """For each region that differs: all items, those it changes in its own form and with its own source."""
    changed: dict[str, dict[str, Item]] = {}
    for override in overrides:
        added = {field: override[field] for field in override if field.startswith(("first_", "never_"))}
        for code in override["regions"]:
            own = changed.setdefault(code, {})
            for key in affected(override, items):
                base = own.get(key, items[key])
                replaced = {**override.get("set", {}), **added, "regional": False, "source_url": override["source_url"]}
                own[key] = join(base, {**replaced, "region": override["regions"][code]})
    return {code: ChainMap(own, items) for code, own in changed.items()}


def find(laid: Mapping[str, Mapping[str, Item]], code: str) -> Mapping[str, Item] | None:
    """What `lay_over` made for the municipality that this region is or is part of; None where nothing is known.

    A district of Suwon (41111) does as Suwon (41110) does, and everybody as their province where that says something.
    """
    # The third digit of a city; that of a county is higher.
    has_districts = code[:2] not in _METROPOLITAN and code[2:3] in ("1", "2", "3", "4")
    wider = [f"{code[:4]}0"] if has_districts else []
    return next((laid[each] for each in (code, *wider, code[:2]) if each in laid), None)


def affected(override: Override, items: Mapping[str, Item]) -> list[str]:
    if "items" in override:
        return override["items"]
    return [key for key, item in items.items() if item["category_middle"] == override["category"]]


def find_problems(items: Mapping[str, Item], overrides: Sequence[Override]) -> list[str]:
    """Everything wrong with the shape of the overrides; what they make of an item is for linter.find_problems."""
    if not isinstance(overrides, list):
        return ["the overrides: are not a list"]
    problems = []
    for at, override in enumerate(overrides):
        where = f"override {at + 1}"
        if misshapen := [f"{where}: {problem}" for problem in _find_shape_problems(override)]:
            problems += misshapen
            continue
        if unknown := override.get("set", {}).keys() - _SETTABLE:
            problems.append(f"{where}: may not set {', '.join(sorted(unknown))}")
        if ("items" in override) == ("category" in override):
            problems.append(f"{where}: names either items or a category")
        elif missing := [key for key in affected(override, items) if key not in items] or not affected(override, items):
            problems.append(f"{where}: changes {missing if isinstance(missing, list) else 'nothing'}")
        if not all(code.isdecimal() and len(code) in (2, 5) and name for code, name in override["regions"].items()):
            problems.append(f"{where}: has a region without code or name")
    return problems


def _find_shape_problems(override: Any) -> Iterator[str]:
    """What keeps an override from being read at all."""
    if not isinstance(override, dict):
        yield "is not an object"
        return
    named = {field: override[field] for field in override.keys() & {"regions", "set"}}
    rest = {field: content for field, content in override.items() if field not in named}
    if missing := Override.__required_keys__ - override.keys():
        yield f"lacks {', '.join(sorted(missing))}"
    if unknown := override.keys() - Override.__required_keys__ - Override.__optional_keys__:
        yield f"has unknown {', '.join(sorted(unknown))}"
    yield from shapes.find_problems(rest, rest)
    for field, content in named.items():
        if not isinstance(content, dict):
            yield f"{field}: is not an object"
    if isinstance(regions := override.get("regions"), dict):
        yield from (f"regions: {problem}" for problem in shapes.find_in_list("names", list(regions.values())))
    if isinstance(changes := override.get("set"), dict):
        yield from (f"set: {problem}" for problem in shapes.find_problems(changes, changes))
