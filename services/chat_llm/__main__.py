"""The chat_llm process. Usage: python -m services.chat_llm, configured by the environment (see Config)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Literal

from eco2.chat_llm.v1 import chat_llm_pb2_grpc, internal_pb2_grpc
from eco2.locations.v1.internal_pb2_grpc import LocationsInternalServiceStub
from eco2.recycle_info.v1.internal_pb2_grpc import RecycleInfoInternalServiceStub
from eco2.recycle_info.v1.recycle_info_pb2_grpc import RecycleInfoServiceStub
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.chat_llm import answer_store, live, prompts
from services.chat_llm.answering import LEASE_S, Answerer
from services.chat_llm.embedded import Embedded
from services.chat_llm.following import Follower
from services.chat_llm.lookups import TIMEOUT_S, Lookups
from services.chat_llm.providers import Provider
from services.chat_llm.rpc import ChatLlm, ChatLlmInternal
from services.kit import cache, config, revocations, server, telemetry
from services.kit.channel import connect
from services.kit.database import Database


@dataclass(frozen=True)
class Config:
    listen: str
    recycle_info_target: str
    locations_target: str
    waste_target: str
    api_chat_db_url: str = config.secret()
    redis_url: str = config.secret()
    # How fast the embedded provider words an answer.
    words_per_s: float = 30.0
    # How long the answers of a process that has died wait before another takes them over.
    answer_lease_s: float = LEASE_S
    # Who words answers: "auto" is openai when there is a key, else embedded.
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


def now() -> datetime:
    return datetime.now(UTC)


def providers(settings: Config) -> Sequence[Provider]:
    """The embedded one last: it never fails, so everybody is answered."""
    embedded = Embedded(settings.words_per_s)
    if settings.model_provider == "embedded" or not settings.openai_api_key:
        return [embedded]
    # Only here: the library costs 40 MB and most of a second.
    from services.chat_llm.openai_provider import OpenAI
    from services.kit import llm
    from services.kit.llm import budget

    effort = "" if settings.openai_reasoning_effort == "omit" else settings.openai_reasoning_effort
    limits = llm.Limits(settings.openai_user_tokens, settings.openai_all_tokens)
    spending = llm.Budget(cache.connect(settings.redis_url, budget.DB), limits)
    client = llm.Client(
        settings.openai_api_key, settings.openai_base_url, settings.openai_model, spending, reasoning_effort=effort
    )
    return [OpenAI(client), embedded]


def main() -> None:
    telemetry.setup("chat_llm")
    settings = config.load(Config)
    database, draining = Database(settings.api_chat_db_url, pool_size=8), Event()
    with database.writing() as tx:
        for name, content in prompts.SHIPPED.items():
            answer_store.sync_prompt(tx, name, content)
    redis = cache.connect(settings.redis_url, live.DB)
    board, listener = cache.Board(redis, live.CHANNEL, live.TTL_S), cache.Listener(redis, live.CHANNEL)
    recycle_info = connect(settings.recycle_info_target, TIMEOUT_S)
    lookups = Lookups(
        RecycleInfoServiceStub(recycle_info),
        RecycleInfoInternalServiceStub(recycle_info),
        LocationsInternalServiceStub(connect(settings.locations_target, TIMEOUT_S)),
        WasteInternalServiceStub(connect(settings.waste_target, TIMEOUT_S)),
    )
    answerer = Answerer(database, board, lookups, providers(settings), lease_s=settings.answer_lease_s).start()
    follower = Follower(board, listener, draining)
    services = [
        (
            chat_llm_pb2_grpc.add_ChatLlmServiceServicer_to_server,
            ChatLlm(database, board, follower, lookups, answerer.wake, now),
        ),
        (internal_pb2_grpc.add_ChatLlmInternalServiceServicer_to_server, ChatLlmInternal(database, board)),
    ]
    streams = server.Pool(
        frozenset(f"/eco2.chat_llm.v1.ChatLlmService/{name}" for name in ("CreateMessage", "WatchMessage")),
        limit=200,
        reason="TOO_MANY_STREAMS",
        each=16,
    )
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    server.run(
        server.Server(settings.listen, services, pools=[streams], draining=draining, revocations=ended),
        answerer.close,
        ended.close,
        listener.close,
        database.close,
    )


if __name__ == "__main__":
    main()
