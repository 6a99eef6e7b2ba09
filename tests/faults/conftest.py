"""How the fault tests are seeded and how long they run: see `make faults`."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.faults.house import House
from tests.faults.noop_worker import TOPOLOGY
from tests.workers.conftest import listen, topology  # noqa: F401 - fixtures


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


@pytest.fixture
def campaign(request) -> Campaign:
    return Campaign(request.node.name)


@pytest.fixture
def house_of(postgres, database_name, servers, rabbitmq_url):
    """Opens the House of this test's database and broker, with these options of its own."""
    opened = []

    def open_(**options) -> House:
        urls = postgres.url(database_name), postgres.url(database_name, "waste"), postgres.url(database_name, "tasks")
        opened.append(House(*urls, servers.redis_url, rabbitmq_url, TOPOLOGY, **options))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def house(house_of) -> House:
    return house_of()
