"""The AI worker. Usage: python -m workers.ai, configured by the environment (see Config)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit import cache, config, telemetry
from services.kit.broker import Topology
from services.kit.channel import connect
from services.kit.objects import Access
from workers import process, progress
from workers.ai import answers
from workers.ai.analyze_vision import AnalyzeVision
from workers.ai.providers import EmbeddedModels
from workers.ai.response_generator import ResponseGenerator
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage

# Models of our own keep a core busy each; an API keeps us waiting.
THREADS = {"embedded": 2, "openai": 16}


@dataclass(frozen=True)
class Config(Access):
    listen: str
    journal_dir: Path
    waste_target: str
    tasks_target: str
    recycle_info_target: str
    backbone_path: Path
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()
    # Which models look and word: "auto" is openai when there is a key, else embedded.
    model_provider: Literal["auto", "embedded", "openai"] = "auto"
    openai_api_key: str = config.secret(default="")
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = "gpt-5-mini"
    openai_reasoning_effort: Literal["omit", "none", "minimal", "low", "medium", "high"] = "low"
    # What one user, and all together, may spend in 24 hours.
    openai_user_tokens: int = 200_000
    openai_all_tokens: int = 10_000_000

    def __post_init__(self):
        if self.model_provider == "openai" and not self.openai_api_key:
            raise SystemExit("configuration: MODEL_PROVIDER=openai needs OPENAI_API_KEY (or OPENAI_API_KEY_FILE)")

    @property
    def provider(self) -> str:
        """What MODEL_PROVIDER comes to: "openai" or "embedded"."""
        if self.model_provider == "auto":
            return "openai" if self.openai_api_key else "embedded"
        return self.model_provider


def main() -> None:
    telemetry.setup("worker-ai")
    settings = config.load(Config)
    journal = Journal(settings.journal_dir)
    objects = settings.bucket()
    if settings.provider == "openai":
        # Only here: the library costs 40 MB and most of a second.
        from services.kit import llm
        from workers.ai import openai_provider

        limits = llm.Limits(settings.openai_user_tokens, settings.openai_all_tokens)
        options = openai_provider.Settings(
            settings.openai_api_key,
            settings.openai_base_url,
            settings.openai_model,
            settings.openai_reasoning_effort,
            limits,
        )
        models = openai_provider.Provider(options, settings.redis_url, settings.recycle_info_target, journal)
    else:
        models = EmbeddedModels(settings.backbone_path)
    sights = answers.Answers(cache.connect(settings.redis_url, answers.DB), journal, "vision", messages_pb2.Sight)
    analyzer = AnalyzeVision(objects, models.vision, sights)
    generator = ResponseGenerator(models.language)
    board = cache.Board(cache.connect(settings.redis_url, progress.DB), progress.CHANNEL, progress.TTL_S)
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
        progress.Announcer(board),
        "ai",
    )
    process.serve(worker, settings.listen, models.close, objects.close)


if __name__ == "__main__":
    main()
