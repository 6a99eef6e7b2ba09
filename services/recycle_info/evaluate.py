"""How well questions find their item: python -m services.recycle_info.evaluate DEV.json TEST.json [--learn] [--rows]
(`make eval-rules`; `make eval` takes the rows).

A file is a list of {question, keys}: the items that answer it, or none when it is outside the subject. With --learn it
prints the weights of finder.signs that fit the first file, to be put into finder.py; the second file is only measured.
With --rows it prints lines of a name, a figure and what is asked for, and how long suggestions take.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.recycle_info import corpus, finder, words
from services.recycle_info.embedder import Embedder
from services.recycle_info.meanings import Meanings
from services.recycle_info.suggestions import Suggestions

_HEAD = "questions          asked  first  top 3  declined  letters alone  median ms  p95 ms"


@dataclass(frozen=True)
class Figures:
    """Of one list of questions. first, three, alone: shares of those with an item; declined: of the others. ms: of each
    question."""

    inside: int
    outside: int
    first: float
    three: float
    alone: float
    declined: float
    ms: list[float]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="measure how questions find their item")
    parser.add_argument("dev", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--rows", action="store_true")
    options = parser.parse_args(arguments)
    documents = {key: corpus.surfaces(item) for key, item in corpus.load().items()}
    started = time.perf_counter()
    meanings = Meanings.load(documents, Embedder())
    found = finder.Finder(documents, meanings)
    ready_s, sets = time.perf_counter() - started, {path.stem: _read(path) for path in (options.dev, options.test)}
    if options.rows:
        sys.stdout.write("".join(f"{name} {figure:.4f} {asked}\n" for name, figure, asked in rows(found, sets)))
        return
    sys.stdout.write(f"{len(documents)} items, ready in {ready_s:.1f} s, {_resident()} MB\n{_HEAD}\n")
    for stem, asked in sets.items():
        for name, chosen in (("", asked), ("ko", _of(asked, "ko")), ("en", _of(asked, "en"))):
            sys.stdout.write(f"{stem:15} {name:2} {_line(measure(found, chosen))}\n")
    if options.learn:
        asked = sets[options.dev.stem]
        sys.stdout.write(f"WEIGHTS = {tuple(learn(finder.Finder(documents, meanings), asked))}\n")


def rows(found: finder.Finder, sets: Mapping[str, list[dict]]) -> Iterator[tuple[str, float, str]]:
    """(name, figure, what is asked for) of each set, and of the latency of all questions and of suggestions."""
    times: list[float] = []
    for stem, asked in sets.items():
        for language in ("ko", "en"):
            figures = measure(found, _of(asked, language))
            times += figures.ms
            name = f"{stem}_{language}"
            yield f"{name}_asked", figures.inside, ""
            yield f"{name}_first", figures.first, ">= 0.85"
            yield f"{name}_top3", figures.three, ">= 0.95"
            yield f"{name}_declined", figures.declined, f"of {figures.outside} that are not about our subject"
    yield "question_ms_median", statistics.median(times), "< 20"
    yield "question_ms_p95", statistics.quantiles(times, n=20)[-1], ""
    items = corpus.load()
    ready, times = Suggestions(items), []
    for name in (name for item in items.values() for name in corpus.surfaces(item)):
        for end in range(1, len(name) + 1):
            started = time.perf_counter()
            ready.find(name[:end], 10)
            times.append((time.perf_counter() - started) * 1000)
    yield "suggest_ms_median", statistics.median(times), f"< 5, over the {len(times)} beginnings of all names"
    yield "suggest_ms_p95", statistics.quantiles(times, n=20)[-1], ""


def measure(found: finder.Finder, asked: list[dict]) -> Figures:
    inside = [each for each in asked if each["keys"]]
    outside = [each for each in asked if not each["keys"]]
    first, three, alone, times = 0, 0, 0, []
    for each in inside:
        started = time.perf_counter()
        keys = [key for key, _ in found.find(each["question"], 3)]
        times.append((time.perf_counter() - started) * 1000)
        first += bool(keys) and keys[0] in each["keys"]
        three += not set(keys).isdisjoint(each["keys"])
        alone += found.view(each["question"]).weighed is None
    declined = sum(not found.find(each["question"], 1) for each in outside)
    count = len(inside)
    return Figures(
        inside=count,
        outside=len(outside),
        first=first / count,
        three=three / count,
        alone=alone / count,
        declined=declined / len(outside),
        ms=times,
    )


def _line(figures: Figures) -> str:
    slow = statistics.quantiles(figures.ms, n=20)[-1]
    declined = f"{round(figures.declined * figures.outside):3} of {figures.outside:3}"
    return (
        f"{figures.inside:5} {figures.first:6.3f} {figures.three:6.3f}  {declined}"
        f" {figures.alone:14.2f} {statistics.median(figures.ms):10.1f} {slow:7.1f}"
    )


def learn(found: finder.Finder, asked: list[dict]) -> list[float]:
    """Logistic regression of `finder.signs` on whether a question has an item, both sides weighing alike."""
    finder.SURE = 2.0
    views = [(found.view(each["question"]), bool(each["keys"])) for each in asked]
    rows = np.array([finder.signs(view) for view, _ in views if view.weighed])
    truth = np.array([inside for view, inside in views if view.weighed], float)
    weight = np.where(truth == 1, 1.0, truth.sum() / (len(truth) - truth.sum()) / 2)
    learned = np.zeros(rows.shape[1])
    for _ in range(4000):
        slope = rows.T @ (weight * (1 / (1 + np.exp(-rows @ learned)) - truth))
        learned -= 0.002 * (slope + np.append(learned[:-1], 0.0))
    return [round(float(each), 2) for each in learned]


def _read(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def _of(asked: list[dict], language: str) -> list[dict]:
    return [each for each in asked if words.detect_language(each["question"]) == language]


def _resident() -> int:
    """Memory of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main(sys.argv[1:])
