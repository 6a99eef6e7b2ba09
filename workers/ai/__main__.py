"""The AI worker. Usage: python -m workers.ai, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache, config, telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from services.kit.objects import Bucket
from workers import process, progress
from workers.ai.analyze_vision import CACHE_DB, AnalyzeVision, SightCache
from workers.ai.language import EmbeddedLanguage
from workers.ai.providers import EmbeddedEyes
from workers.ai.response_generator import ResponseGenerator
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage


@dataclass(frozen=True)
class Config:
    listen: str
    journal_dir: Path
    waste_target: str
    tasks_target: str
    backbone_path: Path
    vision_provider: Literal["embedded"]
    language_provider: Literal["embedded"]
    s3_endpoint_url: str
    s3_bucket: str
    s3_region: str
    s3_access_key_id: str
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()
    s3_secret_access_key: str = config.secret()


def main() -> None:
    telemetry.setup("worker-ai")
    settings = config.load(Config)
    journal = Journal(settings.journal_dir)
    objects = Bucket(
        settings.s3_endpoint_url,
        settings.s3_bucket,
        settings.s3_region,
        settings.s3_access_key_id,
        settings.s3_secret_access_key,
    )
    sights = SightCache(cache.connect(settings.redis_url, CACHE_DB), journal)
    analyzer = AnalyzeVision(objects, EmbeddedEyes(settings.backbone_path), sights)
    generator = ResponseGenerator(EmbeddedLanguage())
    board = cache.Board(cache.connect(settings.redis_url, progress.DB), progress.CHANNEL, progress.TTL_S)
    worker = Worker(
        [
            Stage(messages_pb2.STAGE_VISION_ANALYSIS, analyzer.run, concurrency=2, prefetch=20, timeout_s=60),
            Stage(messages_pb2.STAGE_RESPONSE_GENERATION, generator.run, concurrency=2, prefetch=50, timeout_s=60),
        ],
        journal,
        settings.rabbitmq_url,
        Topology.of(messages_pb2.Stage.DESCRIPTOR),
        WasteInternalServiceStub(connect(settings.waste_target, timeout_s=5)),
        TasksInternalServiceStub(connect(settings.tasks_target, timeout_s=10)),
        progress.Announcer(board),
        "ai",
    )
    process.serve(worker, settings.listen, objects.close)


if __name__ == "__main__":
    main()
