"""The statements on schema `auth`. Times are aware datetimes; tokens are their digests."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql
from uuid_utils.compat import uuid7

from services.kit.database import violated
from services.kit.errors import AlreadyExists

_users = sa.table("users", *map(sa.column, ("id", "username", "email", "password_hash", "created_at")))
_sessions = sa.table("sessions", *map(sa.column, ("id", "user_id", "created_at", "expires_at", "revoked_at")))
_refresh_tokens = sa.table(
    "refresh_tokens", *map(sa.column, ("id", "session_id", "user_id", "token", "expires_at", "used_at"))
)

_TAKEN = {
    "users_username_unique": ("the user name is taken", "USERNAME_TAKEN"),
    "users_email_unique": ("the e-mail address is taken", "EMAIL_TAKEN"),
}

_CREATE_USER = sa.insert(_users)
_FIND_USER = sa.select(
    _users.c.id, _users.c.username, _users.c.email, _users.c.password_hash, _users.c.created_at
).where(
    # At most one row: an address has an @, which no user name may have.
    sa.or_(
        sa.func.lower(sa.func.normalize(_users.c.username)) == sa.func.lower(sa.func.normalize(sa.bindparam("name"))),
        sa.func.lower(_users.c.email) == sa.func.lower(sa.bindparam("name")),
    )
)
_CREATE_SESSION = sa.insert(_sessions)
_EXTEND_SESSION = (
    sa.update(_sessions).where(_sessions.c.id == sa.bindparam("session_id")).values(expires_at=sa.bindparam("until"))
)
_REVOKE_SESSION = (
    sa.update(_sessions)
    .where(_sessions.c.id == sa.bindparam("session_id"), _sessions.c.revoked_at.is_(None))
    .values(revoked_at=sa.bindparam("now"))
)
_REVOKE_SESSION_OF = (
    sa.update(_sessions)
    .where(
        _sessions.c.id
        == sa.select(_refresh_tokens.c.session_id)
        .where(_refresh_tokens.c.token == sa.bindparam("digest"))
        .scalar_subquery(),
        _sessions.c.revoked_at.is_(None),
    )
    .values(revoked_at=sa.bindparam("now"))
)
_CREATE_REFRESH_TOKEN = postgresql.insert(_refresh_tokens).on_conflict_do_nothing(index_elements=["token"])
# The row's lock makes concurrent uses take turns; each sees the first one's time.
_USE_REFRESH_TOKEN = (
    sa.update(_refresh_tokens)
    .where(
        _refresh_tokens.c.token == sa.bindparam("digest"),
        _refresh_tokens.c.expires_at > sa.bindparam("now"),
        _sessions.c.id == _refresh_tokens.c.session_id,
        _sessions.c.revoked_at.is_(None),
    )
    .values(used_at=sa.func.coalesce(_refresh_tokens.c.used_at, sa.bindparam("now")))
    .returning(_refresh_tokens.c.session_id, _refresh_tokens.c.user_id, _refresh_tokens.c.used_at)
)


def create_user(tx: sa.Connection, username: str, email: str, password_hash: str, now: datetime) -> UUID:
    """Fails with AlreadyExists (USERNAME_TAKEN, EMAIL_TAKEN); both are compared without case."""
    row = {"id": uuid7(), "username": username, "email": email, "password_hash": password_hash, "created_at": now}
    try:
        tx.execute(_CREATE_USER, row)
    except exc.IntegrityError as error:
        if violated(error) not in _TAKEN:
            raise
        message, reason = _TAKEN[violated(error)]
        raise AlreadyExists(message, reason=reason) from None
    return row["id"]


def find_user(tx: sa.Connection, name: str) -> sa.Row | None:
    """id, username, email, password_hash, created_at of the user with this user name or e-mail address."""
    return tx.execute(_FIND_USER, {"name": name}).one_or_none()


def create_session(tx: sa.Connection, user_id: UUID, now: datetime, until: datetime) -> UUID:
    row = {"id": uuid7(), "user_id": user_id, "created_at": now, "expires_at": until}
    tx.execute(_CREATE_SESSION, row)
    return row["id"]


def extend_session(tx: sa.Connection, session_id: UUID, until: datetime) -> None:
    tx.execute(_EXTEND_SESSION, {"session_id": session_id, "until": until})


def revoke_session(tx: sa.Connection, session_id: UUID, now: datetime) -> None:
    """End a session and with it every refresh token of its family; nothing changes when it has ended."""
    tx.execute(_REVOKE_SESSION, {"session_id": session_id, "now": now})


def revoke_session_of(tx: sa.Connection, digest: bytes, now: datetime) -> None:
    """The same for the session of a refresh token; nothing changes when there is none."""
    tx.execute(_REVOKE_SESSION_OF, {"digest": digest, "now": now})


def create_refresh_token(tx: sa.Connection, session_id: UUID, user_id: UUID, digest: bytes, until: datetime) -> None:
    """Nothing changes when the token exists: exchanges of one token all come with the same successor."""
    row = {"id": uuid7(), "session_id": session_id, "user_id": user_id, "token": digest, "expires_at": until}
    tx.execute(_CREATE_REFRESH_TOKEN, row)


def use_refresh_token(tx: sa.Connection, digest: bytes, now: datetime) -> sa.Row | None:
    """Mark a token as used, unless it is already.

    Its session_id, user_id and used_at, the time of its first use; None when the token is unknown or has expired, or
    its session is revoked.
    """
    return tx.execute(_USE_REFRESH_TOKEN, {"digest": digest, "now": now}).one_or_none()
