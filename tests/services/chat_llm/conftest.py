"""The chat service on real PostgreSQL and Redis, with the real recycle_info, locations and waste as its siblings."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import grpc
import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from eco2.chat_llm.v1 import chat_llm_pb2_grpc as pb_grpc
from eco2.chat_llm.v1 import internal_pb2_grpc
from eco2.locations.v1 import internal_pb2_grpc as locations_internal_grpc
from eco2.recycle_info.v1 import internal_pb2_grpc as rules_internal_grpc
from eco2.recycle_info.v1 import recycle_info_pb2_grpc
from eco2.waste.v1 import internal_pb2_grpc as waste_internal_grpc

from services.chat_llm import answer_store, answering, live, prompts
from services.chat_llm.answering import Answerer
from services.chat_llm.embedded import Embedded
from services.chat_llm.following import Follower
from services.chat_llm.lookups import Lookups
from services.chat_llm.rpc import ChatLlm, ChatLlmInternal, Limits
from services.kit import cache, server
from services.kit.channel import connect
from services.kit.database import Database
from services.kit.server import Server
from services.locations import embedded as places
from services.locations import store as places_store
from services.locations.rpc import LocationsInternal
from services.recycle_info.queries import Queries
from services.recycle_info.rpc import RecycleInfo, RecycleInfoInternal
from services.waste.outcomes import WasteInternal
from tests.conftest import as_user

STREAMS = frozenset(f"/eco2.chat_llm.v1.ChatLlmService/{name}" for name in ("CreateMessage", "WatchMessage"))
LIMITS = Limits(conversations=20, messages=60)
# Beside the city hall of Seoul.
CITY_HALL = pb.Coordinates(latitude=37.5663, longitude=126.9779)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def user_id():
    return uuids.uuid7()


class Siblings:
    """recycle_info, locations and waste, each on a port of its own; `stop` takes one away."""

    def __init__(self, in_force, database, redis):
        catalogue, rules = in_force.rules, in_force.database
        self.locations, self.waste = database("locations"), database("waste")
        with self.locations.writing() as tx:
            places_store.sync_centers(tx, places.load_centers(), now())
            places_store.sync_policies(tx, places.load_policies())
        queries = Queries(rules, now, 365, 100, wake=lambda: None)
        board = cache.Board(redis, "test.unused", 60)
        self.rules = rules
        self._servers = {
            "recycle_info": Server(
                "127.0.0.1:0",
                [
                    (
                        recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server,
                        RecycleInfo(rules, catalogue, queries),
                    ),
                    (
                        rules_internal_grpc.add_RecycleInfoInternalServiceServicer_to_server,
                        RecycleInfoInternal(catalogue, rules),
                    ),
                ],
            ),
            "locations": Server(
                "127.0.0.1:0",
                [
                    (
                        locations_internal_grpc.add_LocationsInternalServiceServicer_to_server,
                        LocationsInternal(self.locations, now),
                    )
                ],
            ),
            "waste": Server(
                "127.0.0.1:0",
                [
                    (
                        waste_internal_grpc.add_WasteInternalServiceServicer_to_server,
                        WasteInternal(self.waste, board, erase=None, now=now),
                    )
                ],
            ),
        }
        for each in self._servers.values():
            each.start()

    def target(self, name: str) -> str:
        return f"127.0.0.1:{self._servers[name].port}"

    def stop(self, name: str) -> None:
        self._servers.pop(name).stop(grace_s=0)

    def close(self) -> None:
        for name in list(self._servers):
            self.stop(name)

    def settle(self, user_id, latitude: float, longitude: float) -> None:
        """Save a place of this user's."""
        place = {"place_id": uuids.uuid7(), "user_id": user_id, "name": "home", "address": "", "now": now()}
        with self.locations.writing() as tx:
            places_store.create_place(
                tx, **place, latitude=latitude, longitude=longitude, is_default=True, request_id=None, request_hash=None
            )

    def analyse(self, user_id, **result: object) -> str:
        """A finished analysis of this user; without a result one that is still running. Gives its id."""
        image_id, analysis_id = uuids.uuid7(), uuids.uuid7()
        with self.waste.writing() as tx:
            tx.execute(
                sa.text("""
                    INSERT INTO images (id, user_id, s3_key, content_type, size_bytes, sha256, created_at)
                    VALUES (:id, :user_id, :key, 'image/jpeg', 1, sha256('x'), now())
                """),
                {"id": image_id, "user_id": user_id, "key": f"uploads/{user_id}/{image_id}/original.jpg"},
            )
            tx.execute(
                sa.text("""
                    INSERT INTO analyses (id, user_id, image_id, question, language, state, analysis_result, created_at,
                        completed_at)
                    VALUES (:id, :user_id, :image_id, '', 'ko', :state, CAST(:result AS jsonb), '2026-11-17 16:00+00',
                        CASE WHEN CAST(:result AS jsonb) IS NOT NULL THEN now() END)
                """),
                {
                    "id": analysis_id,
                    "user_id": user_id,
                    "image_id": image_id,
                    "state": "SUCCEEDED" if result else "RUNNING",
                    "result": json.dumps(result) if result else None,
                },
            )
        return str(analysis_id)


@pytest.fixture
def redis(servers):
    client = cache.connect(servers.redis_url, live.DB)
    yield client
    client.close()


