"""The statements on resets of passwords, and on what has grown too old to keep."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

_resets = sa.table(
    "password_resets",
    *map(
        sa.column,
        ("id", "token", "email", "user_id", "created_at", "expires_at", "attempts", "next_attempt_at", "used_at"),
    ),
)
_users = sa.table("users", *map(sa.column, ("id", "username", "email")))

_CREATE_RESET = sa.insert(_resets)
_due = (
    sa.select(_resets.c.id)
    .where(_resets.c.next_attempt_at <= sa.bindparam("now"), _resets.c.expires_at > sa.bindparam("now"))
    .order_by(_resets.c.next_attempt_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_TAKE_RESET = (
    sa.update(_resets)
    .where(_resets.c.id == _due.scalar_subquery())
    # The attempt may be cut short, so the next one is set before it; each waits twice as long.
    .values(
        attempts=_resets.c.attempts + 1,
        next_attempt_at=sa.bindparam("now", type_=sa.DateTime(timezone=True))
        + sa.func.make_interval(0, 0, 0, 0, 0, 0, 15 * sa.func.power(2, _resets.c.attempts)),
        user_id=sa.select(_users.c.id).where(sa.func.lower(_users.c.email) == sa.func.lower(_resets.c.email))
        .scalar_subquery(),
    )
    .returning(_resets.c.id, _resets.c.user_id)
)  # fmt: skip
_FIND_RECIPIENT = sa.select(_users.c.username, _users.c.email).where(_users.c.id == sa.bindparam("user_id"))
_FINISH_RESET = (
    sa.update(_resets).where(_resets.c.id == sa.bindparam("reset_id")).values(next_attempt_at=None, email="")
)
_USE_RESET = (
    sa.update(_resets)
    .where(
        _resets.c.token == sa.bindparam("digest"),
        _resets.c.user_id.is_not(None),
        _resets.c.used_at.is_(None),
        _resets.c.expires_at > sa.bindparam("now"),
    )
    .values(used_at=sa.bindparam("now"))
    .returning(_resets.c.user_id)
)
_USE_OTHERS = (
    sa.update(_resets)
    .where(_resets.c.user_id == sa.bindparam("of"), _resets.c.used_at.is_(None))
    .values(used_at=sa.bindparam("now"))
)
# Table → which of its rows are of no more use to anybody.
_OLD = {
    "refresh_tokens": "expires_at < :now",
    "sessions": "expires_at < :now OR revoked_at < :yesterday",
    "password_resets": "expires_at < :yesterday",
    "signing_keys": "seen_at < :yesterday",
}
_KEY = {"signing_keys": "kid"}
_PURGE = {
    table: sa.text(
        f"DELETE FROM {table} WHERE {_KEY.get(table, 'id')} IN"
        f" (SELECT {_KEY.get(table, 'id')} FROM {table} WHERE {old} LIMIT :batch FOR UPDATE SKIP LOCKED)"
    )
    for table, old in _OLD.items()
}


def create_reset(tx: sa.Connection, reset_id: UUID, digest: bytes, email: str, now: datetime, until: datetime) -> None:
    """Have a link mailed to whoever has this address, if anybody has."""
    row = {"id": reset_id, "token": digest, "email": email, "created_at": now, "expires_at": until}
    tx.execute(_CREATE_RESET, row | {"next_attempt_at": now})


def take_reset(tx: sa.Connection, now: datetime) -> sa.Row | None:
    """id and user_id of one whose mail is due; user_id is None when nobody has the address. Nobody else gets it for
    15 s, at the next attempt for 30 s, and so on."""
    return tx.execute(_TAKE_RESET, {"now": now}).one_or_none()


def find_recipient(tx: sa.Connection, user_id: UUID) -> sa.Row | None:
    """username and email."""
    return tx.execute(_FIND_RECIPIENT, {"user_id": user_id}).one_or_none()


def finish_reset(tx: sa.Connection, reset_id: UUID) -> None:
    """There is nothing more to send."""
    tx.execute(_FINISH_RESET, {"reset_id": reset_id})


def use_reset(tx: sa.Connection, digest: bytes, now: datetime) -> UUID | None:
    """Whose password the token resets, and with it every other token of theirs is used up; None when it is unknown,
    used or too old. Of concurrent uses one gets the user."""
    user_id = tx.execute(_USE_RESET, {"digest": digest, "now": now}).scalar_one_or_none()
    if user_id is not None:
        tx.execute(_USE_OTHERS, {"of": user_id, "now": now})
    return user_id


def purge(tx: sa.Connection, now: datetime, batch: int) -> int:
    """Delete what has expired, at most `batch` rows of each table; how many of the table with the most."""
    when = {"now": now, "yesterday": now - timedelta(days=1), "batch": batch}
    return max(tx.execute(statement, when).rowcount for statement in _PURGE.values())
