"""The statements on accounts at providers, which are identities of our users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc
from uuid_utils.compat import uuid7

from services.kit.database import violated
from services.kit.errors import AlreadyExists, NotFound

_accounts = sa.table("social_accounts", *map(sa.column, ("id", "user_id", "provider", "subject", "created_at")))
_users = sa.table("users", *map(sa.column, ("id", "email", "email_verified_at", "password_hash", "links_by_email")))

_FIND_USER = sa.select(_accounts.c.user_id).where(
    _accounts.c.provider == sa.bindparam("provider"), _accounts.c.subject == sa.bindparam("subject")
)
_FIND_OWNER = sa.select(_users.c.id, _users.c.email_verified_at, _users.c.links_by_email).where(
    sa.func.lower(_users.c.email) == sa.func.lower(sa.bindparam("address"))
)
_CREATE_ACCOUNT = sa.insert(_accounts)
_LIST_ACCOUNTS = (
    sa.select(_accounts.c.provider, _accounts.c.subject, _accounts.c.created_at)
    .where(_accounts.c.user_id == sa.bindparam("user_id"))
    .order_by(_accounts.c.created_at, _accounts.c.id)
)
_LOCK = (
    sa.select(_users.c.password_hash.is_not(None))
    .where(_users.c.id == sa.bindparam("user_id"))
    .with_for_update(key_share=True)
)
_DELETE_ACCOUNTS = sa.delete(_accounts).where(
    _accounts.c.user_id == sa.bindparam("user_id"), _accounts.c.provider == sa.bindparam("provider")
)
_DELETE_UNPROVEN = sa.delete(_accounts).where(
    _accounts.c.user_id == sa.bindparam("user_id"),
    _users.c.id == _accounts.c.user_id,
    _users.c.email_verified_at.is_(None),
)
_STOP_LINKING = sa.update(_users).where(_users.c.id == sa.bindparam("of")).values(links_by_email=False)


def find_user(tx: sa.Connection, provider: str, subject: str) -> UUID | None:
    """Whose account this is."""
    return tx.execute(_FIND_USER, {"provider": provider, "subject": subject}).scalar_one_or_none()


def find_owner(tx: sa.Connection, email: str) -> sa.Row | None:
    """id of the user with this address; email_verified_at, None while nobody has shown that it is theirs; and
    links_by_email, whether it may be linked to what has the same address."""
    return tx.execute(_FIND_OWNER, {"address": email}).one_or_none()


def create_account(tx: sa.Connection, user_id: UUID, provider: str, subject: str, now: datetime) -> None:
    """Fails with AlreadyExists (IDENTITY_TAKEN) when it is somebody's already, and with NotFound (ACCOUNT_ERASED) when
    the user has gone meanwhile."""
    row = {"id": uuid7(), "user_id": user_id, "provider": provider, "subject": subject, "created_at": now}
    try:
        tx.execute(_CREATE_ACCOUNT, row)
    except exc.IntegrityError as error:
        if violated(error) == "social_accounts_subject_unique":
            message = "somebody signs in with this account of the provider already"
            raise AlreadyExists(message, reason="IDENTITY_TAKEN", provider=provider) from None
        if violated(error) == "social_accounts_user_id_fkey":
            raise NotFound("the account was erased meanwhile", reason="ACCOUNT_ERASED") from None
        raise


def lock_user(tx: sa.Connection, user_id: UUID) -> bool:
    """Have changes of a user's identities take turns until the transaction ends. Whether the user has a password."""
    return bool(tx.execute(_LOCK, {"user_id": user_id}).scalar_one_or_none())


def list_accounts(tx: sa.Connection, user_id: UUID) -> Sequence[sa.Row]:
    """provider, subject and created_at of all that the user signs in with, the oldest first."""
    return tx.execute(_LIST_ACCOUNTS, {"user_id": user_id}).all()


def delete_accounts(tx: sa.Connection, user_id: UUID, provider: str) -> None:
    """Those at one provider; and from now on none becomes the user's by its address."""
    tx.execute(_DELETE_ACCOUNTS, {"user_id": user_id, "provider": provider})
    tx.execute(_STOP_LINKING, {"of": user_id})


def delete_unproven_accounts(tx: sa.Connection, user_id: UUID) -> None:
    """All of a user whose address nobody has shown to be theirs until now."""
    tx.execute(_DELETE_UNPROVEN, {"user_id": user_id})
