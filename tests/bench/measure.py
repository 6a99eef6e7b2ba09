"""What is measured of a system that runs tasks: how many a second, and how long each takes until its row is there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from stack.home import CHECKOUT

LIMIT_S = 300
# Tasks a second at which a system has hardly anything to do.
IDLE_RATE = 50
# Tasks that are handed over at once, to every system the same, and tasks that come one by one.
BURST, TRICKLE = 1000, 400
LOADS = ("burst", "steady", "idle")


class System:
    """One way to run tasks. A run is named by a UUID: publish(count, run, start) sends count tasks of it, numbered from
    start on; done(run) counts their rows, which are in `table` of the database and meet the condition `finished` on
    NEW. number_of: from the column `key` to a task's number."""

    def __init__(
        self,
        name: str,
        publish: Callable[..., None],
        done: Callable[[str], int],
        start: Callable[..., contextlib.AbstractContextManager],
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
        # (p50, p99) in ms of each round, by load.
        self.waits: dict[str, list[tuple[float, float]]] = {load: [] for load in LOADS}
        self.rss_mb = 0.0


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new one on the checkout's disk, since an fsync costs nothing where temporary files live in memory."""
    with tempfile.TemporaryDirectory(dir=CHECKOUT / ".eco2", prefix="bench-") as name:
        yield Path(name)


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
        time.sleep(pause_s)  # A process of another project tells nobody that it is done.


@contextlib.contextmanager
def listening(system: System, condition: str = "true") -> Iterator[dict[int, float]]:
    """Fills up with the time at which the row of each task was committed, by the task's number.

    PostgreSQL notifies when a row is committed; the times that the systems write into their rows are from before.
    condition: on NEW, which rows count.
    """
    found: dict[int, float] = {}
    ended = threading.Event()
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        connection.execute(f"""
            CREATE OR REPLACE FUNCTION bench_notify() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_notify('bench', NEW.{system.key}::text); RETURN NULL; END $$;
            CREATE TRIGGER bench_notify AFTER INSERT OR UPDATE ON {system.table}
            FOR EACH ROW WHEN ({system.finished} AND {condition}) EXECUTE FUNCTION bench_notify();
            LISTEN bench
        """)

        def listen() -> None:
            while not ended.is_set():
                for notified in connection.notifies(timeout=0.2):
                    found[system.number_of(notified.payload)] = time.perf_counter()

        thread = threading.Thread(target=listen, name="listen")
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            thread.join()
            connection.execute(f"DROP TRIGGER bench_notify ON {system.table}")


def send_steadily(rate: float, send: Callable[[int], None], more: Callable[[int], bool]) -> list[float]:
    """send(0), send(1) and so on, `rate` a second, while more(number). When each was sent."""
    began, sent = time.perf_counter(), []
    while more(number := len(sent)):
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))  # This is the rate.
        sent.append(time.perf_counter())
        send(number)
    return sent


def percentiles(sent: list[float], committed: dict[int, float]) -> tuple[float, float]:
    """(p50, p99) in ms from publish to commit."""
    waits = sorted(at - sent[number] for number, at in committed.items())
    return waits[len(waits) // 2] * 1000, waits[int(len(waits) * 0.99)] * 1000


def warm_up(system: System) -> None:
    run = str(uuid.uuid4())
    system.publish(20, run)
    wait_for(lambda: system.done(run) == 20)


def measure(system: System, count: int, steady_rate: Callable[[], float]) -> None:
    """One round: `count` tasks at once for the throughput, then what single tasks wait under each of LOADS."""
    with system.start() as child:
        warm_up(system)
        before, _ = usage(tree(child.pid))
        run = str(uuid.uuid4())
        began = time.perf_counter()
        system.publish(count, run)
        wait_for(lambda: system.done(run) == count)
        system.rates.append(count / (time.perf_counter() - began))
        after, rss = usage(tree(child.pid))
        system.cpu_us.append((after - before) / count * 1e6)
        system.rss_mb = max(system.rss_mb, rss)
        system.waits["burst"].append(wait_in_burst(system))
        system.waits["steady"].append(wait_at(system, steady_rate()))
        system.waits["idle"].append(wait_at(system, IDLE_RATE))


def wait_in_burst(system: System) -> tuple[float, float]:
    """(p50, p99) in ms, counted from the moment at which the whole burst is handed over."""
    run = str(uuid.uuid4())
    with listening(system) as committed:
        began = time.perf_counter()
        system.publish(BURST, run)
        wait_for(lambda: len(committed) == BURST)
    return percentiles([began] * BURST, committed)


def wait_at(system: System, rate: float) -> tuple[float, float]:
    """(p50, p99) in ms of tasks that come one by one."""
    run = str(uuid.uuid4())
    with listening(system) as committed:
        sent = send_steadily(rate, lambda number: system.publish(1, run, number), lambda number: number < TRICKLE)
        wait_for(lambda: len(committed) == TRICKLE)
    return percentiles(sent, committed)
