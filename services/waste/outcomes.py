"""eco2.waste.v1.WasteInternalService: what the workers found out, what siblings may know, and a user who leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from eco2.waste.v1 import internal_pb2, internal_pb2_grpc

from services.kit import pages
from services.kit.cache import Board
from services.kit.database import Database
from services.kit.errors import Unavailable
from services.waste import history_store, results, store
from services.waste.keys import progress_key

log = logging.getLogger(__name__)

# Above every progress that a worker can announce; an answer comes after a failure.
_END = {"FAILED": 1000, "SUCCEEDED": 1001, "CANCELLED": 1002}


class WasteInternal(internal_pb2_grpc.WasteInternalServiceServicer):
    """erase: removes all of a user and returns how much it was, in all."""

    def __init__(self, database: Database, board: Board, erase: Callable[[UUID], int], now: Callable[[], datetime]):
        self._database, self._board, self._erase, self._now = database, board, erase, now

    def RecordOutcomes(self, request, context):
        now = self._now()
        asked = {UUID(outcome.analysis_id) for outcome in request.outcomes}
        with self._database.writing() as tx:
            known = store.lock_analyses(tx, sorted(asked))
            given = [outcome for outcome in request.outcomes if UUID(outcome.analysis_id) in known]
            store.update_running(tx, list(known))
            store.sync_images(tx, [_image(outcome) for outcome in _of(given, "image")])
            store.sync_sights(tx, [_sight(outcome) for outcome in _of(given, "sight")], now)
            completed = [results.completed_row(each.analysis_id, each.completion) for each in _of(given, "completion")]
            ended = dict.fromkeys(store.update_succeeded(tx, completed, now), "SUCCEEDED")
            failed = [_failure(outcome) for outcome in _of(given, "failure")]
            ended |= dict.fromkeys(store.update_failed(tx, failed, now), "FAILED")
        self.announce(ended)
        self._forget(asked - known)
        return internal_pb2.RecordOutcomesResponse(unknown_analysis_ids=map(str, sorted(asked - known)))

    def FindAnalyses(self, request, context):
        user_id = UUID(request.user_id)
        with self._database.reading() as connection:
            if request.analysis_id:
                rows = [store.get_analysis(connection, user_id, UUID(request.analysis_id))]
            else:
                rows = history_store.list_analyses(connection, user_id, {}, None, pages.size(request.limit))
        # A sibling has no use for a URL that soon ends.
        return internal_pb2.FindAnalysesResponse(analyses=[results.analysis(row, {}, lambda key: "") for row in rows])

    def EraseUser(self, request, context):
        return internal_pb2.EraseUserResponse(removed_count=self._erase(UUID(request.user_id)))

    def announce(self, ended: dict[UUID, str]) -> None:
        """Tell whoever waits for these that they have ended, and in which state."""
        try:
            for analysis_id, state in ended.items():
                fields = {"state": state, "stage": "", "progress": 100}
                self._board.advance(progress_key(analysis_id), _END[state], fields)
        except Unavailable as fault:
            # The database has it; who waits looks there again by itself.
            log.warning("an end was not announced: %s", fault.message)

    def _forget(self, gone: set[UUID]) -> None:
        """A worker that goes on with what has been deleted says how far it is; its last outcome ends that too."""
        try:
            self._board.remove(map(progress_key, gone))
        except Unavailable as fault:
            log.warning("progress of what is gone is left: %s", fault.message)


def _of(outcomes, kind: str) -> list[internal_pb2.Outcome]:
    """The outcomes of one kind, one for each analysis: a statement must not touch a row twice."""
    return list({each.analysis_id: each for each in outcomes if each.WhichOneof("outcome") == kind}.values())


def _image(outcome: internal_pb2.Outcome) -> dict:
    image = outcome.image
    return {
        "analysis_id": outcome.analysis_id,
        "object_key": image.object_key,
        "thumbnail_key": image.thumbnail_key,
        "sha256": image.sha256.hex(),
        "width": image.width,
        "height": image.height,
    }


def _sight(outcome: internal_pb2.Outcome) -> dict:
    sight = outcome.sight
    return {
        "analysis_id": outcome.analysis_id,
        "provider": sight.provider,
        "model": sight.model,
        "prompt_version": sight.prompt_version,
        "cached": sight.cached,
        "sight": results.to_json(sight),
    }


def _failure(outcome: internal_pb2.Outcome) -> dict:
    return {
        "analysis_id": outcome.analysis_id,
        "reason": outcome.failure.reason,
        "message": outcome.failure.message,
        "retry_at": outcome.failure.retry_time.ToJsonString() if outcome.failure.HasField("retry_time") else None,
    }
