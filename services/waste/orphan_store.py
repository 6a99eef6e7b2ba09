"""Statements of the schema `waste` about analyses of which nothing is heard. All times are the database's."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

_SILENT = "completed_at IS NULL AND heard_at < now() - make_interval(secs => :silent_s)"
_LIST = sa.text(f"""
    SELECT analyses.id, analyses.user_id, image_id, s3_key, question, language, region_code, analyses.created_at,
        begun_anew
    FROM analyses JOIN images ON images.id = image_id
    WHERE analyses.{_SILENT} ORDER BY analyses.id LIMIT :limit
""")
# In the order of ids, as everybody locks analyses.
_LOCK = sa.text(f"SELECT id, begun_anew FROM analyses WHERE id = ANY(:ids) AND {_SILENT} ORDER BY id FOR UPDATE")
_BEGIN_ANEW = sa.text("UPDATE analyses SET begun_anew = true, heard_at = now() WHERE id = ANY(:ids)")


def list_silent(connection: sa.Connection, silent_s: float, limit: int) -> Sequence[sa.Row]:
    """The oldest that have not ended and of which nothing has been heard for so long: id, user_id, image_id, s3_key,
    question, language, region_code, created_at, begun_anew."""
    return connection.execute(_LIST, {"silent_s": silent_s, "limit": limit}).all()


def lock_silent(tx: sa.Connection, ids: Sequence[UUID], silent_s: float) -> dict[UUID, bool]:
    """Those of the ids that still are silent, locked until the transaction ends, and whether each was begun anew."""
    return dict(map(tuple, tx.execute(_LOCK, {"ids": list(ids), "silent_s": silent_s})))


def update_begun_anew(tx: sa.Connection, ids: Sequence[UUID]) -> None:
    tx.execute(_BEGIN_ANEW, {"ids": list(ids)})
