"""The openai provider put together: one client, budget and breaker for vision and for language."""

from __future__ import annotations

from eco2.pipeline.v1.messages_pb2 import Reply
from eco2.recycle_info.v1.recycle_info_pb2_grpc import RecycleInfoServiceStub

from services.kit import cache
from services.kit.channel import connect
from services.kit.llm.client import Client
from workers.ai import answers
from workers.ai.openai_language import OpenAILanguage
from workers.ai.openai_vision import ITEMS_TIMEOUT_S, Items, OpenAIEyes
from workers.journal import Journal


class Provider:
    """vision, language, and `close` for what they share."""

    def __init__(self, client: Client, redis_url: str, recycle_info_target: str, journal: Journal):
        items = Items(RecycleInfoServiceStub(connect(recycle_info_target, timeout_s=ITEMS_TIMEOUT_S)))
        self.vision = OpenAIEyes(client, items)
        wordings = answers.Answers(cache.connect(redis_url, answers.DB), journal, "wording", Reply)
        self.language = OpenAILanguage(client, wordings)
        self.close = client.close
