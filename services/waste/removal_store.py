"""Statements of the schema `waste` that remove an analysis, and photos that nobody needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from services.kit.errors import NotFound

# The analysis before its image, as in store.lock_analyses: two that wait for each other never do so in a circle.
_LOCK = sa.text("SELECT image_id FROM analyses WHERE id = :analysis_id AND user_id = :user_id FOR UPDATE")
# With this lock no analysis of it can begin, since its foreign key needs the row.
_LOCK_IMAGE = sa.text("SELECT id FROM images WHERE id = :image_id FOR UPDATE")
# What was seen and said of it goes with it.
_DELETE = sa.text("DELETE FROM analyses WHERE id = :analysis_id")
# Without waiting for a relay that holds it: a worker that gets it finds the photo gone, or nobody to tell.
_DELETE_MESSAGES = sa.text("""
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE position(convert_to(:analysis_id, 'UTF8') IN body) > 0 FOR UPDATE SKIP LOCKED
    )
""")
_DELETE_IMAGE = sa.text("""
    WITH gone AS (
        DELETE FROM images WHERE id = :image_id AND NOT EXISTS (SELECT FROM analyses WHERE image_id = :image_id)
        RETURNING id, user_id, s3_key, created_at
    )
    INSERT INTO removals (image_id, user_id, s3_key, announced_at) SELECT id, user_id, s3_key, created_at FROM gone
    RETURNING image_id, s3_key
""")
_LIST_UNUSED = sa.text("""
    SELECT id, user_id FROM images
    WHERE uploaded_at IS NULL AND created_at < now() - make_interval(secs => :unused_s)
        AND NOT EXISTS (SELECT FROM analyses WHERE image_id = images.id)
    ORDER BY created_at LIMIT :limit
""")
# An analysis that begins holds the row, and marks it.
_DELETE_UNUSED = sa.text("""
    WITH unused AS (
        SELECT id FROM images WHERE id = ANY(:images) AND uploaded_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM images USING unused WHERE images.id = unused.id RETURNING images.id, user_id, s3_key, created_at
    )
    INSERT INTO removals (image_id, user_id, s3_key, announced_at) SELECT id, user_id, s3_key, created_at FROM gone
""")
_LIST = sa.text("SELECT image_id, s3_key, announced_at FROM removals WHERE image_id > :after ORDER BY 1 LIMIT :limit")
_LIST_OF = sa.text("SELECT image_id FROM removals WHERE user_id = :user_id")
_FORGET = sa.text("DELETE FROM removals WHERE image_id = ANY(:images)")


def delete_analysis(tx: sa.Connection, user_id: UUID, analysis_id: UUID) -> sa.Row | None:
    """Delete a user's analysis, and its image when no other analysis has it: (image_id, s3_key) then, and the image is
    among the removals. Fails with NotFound (ANALYSIS_NOT_FOUND), also for somebody else's."""
    image_id = tx.execute(_LOCK, {"analysis_id": analysis_id, "user_id": user_id}).scalar_one_or_none()
    if image_id is None:
        raise NotFound("no such analysis", reason="ANALYSIS_NOT_FOUND", analysis_id=analysis_id)
    tx.execute(_LOCK_IMAGE, {"image_id": image_id})
    tx.execute(_DELETE, {"analysis_id": analysis_id})
    tx.execute(_DELETE_MESSAGES, {"analysis_id": str(analysis_id)})
    return tx.execute(_DELETE_IMAGE, {"image_id": image_id}).one_or_none()


def list_unused(connection: sa.Connection, unused_s: float, limit: int) -> Sequence[sa.Row]:
    """(id, user_id) of images announced so long ago, by the clock of the database, and not analysed; oldest first."""
    return connection.execute(_LIST_UNUSED, {"unused_s": unused_s, "limit": limit}).all()


def delete_unused(tx: sa.Connection, images: Sequence[UUID]) -> int:
    """Those of the images that still are not analysed are removals from now on; how many."""
    return tx.execute(_DELETE_UNUSED, {"images": list(images)}).rowcount


def list_removals(connection: sa.Connection, after: UUID, limit: int) -> Sequence[sa.Row]:
    """(image_id, s3_key, announced_at) of images whose objects may still be there, with ids above `after`."""
    return connection.execute(_LIST, {"after": after, "limit": limit}).all()


def list_removals_of(connection: sa.Connection, user_id: UUID) -> list[UUID]:
    """The image ids."""
    return list(connection.execute(_LIST_OF, {"user_id": user_id}).scalars())


def delete_removals(tx: sa.Connection, images: Sequence[UUID]) -> int:
    return tx.execute(_FORGET, {"images": list(images)}).rowcount
