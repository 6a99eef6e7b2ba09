"""eco2.waste.v1.WasteService: photos in, advice out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Event
from typing import NamedTuple
from uuid import UUID

import grpc
import uuid_utils.compat as uuids
from eco2.pipeline.v1 import messages_pb2
from eco2.waste.v1 import waste_pb2, waste_pb2_grpc

from services.kit import pages, quotas, telemetry, tombstones
from services.kit.broker import queue_of
from services.kit.cache import Board, Listener, Trail
from services.kit.caller import get_caller
from services.kit.database import Database
from services.kit.errors import TRANSIENT, FailedPrecondition, NotFound, Unavailable, request_id_reused
from services.kit.objects import Bucket
from services.waste import history_store, removal_store, results, store
from services.waste.keys import ORIGINAL, progress_key
from services.waste.removal import SWEEP_S as REMOVAL_S
from services.waste.removal import Remover

log = logging.getLogger(__name__)

UPLOAD_S, DOWNLOAD_S = 900, 900
# A waiter looks again after this long even when nothing is announced: an announcement may be lost.
RECHECK_S, SLICE_S = 2.0, 0.5
WATCH_S = 300.0
_EXTENSIONS = {f"image/{kind}": kind for kind in ("png", "webp", "heic", "heif")} | {"image/jpeg": "jpg"}
FIRST_QUEUE = queue_of(messages_pb2.Stage.DESCRIPTOR, messages_pb2.STAGE_USER_INPUT)


class Limits(NamedTuple):
    """What one user may have: photos announced and never analysed, each for so many seconds; analyses begun a day."""

    unused_images: int
    unused_s: float
    analyses: int


class Waste(waste_pb2_grpc.WasteServiceServicer):
    """cancelled: tells workers which analyses nobody wants any more. announce: tells whoever waits for these that they
    have ended, and in which state. wake_relay: called after a commit that left a message in the outbox. now: the time,
    with its zone."""

    def __init__(
        self,
        database: Database,
        bucket: Bucket,
        board: Board,
        listener: Listener,
        cancelled: Trail,
        announce: Callable[[dict[UUID, str]], None],
        wake_relay: Callable[[], None],
        remover: Remover,
        limits: Limits,
        draining: Event,
        now: Callable[[], datetime],
    ):
        self._database, self._bucket, self._board, self._listener = database, bucket, board, listener
        self._cancelled, self._announce, self._wake_relay = cancelled, announce, wake_relay
        self._remover, self._limits, self._draining, self._now = remover, limits, draining, now

    def CreateImage(self, request, context):
        user_id, image_id, now = get_caller(context).user_id, uuids.uuid7(), self._now()
        key = ORIGINAL.format(user_id=user_id, image_id=image_id, extension=_EXTENSIONS[request.content_type])
        with self._database.writing() as tx:
            tombstones.check_alive(tx, user_id)
            quotas.lock(tx, user_id)
            store.create_image(
                tx,
                image_id=image_id,
                user_id=user_id,
                s3_key=key,
                content_type=request.content_type,
                size_bytes=request.size_bytes,
                sha256=request.sha256,
                now=now,
            )
            unused = store.count_unused(tx, user_id)
            room_s = (unused.oldest - now).total_seconds() + self._limits.unused_s + REMOVAL_S
            things = "photos that are not analysed"
            quotas.check(unused.count, self._limits.unused_images, things, "TOO_MANY_UPLOADS", room_s)
        put = self._bucket.presign_put(key, request.content_type, request.size_bytes, request.sha256, UPLOAD_S)
        expire = now + timedelta(seconds=UPLOAD_S)
        return waste_pb2.CreateImageResponse(
            image=waste_pb2.Image(
                image_id=str(image_id),
                content_type=request.content_type,
                size_bytes=request.size_bytes,
                create_time=now,
            ),
            upload=waste_pb2.Upload(url=put.url, method="PUT", headers=put.headers, expire_time=expire),
        )

    def CreateAnalysis(self, request, context):
        user_id, now = get_caller(context).user_id, self._now()
        with self._database.reading() as connection:
            image = store.get_image(connection, user_id, UUID(request.image_id))
        if image.uploaded_at is None and self._bucket.find_size(image.s3_key) != image.size_bytes:
            raise FailedPrecondition(
                "image_id: the photo has not been uploaded yet",
                reason="IMAGE_NOT_UPLOADED",
                violations=(("image_id", "the photo has not been uploaded yet"),),
                image_id=image.id,
            )
        job = messages_pb2.AnalysisJob(
            analysis_id=str(uuids.uuid7()),
            user_id=str(user_id),
            image_id=str(image.id),
            image_key=image.s3_key,
            question=request.question,
            language_code=request.language_code or results.language(request.question),
            create_time=now,
            region_code=request.region_code,
        )
        request_id = UUID(request.request_id) if request.request_id else None
        with self._database.writing() as tx:
            created = store.create_analysis(
                tx,
                analysis_id=UUID(job.analysis_id),
                user_id=user_id,
                image_id=image.id,
                question=job.question,
                language=job.language_code,
                region_code=job.region_code,
                request_id=request_id,
                request_hash=results.request_hash(request),
                now=now,
            )
            if created:
                store.update_uploaded(tx, image.id, now)
                store.create_message(tx, FIRST_QUEUE, job.SerializeToString(), telemetry.request_id(), now)
                row = store.get_analysis(tx, user_id, UUID(job.analysis_id))
                # Last, since this row is the user's own, and others of theirs wait for it.
                today = store.count_analysis(tx, user_id)
                things = "analyses a day"
                quotas.check(today.count, self._limits.analyses, things, "TOO_MANY_ANALYSES", today.left_s)
            else:
                row = store.get_requested(tx, user_id, request_id)
        if created:
            self._wake_relay()
        elif row.request_hash != results.request_hash(request):
            raise request_id_reused()
        return waste_pb2.CreateAnalysisResponse(analysis=self._show(row))

    def GetAnalysis(self, request, context):
        return waste_pb2.GetAnalysisResponse(analysis=self._get(get_caller(context).user_id, request))

    def ListAnalyses(self, request, context):
        user_id, limit = get_caller(context).user_id, pages.size(request.page_size)
        filters = results.filters(request)
        marks = (user_id, *filters.items())
        (beyond,) = pages.cursor(request.page_token, (UUID,), *marks) or [None]
        with self._database.reading() as connection:
            rows = history_store.list_analyses(connection, user_id, filters, beyond, limit + 1)
        more = pages.token([str(rows[limit - 1].id)], *marks) if len(rows) > limit else ""
        return waste_pb2.ListAnalysesResponse(analyses=map(self._show, rows[:limit]), next_page_token=more)

    def DeleteAnalysis(self, request, context):
        user_id, analysis_id = get_caller(context).user_id, UUID(request.analysis_id)
        with self._database.writing() as tx:
            # While somebody is erased nothing of theirs may move from one table to another.
            tombstones.check_alive(tx, user_id)
            under_way = store.update_cancelled(tx, user_id, analysis_id, self._now())
            image = removal_store.delete_analysis(tx, user_id, analysis_id)
        if under_way:
            self._call_off(analysis_id)
        try:
            self._board.remove([progress_key(analysis_id)])
        except Unavailable as fault:
            # Nobody can ask for it any more, and it ends by itself.
            log.warning("progress of %s is left: %s", analysis_id, fault.message)
        if image:
            self._remover.remove(image.image_id, image.s3_key)
        return waste_pb2.DeleteAnalysisResponse()

    def CancelAnalysis(self, request, context):
        user_id, analysis_id = get_caller(context).user_id, UUID(request.analysis_id)
        with self._database.writing() as tx:
            ended = store.update_cancelled(tx, user_id, analysis_id, self._now())
            row = store.get_analysis(tx, user_id, analysis_id)
        if ended:
            self._call_off(analysis_id)
            self._announce({analysis_id: "CANCELLED"})
        return waste_pb2.CancelAnalysisResponse(analysis=self._show(row))

    def GetStatistics(self, request, context):
        user_id, filters = get_caller(context).user_id, results.filters(request)
        with self._database.reading() as connection:
            return results.statistics(history_store.count_analyses(connection, user_id, filters))

    def WaitAnalysis(self, request, context):
        for analysis in self._follow(request, context, request.timeout_s or 20):
            if analysis.state in results.ENDED:
                break
        return waste_pb2.WaitAnalysisResponse(analysis=analysis)

    def WatchAnalysis(self, request, context):
        analysis = None
        try:
            for analysis in self._follow(request, context, WATCH_S):
                if analysis.state in results.ENDED:
                    break
                yield waste_pb2.WatchAnalysisResponse(analysis=analysis)
        except NotFound:
            # Deleted meanwhile; over HTTP/1.1 an error in the middle of a stream cannot be told from its end.
            if analysis is None:
                raise
        yield waste_pb2.WatchAnalysisResponse(analysis=analysis, done=True)

    def CreateFeedback(self, request, context):
        user_id, said, now = get_caller(context).user_id, results.feedback_row(request), self._now()
        with self._database.writing() as tx:
            row = store.get_analysis(tx, user_id, UUID(request.analysis_id))
            if row.completed_at is None:
                raise FailedPrecondition("the analysis has not ended yet", reason="ANALYSIS_NOT_FINISHED")
            if row.state == "CANCELLED":
                raise FailedPrecondition("a cancelled analysis has no answer", reason="ANALYSIS_CANCELLED")
            store.sync_feedback(tx, analysis_id=row.id, user_id=user_id, now=now, **said)
        return waste_pb2.CreateFeedbackResponse(feedback=waste_pb2.Feedback(**said, update_time=now))

    def _follow(self, request, context: grpc.ServicerContext, timeout_s: float) -> Iterator[waste_pb2.Analysis]:
        """The analysis now and after each change, until the time is up, the caller is gone or the server drains."""
        user_id, until = get_caller(context).user_id, time.monotonic() + timeout_s
        with self._listener.waiting(progress_key(request.analysis_id)) as moved:
            shown = self._get(user_id, request)
            yield shown
            checked = time.monotonic()
            while (left := until - time.monotonic()) > 0 and context.is_active() and not self._draining.is_set():
                if not moved.wait(min(SLICE_S, left)) and time.monotonic() - checked < RECHECK_S:
                    continue
                moved.clear()
                checked, before = time.monotonic(), shown
                try:
                    shown = self._get(user_id, request)
                except TRANSIENT as fault:
                    # Over HTTP/1.1 an error in the middle of a stream cannot be told from its end.
                    log.warning("%s is not known just now: %s", request.analysis_id, fault.message)
                    continue
                if (shown.state, shown.progress) != (before.state, before.progress):
                    yield shown

    def _call_off(self, analysis_id: UUID) -> None:
        try:
            self._cancelled.append(str(analysis_id))
        except Unavailable as fault:
            log.warning("workers go on with %s in vain: %s", analysis_id, fault.message)

    def _get(self, user_id: UUID, request) -> waste_pb2.Analysis:
        with self._database.reading() as connection:
            return self._show(store.get_analysis(connection, user_id, UUID(request.analysis_id)))

    def _show(self, row) -> waste_pb2.Analysis:
        progress = {}
        if row.completed_at is None:
            try:
                progress = self._board.read(progress_key(row.id))
            except Unavailable as fault:
                # How far it is can wait; that it exists and whether it has ended is in the database.
                log.warning("progress is unknown: %s", fault.message)
        return results.analysis(row, progress, lambda key: self._bucket.presign_get(key, DOWNLOAD_S))
