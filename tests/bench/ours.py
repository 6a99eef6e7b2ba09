"""A real worker process whose stage does nothing, for the bench: journal, outcome to waste, acknowledgement, sync.

Its folder has the journal, and a line in TRIES for each try of a task that asks for POISON. Such a task fails unless
MENDED is there.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache, telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from workers import process, progress
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage

POISON, TRIES, MENDED = "poison", "tries", "mended"
# Short enough for all tries to fall into one run.
TOPOLOGY = dataclasses.replace(Topology.of(messages_pb2.Stage.DESCRIPTOR), delays_s=(1, 2, 4, 8))


def main(rabbitmq_url: str, redis_url: str, waste: str, tasks: str, listen: str, folder: str) -> None:
    telemetry.setup("bench", "WARNING")
    home = Path(folder)

    def work(job: messages_pb2.AnalysisJob, progress) -> Outcome:
        if job.question == POISON:
            with (home / TRIES).open("a") as tries:
                tries.write(f"{job.analysis_id}\n")
            if not (home / MENDED).exists():
                raise ValueError("poison")
        outcome = Outcome()
        outcome.completion.SetInParent()
        return outcome

    board = cache.Board(cache.connect(redis_url, progress.DB), progress.CHANNEL, progress.TTL_S)
    stage = Stage(messages_pb2.STAGE_RESPONSE_GENERATION, work, concurrency=2, prefetch=1000, timeout_s=60)
    worker = Worker(
        [stage],
        Journal(home / "journal"),
        rabbitmq_url,
        TOPOLOGY,
        WasteInternalServiceStub(connect(waste, timeout_s=5)),
        TasksInternalServiceStub(connect(tasks, timeout_s=10)),
        progress.Announcer(board),
        "bench",
    )
    process.serve(worker, listen)


if __name__ == "__main__":
    main(*sys.argv[1:])
