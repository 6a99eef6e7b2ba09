"""How well questions find their item: python -m services.recycle_info.evaluate DEV.json TEST.json [--learn]
(`make eval-rules`).

A file is a list of {question, keys}: the items that answer it, or none when it is outside the subject. With --learn it
prints the weights of finder.signs that fit the first file, to be put into finder.py; the second file is only measured.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.recycle_info import corpus, finder, words
from services.recycle_info.embedder import Embedder
from services.recycle_info.meanings import Meanings

_HEAD = "questions          asked  first  top 3  declined  letters alone  median ms  p95 ms"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="measure how questions find their item")
    parser.add_argument("dev", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--learn", action="store_true")
    options = parser.parse_args(arguments)
    documents = {key: corpus.surfaces(item) for key, item in corpus.load().items()}
    started = time.perf_counter()
    meanings = Meanings.load(documents, Embedder())
    found = finder.Finder(documents, meanings)
    sys.stdout.write(
        f"{len(documents)} items, ready in {time.perf_counter() - started:.1f} s, {_resident()} MB\n{_HEAD}\n"
    )
    for path in (options.dev, options.test):
        asked = json.loads(path.read_text(encoding="utf-8"))
        for name, chosen in (("", asked), ("ko", _of(asked, "ko")), ("en", _of(asked, "en"))):
            sys.stdout.write(f"{path.stem:15} {name:2} {measure(found, chosen)}\n")
    if options.learn:
        asked = json.loads(options.dev.read_text(encoding="utf-8"))
        sys.stdout.write(f"WEIGHTS = {tuple(learn(finder.Finder(documents, meanings), asked))}\n")


def measure(found: finder.Finder, asked: list[dict]) -> str:
    """One line of figures."""
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
    slow = statistics.quantiles(times, n=20)[-1]
    return (
        f"{len(inside):5} {first / len(inside):6.3f} {three / len(inside):6.3f}  {declined:3} of {len(outside):3}"
        f" {alone / len(inside):14.2f} {statistics.median(times):10.1f} {slow:7.1f}"
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


def _of(asked: list[dict], language: str) -> list[dict]:
    return [each for each in asked if words.detect_language(each["question"]) == language]


def _resident() -> int:
    """Memory of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main(sys.argv[1:])
