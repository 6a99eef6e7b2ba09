"""The statements on accounts at providers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc
from uuid_utils.compat import uuid7

from services.kit.database import violated
from services.kit.errors import AlreadyExists

_accounts = sa.table("social_accounts", *map(sa.column, ("id", "user_id", "provider", "subject", "created_at")))
_users = sa.table("users", *map(sa.column, ("id", "email", "email_verified_at")))

_FIND_USER = sa.select(_accounts.c.user_id).where(
    _accounts.c.provider == sa.bindparam("provider"), _accounts.c.subject == sa.bindparam("subject")
)
_FIND_OWNER = sa.select(_users.c.id, _users.c.email_verified_at).where(
    sa.func.lower(_users.c.email) == sa.func.lower(sa.bindparam("address"))
)
_CREATE_ACCOUNT = sa.insert(_accounts)


def find_user(tx: sa.Connection, provider: str, subject: str) -> UUID | None:
    """Whose account this is."""
    return tx.execute(_FIND_USER, {"provider": provider, "subject": subject}).scalar_one_or_none()


def find_owner(tx: sa.Connection, email: str) -> sa.Row | None:
    """id of the user with this address, and email_verified_at: None while nobody has shown that it is theirs."""
    return tx.execute(_FIND_OWNER, {"address": email}).one_or_none()


def create_account(tx: sa.Connection, user_id: UUID, provider: str, subject: str, now: datetime) -> None:
    """Fails with AlreadyExists (ACCOUNT_LINKED) when it is somebody's already, or the user has gone meanwhile."""
    row = {"id": uuid7(), "user_id": user_id, "provider": provider, "subject": subject, "created_at": now}
    try:
        tx.execute(_CREATE_ACCOUNT, row)
    except exc.IntegrityError as error:
        if violated(error) not in ("social_accounts_subject_unique", "social_accounts_user_id_fkey"):
            raise
        raise AlreadyExists("this account is linked", reason="ACCOUNT_LINKED") from None
