"""The statements on schema `tasks`. Records and events are those of states.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.tasks.states import FAILURE, ORDER, Event, Record

# Times travel as microseconds since 1970.
_RECORD = {
    "task_id": "text",
    "task_name": "text",
    "worker_name": "text",
    "status": "text",
    "attempt": "integer",
    "user_id": "uuid",
    "result": "jsonb",
    "error": "text",
    "created_at": "bigint",
    "started_at": "bigint",
    "completed_at": "bigint",
    "next_attempt_at": "bigint",
}
_EVENT = {
    "task_id": "text",
    "attempt": "integer",
    "event_type": "text",
    "timestamp": "bigint",
    "worker_name": "text",
    "error": "text",
}


def _unnest(columns: dict[str, str]) -> str:
    """One array a column, as rows `r`."""
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    shown = (f"{_TIME.format(name)} AS {name}" if kind == "bigint" else name for name, kind in columns.items())
    return f"(SELECT {', '.join(shown)} FROM unnest({arrays}) AS given ({', '.join(columns)})) AS r"


_TIME = "TIMESTAMPTZ 'epoch' + {} * INTERVAL '1 microsecond'"
# The order is that of states.further; the last member is swapped, so that the earlier of two equals wins. In the order
# of task_id, so that batches that overlap wait for each other rather than deadlock.
_SYNC_TASKS = sa.text(f"""
    INSERT INTO task_results AS t (task_id, task_name, worker_name, status, attempt, user_id, result, error, created_at,
        started_at, completed_at, next_attempt_at)
    SELECT task_id, task_name, worker_name, status, attempt, user_id, result, error, created_at,
        started_at, completed_at, next_attempt_at
    FROM {_unnest(_RECORD)}
    ORDER BY task_id COLLATE "C"
    ON CONFLICT (task_id) DO UPDATE SET
        task_name = EXCLUDED.task_name,
        worker_name = EXCLUDED.worker_name,
        status = EXCLUDED.status,
        attempt = EXCLUDED.attempt,
        user_id = COALESCE(t.user_id, EXCLUDED.user_id),
        result = EXCLUDED.result,
        error = EXCLUDED.error,
        created_at = LEAST(t.created_at, EXCLUDED.created_at),
        started_at = LEAST(t.started_at, EXCLUDED.started_at),
        completed_at = EXCLUDED.completed_at,
        next_attempt_at = EXCLUDED.next_attempt_at,
        synced_at = now()
    WHERE (
        EXCLUDED.status = 'success', EXCLUDED.attempt,
        array_position(ARRAY['pending', 'running', 'failure', 'success'], CAST(EXCLUDED.status AS text)),
        COALESCE(t.completed_at, t.next_attempt_at, 'infinity')
    ) > (
        t.status = 'success', t.attempt,
        array_position(ARRAY['pending', 'running', 'failure', 'success'], CAST(t.status AS text)),
        COALESCE(EXCLUDED.completed_at, EXCLUDED.next_attempt_at, 'infinity')
    )
""")
# What a record that came too late still knows. The rows are locked already: the upsert locks also those it leaves.
_SYNC_ORIGINS = sa.text(f"""
    UPDATE task_results AS t SET
        user_id = COALESCE(t.user_id, r.user_id),
        created_at = LEAST(t.created_at, r.created_at),
        started_at = LEAST(t.started_at, r.started_at),
        synced_at = now()
    FROM {_unnest({name: _RECORD[name] for name in ("task_id", "user_id", "created_at", "started_at")})}
    WHERE t.task_id = r.task_id AND (
        r.created_at < t.created_at
        OR r.started_at < COALESCE(t.started_at, 'infinity')
        OR (t.user_id IS NULL AND r.user_id IS NOT NULL)
    )
