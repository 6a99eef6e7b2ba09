"""Statements of the schema `auth` about a user's coming, which others are told of, and going."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

_LIST = sa.text("""
    SELECT registrations.id, user_id, username, created_at, request_id
    FROM registrations JOIN users ON users.id = user_id
    ORDER BY registrations.id LIMIT :most FOR UPDATE OF registrations SKIP LOCKED
""")
_FORGET = sa.text("DELETE FROM registrations WHERE id = ANY(:ids)")
_LOCK = sa.text("SELECT lower(email) FROM users WHERE id = :user_id FOR UPDATE")
_LIST_SESSIONS = sa.text("SELECT id FROM sessions WHERE user_id = :user_id")
_FIND = sa.text("SELECT id AS user_id, username, created_at FROM users WHERE id = :user_id")
_DELETE = tuple(
    sa.text(statement)
    for statement in (
        "DELETE FROM registrations WHERE user_id = :user_id",
        "DELETE FROM refresh_tokens WHERE user_id = :user_id",
        "DELETE FROM social_accounts WHERE user_id = :user_id",
        # Those that are not mailed yet know only the address.
        "DELETE FROM password_resets WHERE user_id = :user_id OR lower(email) = :email",
        "DELETE FROM sessions WHERE user_id = :user_id",
        "DELETE FROM users WHERE id = :user_id",
    )
)


def list_registrations(tx: sa.Connection, most: int) -> Sequence[sa.Row]:
    """The oldest events (id, user_id, username, created_at, request_id) that no other relay holds; held now."""
    return tx.execute(_LIST, {"most": most}).all()


def delete_registrations(tx: sa.Connection, ids: list[int]) -> None:
    tx.execute(_FORGET, {"ids": ids})


def find_registration(connection: sa.Connection, user_id: UUID) -> sa.Row | None:
    """(user_id, username, created_at)."""
    return connection.execute(_FIND, {"user_id": user_id}).one_or_none()


def lock_user(tx: sa.Connection, user_id: UUID) -> str | None:
    """The address, in lower case. No log-in begins until the transaction ends: a session's key needs the row."""
    return tx.execute(_LOCK, {"user_id": user_id}).scalar_one_or_none()


def list_all_sessions(tx: sa.Connection, user_id: UUID) -> list[UUID]:
    """Those that have ended too."""
    return list(tx.execute(_LIST_SESSIONS, {"user_id": user_id}).scalars())


def delete_user(tx: sa.Connection, user_id: UUID, email: str | None) -> int:
    """Delete an account with all that belongs to it; how many rows."""
    return sum(tx.execute(each, {"user_id": user_id, "email": email}).rowcount for each in _DELETE)
