"""What the journal does to many rows at once.

SQLite gives up Python's lock for each step of a statement, and getting it back takes long while other threads work. So
a statement takes as many rows as it can, and does them in one step.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from itertools import chain

import apsw

from workers.journal_file import FAILURE, PENDING, RUNNING, SUCCESS, Task

RANK = {PENDING: 0, RUNNING: 1, SUCCESS: 2, FAILURE: 2}
# A power of two.
_MOST = 64


def insert(database: apsw.Connection, rows: Sequence[Task]) -> None:
    """Add these, except those whose task_id is there."""
    columns = ", ".join(Task._fields)
    for values, given in _chunks(rows):
        database.execute(f"INSERT OR IGNORE INTO local_tasks ({columns}) {values}", given)


def advance(database: apsw.Connection, tasks: Sequence[Task], first_seq: int) -> int:
    """Move each forward to what is given, numbered from first_seq on; how many did move, since one that has moved on
    stays. One after the other where a task occurs twice."""
    if len(tasks) > 1 and len({task.task_id for task in tasks}) < len(tasks):
        return sum(advance(database, [task], seq) for seq, task in enumerate(tasks, first_seq))
    rows = [
        (
            *(task.task_id, task.status, task.attempt, RANK[task.status], task.result, task.error),
            *(task.started_at, task.completed_at, task.next_attempt_at, seq),
        )
        for seq, task in enumerate(tasks, first_seq)
    ]
    moved = 0
    for values, given in _chunks(rows):
        database.execute(
            f"""WITH given (id, state, try, rank, outcome, problem, began, ended, due, number) AS ({values})
                UPDATE local_tasks
                SET status = state, attempt = try, result = outcome, error = problem,
                    started_at = coalesce(began, started_at), completed_at = ended, next_attempt_at = due,
                    delivered = 0, synced_to_pg = 0, seq = number
                FROM given
                WHERE task_id = given.id AND status <> 'success' AND (attempt < try OR attempt = try AND
                  CASE status WHEN 'pending' THEN 0 WHEN 'running' THEN 1 ELSE 2 END < rank)""",
            given,
        )
        moved += database.changes()
    return moved


def mark_delivered(database: apsw.Connection, seqs: Sequence[int]) -> None:
    """A row that has moved on since has another seq, and stays as it is."""
    if seqs:
        where = "completed_at IS NOT NULL AND delivered = 0 AND seq IN (SELECT value FROM json_each(?))"
        database.execute(f"UPDATE local_tasks SET delivered = 1 WHERE {where}", [json.dumps(seqs)])


def mark_synced(database: apsw.Connection, seqs: Sequence[int]) -> None:
    if seqs:
        where = "synced_to_pg = 0 AND seq IN (SELECT value FROM json_each(?))"
        database.execute(f"UPDATE local_tasks SET synced_to_pg = 1 WHERE {where}", [json.dumps(seqs)])


def _chunks(rows: Sequence[tuple]) -> Iterator[tuple[str, list]]:
    """(VALUES clause, values in order) of many rows each: powers of two, so that there are few statements to keep."""
    start, size = 0, _MOST
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield _values(len(rows[0]), size), list(chain.from_iterable(rows[start : start + size]))
        start += size


@functools.cache
def _values(columns: int, rows: int) -> str:
    return "VALUES " + ", ".join([f"({', '.join('?' * columns)})"] * rows)
