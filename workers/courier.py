"""Hands a task on through RabbitMQ: to the next stage, back to its own after a delay, or to the dead letters.

At least once: the next stage knows the task by its id.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit import telemetry
from services.kit.broker import Message, Publisher, Topology, headers, queue_of
from workers.intake import Run
from workers.journal_file import PENDING, SUCCESS
from workers.stages import Cancelled

log = logging.getLogger(__name__)

CONFIRM_S = 10.0
# Whose message it is, as the caller names it, and the message.
Parcel = tuple[Any, Message]


def pack(run: Run, topology: Topology) -> Message | None:
    """What a task that succeeded, failed, or waits to be tried again hands on; None after the last stage, and
    where nobody wants it any more."""
    task, stage = run.task, run.stage
    told = {telemetry.REQUEST_ID: run.request_id}
    outcome = run.outcome or Outcome.FromString(task.result or b"")
    part = outcome.WhichOneof("outcome")
    if task.status == SUCCESS:
        if part not in AnalysisJob.DESCRIPTOR.fields_by_name:
            # A completion: nothing comes after it.
            return None
        job = AnalysisJob.FromString(task.payload)
        getattr(job, part).CopyFrom(getattr(outcome, part))
        return Message(queue_of(StageNumber.DESCRIPTOR, stage.number + 1), job.SerializeToString(), told)
    told |= {headers.ATTEMPT: task.attempt, headers.FIRST_ATTEMPT: run.first_attempt}
    if task.status == PENDING:
        failed = task.attempt - run.first_attempt - 1
        longest_s = topology.delay_s(failed)
        # Shorter by chance, so that those who failed together do not come back together.
        ttl_ms = round(longest_s * 1000 * random.uniform(0.5, 1))
        return Message(stage.queue, task.payload, told, topology.delay(failed), ttl_ms)
    if outcome.failure.reason == Cancelled.REASON:
        return None
    told |= {headers.REASON: outcome.failure.reason, headers.ERROR: (task.error or "")[:2000]}
    # The end of a stack says most, and all headers together must fit into one frame.
    told |= {headers.STACK: run.stack[-8000:], headers.TASK_ID: task.task_id}
    return Message(stage.queue, task.payload, told, topology.dead)


class Courier:
    """One thread that publishes in batches until the broker has confirmed.

    on_confirmed gets the owners of what was confirmed, on the courier's thread.
    """

    def __init__(self, publisher: Publisher, on_confirmed: Callable[[Sequence[Any]], None], *, batch: int = 500):
        self._publisher, self._on_confirmed, self._batch = publisher, on_confirmed, batch
        self._parcels: queue.SimpleQueue[Parcel | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._until = float("inf")
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, owner: Any, message: Message) -> None:
        """Publish it; returns at once."""
        self._parcels.put((owner, message))

    def close(self, grace_s: float) -> None:
        """Publish what is left, for at most that long; the journal and the broker still have the rest."""
        self._until = time.monotonic() + grace_s
        self._closing.set()
        self._parcels.put(None)
        self._thread.join(grace_s + 1)

    def _run(self) -> None:
        left: list[Parcel] = []
        pause_s = 0.1
        while not self._closing.is_set() or ((left or not self._parcels.empty()) and time.monotonic() < self._until):
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
        """Try once, and return what was not confirmed."""
        sent = self._publisher.publish(message for _, message in parcels)
        futures.wait(sent, min(CONFIRM_S, max(0.1, self._until - time.monotonic())))
        confirmed, left = [], []
        for parcel, future in zip(parcels, sent, strict=True):
            if future.done() and future.exception() is None:
                confirmed.append(parcel[0])
            else:
                left.append(parcel)
        if left:
            log.warning("%d messages are not published yet", len(left))
        if confirmed:
            self._on_confirmed(confirmed)
        return left
