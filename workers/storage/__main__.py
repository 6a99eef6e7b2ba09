"""The storage worker. Usage: python -m workers.storage, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eco2.pipeline.v1 import messages_pb2
from eco2.recycle_info.v1.internal_pb2_grpc import RecycleInfoInternalServiceStub
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache, config, telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from services.kit.objects import Access
from workers import process, progress
from workers.cancellations import Cancellations
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage
from workers.storage.image_uploader import ImageUploader
from workers.storage.rule_retriever import RuleRetriever


@dataclass(frozen=True)
class Config(Access):
    listen: str
    journal_dir: Path
    waste_target: str
    tasks_target: str
    recycle_info_target: str
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()


def main() -> None:
    telemetry.setup("worker-storage")
    settings = config.load(Config)
    objects = settings.bucket()
    uploader = ImageUploader(objects)
    retriever = RuleRetriever(RecycleInfoInternalServiceStub(connect(settings.recycle_info_target, timeout_s=3)))
    redis = cache.connect(settings.redis_url, progress.DB)
    board = cache.Board(redis, progress.CHANNEL, progress.TTL_S)
    cancelled = Cancellations(redis)
    worker = Worker(
        [
            Stage(messages_pb2.STAGE_USER_INPUT, uploader.run, concurrency=2, prefetch=50, timeout_s=30),
            Stage(messages_pb2.STAGE_RULE_RETRIEVAL, retriever.run, concurrency=4, prefetch=50, timeout_s=10),
        ],
        Journal(settings.journal_dir),
        settings.rabbitmq_url,
        Topology.of(messages_pb2.Stage.DESCRIPTOR),
        WasteInternalServiceStub(connect(settings.waste_target, timeout_s=5)),
        TasksInternalServiceStub(connect(settings.tasks_target, timeout_s=10)),
        progress.Announcer(board, cancelled),
        "storage",
    )
    process.serve(worker, settings.listen, objects.close, cancelled.close)


if __name__ == "__main__":
    main()
