"""The systems that are measured: ours, and the peers beside it. Each gets the same broker and the same PostgreSQL."""

from __future__ import annotations

import contextlib
import sys
import uuid
from pathlib import Path

import psycopg
from eco2.pipeline.v1 import messages_pb2

from services.kit.broker import Message, Publisher, queue_of, stage_name
from stack.api import Mesh
from stack.home import is_free
from tests.bench.measure import System, folder, process

STAGE = messages_pb2.STAGE_RESPONSE_GENERATION
STAGE_NAME = stage_name(messages_pb2.Stage.DESCRIPTOR, STAGE)
QUEUE = queue_of(messages_pb2.Stage.DESCRIPTOR, STAGE)


def new_job(run: str, number: int, **fields) -> messages_pb2.AnalysisJob:
    """The job of that number; the run is its user, by whom its rows are found again."""
    analysis_id = str(uuid.UUID(int=(uuid.UUID(run).int & ~0xFFFFFFFF) | number))
    ids = {"analysis_id": analysis_id, "user_id": run, "image_id": run}
    return messages_pb2.AnalysisJob(**ids, image_key="k", language_code="ko", **fields)


def task_id_of(job: messages_pb2.AnalysisJob) -> str:
    return f"{job.analysis_id}:{STAGE_NAME}"


def ours(mesh: Mesh, url: str, database: psycopg.Connection, publisher: Publisher) -> System:
    """publish takes fields of the job too, and start the folder of a worker that has worked before."""

    def publish(count: int, run: str, start: int = 0, **fields) -> None:
        jobs = (new_job(run, number, **fields) for number in range(start, start + count))
        published = publisher.publish([Message(QUEUE, job.SerializeToString()) for job in jobs])
        # The peers do not wait for the broker's word; a single message is not held up for it either.
        for each in published if count > 1 else ():
            each.result(60)

    def done(run: str) -> int:
        sql = "SELECT count(*) FROM tasks.task_results WHERE user_id = %s AND status = 'success'"
        return database.execute(sql, [run]).fetchone()[0]

    @contextlib.contextmanager
    def start(where: Path | None = None):
        port = next(port for port in range(28000, 29000) if is_free(port))
        targets = (mesh.target("waste"), mesh.target("tasks"), f"127.0.0.1:{port}")
        with contextlib.nullcontext(where) if where else folder() as home:
            addresses = (mesh.rabbitmq_url, mesh.redis_url, *targets)
            with process(sys.executable, "-m", "tests.bench.ours", *addresses, str(home)) as child:
                yield child

    where = {
        "table": "tasks.task_results",
        "key": "task_id",
        "number_of": lambda task_id: uuid.UUID(task_id.partition(":")[0]).int & 0xFFFFFFFF,
        "finished": "NEW.status = 'success'",
    }
    return System("ours", publish, done, start, database_url=url, **where)


def celery(database: psycopg.Connection, pool: str, env: dict[str, str]) -> System:
    from tests.bench import peers

    def publish(count: int, run: str, start: int = 0) -> None:
        for number in range(start, start + count):
            peers.nothing.apply_async((number,), task_id=f"{run}-{number:08}")

    def done(run: str) -> int:
        sql = "SELECT count(*) FROM celery_taskmeta WHERE task_id LIKE %s AND status = 'SUCCESS'"
        return database.execute(sql, [f"{run}%"]).fetchone()[0]

    def start():
        options = (
            "--pool",
            pool,
            "--concurrency",
            "2",
            "--loglevel",
            "WARNING",
            "--without-gossip",
            "--without-mingle",
        )
        return process(sys.executable, "-m", "celery", "-A", "tests.bench.peers", "worker", *options, **env)

    # The row is made when the message is sent on to a process, and updated at the end.
    where = {
        "table": "celery_taskmeta",
        "key": "task_id",
        "number_of": lambda task_id: int(task_id.rpartition("-")[2]),
        "finished": "NEW.status = 'SUCCESS'",
    }
    return System(f"celery_{pool}", publish, done, start, database_url=env["BENCH_DATABASE_URL"], **where)


def dramatiq(database: psycopg.Connection, env: dict[str, str]) -> System:
    from tests.bench import peers

    numbers: dict[str, int] = {}

    def publish(count: int, run: str, start: int = 0) -> None:
        base = numbers.setdefault(run, (len(numbers) + 1) * 10_000_000)
        for number in range(start, start + count):
            peers.nothing_dramatiq.send(base + number)

    def done(run: str) -> int:
        sql = "SELECT count(*) FROM bench_dramatiq WHERE number / 10000000 = %s"
        return database.execute(sql, [numbers[run] // 10_000_000]).fetchone()[0]

    def start():
        options = ("--processes", "2", "--threads", "8", "--skip-logging")
        return process(sys.executable, "-m", "dramatiq", "tests.bench.peers", *options, **env)

    number_of = {"key": "number", "number_of": lambda number: int(number) % 10_000_000}
    where = {"table": "bench_dramatiq", **number_of, "finished": "true"}
    return System("dramatiq", publish, done, start, database_url=env["BENCH_DATABASE_URL"], **where)
