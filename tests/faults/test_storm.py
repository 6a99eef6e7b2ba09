"""kill -9, again and again, of workers at work, with the broker restarted in between."""

from __future__ import annotations

import threading
import time

from tests.conftest import eventually
from tests.faults.noop_worker import TOPOLOGY
from tests.faults.pair import WAIT_S, WORKERS, Pair


def test_kill_nine_at_any_moment_loses_no_task_and_doubles_no_effect(campaign, house, servers, rabbitmq_url, tmp_path):
    """Two tasks an analysis. Before each kill a slice of the work comes in; the kill hits somewhere in it. An effect
    is an answer that the user gets: PostgreSQL counts each time that an analysis ends."""
    kills = campaign.count(quick=10, long=1000)
    chance, tasks = campaign.chance(), 100 * kills
    restarts = {kills // 2} if kills < 100 else set(range(50, kills, 50))
    begun, pair = threading.Event(), Pair(
        tmp_path, rabbitmq_url, f"127.0.0.1:{house.waste_port}", f"127.0.0.1:{house.tasks_port}",
    )  # fmt: skip
    try:
        accepted = amid = doubles = 0
        for number in range(kills):
            # What kills held up must not grow without end.
            eventually(lambda least=accepted - 100: house.answered() > least, WAIT_S)
            accepted += len(house.accept(50, TOPOLOGY.queues[2]))
            begun.wait(chance.random() * 0.3)
            amid += house.answered() < accepted
            victims = range(WORKERS) if chance.random() < 0.2 else [chance.randrange(WORKERS)]
            doubles += len(victims) - 1
            for victim in victims:
                pair.kill(victim)
            if number in restarts:
                servers.kill("rabbitmq")
        eventually(lambda: house.answered() == accepted and house.recorded() == tasks, 4 * WAIT_S)
        # Nothing is left to tell: what is done was synced, and the rest of the telling is on its way.
        assert house.one("SELECT count(*) FROM waste.outbox") == 0
        assert house.one("SELECT count(*) FROM tasks.task_results") == tasks
        assert house.one("SELECT count(*) FROM waste.answered WHERE state = 'SUCCEEDED'") == accepted
        assert house.one("SELECT count(DISTINCT id) FROM waste.answered") == accepted
        rows, effects = house.recorded(), 2 * house.one("SELECT count(DISTINCT id) FROM waste.answered")
        again = house.one("SELECT count(*) FROM tasks.task_results WHERE attempt > 1")
        differ = house.one("""
            SELECT count(*) FROM waste.analyses a
            JOIN tasks.task_results t ON t.task_id = a.id || ':response_generation'
            WHERE a.analysis_result->'advice'->>'text' <> t.result->'reply'->>'text'
        """)
    finally:
        pair.close()
    minutes = (time.monotonic() - campaign.begun) / 60
    campaign.report(
        f"{tasks} tasks, {kills} kills and {doubles} of a second worker with it, {amid} amid work, {len(restarts)} "
        f"broker restarts: {tasks - effects} lost, {rows} rows, {effects} effects, {minutes:.1f} minutes, "
        f"{tasks / minutes / 60:.0f} tasks/s; {again} were tried again, {differ} ended on two workers, of which waste "
        "kept one answer and tasks the other"
    )
