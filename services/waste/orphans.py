"""Analyses that no worker has any more: its disk is lost with the journal, or a message is. Their users get an answer.

One of which nothing has been heard for `silent_s` is published again from its first stage, once, if its photo is
there: whoever still has some of it only hands that on again, and what is told twice changes nothing. If it falls silent
a second time, or its photo is gone, it is FAILED, and the user is told what to do. Should an answer come after all, as
from a queue that was longer than that, it still counts.

At most BATCH in a sweep, the oldest first, so that a queue longer than `silent_s` is not made much longer by it. Any
number of replicas may sweep: each of these analyses is locked and looked at again before it is touched. Time is
the database's, so that the clock of a replica may jump.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from eco2.pipeline.v1 import messages_pb2

from services.kit import telemetry
from services.kit.database import Database
from services.kit.objects import Bucket
from services.waste import orphan_store, store

log = logging.getLogger(__name__)

BATCH, SWEEP_S = 100, 60.0
LOST = (
    "WORK_LOST",
    {
        "ko": "분석이 중간에 끊겼어요. 같은 사진으로 다시 분석해 주세요.",
        "en": "The analysis broke off. Please analyse the same photo again.",
    },
)
PHOTO_GONE = (
    "IMAGE_NOT_FOUND",
    {"ko": "사진을 찾을 수 없어요. 다시 올려 주세요.", "en": "The photo is gone. Please upload it again."},
)


class Orphans:
    """silent_s: after how long one is given up; longer than all tries of a task may take together. wake_relay: called
    after a commit that left messages in the outbox. announce: told of those that this ended, and in which state. now:
    the time, with its zone, to show to users."""

    def __init__(
        self,
        database: Database,
        bucket: Bucket,
        queue: str,
        silent_s: float,
        wake_relay: Callable[[], None],
        announce: Callable[[dict], None],
        now: Callable[[], datetime],
    ):
        self._database, self._bucket, self._queue, self._silent_s = database, bucket, queue, silent_s
        self._wake_relay, self._announce, self._now = wake_relay, announce, now

    def sweep(self) -> bool:
        """Answer for one batch. Never asks to be called again at once: what is left waits for the next sweep."""
        with self._database.reading() as connection:
            rows = orphan_store.list_silent(connection, self._silent_s, BATCH)
        # Before the transaction, since the store is asked once for each.
        there = {row.id: self._bucket.find_size(row.s3_key) is not None for row in rows if not row.begun_anew}
        now = self._now()
        with telemetry.bound() as request_id, self._database.writing() as tx:
            silent = orphan_store.lock_silent(tx, [row.id for row in rows], self._silent_s)
            held = [row for row in rows if silent.get(row.id) == row.begun_anew]
            anew = [row for row in held if there.get(row.id)]
            orphan_store.update_begun_anew(tx, [row.id for row in anew])
            for row in anew:
                store.create_message(tx, self._queue, _job(row).SerializeToString(), request_id, now)
            given_up = [_failure(row, now) for row in held if not there.get(row.id)]
            ended = dict.fromkeys(store.update_failed(tx, given_up, now), "FAILED")
        if anew:
            log.warning("nothing was heard of %d analyses; they begin anew", len(anew))
            self._wake_relay()
        if ended:
            log.error("gave up analyses that nothing was heard of: %s", ", ".join(map(str, ended)))
            self._announce(ended)
        return False


def _job(row) -> messages_pb2.AnalysisJob:
    """As CreateAnalysis made it."""
    return messages_pb2.AnalysisJob(
        analysis_id=str(row.id),
        user_id=str(row.user_id),
        image_id=str(row.image_id),
        image_key=row.s3_key,
        question=row.question,
        language_code=row.language,
        create_time=row.created_at,
        region_code=row.region_code,
    )


def _failure(row, now: datetime) -> dict:
    reason, words = LOST if row.begun_anew else PHOTO_GONE
    # A photo that is gone does not come back with time.
    retry_at = now.isoformat() if row.begun_anew else None
    return {"analysis_id": str(row.id), "reason": reason, "message": words[row.language], "retry_at": retry_at}
