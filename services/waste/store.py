"""Statements of the schema `waste`. Analyses move forward only.

    QUEUED ──► RUNNING ──► FAILED ──► SUCCEEDED    final
       │          ├───────────────────────▲
       └──────────┴──────► CANCELLED               final

A task that was given up can be replayed, so the answer may still come after the failure; a failure after the answer,
or a second one, changes nothing. Nothing changes what its user has cancelled, and only what has not ended can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import violated
from services.kit.errors import NotFound

_INSERT_IMAGE = sa.text("""
    INSERT INTO images (id, user_id, s3_key, content_type, size_bytes, sha256, created_at)
    VALUES (:image_id, :user_id, :s3_key, :content_type, :size_bytes, :sha256, :now)
""")
_GET_IMAGE = sa.text("""
    SELECT id, s3_key, size_bytes, uploaded_at FROM images WHERE id = :image_id AND user_id = :user_id
""")
_COUNT_UNUSED = sa.text("""
    SELECT count(*) AS count, min(created_at) AS oldest FROM images WHERE user_id = :user_id AND uploaded_at IS NULL
""")
# Of two transactions that began on either side of midnight the earlier may come last.
_COUNT_ANALYSIS = sa.text("""
    INSERT INTO analysis_days AS kept (user_id, day, count)
    VALUES (:user_id, CAST(now() AT TIME ZONE 'Asia/Seoul' AS date), 1)
    ON CONFLICT (user_id) DO UPDATE SET day = greatest(kept.day, excluded.day),
        count = CASE WHEN kept.day < excluded.day THEN 1 ELSE kept.count + 1 END
    RETURNING count, CAST(extract(epoch FROM (CAST(day + 1 AS timestamp) AT TIME ZONE 'Asia/Seoul') - now()) AS float)
        AS left_s
""")
_MARK_UPLOADED = sa.text("UPDATE images SET uploaded_at = :now WHERE id = :image_id AND uploaded_at IS NULL")
_INSERT_ANALYSIS = sa.text("""
    INSERT INTO analyses (id, user_id, image_id, question, language, region_code, request_id, request_hash, created_at)
    VALUES (:analysis_id, :user_id, :image_id, :question, :language, :region_code, :request_id, :request_hash, :now)
    ON CONFLICT ON CONSTRAINT analyses_request_unique DO NOTHING
""")
# One row: an analysis with its image's keys and what the user said of it.
ANALYSES = """
    SELECT analyses.id, image_id, state, question, region_code, failure_reason, failure_message, failure_retry_at,
        analysis_result, request_hash, analyses.created_at, completed_at, clean_key, thumbnail_key, correct, comment,
        true_material, true_category, true_item_id, updated_at
    FROM analyses JOIN images ON images.id = image_id LEFT JOIN feedback ON feedback.analysis_id = analyses.id
"""
_GET_ANALYSIS = sa.text(f"{ANALYSES} WHERE analyses.id = :analysis_id AND analyses.user_id = :user_id")
_GET_REQUESTED = sa.text(f"{ANALYSES} WHERE analyses.user_id = :user_id AND request_id = :request_id")
_UPSERT_FEEDBACK = sa.text("""
    INSERT INTO feedback
        (analysis_id, user_id, correct, comment, true_material, true_category, true_item_id, updated_at)
    VALUES (:analysis_id, :user_id, :correct, :comment, :true_material, :true_category, :true_item_id, :now)
    ON CONFLICT (analysis_id) DO UPDATE
    SET correct = excluded.correct, comment = excluded.comment, true_material = excluded.true_material,
        true_category = excluded.true_category, true_item_id = excluded.true_item_id, updated_at = excluded.updated_at
""")
_INSERT_OUTBOX = sa.text("""
    INSERT INTO outbox (queue, body, request_id, created_at) VALUES (:queue, :body, :request_id, :now)
""")
_TAKE_OUTBOX = sa.text("""
    SELECT id, queue, body, request_id FROM outbox ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_DELETE_OUTBOX = sa.text("DELETE FROM outbox WHERE id = ANY(:ids)")