@pytest.fixture
def siblings(in_force, database, redis) -> Siblings:
    made = Siblings(in_force, database, redis)
    yield made
    made.close()


@dataclasses.dataclass
class Process:
    """What one process of chat_llm consists of, in this one."""

    public: pb_grpc.ChatLlmServiceStub
    internal: internal_pb2_grpc.ChatLlmInternalServiceStub
    database: Database
    board: cache.Board
    answerer: Answerer
    lookups: Lookups
    listener: cache.Listener
    draining: threading.Event

    def open(self, user_id, **fields: str) -> str:
        """A conversation; gives its id."""
        request = pb.CreateConversationRequest(**fields)
        return self.public.CreateConversation(request, metadata=as_user(user_id)).conversation.conversation_id

    def say(self, user_id, conversation_id: str, content: str, **fields: object):
        """The stream."""
        request = pb.CreateMessageRequest(conversation_id=conversation_id, content=content, **fields)
        return self.public.CreateMessage(request, metadata=as_user(user_id), timeout=60)

    def ask(self, user_id, content: str, conversation_id: str = "", **fields: object) -> pb.Message:
        """The whole answer, when it is there."""
        return whole(list(self.say(user_id, conversation_id or self.open(user_id), content, **fields)))

    def get(self, user_id, message: pb.Message) -> pb.Message:
        request = pb.GetMessageRequest(conversation_id=message.conversation_id, message_id=message.message_id)
        return self.public.GetMessage(request, metadata=as_user(user_id)).message

    def watch(self, user_id, message: pb.Message):
        request = pb.WatchMessageRequest(conversation_id=message.conversation_id, message_id=message.message_id)
        return self.public.WatchMessage(request, metadata=as_user(user_id), timeout=60)

    def stop(self, user_id, message: pb.Message) -> pb.Message:
        request = pb.StopMessageRequest(conversation_id=message.conversation_id, message_id=message.message_id)
        return self.public.StopMessage(request, metadata=as_user(user_id)).message

    def messages(self, user_id, conversation_id: str) -> Sequence[pb.Message]:
        request = pb.ListMessagesRequest(conversation_id=conversation_id)
        return self.public.ListMessages(request, metadata=as_user(user_id)).messages

    def close(self) -> None:
        self.draining.set()
        self.answerer.close()
        self.listener.close()


def shown(events: Sequence) -> str:
    """The text as a client puts it together."""
    text = ""
    for event in events:
        text = event.text if event.reset else text + event.text
    return text


def whole(events: Sequence) -> pb.Message:
    """The answer of a stream that was told to its end."""
    assert [event.done for event in events] == [False] * (len(events) - 1) + [True]
    answer = events[-1].answer
    assert shown(events).strip() == answer.content
    return answer


@pytest.fixture
def start(database, redis, siblings, serve, monkeypatch):
    """Makes processes of chat_llm on one database; `start(words_per_s=…, providers=…, streams=…)`."""
    monkeypatch.setattr(answering, "FINISH_S", 0.2)  # Nobody waits for what a test left unfinished.
    started: list[Process] = []
    channels: list[grpc.Channel] = []
    channel_name = f"test.{uuids.uuid7()}"

    def connected(name: str) -> grpc.Channel:
        channels.append(connect(siblings.target(name), timeout_s=5))
        return channels[-1]

    def make(*, words_per_s: float = 5000, providers=None, streams: int = 8, pool_size: int = 4) -> Process:
        db = database("chat_llm", pool_size=pool_size)
        with db.writing() as tx:
            for name, content in prompts.SHIPPED.items():
                answer_store.sync_prompt(tx, name, content)
        board, listener = cache.Board(redis, channel_name, 60), cache.Listener(redis, channel_name)
        rules = connected("recycle_info")
        lookups = Lookups(
            recycle_info_pb2_grpc.RecycleInfoServiceStub(rules),
            rules_internal_grpc.RecycleInfoInternalServiceStub(rules),
            locations_internal_grpc.LocationsInternalServiceStub(connected("locations")),
            waste_internal_grpc.WasteInternalServiceStub(connected("waste")),
        )
        answerer = Answerer(db, board, lookups, providers or [Embedded(words_per_s)]).start()
        draining = threading.Event()
        public = ChatLlm(db, board, Follower(board, listener, draining), lookups, answerer.wake, LIMITS, now)
        channel = serve(
            (pb_grpc.add_ChatLlmServiceServicer_to_server, public),
            (internal_pb2_grpc.add_ChatLlmInternalServiceServicer_to_server, ChatLlmInternal(db, board)),
            pools=[server.Pool(STREAMS, limit=streams, reason="TOO_MANY_STREAMS")],
            draining=draining,
        )
        stubs = pb_grpc.ChatLlmServiceStub(channel), internal_pb2_grpc.ChatLlmInternalServiceStub(channel)
        started.append(Process(*stubs, db, board, answerer, lookups, listener, draining))
        return started[-1]

    yield make
    for process in started:
        process.close()
    for channel in channels:
        channel.close()


@pytest.fixture
def chat(start) -> Process:
    """One that writes fast."""
    return start()


@contextlib.contextmanager
def leaving(stream) -> Iterator:
    """The stream, cancelled at the end."""
    try:
        yield stream
    finally:
        stream.cancel()
