"""Which item does a question mean, and is it about throwing away at all? Pure, but for the model it may ask.

Letters first, which takes about a millisecond. Where they leave a doubt, the meaning is asked as well, and the two are
weighed together. All weights here were learned on tests/services/recycle_info/questions_dev.json by `make eval-rules
LEARN=1`; questions_test.json was never used for that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.recycle_info import words
from services.recycle_info.meanings import Meanings
from services.recycle_info.retrieval import Index
from services.recycle_info.situations import find_situations

# (key, score 0..1), best first.
Ranking = list[tuple[str, float]]

# Letters alone decide from this score on, if they lead the next item by this much.
SURE, SURE_LEAD = 0.9, 0.15
# Cosines up to here are chance, and the share that meaning has in the weighed score.
CHANCE, MEANING = 0.88, 0.6
# So much of a question is enough to know what it means; the model's time grows with it.
MAX_CONTENT = 150
# Less than this by letters alone, or by both, is no candidate.
NAMED = 0.5
MIN_SCORE = 0.15
# Logistic weights of `signs`, and the probability of being our subject from which on we answer.
WEIGHTS = (2.63, 3.18, 1.74, -3.24, 0.52, 2.52, -4.87)
MIN_SUBJECT = 0.4

_THROWS_AWAY = re.compile(
    r"버[려리릴림린렸]|분리\s?(?:수거|배출)|분리해|재활용|배출|수거|처리|폐기|쓰레기|종량제|음쓰|내놓|떼야|떼어|헹[구궈]|씻어|"
    r"\b(?:throw|thrown|dispos\w*|recycl\w*|bins?|trash|garbage|rubbish|discard\w*|toss|get(?:ting)? rid|waste|"
    r"drop off|(?:do|does|should|can)\b.*\b(?:go|put)|goes? in)\b"
)
_ASKS_ELSE = re.compile(
    r"추천|레시피|끓이|삶아|요리|만드는|맛있|맛집|사려|살까|사고\s?싶|구매|주문|가격|시세|칼로리|날씨|사용법|쓰는\s?법|청소하|세탁하|닦는|"
    r"고치|수리|설치|뭐가\s?좋|어떤\s?게\s?좋|[가이]\s?좋[아을은]|어울|사이즈|요금|전기세|키우|고르|골라|먹어야|먹을까|알려줘|누구|언제|"
    r"몇\s?(?:시|번|살|도|분)|브랜드|산책|"
    r"\b(?:recommend\w*|recipe|cook(?:ed|ing)?|bought|price|best|calor\w+|repair|near me|weather|healthy|bad for|learn|"
    r"who|when|why|tell me|write|book a|translate|waterproof|brand|how (?:far|tall|old|many|long)|"
    r"(?:should i|to|can i|do i|i) (?:buy|eat|wear|cook|clean|fix|make|use|change|reset|play|watch|match))\b"
)


@dataclass(frozen=True)
class View:
    """A question as letters see it, and where they leave a doubt, as letters and meaning see it together."""

    folded: str
    by_letters: Ranking
    weighed: Ranking | None = None
    # How much nearer it is to a thing of ours than to other subjects, as a difference of cosines.
    lean: float = 0.0


class Finder:
    def __init__(self, documents: Mapping[str, Iterable[str]], meanings: Meanings | None) -> None:
        """documents: the names of each key. Without meanings letters decide alone."""
        self.letters = Index.build(documents)
        self._meanings = meanings

    def find(self, question: str, limit: int) -> Ranking:
        """Up to `limit` pairs (key, score 0..1), best first; none when the question is outside the subject."""
        view = self.view(question)
        if view.weighed is None:
            return [pair for pair in view.by_letters[:limit] if pair[1] >= NAMED]
        if probability(signs(view)) < MIN_SUBJECT:
            return []
        return [(key, round(score, 4)) for key, score in view.weighed[:limit] if score >= MIN_SCORE]

    def view(self, question: str) -> View:
        folded = words.fold(question)
        content = " ".join(words.content_words(words.strip_state(folded)))[:MAX_CONTENT]
        by_letters = self.letters.rank(question)
        if self._meanings is None or not content or is_sure(by_letters, folded):
            return View(folded, by_letters)
        near, lean = self._meanings.near(content)
        letters = dict(by_letters)
        scores = {
            key: (1 - MEANING) * letters.get(key, 0.0) + MEANING * max(0.0, (float(cosine) - CHANCE) / (1 - CHANCE))
            for key, cosine in zip(self._meanings.keys, near, strict=True)
        }
        return View(folded, by_letters, sorted(scores.items(), key=lambda pair: -pair[1]), lean)


def is_sure(by_letters: Ranking, folded: str) -> bool:
    """Whether letters settle item and subject: a name that leads, and words of throwing away or nothing beside it."""
    if not by_letters or by_letters[0][1] < SURE:
        return False
    lead = by_letters[0][1] - (by_letters[1][1] if len(by_letters) > 1 else 0.0)
    return lead >= SURE_LEAD and not _ASKS_ELSE.search(folded)


def signs(view: View) -> tuple[float, ...]:
    """What speaks for and against our subject, in the order of WEIGHTS; the last is the constant."""
    return (
        view.weighed[0][1],
        view.lean * 20,
        float(bool(_THROWS_AWAY.search(view.folded))),
        float(bool(_ASKS_ELSE.search(view.folded))),
        float(bool(find_situations(view.folded))),
        view.by_letters[0][1] if view.by_letters else 0.0,
        1.0,
    )


def probability(values: Iterable[float]) -> float:
    return 1 / (1 + math.exp(-sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True))))