# In the order of ids, so that two batches about the same analyses cannot wait for each other in a circle.
_LOCK = sa.text("SELECT id FROM analyses WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_START = sa.text("""
    UPDATE analyses SET state = 'RUNNING', heard_at = now() WHERE id = ANY(:ids) AND state IN ('QUEUED', 'RUNNING')
""")
_RECORD_IMAGES = sa.text("""
    UPDATE images SET clean_key = given.object_key, thumbnail_key = given.thumbnail_key, width = given.width,
        height = given.height, clean_sha256 = decode(given.sha256, 'hex')
    FROM jsonb_to_recordset(:rows)
        AS given (analysis_id uuid, object_key text, thumbnail_key text, sha256 text, width int, height int)
    JOIN analyses ON analyses.id = given.analysis_id
    WHERE images.id = analyses.image_id
""").bindparams(sa.bindparam("rows", type_=JSONB))
_RECORD_SIGHTS = sa.text("""
    INSERT INTO gpt_vision_results (analysis_id, provider, model, prompt_version, cached, sight, created_at)
    SELECT analysis_id, provider, model, prompt_version, cached, sight, :now FROM jsonb_to_recordset(:rows)
        AS given (analysis_id uuid, provider text, model text, prompt_version text, cached boolean, sight jsonb)
    ON CONFLICT (analysis_id) DO NOTHING
""").bindparams(sa.bindparam("rows", type_=JSONB))
_COMPLETE = sa.text("""
    UPDATE analyses SET state = 'SUCCEEDED', waste_type = given.material, confidence = given.confidence,
        analysis_result = given.result, completed_at = :now, failure_reason = NULL, failure_message = NULL,
        failure_retry_at = NULL
    FROM jsonb_to_recordset(:rows) AS given (analysis_id uuid, material text, confidence numeric, result jsonb)
    WHERE id = given.analysis_id AND state NOT IN ('SUCCEEDED', 'CANCELLED') RETURNING id
""").bindparams(sa.bindparam("rows", type_=JSONB))
_FAIL = sa.text("""
    UPDATE analyses SET state = 'FAILED', failure_reason = given.reason, failure_message = given.message,
        failure_retry_at = given.retry_at, completed_at = :now
    FROM jsonb_to_recordset(:rows) AS given (analysis_id uuid, reason text, message text, retry_at timestamptz)
    WHERE id = given.analysis_id AND state IN ('QUEUED', 'RUNNING') RETURNING id
""").bindparams(sa.bindparam("rows", type_=JSONB))

_CANCEL = sa.text("""
    UPDATE analyses SET state = 'CANCELLED', completed_at = :now
    WHERE id = :analysis_id AND user_id = :user_id AND state IN ('QUEUED', 'RUNNING')
""")


def create_image(tx: sa.Connection, **image: Any) -> None:
    """image: image_id, user_id, s3_key, content_type, size_bytes, sha256, now."""
    tx.execute(_INSERT_IMAGE, image)


def get_image(connection: sa.Connection, user_id: UUID, image_id: UUID) -> sa.Row:
    """(id, s3_key, size_bytes, uploaded_at). Fails with NotFound (IMAGE_NOT_FOUND), also for somebody else's."""
    row = connection.execute(_GET_IMAGE, {"user_id": user_id, "image_id": image_id}).one_or_none()
    if row is None:
        raise _no_image(image_id)
    return row


def count_unused(tx: sa.Connection, user_id: UUID) -> sa.Row:
    """(count, oldest) of the images that a user has announced and not had analysed."""
    return tx.execute(_COUNT_UNUSED, {"user_id": user_id}).one()


def count_analysis(tx: sa.Connection, user_id: UUID) -> sa.Row:
    """Count one more of a user: (count, left_s), which is how many today has had, in Seoul, and when it ends.

    Whoever counts for the same user waits until this transaction ends.
    """
    return tx.execute(_COUNT_ANALYSIS, {"user_id": user_id}).one()


def update_uploaded(tx: sa.Connection, image_id: UUID, now: datetime) -> None:
    tx.execute(_MARK_UPLOADED, {"image_id": image_id, "now": now})


def create_analysis(tx: sa.Connection, **analysis: Any) -> bool:
    """analysis: analysis_id, user_id, image_id, question, language, region_code, request_id, request_hash, now.

    False, and nothing written, when the user has used that request_id before. Fails with NotFound (IMAGE_NOT_FOUND)
    when the image has gone meanwhile.
    """
    try:
        return tx.execute(_INSERT_ANALYSIS, analysis).rowcount == 1
    except exc.IntegrityError as error:
        if violated(error) != "analyses_image_id_fkey":
            raise
        raise _no_image(analysis["image_id"]) from None


def get_analysis(connection: sa.Connection, user_id: UUID, analysis_id: UUID) -> sa.Row:
    """A row of analyses with its image's keys. Fails with NotFound (ANALYSIS_NOT_FOUND), also for somebody else's."""
    row = connection.execute(_GET_ANALYSIS, {"user_id": user_id, "analysis_id": analysis_id}).one_or_none()
    if row is None:
        raise _no_analysis(analysis_id)
    return row


def get_requested(connection: sa.Connection, user_id: UUID, request_id: UUID) -> sa.Row:
    """The analysis that a request_id made; there must be one."""
    return connection.execute(_GET_REQUESTED, {"user_id": user_id, "request_id": request_id}).one()


def sync_feedback(tx: sa.Connection, **feedback: Any) -> None:
    """feedback: analysis_id, user_id, correct, comment, true_material, true_category, true_item_id, now.

    Fails with NotFound (ANALYSIS_NOT_FOUND) when the analysis has gone meanwhile.
    """
    try:
        tx.execute(_UPSERT_FEEDBACK, feedback)
    except exc.IntegrityError as error:
        if violated(error) != "feedback_analysis_id_fkey":
            raise
        raise _no_analysis(feedback["analysis_id"]) from None


def create_message(tx: sa.Connection, queue: str, body: bytes, request_id: str, now: datetime) -> None:
    tx.execute(_INSERT_OUTBOX, {"queue": queue, "body": body, "request_id": request_id, "now": now})


def list_messages(tx: sa.Connection, limit: int) -> Sequence[sa.Row]:
    """The oldest messages (id, queue, body, request_id) that no other relay holds; this transaction holds them now."""
    return tx.execute(_TAKE_OUTBOX, {"limit": limit}).all()


def delete_messages(tx: sa.Connection, ids: list[int]) -> None:
    tx.execute(_DELETE_OUTBOX, {"ids": ids})


def lock_analyses(tx: sa.Connection, ids: list[UUID]) -> set[UUID]:
    """Those of the ids that exist, locked until the transaction ends."""
    return set(tx.execute(_LOCK, {"ids": ids}).scalars())


def update_running(tx: sa.Connection, ids: list[UUID]) -> None:
    """Workers are heard of these."""
    tx.execute(_START, {"ids": ids})


def sync_images(tx: sa.Connection, rows: list[dict]) -> None:
    """rows: analysis_id, object_key, thumbnail_key, sha256 (hex), width, height."""
    tx.execute(_RECORD_IMAGES, {"rows": rows})


def sync_sights(tx: sa.Connection, rows: list[dict], now: datetime) -> None:
    """rows: analysis_id, provider, model, cached, sight (proto JSON). The first one stays."""
    tx.execute(_RECORD_SIGHTS, {"rows": rows, "now": now})


def update_succeeded(tx: sa.Connection, rows: list[dict], now: datetime) -> list[UUID]:
    """rows: analysis_id, material, confidence, result (proto JSON). The ids that this ended."""
    return list(tx.execute(_COMPLETE, {"rows": rows, "now": now}).scalars())


def update_failed(tx: sa.Connection, rows: list[dict], now: datetime) -> list[UUID]:
    """rows: analysis_id, reason, message, retry_at (ISO 8601 or None). The ids that this ended."""
    return list(tx.execute(_FAIL, {"rows": rows, "now": now}).scalars())


def update_cancelled(tx: sa.Connection, user_id: UUID, analysis_id: UUID, now: datetime) -> bool:
    """Whether this ended it: False when it had ended, and when the user has no such analysis."""
    return tx.execute(_CANCEL, {"user_id": user_id, "analysis_id": analysis_id, "now": now}).rowcount == 1


def _no_image(image_id: UUID) -> NotFound:
    return NotFound("no such image", reason="IMAGE_NOT_FOUND", image_id=image_id)


def _no_analysis(analysis_id: UUID) -> NotFound:
    return NotFound("no such analysis", reason="ANALYSIS_NOT_FOUND", analysis_id=analysis_id)
