"""How fast a worker's backlog drains when `tasks` comes back, and what new tasks notice of it.

A journal gets the rows of two hours at 50 tasks a second, written by the journal itself: ended, told to `waste`, not
told to `tasks`. A worker starts on it while `tasks` is away, long enough for its attempts to be as rare as they get.
Then `tasks` starts. Measured from when it is ready: seconds until the worker has found it, which is when the first row
of the backlog is committed, and until the last one is. Between these, of new tasks published at 50 a second: the time
from publish to the commit of their row. In the end each row in PostgreSQL is compared with what the journal held.
"""

from __future__ import annotations

import time
import uuid
from concurrent import futures
from pathlib import Path

import psycopg
from eco2.waste.v1.internal_pb2 import Outcome

from stack.api import Mesh
from tests.bench import systems
from tests.bench.measure import LIMIT_S, System, folder, listening, percentiles, send_steadily, wait_for
from workers.journal import PENDING, SUCCESS, Journal, Task

RATE, BATCH = 50, 1000
AWAY_S = 20
_ROWS = """
    SELECT concat_ws(' ', task_id, task_name, worker_name, status, attempt,
        result -> 'reply' ->> 'text', (extract(epoch FROM created_at) * 1000000)::bigint,
        (extract(epoch FROM started_at) * 1000000)::bigint, (extract(epoch FROM completed_at) * 1000000)::bigint)
    FROM tasks.task_results WHERE user_id = %s
"""


def fill(where: Path, run: str, count: int) -> set[str]:
    """A journal with the backlog in it; each row as _ROWS shall find it."""
    now = began = time.time() - count / RATE
    journal, wanted = Journal(where, clock=lambda: now), set()
    for start in range(0, count, BATCH):
        now = began + start / RATE
        tasks = []
        for number in range(start, min(start + BATCH, count)):
            job = systems.new_job(run, number)
            tasks.append(Task(systems.task_id_of(job), systems.STAGE_NAME, PENDING, 1, run, job.SerializeToString()))
        journal.append(tasks).result()
        ended = []
        for number, task in enumerate(tasks, start):
            outcome = Outcome(analysis_id=task.task_id.partition(":")[0])
            outcome.completion.reply.text = f"answer-{number}"
            result = outcome.SerializeToString()
            ended.append(task._replace(status=SUCCESS, result=result, started_at=now + 1, completed_at=now + 2))
            times = " ".join(str(round((now + later) * 1e6)) for later in range(3))
            wanted.add(f"{task.task_id} {task.task_name} bench success 1 answer-{number} {times}")
        journal.record(ended).result()
        journal.delivered([row.seq for row in journal.undelivered(BATCH).result()]).result()
    journal.close()
    return wanted


def measure(mesh: Mesh, system: System, database: psycopg.Connection, count: int) -> dict[str, float]:
    """The figures of one drain. Fails when a row is missing or is not what the journal held."""
    backlog, fresh = str(uuid.uuid4()), str(uuid.uuid4())
    with folder() as home, listening(system, f"NEW.user_id = '{fresh}'") as committed:
        wanted = fill(home / "journal", backlog, count)
        mesh.stop("tasks")
        with system.start(home), futures.ThreadPoolExecutor(1) as thread:
            time.sleep(AWAY_S)  # The load itself: for so long there is nobody to send to.
            mesh.start("tasks")
            mesh.wait_ready("tasks")
            began = time.perf_counter()

            def drain() -> float:
                # Counting costs PostgreSQL something too, so the rarer the more are left.
                while left := count - system.done(backlog):
                    if time.perf_counter() - began > LIMIT_S:
                        raise TimeoutError(f"{left} rows are left")
                    time.sleep(max(0.2, left / count * 10))  # As said above.
                return time.perf_counter() - began

            wait_for(lambda: system.done(backlog) > 0)
            found_s = time.perf_counter() - began
            drained = thread.submit(drain)
            sent = send_steadily(
                RATE, lambda number: system.publish(1, fresh, number), lambda number: not drained.done()
            )
            wait_for(lambda: len(committed) == len(sent))
            drain_s = drained.result()
    unequal = wanted ^ {row for (row,) in database.execute(_ROWS, [backlog])}
    if unequal:
        raise RuntimeError(f"{len(unequal)} rows differ between journal and tasks, such as {min(unequal)}")
    p50, p99 = percentiles(sent, committed)
    return {
        "backlog_rows": count,
        "backlog_found_s": found_s,
        "backlog_drain_s": drain_s,
        "backlog_fresh_tasks": len(sent),
        "backlog_fresh_p50_ms": p50,
        "backlog_fresh_p99_ms": p99,
    }
