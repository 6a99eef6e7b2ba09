"""The board and its listener on a real Redis."""

from __future__ import annotations

import itertools
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.kit import cache
from services.kit.errors import Unavailable
from tests.conftest import eventually

WAIT_S = 60


@pytest.fixture
def client(servers):
    opened = cache.connect(servers.redis_url, 1)
    yield opened
    opened.close()


@pytest.fixture
def board(client) -> cache.Board:
    return cache.Board(client, f"test.{uuid.uuid4()}", ttl_s=60)


def test_a_hash_only_moves_forward(board, client):
    key = f"test:{uuid.uuid4()}"
    assert board.read(key) == {}
    assert board.advance(key, 20, {"progress": 20})
    assert not board.advance(key, 20, {"progress": 0})
    assert not board.advance(key, 10, {"progress": 10})
    assert board.read(key) == {"seq": "20", "progress": "20"}
    assert board.advance(key, 30, {"progress": 30})
    assert board.read(key)["progress"] == "30"
    assert 0 < client.ttl(key) <= 60


def test_a_move_wakes_who_waits_for_that_key_and_nobody_else(board, client):
    listener = cache.Listener(client, board._channel)
    mine, other = f"test:{uuid.uuid4()}", f"test:{uuid.uuid4()}"
    with listener.waiting(mine) as moved, listener.waiting(other) as untouched:
        # What is announced before the subscription stands is heard by nobody.
        numbers = itertools.count()
        eventually(lambda: board.advance(mine, next(numbers), {"progress": 0}) and moved.wait(0.1))
        moved.clear()
        untouched.clear()
        board.advance(mine, 1000, {"progress": 1})
        assert moved.wait(WAIT_S)
        assert not untouched.is_set()
    assert not listener._waiters
    listener.close()


def test_a_redis_that_cannot_be_reached_is_unavailable():
    with pytest.raises(Unavailable) as caught:
        cache.Board(cache.connect("redis://127.0.0.1:1", 1), "test", 60).read("test")
    assert caught.value.reason == "CACHE_UNAVAILABLE"


def test_a_full_redis_is_unavailable_and_still_read(client, board):
    key = f"test:{uuid.uuid4()}"
    trail = cache.Trail(client, f"{key}:trail", ttl_s=60, most=10)
    assert board.advance(key, 1, {"stage": "ocr"})
    client.config_set("maxmemory", 1)
    try:
        for write in (lambda: board.advance(key, 2, {"stage": "rules"}), lambda: trail.append("one")):
            with pytest.raises(Unavailable) as raised:
                write()
            assert raised.value.reason == "CACHE_UNAVAILABLE"
        assert board.read(key)["stage"] == "ocr"
    finally:
        client.config_set("maxmemory", 0)
    assert board.advance(key, 2, {"stage": "rules"})


def test_a_trail_is_read_in_its_order_from_any_place(client):
    trail = cache.Trail(client, key := f"test:{uuid.uuid4()}", ttl_s=60, most=cache.Trail.BATCH * 10)
    assert trail.read(trail.BEGINNING) == ([], trail.BEGINNING)
    items = [str(number) for number in range(cache.Trail.BATCH + 3)]
    for item in items:
        trail.append(item)
    first, place = trail.read(trail.BEGINNING)
    rest, end = trail.read(place)
    assert first + rest == items
    assert (len(first), trail.read(end)) == (cache.Trail.BATCH, ([], end))
    assert 0 < client.ttl(key) <= 60


def test_who_waits_for_a_trail_reads_what_comes(client):
    trail = cache.Trail(client, f"test:{uuid.uuid4()}", ttl_s=60, most=10)
    with ThreadPoolExecutor(1) as pool:

        def follow() -> list[str]:
            while not (found := trail.read(trail.BEGINNING, 0.2)[0]):
                pass
            return found

        reading = pool.submit(follow)
        trail.append("news")
        assert reading.result(WAIT_S) == ["news"]


def test_a_trail_forgets_the_oldest(client):
    trail = cache.Trail(client, f"test:{uuid.uuid4()}", ttl_s=60, most=100)
    for number in range(1000):
        trail.append(str(number))
    kept = trail.read(trail.BEGINNING)[0]
    assert 100 <= len(kept) < 300
    assert kept[-1] == "999"


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
