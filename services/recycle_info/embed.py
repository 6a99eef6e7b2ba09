"""Bring meanings.npz up to date with the names that ship: python -m services.recycle_info.embed (`make rules`).

Only texts that are not in the file yet are embedded; after a change of the model, delete the file first.
"""

import sys
from pathlib import Path

from services.recycle_info import corpus, meanings
from services.recycle_info.embedder import Embedder

FILE = Path(__file__).with_name("meanings.npz")


def shipped_texts() -> list[str]:
    """Every text whose vector ships, once, in no order."""
    names = [name for item in corpus.load().values() for name in corpus.surfaces(item)]
    return list(dict.fromkeys([*names, *meanings.outside_phrases()]))


def main() -> None:
    texts = shipped_texts()
    known = meanings.read_shipped() if FILE.exists() else {}
    meanings.write_shipped(FILE, texts, meanings.complete(known, texts, Embedder()))
    sys.stdout.write(f"{FILE.name}: {len(texts)} texts, {len(set(texts) - set(known))} of them new\n")


if __name__ == "__main__":
    main()
