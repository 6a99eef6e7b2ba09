"""What is wrong with the rules as data, in words: item, field, what. Pure; the tests and the import of rules ask it.

Usage: python -m services.recycle_info.linter looks at the rules that ship, prints what is wrong and then fails.
"""

import sys
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from services.recycle_info import corpus, regions, shapes
from services.recycle_info.corpus import CATEGORIES, DEFAULTS, FALLBACK, MATERIALS, TAGS, Item, surfaces
from services.recycle_info.words import identity

_TEXTS = ("name", "description", "bin")
_LISTS = ("aliases", "steps", "do_not")
# A step with such a beginning holds only of a sound thing, and belongs under if_sound.
_SOUND_ONLY = ("멀쩡", "쓸 만하", "남이 쓸", "탈 수 있", "If it is sound", "If it works")
_MAX_ALIASES = 80


def find_problems(items: dict[str, Item]) -> list[str]:
    """Everything wrong with the corpus; empty when it is sound."""
    problems = [f"{key}: {problem}" for key, item in items.items() for problem in _find_item_problems(item, items)]
    if problems:
        return problems
    problems += _find_shared_names(items)
    problems += [f"DEFAULTS: no item {key}" for key in DEFAULTS.values() if key not in items]
    missing = {middle for _, middle in CATEGORIES} - {item["category_middle"] for item in items.values()}
    problems += [f"no item in {middle}" for middle in sorted(missing)]
    used = {situation["tag"] for item in items.values() for situation in item["situations"]}
    problems += [f"no rule knows the situation {tag}" for tag in sorted(TAGS - used)]
    return problems


def find_all_problems(items: dict[str, Item], overrides: Sequence[regions.Override]) -> list[str]:
    """Everything wrong with the corpus, the overrides, or what these make of it."""
    problems = find_problems(items) or regions.find_problems(items, overrides)
    if not problems:
        for code, laid in regions.lay_over(items, overrides).items():
            problems += [f"region {code}: {problem}" for problem in find_problems(dict(laid))]
    return problems


def _find_shared_names(items: dict[str, Item]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for key, item in items.items():
        for surface in surfaces(item):
            owner = owners.setdefault(identity(surface), key)
            if owner != key:
                yield f"{key}: names and aliases: '{surface}' already means {owner}"


def _find_item_problems(item: Item, items: dict[str, Item]) -> Iterator[str]:
    if missing := Item.__required_keys__ - item.keys():
        yield f"lacks {', '.join(sorted(missing))}"
        return
    if misshapen := list(shapes.find_problems(item, shapes.ITEM)):
        yield from misshapen
        return
    if not item["key"].isidentifier() or item["key"] != item["key"].lower():
        yield "key: is not snake_case"
    if (item["category_major"], item["category_middle"]) not in CATEGORIES:
        yield "category_major, category_middle: its category is not in the list"
    if item["material"] not in MATERIALS:
        yield f"material: its material {item['material']} is not in the list"
    if not is_web_address(item["source_url"]):
        yield "source_url: has no source"
    yield from _find_wording_problems(item)
    yield from _find_situation_problems(item, items)


def is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("https", "http") and "." in parts.netloc


def _find_wording_problems(item: Item) -> Iterator[str]:
    for language in ("ko", "en"):
        for field in (f"{name}_{language}" for name in _TEXTS + _LISTS):
            texts = item[field] if isinstance(item[field], list) else [item[field]]
            if not texts or any(not text.strip() or text.endswith(".") for text in texts):
                yield f"{field}: is empty, or a text in it is or ends with a full stop"
        if any(step.startswith(_SOUND_ONLY) for step in item[f"steps_{language}"]):
            yield f"steps_{language}: tells what to do with a sound thing: move it to if_sound_{language}"
        if len(item[f"aliases_{language}"]) > _MAX_ALIASES:
            yield f"aliases_{language}: has more than {_MAX_ALIASES}: it is several items"
    for field in (*_LISTS[1:], "if_sound"):
        if len(item.get(f"{field}_ko", [])) != len(item.get(f"{field}_en", [])):
            yield f"{field}_ko, {field}_en: differ in length between the languages"


def _find_situation_problems(item: Item, items: dict[str, Item]) -> Iterator[str]:
    tags = [situation["tag"] for situation in item["situations"]]
    if len(tags) != len(set(tags)):
        yield "situations: has a tag twice"
    for situation in item["situations"]:
        tag = situation["tag"]
        if tag not in TAGS:
            yield f"situations: its tag {tag} is not in the list"
        if len(situation["steps_ko"]) != len(situation["steps_en"]):
            yield f"situations: {tag}: steps differ in length between the languages"
        if "move_to" not in situation and not situation["steps_ko"]:
            yield f"situations: {tag}: changes nothing"
        target = situation.get("move_to", FALLBACK)
        if target not in items:
            yield f"situations: {tag}: moves to {target}, which does not exist"
        if target == item["key"] and "move_to" in situation:
            yield f"situations: {tag}: moves to itself"


def main() -> None:
    items = corpus.load()
    problems = find_all_problems(items, regions.load())
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) or f"{len(items)} rules are sound\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
