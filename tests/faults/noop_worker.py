"""A worker process whose work is to wait a few milliseconds, so that a kill finds some of it under way.

Usage: python -m tests.faults.noop_worker RABBITMQ_URL WASTE_TARGET TASKS_TARGET JOURNAL_FOLDER [SEED]

With a seed the clock jumps, and the first try of a task may fail.
"""

from __future__ import annotations

import dataclasses
import random
import signal
import sys
import threading
import time
import uuid
from pathlib import Path

from eco2.pipeline.v1.messages_pb2 import STAGE_RESPONSE_GENERATION, STAGE_RULE_RETRIEVAL, AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage

# A task may be under way at any of a thousand kills, and each counts as an attempt.
MAX_ATTEMPTS = 40
TOPOLOGY = dataclasses.replace(Topology.of(StageNumber.DESCRIPTOR), delays_s=(0.1, 0.2))


class Unseen:
    """Nobody watches."""

    def progress(self, job, stage, deadline):
        return lambda percent: None

    def cancelled(self, job):
        return False

    def withdraw(self, job):
        pass

    def close(self):
        pass


class Jumping:
    """A wall clock that is put forward or back by up to a day, every twenty times that it is asked."""

    def __init__(self, chance: random.Random):
        self._chance, self._ahead_s = chance, 0.0

    def __call__(self) -> float:
        if self._chance.random() < 0.05:
            self._ahead_s = self._chance.choice((-86_400, -3600, 0, 3600, 86_400))
        return time.time() + self._ahead_s


def fail_first(handler):
    """Some tasks fail at their first try here, so that retries have something to do."""
    tried = set()

    def run(job: AnalysisJob, progress) -> Outcome:
        if int(job.analysis_id[-1], 16) < 4 and job.analysis_id not in tried:
            tried.add(job.analysis_id)
            raise ConnectionError("the first try fails")
        return handler(job, progress)

    return run


def work() -> str:
    """Something new each time, so that work done twice can be told."""
    threading.Event().wait(0.005)
    return uuid.uuid4().hex


def find_rule(job: AnalysisJob, progress) -> Outcome:
    outcome = Outcome()
    outcome.rule.rule_id = work()
    return outcome


def answer(job: AnalysisJob, progress) -> Outcome:
    outcome = Outcome()
    outcome.completion.rule.CopyFrom(job.rule)
    outcome.completion.reply.text = work()
    return outcome


def main() -> None:
    telemetry.setup("noop-worker")
    rabbitmq_url, waste_target, tasks_target, folder, *seed = sys.argv[1:]
    clock = Jumping(random.Random(seed[0])) if seed else time.time
    failing = fail_first if seed else lambda handler: handler
    Worker(
        [
            Stage(STAGE_RULE_RETRIEVAL, failing(find_rule), concurrency=2, prefetch=50, timeout_s=10),
            Stage(STAGE_RESPONSE_GENERATION, failing(answer), concurrency=2, prefetch=50, timeout_s=10),
        ],
        Journal(Path(folder), clock=clock),
        rabbitmq_url,
        TOPOLOGY,
        WasteInternalServiceStub(connect(waste_target, timeout_s=5)),
        TasksInternalServiceStub(connect(tasks_target, timeout_s=10)),
        Unseen(),
        "noop",
        max_attempts=MAX_ATTEMPTS,
    ).start()
    signal.pause()


if __name__ == "__main__":
    main()
