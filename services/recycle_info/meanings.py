"""Which items may a question mean, by its sense? Nearest names in the space of the embedder.

meanings.npz holds the vector of every name that ships, in one byte a number, so that a process starts at once; names
that came since (an import of rules) are embedded at the start. `make rules` brings the file up to date.
outside.json holds things that people ask which are not our subject; a question nearer to those is declined.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Protocol

import numpy as np


class Embedder(Protocol):
    def embed(self, texts: Sequence[str]) -> np.ndarray: ...


class Meanings:
    """Vectors of all names, grouped by key. It never changes, so threads may share it."""

    def __init__(self, documents: Mapping[str, Iterable[str]], outside: Sequence[str], embedder: Embedder) -> None:
        """documents: the names and aliases of each key, at least one each. outside: phrases of other subjects."""
        self._embedder = embedder
        names = [(key, name) for key, aliases in documents.items() for name in dict.fromkeys(aliases)]
        self.keys = list(documents)
        first: dict[str, int] = {}
        for at, (key, _) in enumerate(names):
            first.setdefault(key, at)
        self._starts = list(first.values())
        vectors = complete(read_shipped(), [name for _, name in names] + list(outside), embedder)
        self._names, self._outside = vectors[: len(names)], vectors[len(names) :]

    @classmethod
    def load(cls, documents: Mapping[str, Iterable[str]], embedder: Embedder) -> Meanings:
        return cls(documents, outside_phrases(), embedder)

    def near(self, question: str) -> tuple[np.ndarray, float]:
        """How near the nearest name of each of `keys` is, as a cosine (e5 gives 0.8 to what has nothing in common),
        and how much nearer the nearest of all is than the nearest phrase from outside our subject.
        """
        vector = self._embedder.embed([question])[0]
        cosines = np.maximum.reduceat(self._names @ vector, self._starts)
        return cosines, float(cosines.max() - (self._outside @ vector).max())


def outside_phrases() -> list[str]:
    return json.loads((files(__package__) / "outside.json").read_text(encoding="utf-8"))


def complete(known: Mapping[str, np.ndarray], texts: Sequence[str], embedder: Embedder) -> np.ndarray:
    """Unit vectors of texts, in their order: those known, and the others embedded."""
    fresh = [each for each in dict.fromkeys(texts) if each not in known]
    made = dict(zip(fresh, embedder.embed(fresh), strict=True)) if fresh else {}
    rows = np.stack([known[each] if each in known else made[each] for each in texts]).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def read_shipped() -> dict[str, np.ndarray]:
    """Vectors (not of unit length) by text, from meanings.npz."""
    with as_file(files(__package__) / "meanings.npz") as path, np.load(path) as shipped:
        texts = shipped["texts"].tobytes().decode().split("\n")
        return dict(zip(texts, shipped["vectors"], strict=True))


def write_shipped(path: Path, texts: Sequence[str], vectors: np.ndarray) -> None:
    """Sorted and uncompressed, so that a new name is a small change of the file."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    scaled = np.rint(vectors / np.abs(vectors).max(axis=1, keepdims=True) * 127).astype(np.int8)
    joined = np.frombuffer("\n".join(texts[at] for at in order).encode(), np.uint8)
    np.savez(path, texts=joined, vectors=scaled[order])
