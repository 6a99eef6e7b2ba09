"""The durable part beside its peers: python -m tests.bench.workers [--json] [--tasks N] [--rounds N]

Every system gets the same broker, the same PostgreSQL and the same guarantee: a message is acknowledged only after the
work, and the result is a row in PostgreSQL. A round publishes N tasks that do nothing to each system in turn, N/20 to
the peers, and counts from the first publish to the last row. Then it measures single tasks from publish to the commit
of their row: at 50 a second, and at three quarters of what Celery prefork reached in the round. Rounds alternate, and
the table shows medians, since the machine is shared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import psycopg
from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc, tasks_pb2

from services.kit.broker import Message, Publisher, Topology, queue_of
from stack.api import Mesh, whole
from stack.home import is_free
from tests.bench import ceilings

LIMIT_S = 300
# Tasks a second, one at a time in effect; and the share of Celery prefork's throughput that is offered as load.
IDLE_RATE, LOAD = 50, 0.75
SYNC_ROWS = 1000


class System:
    """One way to run tasks. publish(count, prefix) sends them; done(prefix) counts their rows, which are in `table` of
    the database and meet the condition `finished` on NEW. number_of: from the column `key` to a task's number."""

    def __init__(
        self,
        name: str,
        publish: Callable[..., None],
        done: Callable[[str], int],
        start: Callable[[], contextlib.AbstractContextManager],
        *,
        database_url: str,
        table: str,
        key: str,
        number_of: Callable[[str], int],
        finished: str,
    ):
        self.name, self.publish, self.done, self.start = name, publish, done, start
        self.database_url, self.table, self.finished = database_url, table, finished
        self.key, self.number_of = key, number_of
        self.rates: list[float] = []
        self.cpu_us: list[float] = []
        # (p50, p99) in ms of each round.
        self.idle: list[tuple[float, float]] = []
        self.loaded: list[tuple[float, float]] = []
        self.rss_mb = 0.0


@contextlib.contextmanager
def process(*argv: str, **env: str) -> Iterator[subprocess.Popen]:
    """Runs for the length of the block."""
    with tempfile.NamedTemporaryFile() as log:
        child = subprocess.Popen(argv, env=os.environ | env, stdout=log, stderr=log)
        try:
            yield child
            if child.poll() is not None:
                raise RuntimeError(f"{argv} ended: {Path(log.name).read_text()[-2000:]}")
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *(each for child in children.read_text().split() for each in tree(int(child)))]


def usage(pids: list[int]) -> tuple[float, float]:
    """(CPU seconds so far, resident MB) of these processes together."""
    ticks, pages = 0, 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def wait_for(true: Callable[[], bool], pause_s: float = 0.01) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(pause_s)


@contextlib.contextmanager
def listening(system: System, count: int) -> Iterator[futures.Future]:
    """Becomes the time at which the row of each task was committed, by the task's number, once there are `count`.

    PostgreSQL notifies when a row is committed; the times that the systems write into their rows are from before.
    """
    with psycopg.connect(system.database_url, autocommit=True) as connection, futures.ThreadPoolExecutor(1) as thread:
        connection.execute(f"""
            CREATE OR REPLACE FUNCTION bench_notify() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_notify('bench', NEW.{system.key}::text); RETURN NULL; END $$;
            CREATE TRIGGER bench_notify AFTER INSERT OR UPDATE ON {system.table}
            FOR EACH ROW WHEN ({system.finished}) EXECUTE FUNCTION bench_notify();
            LISTEN bench
        """)

        def listen() -> dict[int, float]:
            found: dict[int, float] = {}
            for notified in connection.notifies(timeout=LIMIT_S):
                found[system.number_of(notified.payload)] = time.perf_counter()
                if len(found) == count:
                    break
            return found

        try:
            yield thread.submit(listen)
        finally:
            connection.execute(f"DROP TRIGGER bench_notify ON {system.table}")