""")
_SYNC_EVENTS = sa.text(f"""
    INSERT INTO task_history AS h (task_id, attempt, event_type, timestamp, event_data)
    SELECT task_id, attempt, event_type, timestamp, jsonb_build_object('worker_name', worker_name, 'error', error)
    FROM {_unnest(_EVENT)}
    ON CONFLICT (task_id, attempt, event_type) DO UPDATE SET
        timestamp = EXCLUDED.timestamp, event_data = EXCLUDED.event_data
    WHERE EXCLUDED.timestamp < h.timestamp
""")

_results = sa.table("task_results", *map(sa.column, ("id", *_RECORD, "synced_at")))
_history = sa.table("task_history", *map(sa.column, ("task_id", "attempt", "event_type", "event_data", "timestamp")))

_TASKS = sa.select(_results).where(_results.c.user_id == sa.bindparam("user_id"))
_FIND_TASK = _TASKS.where(_results.c.task_id == sa.bindparam("task_id"))
_LIST_TASKS = _TASKS.order_by(_results.c.created_at.desc(), _results.c.id.desc()).limit(sa.bindparam("most"))
_FILTERS = {
    "user_id": _results.c.user_id == sa.bindparam("user_id"),
    "status": _results.c.status == sa.bindparam("status"),
    "worker_name": _results.c.worker_name == sa.bindparam("worker_name"),
    "task_name": _results.c.task_name == sa.bindparam("task_name"),
    # Every task_id that begins with "<analysis_id>:"; the character after the colon is the semicolon.
    "analysis_id": sa.and_(
        _results.c.task_id > sa.bindparam("analysis_id", type_=sa.Text) + ":",
        _results.c.task_id < sa.bindparam("analysis_id", type_=sa.Text) + ";",
    ),
    "after_time": _results.c.created_at >= sa.bindparam("after_time"),
    "before_time": _results.c.created_at < sa.bindparam("before_time"),
}
_AFTER = sa.tuple_(_results.c.created_at, _results.c.id) < sa.tuple_(sa.bindparam("created_at"), sa.bindparam("id"))
_LIST_EVENTS = (
    sa.select(
        _history.c.task_id, _history.c.attempt, _history.c.event_type, _history.c.timestamp, _history.c.event_data
    )
    .where(_history.c.task_id == sa.bindparam("task_id"))
    .order_by(
        _history.c.attempt,
        sa.text("array_position(ARRAY['queued', 'started', 'completed', 'failed'], CAST(event_type AS text))"),
    )
)
_COUNTED = {status: sa.func.count().filter(_results.c.status == status).label(status) for status in ORDER}
# As tasks.proto has it of an error; no worker says it of anything else.
_CANCELLED = sa.and_(_results.c.status == FAILURE, _results.c.error.startswith("CANCELLED"))
_TOOK_S = sa.cast(sa.extract("epoch", _results.c.completed_at - _results.c.started_at), sa.Double)
_COUNT_TASKS = (
    sa.select(
        _results.c.task_name,
        sa.func.count().label("count"),
        *_COUNTED.values(),
        sa.func.count().filter(_CANCELLED).label("cancelled"),
        # Without those that have not ended: there the difference is NULL.
        sa.func.percentile_cont(sa.text("ARRAY[0.5, 0.99]")).within_group(_TOOK_S).label("took_s"),
    )
    .group_by(_results.c.task_name)
    .order_by(_results.c.task_name)
)
# Their history goes with them.
_DELETE_TASKS = sa.text("""
    DELETE FROM task_results WHERE id IN (SELECT id FROM task_results WHERE user_id = :user_id LIMIT :most)
