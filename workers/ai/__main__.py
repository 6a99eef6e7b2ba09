"""The AI worker. Usage: python -m workers.ai, configured by the environment (see Config)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache, config, llm, telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from services.kit.objects import Access
from workers import process, progress
from workers.ai import answers
from workers.ai.analyze_vision import AnalyzeVision
from workers.ai.providers import EmbeddedModels
from workers.ai.response_generator import ResponseGenerator
from workers.cancellations import Cancellations
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage

# Models of our own keep a core busy each; an API keeps us waiting.
THREADS = {"embedded": 2, "openai": 16}


@dataclass(frozen=True)
class Config(Access, llm.Settings):
    listen: str
    journal_dir: Path
    waste_target: str
    tasks_target: str
    recycle_info_target: str
    backbone_path: Path
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()


def main() -> None:
    telemetry.setup("worker-ai")
    settings = config.load(Config)
    journal = Journal(settings.journal_dir)
    objects = settings.bucket()
    if settings.provider == "openai":
        # Only here, as in Settings.connect.
        from workers.ai.openai_provider import Provider

        client = settings.connect(settings.redis_url)
        models = Provider(client, settings.redis_url, settings.recycle_info_target, journal)
    else:
        models = EmbeddedModels(settings.backbone_path)
    sights = answers.Answers(cache.connect(settings.redis_url, answers.DB), journal, "vision", messages_pb2.Sight)
    analyzer = AnalyzeVision(objects, models.vision, sights)
    generator = ResponseGenerator(models.language)
    redis = cache.connect(settings.redis_url, progress.DB)
    board = cache.Board(redis, progress.CHANNEL, progress.TTL_S)
    cancelled = Cancellations(redis)
    threads = THREADS[settings.provider]
    logging.getLogger(__name__).info("the models are %s", settings.provider)
    worker = Worker(
        [
            Stage(messages_pb2.STAGE_VISION_ANALYSIS, analyzer.run, threads, prefetch=10 * threads, timeout_s=60),
            Stage(messages_pb2.STAGE_RESPONSE_GENERATION, generator.run, threads, prefetch=25 * threads, timeout_s=60),
        ],
        journal,
        settings.rabbitmq_url,
        Topology.of(messages_pb2.Stage.DESCRIPTOR),
        WasteInternalServiceStub(connect(settings.waste_target, timeout_s=5)),
        TasksInternalServiceStub(connect(settings.tasks_target, timeout_s=10)),
        progress.Announcer(board, cancelled),
        "ai",
    )
    process.serve(worker, settings.listen, models.close, objects.close, cancelled.close)


if __name__ == "__main__":
    main()
