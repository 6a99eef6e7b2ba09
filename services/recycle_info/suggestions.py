"""What somebody may be about to type: names that begin with what stands there so far. Pure, in memory."""

from __future__ import annotations

import bisect
import heapq
import unicodedata
from collections.abc import Mapping

from services.recycle_info.corpus import Item
from services.recycle_info.words import fold

# While 우유 is typed there stands 웅 for a moment: a consonant below is one that may begin the next syllable.
_FINALS = (
    *("ᄀ", "ᄁ", "ᄀᄉ", "ᄂ", "ᄂᄌ", "ᄂᄒ", "ᄃ", "ᄅ", "ᄅᄀ", "ᄅᄆ", "ᄅᄇ", "ᄅᄉ", "ᄅᄐ", "ᄅᄑ", "ᄅᄒ"),
    *("ᄆ", "ᄇ", "ᄇᄉ", "ᄉ", "ᄊ", "ᄋ", "ᄌ", "ᄎ", "ᄏ", "ᄐ", "ᄑ", "ᄒ"),
)
_TO_INITIALS = {0x11A8 + at: initials for at, initials in enumerate(_FINALS)}
# Vowels that are typed in two strokes: 의 passes through 으.
_TO_STROKES = {0x116A: "ᅩᅡ", 0x116B: "ᅩᅢ", 0x116C: "ᅩᅵ", 0x116F: "ᅮᅥ", 0x1170: "ᅮᅦ", 0x1171: "ᅮᅵ", 0x1174: "ᅳᅵ"}
_STROKES = _TO_INITIALS | _TO_STROKES


class Suggestions:
    """The beginnings of all names and of the words in them."""

    def __init__(self, items: Mapping[str, Item]):
        found: dict[str, tuple] = {}
        for key, item in items.items():
            own = (item["name_ko"], item["name_en"])
            for name in (*own, *item["aliases_ko"], *item["aliases_en"]):
                for at, start in enumerate(_starts(name)):
                    # An item's own name before another one, a beginning before a later word, a short one before long.
                    rank = (at > 0, name not in own, len(name), name)
                    found[f"{start}\0{key}\0{name}\0{at}"] = (rank, key, name)
        self._starts = sorted(found)
        self._entries = [found[start] for start in self._starts]

    def find(self, typed: str, limit: int) -> list[tuple[str, str]]:
        """(key, the name that fits) of up to `limit` items, the likeliest first; none for nothing typed."""
        prefix = _strokes(typed)
        if not prefix:
            return []
        first = bisect.bisect_left(self._starts, prefix)
        last = bisect.bisect_left(self._starts, prefix + "\U0010ffff")
        best: dict[str, tuple] = {}
        for entry in self._entries[first:last]:
            key = entry[1]
            if key not in best or entry < best[key]:
                best[key] = entry
        return [(key, name) for _, key, name in heapq.nsmallest(limit, best.values())]


def _starts(name: str) -> list[str]:
    """The name as it is typed, whole and from each later word on, without blanks."""
    words = fold(name).split()
    return [_strokes("".join(words[at:])) for at in range(len(words))]


def _strokes(text: str) -> str:
    return unicodedata.normalize("NFD", "".join(fold(text).split())).translate(_STROKES)
