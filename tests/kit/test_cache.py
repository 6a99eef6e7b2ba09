"""Redis as the kit reaches it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from services.kit import cache


def test_more_threads_than_connections_wait_for_their_turn(servers):
    """A pool that is full is no cache that is away: redis-py's own would refuse the hundred-and-first."""
    count = 10 * cache.MAX_CONNECTIONS
    client, together = cache.connect(servers.redis_url, 3, timeout_s=10), threading.Barrier(count)

    def ask(_) -> bool:
        together.wait(30)
        return client.ping()

    with ThreadPoolExecutor(count) as pool:
        assert all(pool.map(ask, range(count)))
    client.close()
