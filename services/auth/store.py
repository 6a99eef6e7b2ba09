"""The statements on schema `auth`. Times are aware datetimes; tokens are their digests."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql
from uuid_utils.compat import uuid7

from services.kit.database import violated
from services.kit.errors import AlreadyExists, NotFound

_users = sa.table(
    "users", *map(sa.column, ("id", "username", "email", "password_hash", "created_at", "email_verified_at"))
)
_sessions = sa.table(
    "sessions",
    *map(
        sa.column,
        ("id", "user_id", "created_at", "expires_at", "revoked_at", "last_used_at", "user_agent", "address"),
    ),
)
_refresh_tokens = sa.table(
    "refresh_tokens", *map(sa.column, ("id", "session_id", "user_id", "token", "expires_at", "used_at"))
)

_TAKEN = {
    "users_username_unique": ("the user name is taken", "USERNAME_TAKEN"),
    "users_email_unique": ("the e-mail address is taken", "EMAIL_TAKEN"),
}

_CREATE_USER = sa.insert(_users)
_CREATE_REGISTRATION = sa.text("INSERT INTO registrations (user_id, request_id) VALUES (:user_id, :request_id)")
_FIND_USER = sa.select(
    _users.c.id, _users.c.username, _users.c.email, _users.c.password_hash, _users.c.created_at
).where(
    # At most one row: an address has an @, which no user name may have.
    sa.or_(
        sa.func.lower(sa.func.normalize(_users.c.username)) == sa.func.lower(sa.func.normalize(sa.bindparam("name"))),
        sa.func.lower(_users.c.email) == sa.func.lower(sa.bindparam("name")),
    )
)
_FIND_USER_BY_ID = sa.select(_users.c.id, _users.c.username, _users.c.email, _users.c.created_at).where(
    _users.c.id == sa.bindparam("user_id")
)
_GET_PASSWORD_HASH = sa.select(_users.c.password_hash).where(_users.c.id == sa.bindparam("user_id"))
_REPLACE_PASSWORD = (
    sa.update(_users)
    .where(_users.c.id == sa.bindparam("user_id"), _users.c.password_hash == sa.bindparam("old"))
    .values(password_hash=sa.bindparam("new"))
)
_RESET_PASSWORD = (
    sa.update(_users)
    .where(_users.c.id == sa.bindparam("user_id"))
    .values(
        password_hash=sa.bindparam("new"),
        email_verified_at=sa.func.coalesce(_users.c.email_verified_at, sa.bindparam("now")),
    )
)
_CREATE_SESSION = sa.insert(_sessions)
_EXTEND_SESSION = (
    sa.update(_sessions)
    .where(_sessions.c.id == sa.bindparam("session_id"))
    .values(expires_at=sa.bindparam("until"), last_used_at=sa.bindparam("now"))
)
# Of one that has ended already the time stays, and it counts as found: who asks again may have missed the answer.
_end = sa.update(_sessions).values(revoked_at=sa.func.coalesce(_sessions.c.revoked_at, sa.bindparam("now")))
_REVOKE_SESSION = _end.where(
    _sessions.c.id == sa.bindparam("session_id"),
    sa.or_(sa.bindparam("of", type_=sa.Uuid).is_(None), _sessions.c.user_id == sa.bindparam("of", type_=sa.Uuid)),
).returning(_sessions.c.id)
_REVOKE_SESSION_OF = _end.where(
    _sessions.c.id
    == sa.select(_refresh_tokens.c.session_id)
    .where(_refresh_tokens.c.token == sa.bindparam("digest"))
    .scalar_subquery()
).returning(_sessions.c.id)
_REVOKE_SESSIONS = (
    sa.update(_sessions)
    .where(
        _sessions.c.user_id == sa.bindparam("of"),
        _sessions.c.revoked_at.is_(None),
        _sessions.c.id.is_distinct_from(sa.bindparam("but", type_=sa.Uuid)),
    )
    .values(revoked_at=sa.bindparam("now"))
    .returning(_sessions.c.id)
)
_LIST_SESSIONS = (
    sa.select(
        _sessions.c.id,
        _sessions.c.created_at,
        sa.func.coalesce(_sessions.c.last_used_at, _sessions.c.created_at).label("last_used_at"),
        _sessions.c.expires_at,
        _sessions.c.user_agent,
        _sessions.c.address,
    )
    .where(
        _sessions.c.user_id == sa.bindparam("user_id"),
        _sessions.c.revoked_at.is_(None),
        _sessions.c.expires_at > sa.bindparam("now"),
    )
    .order_by(_sessions.c.created_at.desc(), _sessions.c.id.desc())
    .limit(sa.bindparam("count"))
)
_LIST_SESSIONS_AFTER = _LIST_SESSIONS.where(
    sa.tuple_(_sessions.c.created_at, _sessions.c.id)
    < sa.tuple_(sa.bindparam("created_at"), sa.bindparam("id", type_=sa.Uuid))
)
_FIND_BEGINNING = sa.select(_sessions.c.created_at).where(
    _sessions.c.id == sa.bindparam("session_id", type_=sa.Uuid),
    _sessions.c.user_id == sa.bindparam("user_id"),
    _sessions.c.revoked_at.is_(None),
)
_LIST_REVOKED = sa.select(_sessions.c.id).where(_sessions.c.revoked_at > sa.bindparam("since"))
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


def create_user(
    tx: sa.Connection,
    username: str,
    email: str | None,
    password_hash: str | None,
    now: datetime,
    request_id: str,
    verified: bool = False,
) -> UUID:
    """Make a user, and leave the event of it in the outbox (outbox.py).

    verified: whether the address is known to be theirs. Fails with AlreadyExists (USERNAME_TAKEN, EMAIL_TAKEN); both
    are compared without case.
    """
    row = {"id": uuid7(), "username": username, "email": email, "password_hash": password_hash, "created_at": now}
    row["email_verified_at"] = now if verified else None
    try:
        tx.execute(_CREATE_USER, row)
    except exc.IntegrityError as error:
        if violated(error) not in _TAKEN:
            raise
        message, reason = _TAKEN[violated(error)]
        raise AlreadyExists(message, reason=reason) from None
    tx.execute(_CREATE_REGISTRATION, {"user_id": row["id"], "request_id": request_id})
    return row["id"]


def find_user(tx: sa.Connection, name: str) -> sa.Row | None:
    """id, username, email, password_hash, created_at of the user with this user name or e-mail address."""
    return tx.execute(_FIND_USER, {"name": name}).one_or_none()


def find_user_by_id(tx: sa.Connection, user_id: UUID) -> sa.Row | None:
    """id, username, email, created_at."""
    return tx.execute(_FIND_USER_BY_ID, {"user_id": user_id}).one_or_none()


def find_password_hash(tx: sa.Connection, user_id: UUID) -> str | None:
    """None when there is no such user, or the user has no password."""
    return tx.execute(_GET_PASSWORD_HASH, {"user_id": user_id}).scalar_one_or_none()


def replace_password(tx: sa.Connection, user_id: UUID, old: str, new: str) -> bool:
    """Set the hash `new` where it is still `old`."""
    return tx.execute(_REPLACE_PASSWORD, {"user_id": user_id, "old": old, "new": new}).rowcount == 1


def reset_password(tx: sa.Connection, user_id: UUID, new: str, now: datetime) -> None:
    """Set the hash `new` for somebody who has read the account's mail, and remember that the address is theirs."""
    tx.execute(_RESET_PASSWORD, {"user_id": user_id, "new": new, "now": now})


