"""What a person may be about to type: names by how they begin, key by key of a Korean keyboard. Pure.

An input method shows a syllable before it is complete, and gives the next one's first consonant to the one before: who
types 우유 sees ㅇ, 우, 웅, 우유. So Hangul is compared as the keys that were struck, in which all of these are prefixes
of each other. Keys that sound alike are one, as everywhere in here: 패트 leads to 페트병.
"""

from __future__ import annotations

import heapq
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping

from services.recycle_info.corpus import Item, surfaces
from services.recycle_info.words import fold

_FIRSTS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_LASTS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
# Letters that take two keys.
_PAIRS = {
    **{"ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ"},
    **{"ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ"},
    **{"ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅔ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ"},
}
_ALIKE = dict(zip("ㄲㄸㅃㅆㅉㅐㅒ", "ㄱㄷㅂㅅㅈㅔㅖ", strict=True))
_STRUCK = {
    first + at: _PAIRS.get(letter, _ALIKE.get(letter, letter))
    for first, letters in ((0x1100, _FIRSTS), (0x1161, _VOWELS), (0x11A8, _LASTS))
    for at, letter in enumerate(letters)
}
_CONSONANTS = re.compile(f"[{_FIRSTS}]{{2,}}")
_SYLLABLES = re.compile("[가-힣]+")
_WORD = re.compile(r"[^\W_]+")
_LAST = "\U0010ffff"

# How well an entry fits: not within a name, the item's own name, short; then in the order of the alphabet.
_Rank = tuple[bool, bool, int, str]


class Suggestions:
    """The beginnings of all names, in order. It never changes, so threads may share it."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        starts: dict[tuple[str, str], tuple[_Rank, str]] = {}
        initials: dict[tuple[str, str], tuple[_Rank, str]] = {}
        for key, item in items.items():
            own = {item["name_ko"], item["name_en"]}
            for name in surfaces(item):
                found = [(text, name not in own) for text in _beginnings(name)]
                for at, (struck, alias) in enumerate(found):
                    _keep(starts, struck, key, ((at > 0, alias, len(struck), name), name))
                if first := _initials(name):
                    _keep(initials, first, key, ((False, name not in own, len(first), name), name))
        self._starts, self._initials = _in_order(starts), _in_order(initials)

    def find(self, prefix: str, limit: int) -> list[tuple[str, str]]:
        """(key, the name that begins so) of up to `limit` items, each once, best first: a whole name before the
        beginning of one, that before a word within one, an item's own name before an alias, a short name before a long
        one."""
        typed, whole = strike(prefix), _joined(prefix)
        if not typed:
            return []
        texts, entries = self._initials if _CONSONANTS.fullmatch(typed) else self._starts
        best: dict[str, tuple[int, _Rank, str]] = {}
        for at in range(bisect_left(texts, typed), bisect_left(texts, typed + _LAST)):
            key, rank, name = entries[at]
            # 0 written the same, 1 sounding the same, 2 longer.
            fit = (2 if texts[at] != typed else int(_joined(name) != whole), rank, name)
            if key not in best or fit < best[key]:
                best[key] = fit
        found = heapq.nsmallest(limit, best.items(), key=lambda pair: (pair[1], pair[0]))
        return [(key, name) for key, (_, _, name) in found]


def strike(text: str) -> str:
    """The keys that write this, without spaces, signs and case."""
    return unicodedata.normalize("NFD", _joined(text)).translate(_STRUCK)


def _joined(text: str) -> str:
    return "".join(_WORD.findall(fold(text)))


def _beginnings(name: str) -> list[str]:
    """The name from its start, and from each later word on."""
    parts = _WORD.findall(fold(name))
    return [strike("".join(parts[at:])) for at in range(len(parts))]


def _initials(name: str) -> str:
    """The first consonants of a name in Hangul; empty for another."""
    joined = _joined(name)
    if not _SYLLABLES.fullmatch(joined):
        return ""
    return "".join(_STRUCK[ord(unicodedata.normalize("NFD", syllable)[0])] for syllable in joined)


def _keep(entries: dict, text: str, key: str, entry: tuple[_Rank, str]) -> None:
    if (text, key) not in entries or entry < entries[text, key]:
        entries[text, key] = entry


def _in_order(entries: dict) -> tuple[list[str], list[tuple[str, _Rank, str]]]:
    ordered = sorted((text, key, *entry) for (text, key), entry in entries.items())
    return [text for text, *_ in ordered], [(key, rank, name) for _, key, rank, name in ordered]
