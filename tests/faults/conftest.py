"""Houses for the fault tests. How they are seeded and how long they run: tests/campaign.py."""

from __future__ import annotations

import pytest

from tests.faults.house import House
from tests.faults.noop_worker import TOPOLOGY
from tests.workers.conftest import listen, topology  # noqa: F401 - fixtures


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
