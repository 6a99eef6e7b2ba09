"""Which item is meant, by the photo and by the user's words. Pure; built once from the rules, shared by threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from services.kit.errors import NotFound
from services.recycle_info import regions
from services.recycle_info.advice import Advice, resolve
from services.recycle_info.corpus import DEFAULTS, MIDDLES, OTHER_MAJORS, RECYCLABLE, Item, surfaces
from services.recycle_info.finder import NAMED, Finder
from services.recycle_info.meanings import Meanings
from services.recycle_info.regions import Override
from services.recycle_info.situations import find_situations, without_situations
from services.recycle_info.suggestions import Suggestions

# Ids derive from keys, so that they are equal on every machine and in every release.
_NAMESPACE = UUID("5b0f5c3e-3f6a-5b1e-9d3c-6a1f0e5c2d47")
# From here on the user's words name the thing, and people know better than a picture what they hold.
_NAMED = 0.75
_DECLINED = {
    "ko": "버리는 방법에 관한 질문에만 답해 드릴 수 있어요. 버리려는 물건의 이름을 알려 주시면 찾아볼게요.",
    "en": "I can only help with how to throw things away. Tell me the name of the thing and I will look it up.",
}


def item_id(key: str) -> UUID:
    return uuid5(_NAMESPACE, key)


def rule_id(key: str) -> UUID:
    return uuid5(_NAMESPACE, f"rule:{key}")


@dataclass(frozen=True)
class Choice:
    """An item, how sure the words are of it (0..1, 0 when the photo decided), and the advice for it."""

    key: str
    score: float
    advice: Advice


class Catalogue:
    """The items by key, and their names ready to be searched."""

    def __init__(self, items: dict[str, Item], meanings: Meanings | None = None, overrides: Sequence[Override] = ()):
        """meanings: of the names of these items; without them letters decide alone. overrides: where municipalities do
        otherwise."""
        self.items, self.suggestions = items, Suggestions(items)
        self._regions = regions.lay_over(items, overrides)
        self._finder = Finder(documents(items), meanings)

    def search(self, query: str, category: str = "", region_code: str = "") -> list[str]:
        """Keys of the items that a query means, best first, of one major or middle category or of all."""
        keys = [key for key, _ in self._finder.letters.search(query, len(self.items))]
        if not category:
            return keys
        fitting = self.keys_of(category, region_code)
        return [key for key in keys if key in fitting]

    def keys_of(self, category: str, region_code: str = "") -> set[str]:
        """Of the items in a major or middle category, as a municipality sorts them."""
        items = self.items_in(region_code)
        return {key for key, item in items.items() if category in (item["category_major"], item["category_middle"])}

    def items_in(self, region_code: str) -> Mapping[str, Item]:
        """The items as a municipality has them; those of the country where nothing else is known, or without a code."""
        return regions.find(self._regions, region_code) or self.items

    def list_categories(self, region_code: str = "") -> list[tuple[str, int, list[tuple[str, int]]]]:
        """(major, how many items, [(middle, how many)]) in the official order, as a municipality sorts them."""
        items = self.items_in(region_code).values()
        counts = Counter((item["category_major"], item["category_middle"]) for item in items)
        middles = [(middle, counts[RECYCLABLE, middle]) for middle in MIDDLES]
        recyclable = (RECYCLABLE, sum(count for _, count in middles), middles)
        return [recyclable, *((major, counts[major, major], []) for major in OTHER_MAJORS)]

    def answer(self, question: str, language: str, limit: int = 3, region_code: str = "") -> list[Choice]:
        """What a question may be about, best first. Fails with NotFound (NO_RULE_FOUND) when about nothing here."""
        tags = find_situations(question)
        found = self._finder.find(question, limit)
        if not found:
            raise NotFound(_DECLINED[language], reason="NO_RULE_FOUND")
        items = self.items_in(region_code)
        return [Choice(key, score, resolve(items, key, tags, language)) for key, score in found]

    def settle(
        self, item_key: str, material: str, question: str, language: str, unsure: bool, region_code: str = ""
    ) -> Choice:
        """The rule for what a photo shows and its owner says.

        item_key: what the photo shows, or empty. material: a key of corpus.DEFAULTS, or anything else for unknown.
        unsure: the photo did not settle it. Fails with NotFound (NO_RULE_FOUND) when nothing leads to a rule.
        """
        key, score = self._named(question, unsure)
        if not key:
            key, score = item_key if item_key in self.items else DEFAULTS.get(material, ""), 0.0
        if not key:
            raise NotFound("neither photo nor question leads to a rule", reason="NO_RULE_FOUND")
        return Choice(key, score, resolve(self.items_in(region_code), key, find_situations(question), language))

    def _named(self, question: str, unsure: bool) -> tuple[str, float]:
        """The item that the words name, or an empty key. Beside a clear photo only the very name will do."""
        named = self._finder.letters.search(question, 1)
        # The label or the lid of what the photo shows is not another thing.
        beside = {key for key, _ in self._finder.letters.search(without_situations(question), 3)}
        if named and named[0][1] >= _NAMED and (unsure or named[0][0] in beside):
            return named[0]
        found = self._finder.find(question, 1) if unsure else []
        return found[0] if found and found[0][1] >= NAMED else ("", 0.0)


def documents(items: dict[str, Item]) -> dict[str, list[str]]:
    """The names of each key."""
    return {key: surfaces(item) for key, item in items.items()}
