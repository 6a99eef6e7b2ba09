"""Statements of the schema `recycle_info` about what people asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

# A batch whose answer was lost comes again.
_CREATE = sa.text("""
    INSERT INTO user_queries (id, user_id, query, result, created_at)
    SELECT id, user_id, query, result, created_at
    FROM jsonb_to_recordset(:rows) AS (id uuid, user_id uuid, query text, result jsonb, created_at timestamptz)
    ON CONFLICT (id) DO NOTHING
""").bindparams(sa.bindparam("rows", type_=JSONB))
_LIST = sa.text("""
    SELECT id, query, result, created_at FROM user_queries
    WHERE user_id = :user_id AND (created_at, id) < (:created_at, :query_id)
    ORDER BY created_at DESC, id DESC LIMIT :limit
""")
_DELETE_OLD = sa.text("""
    DELETE FROM user_queries WHERE id IN (SELECT id FROM user_queries WHERE created_at < :before LIMIT :limit)
""")
_DELETE_BEYOND = sa.text("""
    DELETE FROM user_queries
    USING unnest(CAST(:users AS uuid[])) AS asking (user_id), LATERAL (
        SELECT created_at, id FROM user_queries WHERE user_queries.user_id = asking.user_id
        ORDER BY created_at DESC, id DESC OFFSET :most LIMIT 1
    ) AS first
    WHERE user_queries.user_id = asking.user_id
        AND (user_queries.created_at, user_queries.id) <= (first.created_at, first.id)
""")
_DELETE_USER = sa.text("DELETE FROM user_queries WHERE user_id = :user_id")


def create_queries(tx: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """rows: id, user_id, query, result, created_at, as JSON has them; those that are there stay as they are."""
    tx.execute(_CREATE, {"rows": rows})


def list_queries(
    connection: sa.Connection, user_id: UUID, before: tuple[datetime, UUID], limit: int
) -> Sequence[sa.Row]:
    """Up to `limit` queries (id, query, result, created_at) of a user, newest first, before (created_at, id)."""
    given = {"user_id": user_id, "created_at": before[0], "query_id": before[1], "limit": limit}
    return connection.execute(_LIST, given).all()


def delete_old(tx: sa.Connection, before: datetime, limit: int) -> int:
    return tx.execute(_DELETE_OLD, {"before": before, "limit": limit}).rowcount


def delete_beyond(tx: sa.Connection, users: Iterable[str], most: int) -> None:
    """Of each of these users only the newest `most` stay."""
    tx.execute(_DELETE_BEYOND, {"users": list(users), "most": most})


def delete_user(tx: sa.Connection, user_id: UUID) -> int:
    """How many of a user's were deleted."""
    return tx.execute(_DELETE_USER, {"user_id": user_id}).rowcount
