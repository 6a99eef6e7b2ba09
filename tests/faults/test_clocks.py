"""Wall clocks that jump by an hour or a day, forward and back, under workers, waste and the records of tasks."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

import pytest

from tests.conftest import eventually
from tests.faults.house import NEVER_BACK
from tests.faults.noop_worker import TOPOLOGY, Jumping
from tests.faults.pair import WAIT_S, Pair
from workers.journal import Journal
from workers.journal_file import PENDING, RUNNING, Task

HOUR_S, DAY_S = 3600, 86_400


def test_real_workers_lose_nothing_while_their_clocks_jump(campaign, house_of, rabbitmq_url, tmp_path):
    """Two tasks an analysis; a quarter of them fails at first and is tried again. Workers are killed as well."""
    clock = Jumping(campaign.chance("waste"))
    house = house_of(now=lambda: datetime.fromtimestamp(clock(), UTC))
    house.owner.execute(NEVER_BACK)
    kills, chance, accepted = campaign.count(quick=4, long=40), campaign.chance(), 0
    targets = f"127.0.0.1:{house.waste_port}", f"127.0.0.1:{house.tasks_port}"
    pair = Pair(tmp_path, rabbitmq_url, *targets, after=(str(campaign.seed),))
    try:
        for _ in range(kills):
            accepted += len(house.accept(50, TOPOLOGY.queues[2]))
            eventually(lambda least=accepted - 50: house.answered() > least, WAIT_S)
            pair.kill(chance.randrange(2))
        eventually(lambda: house.answered() == accepted and house.recorded() == 2 * accepted, WAIT_S)
        assert house.one("SELECT count(*) FROM waste.answered WHERE state = 'SUCCEEDED'") == accepted
        assert house.one("SELECT count(*) FROM waste.answered") == accepted
        assert house.one("SELECT count(*) FROM tasks.task_results") == 2 * accepted
        again = house.one("SELECT count(*) FROM tasks.task_results WHERE attempt > 1")
        jumped = house.one(
            "SELECT count(*) FROM tasks.task_results WHERE abs(extract(epoch FROM now() - created_at)) > 3000"
        )
        assert again > 0
        assert jumped > 0
    finally:
        pair.close()
    campaign.report(
        f"{2 * accepted} tasks, {kills} kills: all told, {again} tried again, {jumped} rows with a wrong time"
    )


@pytest.fixture
def jumping(tmp_path):
    """A journal and its clock's error."""
    ahead = [0.0]
    journal = Journal(tmp_path, clock=lambda: time.time() + ahead[0])
    yield journal, ahead
    journal.close()


@pytest.mark.parametrize("jump_s", [-DAY_S, -HOUR_S, HOUR_S, DAY_S])
def test_what_runs_is_told_of_however_the_clock_has_jumped_since(jumping, jump_s):
    journal, ahead = jumping
    task = Task("a:vision_analysis", "vision_analysis", PENDING, 1, "u", b"{}")
    [row] = journal.append([task]).result(WAIT_S)
    journal.record([row._replace(status=RUNNING, started_at=journal.clock())]).result(WAIT_S)
    assert journal.unsynced(10, settle_s=60).result(WAIT_S) == []
    ahead[0] = jump_s
    [told] = journal.unsynced(10, settle_s=60).result(WAIT_S)
    assert told.status == RUNNING


def test_the_clock_of_this_test_jumps():
    clock = Jumping(random.Random(1))
    errors = {round((clock() - time.time()) / HOUR_S) for _ in range(10_000)}
    assert errors == {-24, -1, 0, 1, 24}
