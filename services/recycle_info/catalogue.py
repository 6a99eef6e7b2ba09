"""Which item is meant, by the photo and by the user's words. Pure; built once from the rules, shared by threads."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from services.kit.errors import NotFound
from services.recycle_info.advice import Advice, resolve
from services.recycle_info.corpus import DEFAULTS, Item, surfaces
from services.recycle_info.retrieval import Index
from services.recycle_info.situations import find_situations

# Ids derive from keys, so that they are equal on every machine and in every release.
_NAMESPACE = UUID("5b0f5c3e-3f6a-5b1e-9d3c-6a1f0e5c2d47")
# From here on the user's words name the thing, and people know better than a picture what they hold.
_NAMED = 0.75


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

    def __init__(self, items: dict[str, Item]):
        self.items = items
        self._index = Index.build({key: surfaces(item) for key, item in items.items()})

    def search(self, query: str, category: str = "") -> list[str]:
        """Keys of the items that a query means, best first, of one major or middle category or of all."""
        return [
            key
            for key, _ in self._index.search(query, len(self.items))
            if category in ("", self.items[key]["category_major"], self.items[key]["category_middle"])
        ]

    def answer(self, question: str, language: str, limit: int = 3) -> list[Choice]:
        """What a question may be about, best first. Fails with NotFound (NO_RULE_FOUND) when about nothing here."""
        tags = find_situations(question)
        found = self._index.search(question, limit)
        if not found:
            raise NotFound("no rule answers this question", reason="NO_RULE_FOUND")
        return [Choice(key, score, resolve(self.items, key, tags, language)) for key, score in found]

    def settle(self, item_key: str, material: str, question: str, language: str, unsure: bool) -> Choice:
        """The rule for what a photo shows and its owner says.

        item_key: what the photo shows, or empty. material: a key of corpus.DEFAULTS, or anything else for unknown.
        unsure: the photo did not settle it. Fails with NotFound (NO_RULE_FOUND) when nothing leads to a rule.
        """
        named = self._index.search(question, 1) if question else []
        if named and (named[0][1] >= _NAMED or unsure):
            key, score = named[0]
        else:
            key, score = item_key if item_key in self.items else DEFAULTS.get(material, ""), 0.0
        if not key:
            raise NotFound("neither photo nor question leads to a rule", reason="NO_RULE_FOUND")
        return Choice(key, score, resolve(self.items, key, find_situations(question), language))
