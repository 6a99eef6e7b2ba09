"""How far an analysis is, in Redis, for the person who watches it."""

from __future__ import annotations

import logging
import time

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber

from services.kit.cache import Board
from services.kit.errors import Unavailable
from workers.stages import Progress, Stage, TimedOut

log = logging.getLogger(__name__)

# Database 1; the channel and the key are what `waste` listens to.
DB, CHANNEL, TTL_S = 1, "eco2.analysis", 86_400
_COUNT = max(StageNumber.values())
# After a failure progress is not announced for so long: work goes before looks.
_REST_S = 5.0


class Announcer:
    def __init__(self, board: Board):
        self._board = board
        self._resting_until = 0.0

    def progress(self, job: AnalysisJob, stage: Stage, deadline: float) -> Progress:
        """The progress function of one run. deadline: of the monotonic clock."""

        def progress(percent: int) -> None:
            if time.monotonic() > deadline:
                raise TimedOut
            self._announce(job, stage, ((stage.number - 1) * 100 + percent) // _COUNT)

        return progress

    def _announce(self, job: AnalysisJob, stage: Stage, overall: int) -> None:
        if time.monotonic() < self._resting_until:
            return
        # 100 is for an analysis whose answer is there, which only `waste` knows.
        shown = min(overall, 99)
        fields = {"user_id": job.user_id, "state": "RUNNING", "stage": stage.name, "progress": shown}
        try:
            self._board.advance(f"analysis:{job.analysis_id}", shown, fields)
        except Unavailable as fault:
            self._resting_until = time.monotonic() + _REST_S
            log.warning("progress is not announced: %s", fault.message)
