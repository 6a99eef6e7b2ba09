"""How tests that draw their cases are seeded, and how long they run: see `make faults`."""

from __future__ import annotations

import os
import random
import time


class Campaign:
    """One seeded run of many cases. `count` of them: few in `make test`, as many as the issue asks in `make faults`."""

    def __init__(self, name: str):
        self.name = name
        self.long = bool(os.environ.get("FAULTS_LONG"))
        # `make test` says the same each time; `make faults` looks where nobody has looked.
        drawn = random.SystemRandom().randrange(1 << 32) if self.long else 20_261_121
        self.seed = int(os.environ.get("FAULTS_SEED") or drawn)
        self.begun = time.monotonic()
        print(f"\n{name}: SEED={self.seed}")

    def count(self, quick: int, long: int) -> int:
        """COUNT= when given, else one of these."""
        return int(os.environ.get("FAULTS_COUNT") or (long if self.long else quick))

    def chance(self, *case: object) -> random.Random:
        """The chance of one case, which does not depend on those before it."""
        return random.Random(f"{self.seed}:{':'.join(map(str, case))}")

    def report(self, text: str) -> None:
        print(f"{self.name}: SEED={self.seed}: {text}, {time.monotonic() - self.begun:.1f} s")
