"""From the journal to `waste`: what each task found out, at once, and for as long as it takes.

A task's message is acknowledged without waiting for this, so that a worker goes on while `waste` is away. `waste` takes
repetition in its stride: it only moves forward.
"""

from __future__ import annotations

import logging
import threading
import time

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.waste.v1 import internal_pb2, internal_pb2_grpc
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.errors import TRANSIENT, Fault, InvalidArgument
from workers.feed import Feed
from workers.journal import Journal
from workers.journal_file import Task
from workers.stages import GAVE_UP

log = logging.getLogger(__name__)

# An outcome that `waste` fails on, alone among others, gets another turn after this long.
TURN_S = 10.0


class Reporter:
    """One thread. batch: outcomes a call."""

    def __init__(
        self,
        journal: Journal,
        waste: internal_pb2_grpc.WasteInternalServiceStub,
        *,
        batch: int = 500,
        timeout_s: float = 5.0,
    ):
        self._journal, self._waste, self._batch, self._timeout_s = journal, waste, batch, timeout_s
        # All up to here have had their turn, which ends then.
        self._after, self._turn_ends = 0, 0.0
        # What `waste` has taken and the journal does not know of yet.
        self._told: list[int] = []
        self.woken = threading.Event()
        self.feed = Feed("reporter", self.report, self.woken, full=batch, idle_s=TURN_S, longest_s=5.0)

    def report(self) -> int:
        """Tell one batch and return its size; raises the Fault of a `waste` that cannot be reached. What it took is
        noted with the next look, in one commit, and nothing is told before that."""
        now = time.monotonic()
        if now >= self._turn_ends:
            self._after, self._turn_ends = 0, now + TURN_S
        noted = self._journal.delivered(self._told)
        rows = self._journal.undelivered(self._batch, after=self._after).result()
        noted.result()
        self._told = []
        if rows:
            self._tell(rows, [Outcome.FromString(row.result) for row in rows])
            self._after = rows[-1].seq
        return len(rows)

    def _tell(self, rows: list[Task], outcomes: list[Outcome]) -> None:
        try:
            answer = self._waste.RecordOutcomes(
                internal_pb2.RecordOutcomesRequest(outcomes=outcomes), timeout=self._timeout_s
            )
        except TRANSIENT:
            raise
        except Fault as fault:
            if len(rows) > 1:
                # One outcome that waste does not take must not hold up the others.
                for row, outcome in zip(rows, outcomes, strict=True):
                    self._tell([row], [outcome])
            elif isinstance(fault, InvalidArgument):
                self._refused(rows[0], outcomes[0], fault)
            else:
                log.warning("waste does not take %s yet: %s", rows[0].task_id, fault.message)
            return
        if answer.unknown_analysis_ids:
            log.info("waste no longer knows %s", ", ".join(answer.unknown_analysis_ids))
        self._told += [row.seq for row in rows]

    def _refused(self, row: Task, outcome: Outcome, fault: InvalidArgument) -> None:
        log.error("waste refused the outcome of %s: %s", row.task_id, fault.message)
        if outcome.WhichOneof("outcome") == "failure":
            self._told.append(row.seq)
            return
        # The user must not wait for ever for an answer that can never be stored.
        failed = Outcome(analysis_id=outcome.analysis_id)
        job = AnalysisJob.FromString(row.payload)
        failed.failure.reason, failed.failure.message = "RESULT_REFUSED", GAVE_UP[job.language_code]
        self._tell([row], [failed])