def create_session(
    tx: sa.Connection, user_id: UUID, now: datetime, until: datetime, user_agent: str, address: str
) -> UUID:
    """Fails with NotFound (ACCOUNT_ERASED) when the user has been erased meanwhile."""
    row = {"id": uuid7(), "user_id": user_id, "created_at": now, "expires_at": until, "last_used_at": now}
    try:
        tx.execute(_CREATE_SESSION, row | {"user_agent": user_agent[:300], "address": address})
    except exc.IntegrityError as error:
        if violated(error) != "sessions_user_id_fkey":
            raise
        raise NotFound("the account was erased meanwhile", reason="ACCOUNT_ERASED") from None
    return row["id"]


def extend_session(tx: sa.Connection, session_id: UUID, now: datetime, until: datetime) -> None:
    tx.execute(_EXTEND_SESSION, {"session_id": session_id, "now": now, "until": until})


def revoke_session(tx: sa.Connection, session_id: UUID, now: datetime, user_id: UUID | None = None) -> UUID | None:
    """End a session and with it every refresh token of its family; with `user_id`, only if it is that user's.

    Its id; None when there is no such session.
    """
    parameters = {"session_id": session_id, "now": now, "of": user_id}
    return tx.execute(_REVOKE_SESSION, parameters).scalar_one_or_none()


def revoke_session_of(tx: sa.Connection, digest: bytes, now: datetime) -> UUID | None:
    """The same for the session of a refresh token."""
    return tx.execute(_REVOKE_SESSION_OF, {"digest": digest, "now": now}).scalar_one_or_none()


def revoke_sessions(tx: sa.Connection, user_id: UUID, now: datetime, but: UUID | None = None) -> list[UUID]:
    """End all sessions of a user but one; the ids of those that had not ended yet."""
    return list(tx.execute(_REVOKE_SESSIONS, {"of": user_id, "now": now, "but": but}).scalars())


def list_sessions(
    tx: sa.Connection, user_id: UUID, now: datetime, count: int, after: tuple[datetime, UUID] | None
) -> list[sa.Row]:
    """A user's sessions that have not ended, newest first: id, created_at, last_used_at, expires_at, user_agent,
    address. after: the created_at and id of the last one seen."""
    parameters = {"user_id": user_id, "now": now, "count": count}
    if after is None:
        return list(tx.execute(_LIST_SESSIONS, parameters))
    return list(tx.execute(_LIST_SESSIONS_AFTER, parameters | {"created_at": after[0], "id": after[1]}))


def find_beginning(tx: sa.Connection, user_id: UUID, session_id: UUID | None) -> datetime | None:
    """When a user's session began, which is when they showed who they are; None when it has ended."""
    return tx.execute(_FIND_BEGINNING, {"user_id": user_id, "session_id": session_id}).scalar_one_or_none()


def list_revoked(tx: sa.Connection, since: datetime) -> list[UUID]:
    """The sessions that were ended after `since`."""
    return list(tx.execute(_LIST_REVOKED, {"since": since}).scalars())


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
