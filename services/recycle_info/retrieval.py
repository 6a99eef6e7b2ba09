"""Which item does a question mean? Pure: character n-grams over names and aliases, no model.

There are two kinds of evidence and one formula. A name that stands in the question counts in full; a phrase that
only resembles a name (a typo, another spelling) counts by the TF-IDF cosine of their n-grams. Hangul is taken
apart into jamo, so 형광둥 and 형광등 differ in one letter of nine. Both are weighed by how much of the question
they explain: in 피자 박스 the name 피자 박스 beats the name 박스.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

# Below this a question is outside the subject. Set on tests/services/recycle_info/questions.json.
MIN_SCORE = 0.5
# The share of its score that a name keeps when it explains next to nothing of the question.
_FLOOR = 0.6
# A name that only tells the circumstances counts for less.
_CIRCUMSTANTIAL = 0.7
# Less resemblance than this is chance.
_MIN_COSINE = 0.5
# Words in the longest phrase that is compared with names.
_WINDOW = 4
# A longer question is cut, so that the work for one is bounded.
_MAX_WORDS = 40

# What people say around the thing.
_CHATTER = re.compile(
    r"(?:라벨|뚜껑|테이프|송장)\S*\s+(?:안\s)?[떼뗴뜯닫붙떨빼]\S*|기름\S*\s?묻\S*|으?로\s(?:된|만든)|"
    r"(?:어떻게|어떡|어디|버[려리릴림린]|분리\s?(?:수거|배출)|재활용|배출|처리|수거|방법)\S*|"
    r"(?<!\S)(?:다|안|쓴|남은|먹고|먹다|쓰던|쓰다|쓰는|오래된|같이|함께|무료|무상|비용|된|하는|해요?|돼요?|하[나고면죠]요?|"
    r"(?:해야|되[나는고면]|고장|싶|있|담[긴겨았]|들어)\S*)(?!\S)|"
    r"['’]\w{1,2}\b|\b(?:how|what|where|which|when|who|is|are|was|it|this|that|these|those|do|does|"
    r"i|my|me|we|you|to|the|a|an|of|on|for|and|or|go|put|throw|away|out|get|rid|take|off|still|dispose|disposal|"
    r"recycl\w*|should|must|have|has|old|used|empty|bin|can(?=\s+(?:i|we|you)\b))\b"
)
# Where the thing is, what is in it, what it goes with, or the bin that the asker supposes: 화분에, 건전지가 들어있는,
# 책상이랑, 종이로, 비닐인가요.
_CIRCUMSTANCE = re.compile(
    r"\S+\s담[긴겨았]\S*|(?<!\S)(?:기름|음료|국물|물|건전지|배터리|가스)\S?\s(?:묻|남|들|있)\S*|\S+(?:에|에서|에도|으?로(?!\s(?:된|만든))|이?랑|인가\S*|[이기]야)(?=[\s?!.,]|$)|"
    r"\b(?:as|with|from|in|into)\s+(?:(?:a|an|the|my|good)\s+)?\w+|\b\w+\s(?:inside|left)\b"
)
_WORD = re.compile(r"[^\W_]+")
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_PARTICLE = re.compile(r"(?:에서|으로|이랑|이나|은|는|이|가|을|를|도|의|에|로|랑|과|와|들|만)$")
_PLURAL = re.compile(r"(?<=[a-z]{2})(?:(?<=[sxz])es|(?<=[cs]h)es|(?<![su])s)$")
# Initial ㄲㄸㅃㅆㅉ as ㄱㄷㅂㅅㅈ, ㅐ as ㅔ, ㅒ as ㅖ, ㅙ and ㅞ as ㅚ.
_SOUND_ALIKE = str.maketrans(
    "\u1101\u1104\u1108\u110a\u110d\u1162\u1164\u116b\u1170", "\u1100\u1103\u1107\u1109\u110c\u1166\u1168\u116c\u116c"
)


def detect_language(text: str) -> str:
    """The language to answer in: "ko" when there is Hangul in the text, else "en"."""
    return "ko" if _HANGUL.search(unicodedata.normalize("NFC", text)) else "en"


class Index:
    """The names of all items, ready to be searched. It never changes, so threads may share it."""

    def __init__(self, owners: dict[str, str]) -> None:
        """owners: the key that each name, folded and without spaces, belongs to."""
        self._owners = owners
        self._compounds = [name for name in owners if len(name) > 1 and _HANGUL.match(name)]
        bags = {name: _grams(name) for name in owners}
        counts = Counter(gram for bag in bags.values() for gram in bag)
        self._idf = {gram: math.log(1 + len(bags) / count) for gram, count in counts.items()}
        self._idf_unseen = math.log(1 + len(bags))
        self._postings: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for name, bag in bags.items():
            for gram, weight in self._weigh(bag).items():
                self._postings[gram].append((name, weight))

    @classmethod
    def build(cls, documents: Mapping[str, Iterable[str]]) -> "Index":
        """documents: the names and aliases of each key, in any language. The first key keeps a shared name."""
        owners: dict[str, str] = {}
        for key, names in documents.items():
            for name in names:
                owners.setdefault("".join(_words(_fold(name))), key)
        return cls(owners)

    def search(self, question: str, limit: int) -> list[tuple[str, float]]:
        """Up to `limit` pairs (key, score 0..1), best first; none when the question is outside the subject.

        The work grows with the square of an unbroken word; the contract keeps a question below 1000 letters.
        """
        folded = _fold(question)
        scores = self._score(_CIRCUMSTANCE.sub(" ", folded))
        for key, score in self._score(folded).items():
            scores[key] = max(scores[key], score * _CIRCUMSTANTIAL)
        ranked = sorted(scores.items(), key=lambda pair: -pair[1])
        return [(key, round(score, 4)) for key, score in ranked[:limit] if score >= MIN_SCORE]

    def _score(self, folded: str) -> dict[str, float]:
        words = _words(_CHATTER.sub(" ", folded))[:_MAX_WORDS]
        total = sum(map(_length, words))
        scores: dict[str, float] = defaultdict(float)
        for name, strength, length, place in self._find_evidence(words):
            share = min(1.0, length / total)
            # Korean puts the thing last, so of two equal names the later one wins.
            score = strength * (_FLOOR + (1 - _FLOOR) * share) * (0.99 + 0.01 * place)
            key = self._owners[name]
            scores[key] = max(scores[key], score)
        return scores

    def _find_evidence(self, words: list[str]) -> Iterator[tuple[str, float, int, float]]:
        """(name, strength 0..1, letters of the question explained, where it ends 0..1)."""
        for first in range(len(words)):
            for last in range(first + 1, min(first + _WINDOW, len(words)) + 1):
                phrase, place = "".join(words[first:last]), last / len(words)
                for name in {phrase, _PARTICLE.sub("", phrase)} & self._owners.keys():
                    yield name, 1.0, _length(phrase), place
                for name, cosine in self._find_resembling(phrase):
                    yield name, cosine, _length(phrase), place
        yield from self._find_compounds(words)

    def _find_compounds(self, words: list[str]) -> Iterator[tuple[str, float, int, float]]:
        """Names inside the text, which Korean writes with or without spaces."""
        text, bounds = "".join(words), [0]
        for word in words:
            bounds.append(bounds[-1] + len(word))
        for name in self._compounds:
            start = text.find(name)
            # Across a space it has to begin a word: 수건 전지 holds no 건전지.
            while start >= 0 and start not in bounds and any(start < bound < start + len(name) for bound in bounds):
                start = text.find(name, start + 1)
            if start >= 0:
                yield name, 1.0, _length(name), (start + len(name)) / len(text)

    def _find_resembling(self, phrase: str) -> Iterator[tuple[str, float]]:
        cosines: dict[str, float] = defaultdict(float)
        for gram, weight in self._weigh(_grams(phrase)).items():
            for name, other in self._postings.get(gram, ()):
                cosines[name] += weight * other
        # Nobody mistypes the first letter: weather is no sweater.
        initial = _spell(phrase)[:1]
        return (
            (name, cosine)
            for name, cosine in cosines.items()
            if cosine >= _MIN_COSINE and _spell(name).startswith(initial)
        )

    def _weigh(self, bag: Counter[str]) -> dict[str, float]:
        weights = {gram: count * self._idf.get(gram, self._idf_unseen) for gram, count in bag.items()}
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {gram: weight / norm for gram, weight in weights.items()}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(folded: str) -> list[str]:
    return [
        _PLURAL.sub("", word.removesuffix("ies") + "y" if word.endswith("ies") else word)
        for word in _WORD.findall(folded)
    ]


def _length(word: str) -> int:
    """In jamo or letters, so that Hangul and Latin weigh alike."""
    return len(unicodedata.normalize("NFD", word))


def _spell(word: str) -> str:
    """Letter by letter, with the jamo that sound alike written alike: 패트병 is 페트병, 부탄까스 is 부탄가스."""
    return unicodedata.normalize("NFD", word).translate(_SOUND_ALIKE)


def _grams(word: str) -> Counter[str]:
    letters = f"^{_spell(word)}$"
    return Counter(letters[at : at + size] for size in (2, 3) for at in range(len(letters) - size + 1))
