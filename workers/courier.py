"""Tells everyone who waits for a task how it ended: the next stage through RabbitMQ, the user through `waste`.

Both are told at least once and take repetition in their stride: the next stage knows the task id, and `waste` only
moves forward.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber
from eco2.waste.v1 import internal_pb2, internal_pb2_grpc
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit import telemetry
from services.kit.broker import Message, Publisher, Topology, headers, queue_of
from services.kit.errors import TRANSIENT, Fault, InvalidArgument
from workers.journal import FAILURE, PENDING, Task
from workers.stages import GAVE_UP

log = logging.getLogger(__name__)

CONFIRM_S = 10.0


@dataclasses.dataclass(eq=False)
class Parcel:
    """What one task has to tell, and how much of it has been told."""

    task: Task
    message: Message | None = None
    outcome: Outcome | None = None


def pack(
    task: Task, stage: int, request_id: str, topology: Topology, *, first_attempt: int = 1, stack: str = ""
) -> Parcel:
    """The parcel of a task that succeeded, failed, or waits to be tried again.

    first_attempt: with which this round of tries began. stack: of the last error, for a dead letter.
    """
    queue_name = queue_of(StageNumber.DESCRIPTOR, stage)
    told = {telemetry.REQUEST_ID: request_id, headers.ATTEMPT: task.attempt, headers.FIRST_ATTEMPT: first_attempt}
    if task.status == PENDING:
        failed = task.attempt - first_attempt - 1
        longest_s = topology.delay_s(failed)
        # Shorter by chance, so that those who failed together do not come back together.
        ttl_ms = round(longest_s * 1000 * random.uniform(0.5, 1))
        return Parcel(task, Message(queue_name, task.payload, told, topology.delay(failed), ttl_ms))
    outcome = Outcome.FromString(task.result)
    if task.status == FAILURE:
        told |= {headers.REASON: outcome.failure.reason, headers.ERROR: (task.error or "")[:2000]}
        # The end of a stack says most, and all headers together must fit into one frame.
        told |= {headers.STACK: stack[-8000:], headers.TASK_ID: task.task_id}
        return Parcel(task, Message(queue_name, task.payload, told, topology.dead), outcome)
    part = outcome.WhichOneof("outcome")
    if part not in AnalysisJob.DESCRIPTOR.fields_by_name:
        # A completion: nothing comes after it.
        return Parcel(task, None, outcome)
    job = AnalysisJob.FromString(task.payload)
    getattr(job, part).CopyFrom(getattr(outcome, part))
    next_queue = queue_of(StageNumber.DESCRIPTOR, stage + 1)
    return Parcel(task, Message(next_queue, job.SerializeToString(), {telemetry.REQUEST_ID: request_id}), outcome)


class Courier:
    """One thread that delivers parcels in batches until they are delivered.

    on_delivered gets the parcels of which all has been told, on the courier's thread.
    """

    def __init__(
        self,
        publisher: Publisher,
        waste: internal_pb2_grpc.WasteInternalServiceStub,
        on_delivered: Callable[[Sequence[Parcel]], None],
        *,
        batch: int = 500,
        timeout_s: float = 5.0,
    ):
        self._publisher, self._waste, self._on_delivered = publisher, waste, on_delivered
        self._batch, self._timeout_s = batch, timeout_s
        self._parcels: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._until = float("inf")
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, parcel: Parcel) -> None:
        """Deliver it; returns at once."""
        self._parcels.put(parcel)

    def close(self, grace_s: float) -> None:
        """Deliver what is left, for at most that long; the journal and the broker still have the rest."""
        self._until = time.monotonic() + grace_s
        self._closing.set()
        self._parcels.put(None)
        self._thread.join(grace_s + self._timeout_s)

    def _run(self) -> None:
        left: list[Parcel] = []
        pause_s = 0.1
        while not self._closing.is_set() or (left and time.monotonic() < self._until):
            self._collect(left)
            left = self.deliver(left)
            if left:
                if self._closing.wait(pause_s * random.uniform(0.5, 1.5)):
                    time.sleep(0.1)
                pause_s = min(pause_s * 2, 5.0)
            else:
                pause_s = 0.1

    def _collect(self, parcels: list[Parcel]) -> None:
        """Add what is waiting, and wait when there is nothing at all."""
        while len(parcels) < self._batch and (not parcels or not self._parcels.empty()):
            parcel = self._parcels.get()
            if parcel is None:
                return
            parcels.append(parcel)

    def deliver(self, parcels: list[Parcel]) -> list[Parcel]:
        """Try once, and return those of which something is still to be told."""
        waiting = [parcel for parcel in parcels if parcel.message]
        sent = self._publisher.publish(parcel.message for parcel in waiting)
        outcomes = [parcel for parcel in parcels if parcel.outcome]
        for start in range(0, len(outcomes), self._batch):
            self._record(outcomes[start : start + self._batch])
        futures.wait(sent, CONFIRM_S)
        for parcel, future in zip(waiting, sent, strict=True):
            if future.done() and future.exception() is None:
                parcel.message = None
            else:
                log.warning("%s is not published yet", parcel.task.task_id)
        told = [parcel for parcel in parcels if not parcel.message and not parcel.outcome]
        if told:
            self._on_delivered(told)
        return [parcel for parcel in parcels if parcel.message or parcel.outcome]

    def _record(self, parcels: list[Parcel]) -> None:
        request = internal_pb2.RecordOutcomesRequest(outcomes=[parcel.outcome for parcel in parcels])
        try:
            answer = self._waste.RecordOutcomes(request, timeout=self._timeout_s)
        except TRANSIENT as fault:
            log.warning("waste does not take %d outcomes yet: %s", len(parcels), fault.message)
        except Fault as fault:
            if len(parcels) > 1:
                # One outcome that waste does not take must not hold up the others.
                for parcel in parcels:
                    self._record([parcel])
            elif isinstance(fault, InvalidArgument):
                self._refused(parcels[0], fault)
            else:
                log.warning("waste does not take %s yet: %s", parcels[0].task.task_id, fault.message)
        else:
            if answer.unknown_analysis_ids:
                log.info("waste no longer knows %s", ", ".join(answer.unknown_analysis_ids))
            for parcel in parcels:
                parcel.outcome = None

    def _refused(self, parcel: Parcel, fault: InvalidArgument) -> None:
        log.error("waste refused the outcome of %s: %s", parcel.task.task_id, fault.message)
        if parcel.outcome.WhichOneof("outcome") == "failure":
            parcel.outcome = None
            return
        # The user must not wait for ever for an answer that can never be stored.
        parcel.outcome = Outcome(analysis_id=parcel.outcome.analysis_id)
        job = AnalysisJob.FromString(parcel.task.payload)
        parcel.outcome.failure.reason, parcel.outcome.failure.message = "RESULT_REFUSED", GAVE_UP[job.language_code]
