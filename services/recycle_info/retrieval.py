"""Which items may a question mean, by its letters? Pure: character n-grams over names and aliases, no model.

There are two kinds of evidence and one formula. A name that stands in the question counts in full; a phrase that
only resembles a name (a typo, another spelling) counts by the TF-IDF cosine of their n-grams. Hangul is taken
apart into jamo, so 형광둥 and 형광등 differ in one letter of nine. Both are weighed by how much of the question
they explain and by where they end: in 피자 박스 the name 피자 박스 beats 박스, and of two things the last is meant.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from services.recycle_info import words as text

# Below this no name of ours stands in the question. This and the weights below: `make eval-rules`, development set.
MIN_SCORE = 0.5
# The share of its score that a name keeps when it explains next to nothing of the question.
_FLOOR = 0.6
# What a name at the very start loses against one at the end: both languages put the thing last.
_EARLY = 0.1
# A name that only tells the circumstances counts for less.
_CIRCUMSTANTIAL = 0.7
# A name that is part of a longer name, as 피자 in 피자 박스, counts for less.
_PART = 0.75
# A name with a particle taken off is almost the name: 캔들 is a candle rather than some cans.
_BARE = 0.98
# The whole question is a name: before all others, though nothing counts for more than 1 in the end.
_WHOLE = 0.01
# Less resemblance than this is chance.
_MIN_COSINE = 0.5
# Words in the longest phrase that is compared with names.
_WINDOW = 4
# A longer question is cut, so that the work for one is bounded.
_MAX_WORDS = 40
_MAX_LETTERS = 300


@dataclass(frozen=True)
class _Evidence:
    name: int
    strength: float
    # Where it stands, in letters of the question without spaces.
    start: int
    end: int
    # How much it explains, in jamo.
    weight: int


class Index:
    """The names of all items, ready to be searched. It never changes, so threads may share it."""

    def __init__(self, owners: Mapping[str, str], compounds: Collection[str]) -> None:
        """owners: the key that each name, by its identity, belongs to. compounds: the identities of those that hold a
        part or a bin and more, as 페트병 뚜껑."""
        self._compounds = frozenset(compounds)
        self._names = list(owners)
        self._keys = list(owners.values())
        self._at = {name: at for at, name in enumerate(self._names)}
        self._longest = max(map(len, self._names), default=0)
        self._initials = np.array([ord(text.spell(name)[0]) for name in self._names], dtype=np.int32)
        bags = [text.grams(name) for name in self._names]
        counts = Counter(gram for bag in bags for gram in bag)
        self._idf = {gram: math.log(1 + len(bags) / count) for gram, count in counts.items()}
        self._idf_unseen = math.log(1 + len(bags))
        postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for at, bag in enumerate(bags):
            for gram, weight in self._weigh(bag).items():
                postings[gram].append((at, weight))
        self._postings = {
            gram: (np.array([at for at, _ in found], np.int32), np.array([weight for _, weight in found], np.float32))
            for gram, found in postings.items()
        }

    @classmethod
    def build(cls, documents: Mapping[str, Iterable[str]]) -> Index:
        """documents: the names and aliases of each key, in any language. The first key keeps a shared name."""
        owners, compounds = {}, set()
        for key, names in documents.items():
            for name in names:
                owners.setdefault(text.identity(name), key)
                if text.words(rest := text.strip_beside(text.fold(name))) and rest != text.fold(name):
                    compounds.add(text.identity(name))
        # What was in 샴푸 통 may also be in a 샴푸 페트병.
        for name, key in list(owners.items()):
            for other in text.other_containers(name):
                owners.setdefault(other, key)
        return cls(owners, compounds)

    def search(self, question: str, limit: int) -> list[tuple[str, float]]:
        """Up to `limit` pairs (key, score 0..1), best first, of at least MIN_SCORE."""
        return [pair for pair in self.rank(question)[:limit] if pair[1] >= MIN_SCORE]

    def rank(self, question: str) -> list[tuple[str, float]]:
        """Every key with some evidence for it, best first. Only words.MAX_LETTERS of the question are read."""
        folded = self.narrow(text.fold(question))
        scores = self._score(text.strip_circumstances(folded), resembling=False)
        for key, score in self._score(text.material_first(text.strip_circumstances(folded)), resembling=False).items():
            scores[key] = max(scores[key], score)
        bare = text.strip_state(folded)
        for key, score in self._score(text.strip_circumstances(bare)).items():
            scores[key] = max(scores[key], score)
        for key, score in self._score(bare).items():
            scores[key] = max(scores[key], score * _CIRCUMSTANTIAL)
        # A name may itself hold words that otherwise are beside the thing: leftover pizza, 못.
        if (whole := self._at.get(text.identity(question))) is not None:
            scores[self._keys[whole]] = 1.0 + _WHOLE
        ranked = sorted(scores.items(), key=lambda pair: -pair[1])
        return [(key, round(min(score, 1.0), 4)) for key, score in ranked]

    def narrow(self, folded: str) -> str:
        """The question without the parts, packages and bins that it speaks of, if a thing is named beside them."""
        for building_waste in text.of_works(folded):
            if text.identity(building_waste) in self._at:
                return building_waste
        for strip in (text.strip_attached, text.strip_counter):
            if (bare := strip(folded)) != folded and self._find_names(bare):
                folded = bare
        bare = text.strip_beside(folded)
        if bare == folded or not self._find_names(bare):
            return folded
        return folded if self._compounds.intersection(self._find_names(folded)) else bare

    def _find_names(self, folded: str) -> list[str]:
        """The names that stand in a question."""
        found = _cut(text.content_words(text.strip_circumstances(folded)))
        return [self._names[each.name] for each in self._find_evidence(found, resembling=False)]

    def _score(self, folded: str, resembling: bool = True) -> dict[str, float]:
        """resembling: whether names that a phrase only resembles count too."""
        found = _cut(text.content_words(folded))
        total, end = sum(map(text.length, found)), sum(map(len, found))
        evidence = list(self._find_evidence(found, resembling))
        scores: dict[str, float] = defaultdict(float)
        for each in evidence:
            share = min(1.0, each.weight / total)
            score = each.strength * (_FLOOR + (1 - _FLOOR) * share) * (1 - _EARLY * (1 - each.end / end))
            if any(_is_part(each, other) for other in evidence):
                score *= _PART
            key = self._keys[each.name]
            scores[key] = max(scores[key], score)
        return scores

    def _find_evidence(self, found: list[str], resembling: bool) -> Iterator[_Evidence]:
        bounds = [0]
        for word in found:
            bounds.append(bounds[-1] + len(word))
        for first in range(len(found)):
            for last in range(first + 1, min(first + _WINDOW, len(found)) + 1):
                phrase, start, end = "".join(found[first:last]), bounds[first], bounds[last]
                weight = text.length(phrase)
                for name, strength in ((text.strip_particle(phrase), _BARE), (phrase, 1.0)):
                    if name in self._at:
                        yield _Evidence(self._at[name], strength, start, end, weight)
                for name, cosine in self._find_resembling(phrase) if resembling else ():
                    yield _Evidence(name, cosine, start, end, weight)
        yield from self._find_compounds("".join(found), set(bounds), bounds)

    def _find_compounds(self, letters: str, starts: set[int], bounds: list[int]) -> Iterator[_Evidence]:
        """Names inside the text, which Korean writes with or without spaces."""
        for start in range(len(letters)):
            for end in range(start + 2, min(start + self._longest, len(letters)) + 1):
                name = self._at.get(letters[start:end])
                if name is None or not text.is_hangul(letters[start]):
                    continue
                # Across a space it has to begin a word: 수건 전지 holds no 건전지.
                if start in starts or not any(start < bound < end for bound in bounds):
                    yield _Evidence(name, 1.0, start, end, text.length(letters[start:end]))

    def _find_resembling(self, phrase: str) -> Iterator[tuple[int, float]]:
        weights = {gram: weight for gram, weight in self._weigh(text.grams(phrase)).items() if gram in self._postings}
        if not weights:
            return
        hits = [self._postings[gram] for gram in weights]
        cosines = np.bincount(
            np.concatenate([at for at, _ in hits]),
            np.concatenate([own * weight for (_, own), weight in zip(hits, weights.values(), strict=True)]),
            len(self._names),
        )
        # Nobody mistypes the first letter: weather is no sweater.
        alike = (cosines >= _MIN_COSINE) & (self._initials == ord(text.spell(phrase)[0]))
        for at in np.flatnonzero(alike):
            yield int(at), float(min(cosines[at], 1.0))

    def _weigh(self, bag: Counter[str]) -> dict[str, float]:
        weights = {gram: count * self._idf.get(gram, self._idf_unseen) for gram, count in bag.items()}
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {gram: weight / norm for gram, weight in weights.items()}


def _cut(found: list[str]) -> list[str]:
    found = found[:_MAX_WORDS]
    while sum(map(len, found)) > _MAX_LETTERS:
        found = [*found[:-1], found[-1][: len(found[-1]) // 2]] if len(found[-1]) > 1 else found[:-1]
    return found


def _is_part(each: _Evidence, other: _Evidence) -> bool:
    """Whether it stands in a longer name, or ends within one: 코팅된 종이 in 코팅된 종이컵."""
    longer = other.end - other.start > each.end - each.start
    within = longer and other.start <= each.start and each.end <= other.end
    return other.strength > 0.9 and (within or each.start < other.start < each.end < other.end)
