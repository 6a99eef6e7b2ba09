"""What a task that fails at every try costs the others, and whether it comes back exactly once.

A run publishes tasks at a steady rate and measures each from publish to the commit of its row. In a run with poison one
of the first tenth fails at each try, so that its tries fall among the others. Five pairs of runs, with and without, in
alternating order, all by one worker; compared are the medians of their p99. After a run with poison its cause is
mended, and the command of the tasks service replays the dead letter: twice, of which only the first may find it. Tries
are counted where they happen, in the stage.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg

from stack.api import Mesh
from tests.bench import systems
from tests.bench.measure import System, folder, listening, percentiles, send_steadily, wait_for, warm_up
from tests.bench.ours import MENDED, POISON, TRIES

RATE, PAIRS = 500, 5


def measure(mesh: Mesh, system: System, database: psycopg.Connection, count: int) -> dict[str, float]:
    """The figures over all pairs; where the runs differ in tries or replays, the largest."""
    p99: dict[bool, list[float]] = {False: [], True: []}
    tries, replays = [], []
    with folder() as home, system.start(home):
        warm_up(system)
        for pair in range(PAIRS):
            for poisoned in (pair % 2 == 1, pair % 2 == 0):
                run = str(uuid.uuid4())
                bad = random.randrange(count // 10) if poisoned else None
                p99[poisoned].append(_run(system, run, count, bad))
                if bad is not None:
                    task_id = systems.task_id_of(systems.new_job(run, bad))
                    tries.append(_tries_until_dead(database, home, task_id))
                    (home / MENDED).touch()
                    _replay(mesh, task_id)
                    wait_for(lambda run=run: system.done(run) == count)
                    (home / MENDED).unlink()
                    replays.append(_tries(home, task_id) - tries[-1])
    medians = {poisoned: statistics.median(values) for poisoned, values in p99.items()}
    return {
        "poison_tasks": count,
        "poison_attempts": max(tries),
        "poison_p99_ms": medians[True],
        "poison_without_p99_ms": medians[False],
        "poison_p99_ratio": medians[True] / medians[False],
        "poison_replayed": max(replays),
    }


def _run(system: System, run: str, count: int, bad: int | None) -> float:
    """p99 in ms of all tasks but the bad one."""

    def send(number: int) -> None:
        system.publish(1, run, number, question=POISON if number == bad else "")

    others = count - (bad is not None)
    with listening(system) as committed:
        sent = send_steadily(RATE, send, lambda number: number < count)
        wait_for(lambda: len(committed) == others)
    return percentiles(sent, committed)[1]


def _tries_until_dead(database: psycopg.Connection, home: Path, task_id: str) -> int:
    """Fails when the dead letter tells of another number than was counted."""
    sql = "SELECT attempt FROM tasks.dead_letters WHERE task_id = %s"
    wait_for(lambda: database.execute(sql, [task_id]).rowcount > 0)
    [(attempt,)] = database.execute(sql, [task_id]).fetchall()
    tries = _tries(home, task_id)
    if tries != attempt:
        raise RuntimeError(f"{task_id} was tried {tries} times, and its dead letter says {attempt}")
    return tries


def _replay(mesh: Mesh, task_id: str) -> None:
    """Twice. Fails unless the first finds the letter and the second does not."""
    command = (sys.executable, "-m", "services.tasks.dead_letters", "replay", "--task-id", task_id)
    env = os.environ | {"TASKS_TARGET": mesh.target("tasks")}
    found = []
    for _ in range(2):
        done = subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)
        found.append(len(done.stdout.splitlines()))
    if found != [1, 0]:
        raise RuntimeError(f"two replays of {task_id} found {found} letters")


def _tries(home: Path, task_id: str) -> int:
    return (home / TRIES).read_text().split().count(task_id.partition(":")[0])
