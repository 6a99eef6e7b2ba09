"""Statements of the schema `waste` on what a user has asked so far."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.waste.store import ANALYSES

# By these a list or a count may be narrowed. An index has the rows of a user together, and they are looked for there.
_CONDITIONS = {
    "state": "state = :state",
    "material": "waste_type = :material",
    "category_major": "analysis_result ->> 'category_major' = :category_major",
    "category_middle": "analysis_result ->> 'category_middle' = :category_middle",
    "item_id": "analysis_result ->> 'item_id' = :item_id",
    "after_time": "analyses.created_at >= :after_time",
    "before_time": "analyses.created_at < :before_time",
    "beyond": "analyses.id < :beyond",
}
# A bit of `level` is 0 where the column is what the row counts.
_COUNT = """
    SELECT grouping(state, material, category, month) AS level, state, material, category, month, count(*) AS count
    FROM (
        SELECT state, waste_type AS material, analysis_result ->> 'category_major' AS category,
            to_char(analyses.created_at AT TIME ZONE 'Asia/Seoul', 'YYYY-MM') AS month
        FROM analyses WHERE {}
    ) AS asked
    GROUP BY GROUPING SETS ((state), (material), (category), (month))
"""
LEVELS = {"state": 0b0111, "material": 0b1011, "category": 0b1101, "month": 0b1110}


def list_analyses(
    connection: sa.Connection, user_id: UUID, filters: Mapping[str, Any], beyond: UUID | None, limit: int
) -> Sequence[sa.Row]:
    """Up to `limit` analyses as `store.get_analysis` gives one, newest first, with ids below `beyond`: ids are UUIDv7.

    filters: by state, material, category_major, category_middle, item_id, after_time, before_time.
    """
    given = {**filters, "beyond": beyond} if beyond else dict(filters)
    return connection.execute(_list(frozenset(given)), {"user_id": user_id, "limit": limit, **given}).all()


def count_analyses(connection: sa.Connection, user_id: UUID, filters: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """How many analyses there are of each state, material, category and month, the most frequent first.

    filters: by after_time, before_time. Months are "2026-11", in Seoul. Those without a result have neither material
    nor category and are in no count of these.
    """
    rows = connection.execute(_count(frozenset(filters)), {"user_id": user_id, **filters}).all()
    rows = sorted(rows, key=lambda row: -row.count)
    return {
        kind: {getattr(row, kind): row.count for row in rows if row.level == level and getattr(row, kind)}
        for kind, level in LEVELS.items()
    }


@functools.cache
def _list(names: frozenset[str]) -> sa.TextClause:
    return sa.text(f"{ANALYSES} WHERE {_where(names)} ORDER BY analyses.id DESC LIMIT :limit")


@functools.cache
def _count(names: frozenset[str]) -> sa.TextClause:
    return sa.text(_COUNT.format(_where(names)))


def _where(names: frozenset[str]) -> str:
    return " AND ".join(["analyses.user_id = :user_id", *(_CONDITIONS[name] for name in sorted(names))])
