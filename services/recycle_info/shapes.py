"""Which fields a rule may have and of what kind, so that whoever reads one further can rely on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from services.recycle_info.corpus import Item

_LANGUAGES = ("ko", "en")
TEXTS = frozenset({"key", "rule_id", "category_major", "category_middle", "material", "contact", "source_url"}) | {
    *("way", "region", "category"),
    *(f"{field}_{language}" for field in ("name", "description", "bin") for language in _LANGUAGES),
}
# The last is of overrides (regions.py).
LISTS = frozenset(
    f"{field}_{language}" for field in ("aliases", "steps", "do_not", "if_sound") for language in _LANGUAGES
) | {"items"}
# What an entry may add to its way.
ADDED = frozenset(f"{field}_{language}" for field in ("first", "never") for language in _LANGUAGES)
ITEM = Item.__required_keys__ | Item.__optional_keys__
# What a person writes; the rest is found out.
ENTRY = (ITEM | ADDED) - {"rule_id", "region"}
MAX_LETTERS = 1000
_LONGEST = {"key": 100, "name_ko": 200, "name_en": 200, "material": 20, "category_major": 50, "category_middle": 50}


def find_problems(value: Any, known: Iterable[str]) -> Iterator[str]:
    """What is wrong with the kinds of an item's fields, each with the field's name first."""
    if not isinstance(value, dict):
        yield "is not an object"
        return
    if unknown := value.keys() - set(known):
        yield f"has unknown {', '.join(sorted(unknown))}"
    for field, content in value.items():
        if field in TEXTS:
            yield from _find_in_text(field, content)
        elif field in LISTS | ADDED:
            yield from find_in_list(field, content)
        elif field == "regional" and not isinstance(content, bool):
            yield "regional: is neither true nor false"
        elif field == "situations":
            yield from _find_in_situations(content)


def _find_in_text(field: str, text: Any) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{field}: is not a text"
    elif len(text) > (most := _LONGEST.get(field, MAX_LETTERS)):
        yield f"{field}: has more than {most} letters"
    elif not text.isprintable():
        yield f"{field}: has a character that cannot be printed"


def find_in_list(field: str, texts: Any) -> Iterator[str]:
    if not isinstance(texts, list):
        yield f"{field}: is not a list"
        return
    for at, text in enumerate(texts, 1):
        yield from _find_in_text(f"{field}[{at}]", text)


def _find_in_situations(situations: Any) -> Iterator[str]:
    if not isinstance(situations, list):
        yield "situations: is not a list"
        return
    for at, situation in enumerate(situations, 1):
        where = f"situations[{at}]"
        if not isinstance(situation, dict):
            yield f"{where}: is not an object"
            continue
        for field in sorted({"tag", "steps_ko", "steps_en"} - situation.keys()):
            yield f"{where}.{field}: is missing"
        for field, content in situation.items():
            if field in ("tag", "move_to"):
                yield from _find_in_text(f"{where}.{field}", content)
            elif field in ("steps_ko", "steps_en"):
                yield from find_in_list(f"{where}.{field}", content)
            else:
                yield f"{where}: has unknown {field}"
