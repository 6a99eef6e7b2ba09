"""What a message asks for, and what is known of it while it is here."""

from __future__ import annotations

import dataclasses

import protovalidate
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.waste.v1.internal_pb2 import Outcome
from google.protobuf.message import DecodeError

from services.kit import telemetry
from services.kit.broker import Delivery, Message, Topology, headers
from workers.journal_file import PENDING, Task
from workers.stages import Permanent, Stage


class Malformed(Exception):
    """The message is no job."""


@dataclasses.dataclass(eq=False)
class Run:
    """One task in this process, from its first delivery to the last acknowledgement."""

    stage: Stage
    job: AnalysisJob
    task: Task
    request_id: str
    # All copies of its message that have arrived meanwhile; settled together.
    deliveries: list[Delivery]
    # With which this round of tries began; a replay of a dead letter begins a new one.
    first_attempt: int = 1
    started: float | None = None
    # How it ended, when it ended here.
    outcome: Outcome | None = None
    # Of the last error.
    stack: str = ""

    @property
    def failed(self) -> int:
        """How many tries of this round came before this one."""
        return self.task.attempt - self.first_attempt

    @property
    def furthest(self) -> int:
        """The highest attempt of this task that anybody can have told of. Each time that its message came back a worker
        may have died over it, and may have said that it runs: the end must not stand behind that."""
        told = (each.headers for each in self.deliveries)
        counted = (headers.attempt_of(each) + each.get(headers.RETURNS, 0) for each in told)
        return max(self.task.attempt, *counted)

    def fail(self, error: Permanent, now: float) -> None:
        """It is over, and this is what its user is told. now: seconds since 1970."""
        self.outcome = Outcome(analysis_id=self.job.analysis_id, failure=error.failure(self.job.language_code, now))
        self.task = self.task._replace(attempt=self.furthest)

    def precedes(self, delivery: Delivery) -> bool:
        """Whether this copy asks for a later attempt than the one just told, and so is news."""
        attempt = headers.attempt_of(delivery.headers)
        return attempt >= self.task.attempt if self.task.status == PENDING else attempt > self.task.attempt


def read(delivery: Delivery, stage: Stage) -> Run:
    """Fails with Malformed."""
    try:
        job = AnalysisJob.FromString(delivery.body)
        protovalidate.validate(job)
    except (DecodeError, protovalidate.ValidationError) as error:
        raise Malformed(str(error)) from error
    attempt = headers.attempt_of(delivery.headers)
    first = min(attempt, headers.attempt_of(delivery.headers, headers.FIRST_ATTEMPT))
    task = Task(f"{job.analysis_id}:{stage.name}", stage.name, PENDING, attempt, job.user_id, delivery.body)
    return Run(stage, job, task, str(delivery.headers.get(telemetry.REQUEST_ID, "")), [delivery], first)


def pack_malformed(delivery: Delivery, error: Malformed, topology: Topology) -> Message:
    """What is no job, for the dead-letter queue."""
    told = {headers.ATTEMPT: headers.attempt_of(delivery.headers), headers.REASON: "MALFORMED"}
    return Message(delivery.queue, delivery.body, told | {headers.ERROR: str(error)[:2000]}, topology.dead)
