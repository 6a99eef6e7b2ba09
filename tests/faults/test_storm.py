"""kill -9, again and again, of workers at work, with the broker restarted in between."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.faults.house import House
from tests.faults.noop_worker import TOPOLOGY

WORKERS = 2
WAIT_S = 120


class Pair:
    """Worker processes, each with a journal of its own, started again after each kill."""

    def __init__(self, folder: Path, *arguments: str):
        self._folder, self._arguments = folder, arguments
        self._log = (folder / "log").open("ab")
        self._processes = [self._start(number) for number in range(WORKERS)]

    def _start(self, number: int) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.faults.noop_worker", *self._arguments, str(self._folder / str(number))]
        environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
        return subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log)

    def kill(self, number: int) -> None:
        assert self._processes[number].poll() is None, "a worker ended by itself; its log says why"
        self._processes[number].kill()
        self._processes[number].wait(WAIT_S)
        self._processes[number] = self._start(number)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(WAIT_S)
        self._log.close()


@pytest.fixture
def house(postgres, database_name, servers, rabbitmq_url):
    opened = House(
        postgres.url(database_name), postgres.url(database_name, "waste"), postgres.url(database_name, "tasks"),
        servers.redis_url, rabbitmq_url, TOPOLOGY,
    )  # fmt: skip
    yield opened
    opened.close()


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
        accepted = amid = 0
        for number in range(kills):
            # What kills held up must not grow without end.
            eventually(lambda least=accepted - 100: house.answered() > least, WAIT_S)
            accepted += len(house.accept(50, TOPOLOGY.queues[2]))
            begun.wait(chance.random() * 0.3)
            amid += house.answered() < accepted
            victims = range(WORKERS) if chance.random() < 0.2 else [chance.randrange(WORKERS)]
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
        again = house.one("SELECT count(*) FROM tasks.task_results WHERE attempt > 1")
        differ = house.one("""
            SELECT count(*) FROM waste.analyses a
            JOIN tasks.task_results t ON t.task_id = a.id || ':response_generation'
            WHERE a.analysis_result->'advice'->>'text' <> t.result->'reply'->>'text'
        """)
    finally:
        pair.close()
    campaign.report(
        f"{tasks} tasks, {kills} kills, {amid} of them amid work, {len(restarts)} broker restarts: 0 lost, "
        f"rows = tasks, effects = tasks; "
        f"{again} were tried again, {differ} ended on two workers, of which waste kept one answer and tasks the other"
    )
