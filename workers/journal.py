"""The worker's own record of its work, in SQLite: written before the work begins, forgotten when all others know.

    a message arrives ──► PENDING ──► RUNNING ──► SUCCESS
                            ▲            ├──────► FAILURE
                            └────────────┘ a transient error: PENDING again, attempt + 1, next_attempt_at

A state only moves forward: a higher attempt beats any state but SUCCESS, within an attempt the state beats those left
of it. A row found RUNNING when its message comes back belonged to a process that died: one attempt more, RUNNING
again. `tasks` keeps the same states by the same order.

One connection, owned by one thread, in WAL mode with synchronous=FULL. Whatever is asked for while a commit runs
goes into the next one: no timer, and no caller waits, since every function returns a future. A future is done only
after its commit; its callbacks run on the journal's thread and must be quick.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from itertools import repeat
from pathlib import Path
from typing import Any

import apsw

from workers import journal_file, journal_sql
from workers.journal_file import PENDING, RUNNING, SUCCESS, JournalError, JournalFull, Task

log = logging.getLogger(__name__)

_CACHE_S = 30 * 24 * 3600
# How long what is in no hurry waits for company.
_LATER_S = 0.05
_COLUMNS = ", ".join(Task._fields)
# Task._make without its frame.
_TO_TASK = functools.partial(tuple.__new__, Task)

_Request = tuple[Callable[[], Any], Future]
# Wakes the thread for what is in no hurry.
_NUDGE: _Request = (lambda: None, Future())


class Journal:
    """The journal in `folder`, for as long as this process lives.

    quota_bytes: what the tasks may take on disk. batch: the most requests that one commit takes. vfs: the
    name of what SQLite reaches the disk through; the system's own when None. clock: the wall clock, which may jump: it
    says when things happened, and never how long they take or what comes first.
    Fails with JournalError when another process has it, when the folder is on a network file system (SQLite corrupts
    there), and when the file is damaged.
    """

    def __init__(self, folder: Path, *, quota_bytes: int = 2 << 30, batch: int = 500, clock=time.time, vfs=None):
        self._lock = journal_file.claim(folder)
        self._quota_bytes, self._batch, self._vfs = quota_bytes, batch, vfs
        self.clock = clock
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._later: collections.deque[_Request] = collections.deque()
        self._closing, self._closed = threading.Lock(), False
        # Set whenever a commit may have left rows to sync.
        self.changed = threading.Event()
        self.path = folder / "worker.db"
        opened: Future = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="journal", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except Exception:
            os.close(self._lock)
            raise

    def append(self, tasks: Sequence[Task], crashed: bool = False) -> Future[list[Task]]:
        """Take these in, and return each as it stands then: a known one keeps its row, unless its attempt is higher
        or a process died over it. Fails with JournalFull past the quota, with nothing taken in.

        crashed: somebody may have died over these before, so that a new row starts as RUNNING, and counts if it
        happens again.
        """
        return self._ask(lambda: self._append(tasks, crashed))

    def record(self, tasks: Sequence[Task] | Callable[[], Iterable[Task]], *, later: bool = False) -> Future[int]:
        """Move each forward to the state, attempt, result, error and times given. How many; the others had moved on.

        tasks: a function is called in their transaction, and again if that is repeated. later: they may wait a moment
        for a commit that others need, and come after those.
        """
        read = tasks if callable(tasks) else lambda: tasks
        return self._ask(lambda: self._record(list(read())), later)

    def undelivered(self, limit: int, after: int = 0) -> Future[list[Task]]:
        """Ended, but `waste` may not know: in the order it happened, beyond the seq `after`."""
        where = "completed_at IS NOT NULL AND delivered = 0 AND seq > ? ORDER BY seq LIMIT ?"
        return self._ask(lambda: self._select(where, (after, limit)))

    def delivered(self, seqs: Sequence[int]) -> Future[None]:
        """`waste` has the rows of these; one that has moved on since has another seq and stays undelivered."""
        return self._ask(lambda: journal_sql.mark_delivered(self._db, seqs))

    def unsynced(self, limit: int, settle_s: float = 0.0) -> Future[list[Task]]:
        """What `tasks` does not know yet, in the order it happened, but not what has begun within the last `settle_s`
        and not ended. Of more than `limit` the oldest and the newest, half and half: what is new does not wait for a
        backlog."""
        return self._ask(lambda: self._unsynced(limit, settle_s))

    def synced(self, seqs: Sequence[int]) -> Future[None]:
        """`tasks` has the rows of these; one that has moved on since has another seq and stays unsynced."""
        return self._ask(lambda: journal_sql.mark_synced(self._db, seqs))

    def forget(self, completed_before: float, limit: int = 1000) -> Future[int]:
        """Delete rows that ended before then, were delivered and are synced. How many."""
        return self._ask(lambda: self._forget(completed_before, limit))

    def write_log(self, task_id: str, level: str, message: str) -> Future[None]:
        sql = "INSERT INTO task_logs (task_id, timestamp, message, level) VALUES (?, ?, ?, ?)"
        return self._ask(lambda: self._write(sql, [(task_id, self.clock(), message, level)]))

    def find_cached(self, prompt_hash: bytes, model: str) -> Future[bytes | None]:
        sql = "SELECT response FROM gpt_cache WHERE prompt_hash = ? AND model = ?"
        return self._ask(lambda: self._db.execute(sql, (prompt_hash, model)).get)

    def cache(self, prompt_hash: bytes, model: str, response: bytes) -> Future[None]:
        sql = "INSERT OR REPLACE INTO gpt_cache (prompt_hash, response, model, timestamp) VALUES (?, ?, ?, ?)"
        return self._ask(lambda: self._write(sql, [(prompt_hash, response, model, self.clock())]))

    def has_room(self) -> Future[bool]:
        """Whether use has fallen below nine tenths of the quota, so that stopping and starting do not alternate."""
        return self._ask(lambda: self._used_bytes() < self._quota_bytes * 0.9)

    def close(self) -> None:
        """Commit what was asked for, then give up the file and its lock."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._requests.put(None)
        self._thread.join()
        os.close(self._lock)

    def _ask(self, work: Callable[[], Any], later: bool = False) -> Future:
        future: Future = Future()
        with self._closing:
            if not self._closed:
                if later:
                    self._later.append((work, future))
                self._requests.put(_NUDGE if later else (work, future))
                return future
        future.set_exception(JournalError("the journal is closed"))
        return future

    def _run(self, opened: Future) -> None:
        try:
            self._db = journal_file.open_database(self.path, self._vfs)
            self._seq = self._db.execute("SELECT coalesce(max(seq), 0) FROM local_tasks").get
        except Exception as error:  # noqa: BLE001 - raised again by whoever opens the journal
            opened.set_exception(error)
            return
        opened.set_result(None)
        request = self._requests.get()
        while request is not None:
            if request is _NUDGE:
                with contextlib.suppress(queue.Empty):
                    request = self._requests.get(timeout=_LATER_S)
            requests = []
            while request is not None:
                if request is not _NUDGE:
                    requests.append(request)
                if len(requests) >= self._batch or self._requests.empty():
                    break
                request = self._requests.get()
            while self._later:
                requests.append(self._later.popleft())
            if requests:
                self._commit(requests)
            request = request and self._requests.get()
        try:
            self._db.close()
        except apsw.Error as error:
            # What was acknowledged is in the WAL, and the next start takes it from there.
            log.error("the journal's last checkpoint failed: %s", error)

    def _commit(self, requests: list[_Request]) -> None:
        before = self._seq
        try:
            results = self._transact([work for work, _ in requests])
        except Exception as error:  # noqa: BLE001 - raised again by whoever asked
            if len(requests) == 1:
                requests[0][1].set_exception(error)
                return
            # One bad request must not take the others along.
            for request in requests:
                self._commit([request])
            return
        if self._seq > before:
            self.changed.set()
        for (_, future), result in zip(requests, results, strict=True):
            future.set_result(result)

    def _transact(self, works: list[Callable[[], Any]]) -> list[Any]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            results = [work() for work in works]
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return results

    def _append(self, tasks: Sequence[Task], crashed: bool) -> list[Task]:
        if self._used_bytes() >= self._quota_bytes:
            raise JournalFull(f"{self.path} has used its quota of {self._quota_bytes} bytes")
        now, first = self.clock(), self._seq + 1
        self._seq += len(tasks)
        status, started_at = (RUNNING, now) if crashed else (PENDING, None)
        # By column and without a call a row, since this is most of what an append costs.
        ids, names, _, attempts, users, payloads, *_ = zip(*tasks, strict=True)
        given = (ids, names, repeat(status), attempts, users, payloads, repeat(None), repeat(None))
        times = (repeat(now), repeat(started_at), repeat(None), repeat(None))
        rows = list(map(_TO_TASK, zip(*given, *times, repeat(0), repeat(0), range(first, self._seq + 1), strict=False)))
        before = self._db.total_changes()
        journal_sql.insert(self._db, rows)
        if self._db.total_changes() - before == len(rows):
            return rows
        return [self._known(new, task.attempt, crashed) for new, task in zip(rows, tasks, strict=True)]

    def _known(self, new: Task, attempt: int, crashed: bool) -> Task:
        [row] = self._select("task_id = ?", (new.task_id,))
        if row.seq == new.seq:
            return row
        if row.status != SUCCESS and attempt > row.attempt:
            return self._again(row, PENDING, attempt, row.error)
        if row.status == RUNNING:
            return self._again(row, RUNNING, row.attempt + 1, "the worker died over it", started_at=self.clock())
        if row.status == PENDING and row.attempt == attempt and crashed:
            return self._again(row, RUNNING, row.attempt, row.error, started_at=self.clock())
        return row

    def _again(self, row: Task, status: str, attempt: int, error: str | None, started_at: float | None = None) -> Task:
        next_row = row._replace(
            status=status, attempt=attempt, error=error, started_at=started_at, result=None, completed_at=None,
            next_attempt_at=None, delivered=0, synced_to_pg=0, seq=self._seq + 1,
        )  # fmt: skip
        self._record([next_row])
        return next_row

    def _record(self, tasks: Sequence[Task]) -> int:
        first = self._seq + 1
        self._seq += len(tasks)
        return journal_sql.advance(self._db, tasks, first)

    def _forget(self, completed_before: float, limit: int) -> int:
        where = "completed_at < ? AND delivered = 1 AND synced_to_pg = 1 ORDER BY completed_at LIMIT ?"
        gone = self._db.execute(f"SELECT task_id FROM local_tasks WHERE {where}", (completed_before, limit)).fetchall()
        for table in ("local_tasks", "task_logs"):
            self._write(f"DELETE FROM {table} WHERE task_id = ?", gone)
        self._write("DELETE FROM gpt_cache WHERE timestamp < ?", [(self.clock() - _CACHE_S,)])
        return len(gone)

    def _unsynced(self, limit: int, settle_s: float) -> list[Task]:
        # Where the clock went back some have begun in the future, and must not wait until then.
        fresh, now = "coalesce(started_at, created_at)", self.clock()
        where = f"synced_to_pg = 0 AND (completed_at IS NOT NULL OR {fresh} <= ? OR {fresh} > ?) AND seq > ?"
        given = (now - settle_s, now)
        oldest = self._select(f"{where} ORDER BY seq LIMIT ?", (*given, 0, limit - limit // 2))
        after = oldest[-1].seq if oldest else self._seq
        return oldest + self._select(f"{where} ORDER BY seq DESC LIMIT ?", (*given, after, limit // 2))[::-1]

    def _write(self, sql: str, rows: list[tuple]) -> None:
        self._db.executemany(sql, rows)

    def _select(self, where: str, values: tuple) -> list[Task]:
        return list(map(_TO_TASK, self._db.execute(f"SELECT {_COLUMNS} FROM local_tasks WHERE {where}", values)))

    def _used_bytes(self) -> int:
        pages = self._db.pragma("page_count") - self._db.pragma("freelist_count")
        return pages * self._db.pragma("page_size")


if __name__ == "__main__":
    from workers import journal_tool

    raise SystemExit(journal_tool.main())
