"""Statements of the schema `users` on profiles, settings and avatars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

_GIVEN = "unnest(CAST(:user_ids AS uuid[]), CAST(:usernames AS text[]), CAST(:times AS timestamptz[]))"
_SYNC_PROFILES = sa.text(f"""
    INSERT INTO profiles (user_id, username, nickname, created_at, updated_at)
    SELECT user_id, username, username, created_at, created_at FROM {_GIVEN} AS given (user_id, username, created_at)
    ORDER BY user_id ON CONFLICT (user_id) DO NOTHING
""")
_SYNC_SETTINGS = sa.text("""
    INSERT INTO settings (user_id) SELECT unnest(CAST(:user_ids AS uuid[])) AS user_id
    ORDER BY user_id ON CONFLICT (user_id) DO NOTHING
""")
_FIND_PROFILE = sa.text("""
    SELECT user_id, username, nickname, bio, avatar_id, created_at, updated_at FROM profiles WHERE user_id = :user_id
""")
_FIND_SETTINGS = sa.text("""
    SELECT notification_enabled, language, theme, updated_at FROM settings WHERE user_id = :user_id
""")
_profiles = sa.table("profiles", *map(sa.column, ("user_id", "nickname", "bio", "avatar_id", "updated_at")))
_settings = sa.table(
    "settings", *map(sa.column, ("user_id", "notification_enabled", "language", "theme", "updated_at"))
)
_CREATE_AVATAR = sa.text("""
    INSERT INTO avatars (id, user_id, size_bytes, created_at) VALUES (:avatar_id, :user_id, :size_bytes, :now)
""")
_FIND_AVATAR = sa.text("SELECT id, size_bytes FROM avatars WHERE id = :avatar_id AND user_id = :user_id")
_LOCK_AVATAR = sa.text("SELECT id FROM avatars WHERE id = :avatar_id AND user_id = :user_id FOR UPDATE")
_SET_AVATAR = sa.text("""
    UPDATE profiles SET avatar_id = :avatar_id, updated_at = :now WHERE user_id = :user_id
""")
_DISCARD_SHOWN = sa.text("""
    UPDATE avatars SET user_id = NULL, discarded_at = :now
    WHERE id = (SELECT avatar_id FROM profiles WHERE user_id = :user_id) AND id IS DISTINCT FROM :avatar_id
""")
_DISCARD_ALL = sa.text("UPDATE avatars SET user_id = NULL, discarded_at = :now WHERE user_id = :user_id")
_UNUSED = "NOT EXISTS (SELECT FROM profiles WHERE profiles.user_id = avatars.user_id AND avatar_id = avatars.id)"
_DISCARD_FORGOTTEN = sa.text(f"""
    UPDATE avatars SET user_id = NULL, discarded_at = :now
    WHERE user_id IS NOT NULL AND created_at < :before AND {_UNUSED}
""")
_COUNT_UNUSED = sa.text(f"""
    SELECT count(*) AS count, min(created_at) AS oldest FROM avatars WHERE user_id = :user_id AND {_UNUSED}
""")
_LIST_AVATARS = sa.text("SELECT id FROM avatars WHERE user_id = :user_id")
_LIST_DISCARDED = sa.text("SELECT id FROM avatars WHERE discarded_at < :before ORDER BY discarded_at LIMIT :most")
_DELETE_AVATARS = sa.text("DELETE FROM avatars WHERE id = ANY(:ids)")
_DELETE_USER = tuple(sa.text(f"DELETE FROM {table} WHERE user_id = :user_id") for table in ("profiles", "settings"))


def sync_profiles(tx: sa.Connection, registrations: Sequence[tuple[UUID, str, datetime]]) -> None:
    """Make the profiles and settings of new users (user_id, username, created_at); those that exist stay."""
    columns = list(zip(*registrations, strict=True)) or [(), (), ()]
    given = dict(zip(("user_ids", "usernames", "times"), map(list, columns), strict=True))
    tx.execute(_SYNC_PROFILES, given)
    tx.execute(_SYNC_SETTINGS, {"user_ids": given["user_ids"]})


def find_profile(connection: sa.Connection, user_id: UUID) -> sa.Row | None:
    """(user_id, username, nickname, bio, avatar_id, created_at, updated_at)."""
    return connection.execute(_FIND_PROFILE, {"user_id": user_id}).one_or_none()


def update_profile(tx: sa.Connection, user_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    """changes: of nickname and bio."""
    tx.execute(sa.update(_profiles).where(_profiles.c.user_id == user_id).values(**changes, updated_at=now))


def find_settings(connection: sa.Connection, user_id: UUID) -> sa.Row | None:
    """(notification_enabled, language, theme, updated_at)."""
    return connection.execute(_FIND_SETTINGS, {"user_id": user_id}).one_or_none()


def sync_settings(tx: sa.Connection, user_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    """changes: of notification_enabled, language and theme."""
    values = {**changes, "updated_at": now}
    made = postgresql.insert(_settings).values(user_id=user_id, **values)
    tx.execute(made.on_conflict_do_update(index_elements=["user_id"], set_=values))


def create_avatar(tx: sa.Connection, avatar_id: UUID, user_id: UUID, size_bytes: int, now: datetime) -> None:
    tx.execute(_CREATE_AVATAR, {"avatar_id": avatar_id, "user_id": user_id, "size_bytes": size_bytes, "now": now})


def count_unused(tx: sa.Connection, user_id: UUID) -> sa.Row:
    """(count, oldest) of the pictures that a user has announced and not made the avatar."""
    return tx.execute(_COUNT_UNUSED, {"user_id": user_id}).one()


def find_avatar(connection: sa.Connection, user_id: UUID, avatar_id: UUID) -> sa.Row | None:
    """(id, size_bytes) of a user's picture."""
    return connection.execute(_FIND_AVATAR, {"user_id": user_id, "avatar_id": avatar_id}).one_or_none()


def update_avatar(tx: sa.Connection, user_id: UUID, avatar_id: UUID | None, now: datetime) -> bool:
    """Show this picture of the user's, or none, and discard the one before; False when the picture is not theirs."""
    given = {"user_id": user_id, "avatar_id": avatar_id, "now": now}
    if avatar_id and tx.execute(_LOCK_AVATAR, given).one_or_none() is None:
        return False
    tx.execute(_DISCARD_SHOWN, given)
    tx.execute(_SET_AVATAR, given)
    return True


def discard_forgotten(tx: sa.Connection, before: datetime, now: datetime) -> None:
    """Discard what was announced before then and is nobody's avatar."""
    tx.execute(_DISCARD_FORGOTTEN, {"before": before, "now": now})


def list_avatars(connection: sa.Connection, user_id: UUID) -> list[UUID]:
    return list(connection.execute(_LIST_AVATARS, {"user_id": user_id}).scalars())


def list_discarded(connection: sa.Connection, before: datetime, most: int) -> list[UUID]:
    """Pictures that were discarded before then."""
    return list(connection.execute(_LIST_DISCARDED, {"before": before, "most": most}).scalars())


def delete_avatars(tx: sa.Connection, ids: Sequence[UUID]) -> None:
    tx.execute(_DELETE_AVATARS, {"ids": ids})


def delete_user(tx: sa.Connection, user_id: UUID, now: datetime) -> int:
    """Delete a user's profile and settings, and discard the pictures; how many rows."""
    gone = sum(tx.execute(each, {"user_id": user_id}).rowcount for each in _DELETE_USER)
    return gone + tx.execute(_DISCARD_ALL, {"user_id": user_id, "now": now}).rowcount