def measure(system: System, count: int, trickle: int, load: Callable[[System], float]) -> None:
    with system.start() as child:
        warm = f"w{uuid.uuid4().hex[:8]}"
        system.publish(20, warm)
        wait_for(lambda: system.done(warm) == 20)
        before, _ = usage(tree(child.pid))
        prefix = f"b{uuid.uuid4().hex[:8]}"
        began = time.perf_counter()
        system.publish(count, prefix)
        wait_for(lambda: system.done(prefix) == count)
        system.rates.append(count / (time.perf_counter() - began))
        after, rss = usage(tree(child.pid))
        system.cpu_us.append((after - before) / count * 1e6)
        system.rss_mb = max(system.rss_mb, rss)
        for rate, found in ((IDLE_RATE, system.idle), (load(system), system.loaded)):
            prefix = f"t{uuid.uuid4().hex[:8]}"
            with listening(system, count=trickle) as ended:
                began, sent = time.perf_counter(), []
                for number in range(trickle):
                    time.sleep(max(0.0, began + number / rate - time.perf_counter()))
                    sent.append(time.perf_counter())
                    system.publish(1, prefix, number)
                waits = sorted(at - sent[number] for number, at in ended.result(LIMIT_S).items())
            found.append((waits[len(waits) // 2] * 1000, waits[int(len(waits) * 0.99)] * 1000))


def ours(mesh: Mesh, url: str, database: psycopg.Connection, publisher: Publisher) -> System:
    queue = queue_of(messages_pb2.Stage.DESCRIPTOR, messages_pb2.STAGE_RESPONSE_GENERATION)
    # Each run has a user of its own, by whom its rows are found again.
    users: dict[str, str] = {}

    def publish(count: int, prefix: str, start: int = 0) -> None:
        user = users.setdefault(prefix, str(uuid.uuid4()))
        messages = []
        for number in range(start, start + count):
            job = messages_pb2.AnalysisJob(
                analysis_id=str(uuid.UUID(int=(uuid.UUID(user).int & ~0xFFFFFFFF) | number)),
                user_id=user,
                image_id=user,
                image_key="k",
                language_code="ko",
            )
            messages.append(Message(queue, job.SerializeToString()))
        published = publisher.publish(messages)
        # The peers do not wait for the broker's word; a single message is not held up for it either.
        for each in published if count > 1 else ():
            each.result(60)

    def done(prefix: str) -> int:
        sql = "SELECT count(*) FROM tasks.task_results WHERE user_id = %s AND status = 'success'"
        return database.execute(sql, [users[prefix]]).fetchone()[0]

    def start():
        port = next(port for port in range(28000, 29000) if is_free(port))
        targets = (mesh.target("waste"), mesh.target("tasks"), f"127.0.0.1:{port}")
        return process(sys.executable, "-m", "tests.bench.ours", mesh.rabbitmq_url, mesh.redis_url, *targets)

    where = {
        "table": "tasks.task_results",
        "key": "task_id",
        "number_of": lambda task_id: uuid.UUID(task_id.partition(":")[0]).int & 0xFFFFFFFF,
        "finished": "NEW.status = 'success'",
    }
    return System("ours", publish, done, start, database_url=url, **where)


def celery(mesh: Mesh, database: psycopg.Connection, pool: str, env: dict[str, str]) -> System:
    from tests.bench import peers

    def publish(count: int, prefix: str, start: int = 0) -> None:
        for number in range(start, start + count):
            peers.nothing.apply_async((number,), task_id=f"{prefix}-{number:08}")

    def done(prefix: str) -> int:
        sql = "SELECT count(*) FROM celery_taskmeta WHERE task_id LIKE %s AND status = 'SUCCESS'"
        return database.execute(sql, [f"{prefix}%"]).fetchone()[0]

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
        "number_of": lambda task_id: int(task_id.partition("-")[2]),
        "finished": "NEW.status = 'SUCCESS'",
    }
    return System(f"celery_{pool}", publish, done, start, database_url=env["BENCH_DATABASE_URL"], **where)


def dramatiq(mesh: Mesh, database: psycopg.Connection, env: dict[str, str]) -> System:
    from tests.bench import peers

    numbers: dict[str, int] = {}

    def publish(count: int, prefix: str, start: int = 0) -> None:
        base = numbers.setdefault(prefix, (len(numbers) + 1) * 10_000_000)
        for number in range(start, start + count):
            peers.nothing_dramatiq.send(base + number)

    def done(prefix: str) -> int:
        sql = "SELECT count(*) FROM bench_dramatiq WHERE number / 10000000 = %s"
        return database.execute(sql, [numbers[prefix] // 10_000_000]).fetchone()[0]

    def start():
        options = ("--processes", "2", "--threads", "8", "--skip-logging")
        return process(sys.executable, "-m", "dramatiq", "tests.bench.peers", *options, **env)

    number_of = {"key": "number", "number_of": lambda number: int(number) % 10_000_000}
    where = {"table": "bench_dramatiq", **number_of, "finished": "true"}
    return System("dramatiq", publish, done, start, database_url=env["BENCH_DATABASE_URL"], **where)


def sync_rate(target: str, count: int, rows: int) -> float:
    """Rows a second through SyncTasks, over the wire, from two senders."""
    now = int(time.time())
    requests = []
    for _ in range(count // rows):
        tasks = []
        for _ in range(rows):
            task = tasks_pb2.Task(
                task_id=f"{uuid.uuid4()}:bench",
                task_name="bench",
                worker_name="bench",
                state=tasks_pb2.TASK_STATE_SUCCESS,
                attempt=1,
                user_id=str(uuid.UUID(int=1)),
            )
            for stamp in (task.create_time, task.start_time, task.complete_time):
                stamp.seconds = now
            tasks.append(task)
        requests.append(internal_pb2.SyncTasksRequest(tasks=tasks))
    with grpc.insecure_channel(target) as channel, futures.ThreadPoolExecutor(2) as pool:
        stub = internal_pb2_grpc.TasksInternalServiceStub(channel)
        began = time.perf_counter()
        list(pool.map(lambda request: stub.SyncTasks(request, timeout=60), requests))
        return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks a round; a twentieth of it for the peers")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with whole(only=("tasks", "waste")) as mesh, tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        admin = mesh.postgres_admin_url.rpartition("/")[0]
        with psycopg.connect(f"{admin}/postgres", autocommit=True) as database:
            database.execute("CREATE DATABASE bench")
        env = {"BENCH_BROKER_URL": mesh.rabbitmq_url, "BENCH_DATABASE_URL": f"{admin}/bench"}
        os.environ.update(env)
        publisher = Publisher(mesh.rabbitmq_url, Topology.of(messages_pb2.Stage.DESCRIPTOR))
        with (
            contextlib.closing(publisher),
            psycopg.connect(f"{admin}/bench", autocommit=True) as bench,
            psycopg.connect(f"{admin}/ecoeco", autocommit=True) as central,
        ):
            bench.execute("CREATE TABLE bench_dramatiq (number bigint PRIMARY KEY, done timestamptz NOT NULL)")
            systems = [
                # First: the load that all are offered is a share of what it reached in the round.
                celery(mesh, bench, "prefork", env),
                ours(mesh, f"{admin}/ecoeco", central, publisher),
                celery(mesh, bench, "threads", env),
                dramatiq(mesh, bench, env),
            ]
            ceiling: dict[str, list[float]] = {}
            for number in range(arguments.rounds):
                for system in systems:
                    count = arguments.tasks if system.name == "ours" else max(200, arguments.tasks // 20)
                    measure(system, count, 400, lambda _: systems[0].rates[-1] * LOAD)
                found = {
                    "sync_rows_per_s": sync_rate(mesh.target("tasks"), 20 * SYNC_ROWS, SYNC_ROWS),
                    "raw_upsert_rows_per_s": ceilings.raw_upsert(f"{admin}/bench", 20 * SYNC_ROWS, SYNC_ROWS),
                    "journal_appends_per_s": ceilings.journal_appends(Path(folder) / f"j{number}", 50_000),
                    # The journal's own commits take up to 500 requests of 100 tasks; we grant the raw one the same.
                    "raw_sqlite_full_group_per_s": ceilings.raw_sqlite(Path(folder) / f"r{number}", 50_000, 10_000),
                }
                for name, value in found.items():
                    ceiling.setdefault(name, []).append(value)
    report(systems, {name: statistics.median(values) for name, values in ceiling.items()}, arguments.json)


def report(systems: list[System], ceiling: dict[str, float], as_json: bool) -> None:
    keys = {"ours": "durable"}
    figures: dict[str, float] = {}
    print(f"{'':<18}{'tasks/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'idle p50':>9}{'idle p99':>9}{'CPU µs':>9}{'RSS MB':>9}")
    for system in systems:
        found = {
            "tasks_per_s": statistics.median(system.rates),
            "p50_ms": statistics.median(p50 for p50, _ in system.loaded),
            "p99_ms": statistics.median(p99 for _, p99 in system.loaded),
            "idle_p50_ms": statistics.median(p50 for p50, _ in system.idle),
            "idle_p99_ms": statistics.median(p99 for _, p99 in system.idle),
            "cpu_us_per_task": statistics.median(system.cpu_us),
            "rss_mb": system.rss_mb,
        }
        print(f"{system.name:<18}" + "".join(f"{value:>9.1f}" for value in found.values()))
        figures |= {f"{keys.get(system.name, system.name)}_{name}": round(value, 2) for name, value in found.items()}
    figures |= {name: round(value, 1) for name, value in ceiling.items()}
    ratios = {
        "durable_to_celery_prefork": figures["durable_tasks_per_s"] / figures["celery_prefork_tasks_per_s"],
        "sync_to_raw_upsert": figures["sync_rows_per_s"] / figures["raw_upsert_rows_per_s"],
        "journal_to_raw_sqlite": figures["journal_appends_per_s"] / figures["raw_sqlite_full_group_per_s"],
    }
    for name, value in (ceiling | ratios).items():
        print(f"{name:<34}{value:>12.2f}")
    if as_json:
        print(json.dumps(figures | {name: round(value, 3) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
