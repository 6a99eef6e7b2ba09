"""A real worker process whose stage does nothing, for the bench: journal, outcome to waste, acknowledgement, sync."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache, server, telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from workers import progress
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage


def nothing(job, progress) -> Outcome:
    outcome = Outcome()
    outcome.completion.SetInParent()
    return outcome


def main(rabbitmq_url: str, redis_url: str, waste: str, tasks: str, listen: str) -> None:
    telemetry.setup("bench", "WARNING")
    board = cache.Board(cache.connect(redis_url, progress.DB), progress.CHANNEL, progress.TTL_S)
    stage = Stage(messages_pb2.STAGE_RESPONSE_GENERATION, nothing, concurrency=2, prefetch=1000, timeout_s=60)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        worker = Worker(
            [stage],
            Journal(Path(folder)),
            rabbitmq_url,
            Topology.of(messages_pb2.Stage.DESCRIPTOR),
            WasteInternalServiceStub(connect(waste, timeout_s=5)),
            TasksInternalServiceStub(connect(tasks, timeout_s=10)),
            progress.Announcer(board),
            "bench",
        ).start()
        server.run(server.Server(listen, []), worker.close, probe_interval_s=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
