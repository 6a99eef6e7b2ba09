"""The chat_llm process. Usage: python -m services.chat_llm, configured by the environment (see Config)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

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
from services.chat_llm.rpc import ChatLlm, ChatLlmInternal, Limits
from services.kit import cache, config, llm, revocations, server, telemetry
from services.kit.channel import connect
from services.kit.database import Database
from services.kit.quotas import Most


@dataclass(frozen=True)
class Config(llm.Settings):
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
    # Of one user, and of one conversation: what was said and the answers.
    most_conversations: Most = Most(1_000)
    most_messages: Most = Most(1_000)

    def __post_init__(self):
        super().__post_init__()
        if self.answer_lease_s < 1:
            raise SystemExit("configuration: ANSWER_LEASE_S must be at least 1")


def now() -> datetime:
    return datetime.now(UTC)


def providers(settings: Config) -> Sequence[Provider]:
    """The embedded one last: it never fails, so everybody is answered."""
    embedded = Embedded(settings.words_per_s)
    if settings.provider == "embedded":
        return [embedded]
    # Only here, as in Settings.connect.
    from services.chat_llm.openai_provider import OpenAI

    return [OpenAI(settings.connect(settings.redis_url)), embedded]


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
    limits = Limits(settings.most_conversations, settings.most_messages)
    public = ChatLlm(database, board, follower, lookups, answerer.wake, limits, now)
    services = [
        (chat_llm_pb2_grpc.add_ChatLlmServiceServicer_to_server, public),
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
