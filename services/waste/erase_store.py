"""Statements of the schema `waste` that erase a user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

_EXPECT = sa.text("""
    INSERT INTO late_uploads (hash, expires_at)
    SELECT :hash, max(created_at) + make_interval(secs => :upload_s) FROM (
        SELECT created_at FROM images WHERE user_id = :user_id
        UNION ALL SELECT announced_at FROM removals WHERE user_id = :user_id
    ) AS announced
    HAVING max(created_at) + make_interval(secs => :upload_s) > :now
    ON CONFLICT (hash) DO NOTHING
""")
_LATE = sa.text("SELECT hash, expires_at FROM late_uploads")
_SWEPT = sa.text("DELETE FROM late_uploads WHERE hash = ANY(:hashes)")
_LIST_IMAGES = sa.text("SELECT id FROM images WHERE user_id = :user_id ORDER BY id LIMIT :limit")
# With this lock no analysis of theirs can begin, since its foreign key needs the row.
_LOCK_IMAGES = sa.text("SELECT id FROM images WHERE id = ANY(:images) ORDER BY id FOR UPDATE")
_LIST_ANALYSES = sa.text("SELECT id FROM analyses WHERE image_id = ANY(:images)")
# What was seen goes with them.
_DELETE = tuple(
    sa.text(statement)
    for statement in (
        "DELETE FROM feedback WHERE analysis_id = ANY(:analyses)",
        "DELETE FROM analyses WHERE id = ANY(:analyses)",
        "DELETE FROM images WHERE id = ANY(:images)",
    )
)
_DELETE_DAYS = sa.text("DELETE FROM analysis_days WHERE user_id = :user_id")
_DELETE_MESSAGES = sa.text("DELETE FROM outbox WHERE position(convert_to(:user_id, 'UTF8') IN body) > 0")


def expect_late_uploads(tx: sa.Connection, user_id: UUID, digest: bytes, upload_s: float, now: datetime) -> None:
    """Remember that something may still be uploaded for this user, by the id's hash, if a URL for it is out."""
    tx.execute(_EXPECT, {"user_id": user_id, "hash": digest, "upload_s": upload_s, "now": now})


def list_late_uploads(connection: sa.Connection) -> Sequence[sa.Row]:
    """(hash, expires_at) of the erased users for whom something may still be uploaded."""
    return connection.execute(_LATE).all()


def delete_late_uploads(tx: sa.Connection, hashes: Sequence[bytes]) -> None:
    tx.execute(_SWEPT, {"hashes": hashes})


def list_images(connection: sa.Connection, user_id: UUID, limit: int) -> list[UUID]:
    return list(connection.execute(_LIST_IMAGES, {"user_id": user_id, "limit": limit}).scalars())


def lock_images(tx: sa.Connection, images: list[UUID]) -> None:
    tx.execute(_LOCK_IMAGES, {"images": images})


def list_analyses_of(tx: sa.Connection, images: list[UUID]) -> list[UUID]:
    return list(tx.execute(_LIST_ANALYSES, {"images": images}).scalars())


def delete_images(tx: sa.Connection, images: list[UUID], analyses: list[UUID]) -> int:
    """Delete images with their analyses, which must be all that there are. How many rows."""
    return sum(tx.execute(each, {"images": images, "analyses": analyses}).rowcount for each in _DELETE)


def delete_days(tx: sa.Connection, user_id: UUID) -> None:
    """Forget how many analyses a user has begun."""
    tx.execute(_DELETE_DAYS, {"user_id": user_id})


def delete_messages_of(tx: sa.Connection, user_id: UUID) -> int:
    """Delete what the outbox still has of a user."""
    return tx.execute(_DELETE_MESSAGES, {"user_id": str(user_id)}).rowcount