""")
# A row that a worker tells of just now has been heard of.
_DELETE_ENDED = sa.text("""
    DELETE FROM task_results WHERE id IN (
        SELECT id FROM task_results WHERE completed_at < :before AND synced_at < :before
        ORDER BY completed_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")
_DELETE_STUCK = sa.text("""
    DELETE FROM task_results WHERE id IN (
        SELECT id FROM task_results WHERE status IN ('pending', 'running') AND synced_at < :before
        LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")


def sync_tasks(tx: sa.Connection, records: Sequence[Record]) -> int:
    """Merge records into their rows, at most one a task. How many rows changed."""
    arrays = _arrays(_RECORD, records)
    changed = tx.execute(_SYNC_TASKS, arrays).rowcount
    return changed if changed == len(records) else changed + tx.execute(_SYNC_ORIGINS, arrays).rowcount


def sync_events(tx: sa.Connection, events: Sequence[Event]) -> None:
    """Add events of tasks that have rows, each at most once; of one that is known already the earlier time stays."""
    if events:
        tx.execute(_SYNC_EVENTS, _arrays(_EVENT, events))


def find_task(tx: sa.Connection, user_id: UUID, task_id: str) -> sa.Row | None:
    """All columns of a user's task."""
    return tx.execute(_FIND_TASK, {"user_id": user_id, "task_id": task_id}).one_or_none()


def list_tasks(
    tx: sa.Connection, user_id: UUID, filters: dict[str, Any], after: list[Any] | None, most: int
) -> Sequence[sa.Row]:
    """A user's tasks, newest first, at most `most`, beyond `after`: created_at, id.

    filters: by status, worker_name, task_name, analysis_id (a UUID in lower case), after_time, before_time.
    """
    statement = _LIST_TASKS.where(*(_FILTERS[name] for name in filters))
    values = {"user_id": user_id, "most": most, **filters}
    if after:
        statement = statement.where(_AFTER)
        values |= {"created_at": after[0], "id": after[1]}
    return tx.execute(statement, values).all()


def list_events(tx: sa.Connection, task_id: str) -> Sequence[sa.Row]:
    """attempt, event_type, timestamp, event_data of a task's events, in the order in which they happen."""
    return tx.execute(_LIST_EVENTS, {"task_id": task_id}).all()


def count_tasks(connection: sa.Connection, user_id: UUID | None, filters: dict[str, Any]) -> Sequence[sa.Row]:
    """By task_name: count, how many are pending, running, success, failure, and of these cancelled; and took_s, which
    is p50 and p99 of the seconds from first start to end of those that have ended, or None. Of everybody's tasks
    without a user.

    filters: by worker_name, task_name, after_time, before_time.
    """
    values = {"user_id": user_id, **filters} if user_id else filters
    return connection.execute(counting(values), values).all()


def counting(names: Iterable[str]) -> sa.Select:
    """The statement of `count_tasks` for these filters, user_id among them."""
    return _COUNT_TASKS.where(*(_FILTERS[name] for name in names))


def delete_old_tasks(tx: sa.Connection, before: datetime, most: int) -> int:
    """Delete some tasks that nothing has been heard of since `before`, with their history; how many."""
    ended = tx.execute(_DELETE_ENDED, {"before": before, "most": most}).rowcount
    return ended + tx.execute(_DELETE_STUCK, {"before": before, "most": most}).rowcount


def delete_tasks(tx: sa.Connection, user_id: UUID, most: int) -> int:
    """Delete some tasks of a user, with their history; how many."""
    return tx.execute(_DELETE_TASKS, {"user_id": user_id, "most": most}).rowcount


def _arrays(columns: dict[str, str], rows: Sequence[Record | Event]) -> dict[str, str]:
    """A column each, as PostgreSQL writes arrays: psycopg takes longer for its lists than all the rest of a sync."""
    return {
        name: _texts([getattr(row, name) for row in rows])
        if kind in ("text", "jsonb")
        else "{" + ",".join(["NULL" if (v := getattr(row, name)) is None else str(v) for row in rows]) + "}"
        for name, kind in columns.items()
    }


def _texts(values: list[str | None]) -> str:
    joined = "".join(filter(None, values))
    if '"' in joined or "\\" in joined:
        values = [value and value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return "{" + ",".join(["NULL" if value is None else f'"{value}"' for value in values]) + "}"
