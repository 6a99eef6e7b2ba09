"""Which item does a question mean, and is it about throwing away at all? Pure, but for the model it may ask.

Letters first, which takes about a millisecond. Where they leave a doubt, the meaning is asked as well, and the two are
weighed together. All weights here were learned on tests/services/recycle_info/questions_dev.json by `make eval-rules
LEARN=1`; questions_test.json was never used for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.recycle_info import intent, words
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
WEIGHTS = (1.94, 2.46, 2.59, -4.55, 1.42, 2.17, -3.52)
MIN_SUBJECT = 0.45


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
        folded, by_letters = words.fold(question), self.letters.rank(question)
        if self._meanings is None or is_sure(by_letters, folded):
            return View(folded, by_letters)
        # Of what seems to be another subject every word counts, not just the thing.
        if intent.asks_else(folded):
            content = words.words(folded)
        else:
            content = words.content_words(words.strip_state(self.letters.narrow(folded)))
        if not content:
            return View(folded, by_letters)
        near, lean = self._meanings.near(" ".join(content)[:MAX_CONTENT])
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
    return lead >= SURE_LEAD and not intent.asks_else(folded)


def signs(view: View) -> tuple[float, ...]:
    """What speaks for and against our subject, in the order of WEIGHTS; the last is the constant."""
    return (
        view.weighed[0][1],
        view.lean * 20,
        float(intent.throws_away(view.folded)),
        float(intent.asks_else(view.folded)),
        float(bool(find_situations(view.folded))),
        view.by_letters[0][1] if view.by_letters else 0.0,
        1.0,
    )


def probability(values: Iterable[float]) -> float:
    return 1 / (1 + math.exp(-sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True))))
