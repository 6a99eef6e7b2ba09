"""Each question is put to a model once, in one process and across several."""

from __future__ import annotations

import hashlib
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from eco2.pipeline.v1.messages_pb2 import Sight
from eco2.recycle_info.v1.recycle_info_pb2 import MATERIAL_GLASS

from services.kit import cache
from services.kit.errors import ResourceExhausted, Unavailable
from tests.conftest import eventually
from workers.ai import answers
from workers.ai.answers import Answers
from workers.stages import Cancelled

SIGHT = Sight(material=MATERIAL_GLASS, confidence=0.9, model="m")


@pytest.fixture
def asked() -> bytes:
    return hashlib.sha256(uuid.uuid4().bytes).digest()


@pytest.fixture
def worker(redis, journals):
    """Makes what one worker has."""
    return lambda client=redis: Answers(client, journals(), "vision", Sight)


class Model:
    """Counts its calls; answers when `go` is set."""

    def __init__(self, error: Exception | None = None):
        self.calls, self.error, self.go, self.entered = 0, error, threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def look(self) -> Sight:
        with self._lock:
            self.calls += 1
        self.entered.set()
        assert self.go.wait(30)
        if self.error:
            raise self.error
        return SIGHT


@pytest.mark.parametrize("workers", [1, 2])
def test_a_thousand_who_ask_the_same_at_once_cost_one_call(worker, asked, workers):
    """Two workers have a journal each and share Redis."""
    model, barrier, those = Model(), threading.Barrier(1000), [worker() for _ in range(workers)]

    def ask(number: int) -> tuple[Sight, bool]:
        barrier.wait(60)
        return those[number % workers].get(asked, "m", model.look)

    with ThreadPoolExecutor(1000) as pool:
        asking = [pool.submit(ask, number) for number in range(1000)]
        assert model.entered.wait(60)
        model.go.set()
        got = [each.result(60) for each in asking]
    assert model.calls == 1
    assert {sight.SerializeToString() for sight, _ in got} == {SIGHT.SerializeToString()}
    assert sum(not cached for _, cached in got) == 1


def test_without_redis_a_process_still_asks_once(worker, asked):
    model, mine = Model(), worker(cache.connect("redis://127.0.0.1:1", answers.DB))
    with ThreadPoolExecutor(50) as pool:
        asking = [pool.submit(mine.get, asked, "m", model.look) for _ in range(50)]
        assert model.entered.wait(30)
        model.go.set()
        assert all(each.result(30)[0] == SIGHT for each in asking)
    assert model.calls == 1
    # The journal has it.
    assert mine.get(asked, "m", model.look) == (SIGHT, True)


def test_a_failure_is_shared_by_those_who_waited_and_kept_by_nobody(worker, asked):
    model, mine = Model(Unavailable("away", reason="MODEL_UNAVAILABLE")), worker()
    with ThreadPoolExecutor(20) as pool:
        asking = [pool.submit(mine.get, asked, "m", model.look) for _ in range(20)]
        assert model.entered.wait(30)
        model.go.set()
        assert all(isinstance(each.exception(30), Unavailable) for each in asking)
    model.error, before = None, model.calls
    assert mine.get(asked, "m", model.look) == (SIGHT, False)
    assert model.calls == before + 1


@pytest.mark.parametrize(
    "error",
    [ResourceExhausted("spent", reason="MODEL_BUDGET_SPENT", budget="user"), Cancelled()],
    ids=["budget", "cancelled"],
)
def test_nobody_ends_for_what_is_anothers_alone(worker, asked, error):
    theirs, wanted, mine = Model(error), Model(), worker()
    wanted.go.set()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(mine.get, asked, "m", theirs.look)
        assert theirs.entered.wait(30)
        other = pool.submit(mine.get, asked, "m", wanted.look)
        theirs.go.set()
        assert isinstance(first.exception(30), type(error))
        assert other.result(30) == (SIGHT, False)


def test_the_lease_of_a_worker_that_died_ends(worker, asked, redis):
    key = f"lease:vision:m:{asked.hex()}"
    redis.set(key, "of the dead", px=300)
    model, mine = Model(), worker()
    model.go.set()
    assert mine.get(asked, "m", model.look) == (SIGHT, False)
    assert not redis.exists(key)


def test_who_waits_for_another_worker_takes_its_answer(worker, asked, redis):
    first, second, model = worker(), worker(), Model()
    with ThreadPoolExecutor(2) as pool:
        leading = pool.submit(first.get, asked, "m", model.look)
        assert model.entered.wait(30)
        following = pool.submit(second.get, asked, "m", lambda: pytest.fail("asked twice"))
        assert redis.ttl(f"lease:vision:m:{asked.hex()}") > 0
        model.go.set()
        assert (leading.result(30)[1], following.result(30)[1]) == (False, True)


def test_every_key_has_an_end(worker, asked, redis):
    model = Model()
    model.go.set()
    worker().get(asked, "m", model.look)
    eventually(lambda: not redis.exists(f"lease:vision:m:{asked.hex()}"))
    assert redis.keys("*") == [f"vision:m:{asked.hex()}"]
    assert 0 < redis.ttl(f"vision:m:{asked.hex()}") <= answers.KEEP_S


def test_an_answer_that_another_release_wrote_is_made_anew(worker, asked, redis):
    redis.set(f"vision:m:{asked.hex()}", '{"colour": "of another release"}', ex=60)
    model = Model()
    model.go.set()
    assert worker().get(asked, "m", model.look) == (SIGHT, False)


def test_the_hit_rate_is_in_the_log(worker, asked, caplog):
    caplog.set_level("INFO", logger="workers.ai.answers")
    model, mine = Model(), worker()
    model.go.set()
    for _ in range(4):
        mine.get(asked, "m", model.look)
    last = caplog.records[-1].fields
    assert last == {"cache": "vision", "source": "redis", "asked": 4, "hits": 3}
