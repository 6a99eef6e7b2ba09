"""The durable part beside its peers: python -m tests.bench.workers [--json] [--tasks N] [--rounds N] [--only PART,…]

peers: every system gets the same broker, the same PostgreSQL and the same guarantee: a message is acknowledged only
after the work, and the result is a row in PostgreSQL. A round publishes N tasks that do nothing to each system in turn,
N/20 to the peers, and counts from the first publish to the last row. Then it measures what single tasks wait for the
commit of their row: in a burst of as many for each, at three quarters of what Celery prefork reached in the round, and
at 50 a second. Rounds alternate, and the table shows medians, since the machine is shared.
ceilings: our sync and our journal, and what PostgreSQL and SQLite do by themselves, in each round too.
poison, backlog: see there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
import uuid
from concurrent import futures
from pathlib import Path

import grpc
import psycopg
from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc, tasks_pb2

from services.kit.broker import Publisher, Topology
from stack.api import Mesh, whole
from tests.bench import backlog, ceilings, poison, systems
from tests.bench.measure import LOADS, System, folder, measure

PARTS = ("peers", "ceilings", "poison", "backlog")
# The share of Celery prefork's throughput that is offered as load.
LOAD = 0.75
SYNC_ROWS = 1000
RATIOS = {
    "durable_to_celery_prefork": ("durable_tasks_per_s", "celery_prefork_tasks_per_s"),
    "sync_to_raw_upsert": ("sync_rows_per_s", "raw_upsert_rows_per_s"),
    "journal_to_raw_sqlite": ("journal_appends_per_s", "raw_sqlite_full_group_per_s"),
}


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


def ceiling(mesh: Mesh, url: str, home: Path) -> dict[str, float]:
    """What our parts reach, and those below them, once."""
    return {
        "sync_rows_per_s": sync_rate(mesh.target("tasks"), 20 * SYNC_ROWS, SYNC_ROWS),
        "raw_upsert_rows_per_s": ceilings.raw_upsert(url, 20 * SYNC_ROWS, SYNC_ROWS),
        "journal_appends_per_s": ceilings.journal_appends(home / "journal", 50_000),
        # The journal's own commits take up to 500 requests of 100 tasks; we grant the raw one the same.
        "raw_sqlite_full_group_per_s": ceilings.raw_sqlite(home / "raw", 50_000, 50_000),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks a round; a twentieth of it for the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--poison-tasks", type=int, default=10_000, help="tasks a run with or without poison")
    parser.add_argument("--backlog-rows", type=int, default=360_000)
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    arguments = parser.parse_args()
    peers: list[System] = []
    ceilings_found: list[dict[str, float]] = []
    others: dict[str, float] = {}
    with whole(only=("tasks", "waste")) as mesh, contextlib.ExitStack() as resources:
        admin = mesh.postgres_admin_url.rpartition("/")[0]
        with psycopg.connect(f"{admin}/postgres", autocommit=True) as database:
            database.execute("CREATE DATABASE bench")
        env = {"BENCH_BROKER_URL": mesh.rabbitmq_url, "BENCH_DATABASE_URL": f"{admin}/bench"}
        os.environ.update(env)
        publisher = Publisher(mesh.rabbitmq_url, Topology.of(messages_pb2.Stage.DESCRIPTOR))
        resources.enter_context(contextlib.closing(publisher))
        bench, central = (
            resources.enter_context(psycopg.connect(f"{admin}/{name}", autocommit=True)) for name in ("bench", "ecoeco")
        )
        bench.execute("CREATE TABLE bench_dramatiq (number bigint PRIMARY KEY, done timestamptz NOT NULL)")
        our = systems.ours(mesh, f"{admin}/ecoeco", central, publisher)
        if "peers" in arguments.only:
            # Prefork first: the load that all are offered is a share of what it reached in the round.
            threads, dramatiq = systems.celery(bench, "threads", env), systems.dramatiq(bench, env)
            peers = [systems.celery(bench, "prefork", env), our, threads, dramatiq]
        for _ in range(arguments.rounds):
            for system in peers:
                count = arguments.tasks if system is our else max(200, arguments.tasks // 20)
                measure(system, count, lambda: peers[0].rates[-1] * LOAD)
            if "ceilings" in arguments.only:
                with folder() as home:
                    ceilings_found.append(ceiling(mesh, f"{admin}/bench", home))
        if "poison" in arguments.only:
            others |= poison.measure(mesh, our, central, arguments.poison_tasks)
        if "backlog" in arguments.only:
            others |= backlog.measure(mesh, our, central, arguments.backlog_rows)
    medians = {name: statistics.median(each[name] for each in ceilings_found) for name in (ceilings_found or [{}])[0]}
    report(peers, medians | others, arguments.json)


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return parts


def report(peers: list[System], single: dict[str, float], as_json: bool) -> None:
    """single: the figures that are not of a system among its peers."""
    keys = {"ours": "durable"}
    figures: dict[str, float] = {}
    if peers:
        heads = ("tasks/s", *(f"{load} {rank}" for load in LOADS for rank in ("p50", "p99")), "CPU µs", "RSS MB")
        print(f"{'waits in ms':<16}" + "".join(f"{head:>11}" for head in heads))
    for system in peers:
        found = {
            "tasks_per_s": statistics.median(system.rates),
            **{
                f"{load}_{rank}_ms": statistics.median(wait[place] for wait in waits)
                for load, waits in system.waits.items()
                for place, rank in enumerate(("p50", "p99"))
            },
            "cpu_us_per_task": statistics.median(system.cpu_us),
            "rss_mb": system.rss_mb,
        }
        print(f"{system.name:<16}" + "".join(f"{value:>11.1f}" for value in found.values()))
        figures |= {f"{keys.get(system.name, system.name)}_{name}": value for name, value in found.items()}
    figures |= single
    ratios = {name: figures[ours] / figures[other] for name, (ours, other) in RATIOS.items() if ours in figures}
    for name, value in (single | ratios).items():
        print(f"{name:<34}{value:>12.2f}")
    if as_json:
        print(json.dumps({name: round(value, 3) for name, value in (figures | ratios).items()}))


if __name__ == "__main__":
    main()
