"""The statements on the dead letters of schema `tasks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

_NEW = {
    "id": "uuid",
    "key": "text",
    "task_id": "text",
    "queue": "text",
    "attempt": "integer",
    "user_id": "uuid",
    "reason": "text",
    "error": "text",
    "stack": "text",
    "payload": "bytea",
    "headers": "text",
}
# A key without a colon is of one that may be a copy of any with the same digest; see drain.key_of.
_CREATE = sa.text(f"""
    INSERT INTO dead_letters ({", ".join(_NEW)})
    SELECT {", ".join(_NEW).replace("headers", "CAST(headers AS jsonb)")}
    FROM unnest({", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _NEW.items())}) AS r ({", ".join(_NEW)})
    WHERE NOT EXISTS (
        SELECT FROM dead_letters AS d
        WHERE position(':' IN r.key) = 0 AND d.queue = r.queue AND d.key > r.key || ':' AND d.key < r.key || ';'
            AND d.attempt = r.attempt
    )
    ORDER BY id
    ON CONFLICT ON CONSTRAINT dead_letters_copy_unique DO NOTHING
""")
_dead = sa.table("dead_letters", *map(sa.column, (*_NEW, "died_at", "replayed_at", "replayed_by")))
_FILTERS = {
    "id": _dead.c.id == sa.bindparam("id"),
    "user_id": _dead.c.user_id == sa.bindparam("user_id"),
    "task_id": _dead.c.task_id == sa.bindparam("task_id"),
    "queue": _dead.c.queue == sa.bindparam("queue"),
    "reason": _dead.c.reason == sa.bindparam("reason"),
    "died_before": _dead.c.died_at < sa.bindparam("died_before"),
}
_WAITING = _dead.c.replayed_at.is_(None)
_LIST = sa.select(_dead).limit(sa.bindparam("most"))
_FIND = sa.select(_dead).where(_dead.c.id == sa.bindparam("id"))
_COUNT = sa.select(sa.func.count()).select_from(_dead).where(_WAITING)
_REPLAY = (
    sa.update(_dead)
    .where(_dead.c.id == sa.any_(sa.bindparam("ids")))
    .values(replayed_at=sa.func.now(), replayed_by=sa.bindparam("by"))
    .returning(_dead)
)
_DELETE_OLD = sa.text("""
    DELETE FROM dead_letters WHERE id IN (
        SELECT id FROM dead_letters WHERE died_at < :before AND COALESCE(replayed_at, died_at) < :before
        ORDER BY died_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
""")
# One that was no job has no user, but may name one.
_DELETE = sa.text("""
    DELETE FROM dead_letters
    WHERE user_id = :user_id OR (user_id IS NULL AND position(convert_to(:text, 'UTF8') IN payload) > 0)
""")

Filters = Mapping[str, Any]


def create_dead_letters(tx: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep dead letters: id, key, task_id, queue, attempt, user_id, reason, error, stack, payload, headers (JSON).

    A second copy of one that is kept already changes nothing. How many are new.
    """
    return tx.execute(_CREATE, {name: [row[name] for row in rows] for name in _NEW}).rowcount


def list_dead_letters(
    connection: sa.Connection, filters: Filters, waiting: bool, before: UUID | None, most: int
) -> Sequence[sa.Row]:
    """Newest first, at most `most`, with ids below `before`. waiting: only those that nobody has replayed.

    filters: by id, user_id, task_id, queue, reason, died_before.
    """
    statement = _LIST.where(*_conditions(filters)).order_by(_dead.c.id.desc())
    if waiting:
        statement = statement.where(_WAITING)
    if before:
        statement = statement.where(_dead.c.id < before)
    return connection.execute(statement, {"most": most, **filters}).all()


def find_dead_letter(connection: sa.Connection, dead_letter_id: UUID) -> sa.Row | None:
    return connection.execute(_FIND, {"id": dead_letter_id}).one_or_none()


def find_waiting(connection: sa.Connection, filters: Filters, most: int, lock: bool) -> Sequence[sa.Row]:
    """The oldest that nobody has replayed. lock: held until the transaction ends, without those that others hold."""
    statement = _LIST.where(_WAITING, *_conditions(filters)).order_by(_dead.c.id)
    if lock:
        statement = statement.with_for_update(skip_locked=True)
    return connection.execute(statement, {"most": most, **filters}).all()


def count_waiting(connection: sa.Connection, filters: Filters) -> int:
    return connection.execute(_COUNT.where(*_conditions(filters)), dict(filters)).scalar_one()


def update_replayed(tx: sa.Connection, ids: Sequence[UUID], replayed_by: str) -> list[sa.Row]:
    """The rows as they are now, the oldest first."""
    return sorted(tx.execute(_REPLAY, {"ids": list(ids), "by": replayed_by}), key=lambda row: row.id)


def delete_dead_letters(tx: sa.Connection, user_id: UUID) -> int:
    """Delete what names a user; how many."""
    return tx.execute(_DELETE, {"user_id": user_id, "text": str(user_id)}).rowcount


def delete_old_dead_letters(tx: sa.Connection, before: datetime, most: int) -> int:
    """Delete some that died and were replayed, if they were, before then; how many."""
    return tx.execute(_DELETE_OLD, {"before": before, "most": most}).rowcount


def _conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    return [_FILTERS[name] for name in filters]
