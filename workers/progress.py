"""How far an analysis is, in Redis, for the person who watches it, unless that one has cancelled it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Container

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber

from services.kit.cache import Board
from services.kit.errors import Unavailable
from workers.stages import Cancelled, Progress, Stage, TimedOut

log = logging.getLogger(__name__)

# Database 1; the channel and the key are what `waste` listens to.
DB, CHANNEL, TTL_S = 1, "eco2.analysis", 86_400
_COUNT = max(StageNumber.values())
# After a failure progress is not announced for so long: work goes before looks.
_REST_S = 5.0


class Announcer:
    """Announces on a thread of its own: work never waits for looks, and of one analysis only the latest is worth
    telling. cancelled: the ids of analyses that their users have; to look must be quick."""

    def __init__(self, board: Board, cancelled: Container[str] = frozenset()):
        self._board, self._cancelled = board, cancelled
        self._latest: dict[str, tuple[int, dict[str, str | int]]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
        self._thread.start()

    def progress(self, job: AnalysisJob, stage: Stage, deadline: float) -> Progress:
        """The progress function of one run, which begins here. deadline: of the monotonic clock."""

        def progress(percent: int) -> None:
            if time.monotonic() > deadline:
                raise TimedOut
            if self.cancelled(job):
                raise Cancelled
            tell(percent)

        def tell(percent: int) -> None:
            # 100 is for an analysis whose answer is there, which only `waste` knows.
            shown = min(((stage.number - 1) * 100 + percent) // _COUNT, 99)
            # Whose it is stands in the database only, so that nothing here outlives an erased user's id.
            fields = {"state": "RUNNING", "stage": stage.name, "progress": shown}
            with self._changed:
                self._latest[_key(job)] = shown, fields
                self._changed.notify()

        tell(0)
        return progress

    def cancelled(self, job: AnalysisJob) -> bool:
        return job.analysis_id in self._cancelled

    def withdraw(self, job: AnalysisJob) -> None:
        """The run is over: what nobody was told of it yet is old."""
        with self._changed:
            self._latest.pop(_key(job), None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest or self._closed)
                if self._closed:
                    return
                latest, self._latest = self._latest, {}
            try:
                self._board.advance_all((key, seq, fields) for key, (seq, fields) in latest.items())
            except Unavailable as fault:
                log.warning("progress is not announced: %s", fault.message)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _REST_S)
                    # What waited meanwhile is old.
                    self._latest.clear()


def _key(job: AnalysisJob) -> str:
    return f"analysis:{job.analysis_id}"
