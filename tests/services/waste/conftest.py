"""The waste service on real PostgreSQL, Redis, S3 and RabbitMQ."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import threading
from datetime import UTC, datetime, timedelta

import pytest
import uuid_utils.compat as uuids
from eco2.pipeline.v1 import messages_pb2
from eco2.waste.v1 import internal_pb2_grpc, waste_pb2, waste_pb2_grpc

from services.kit import cache, server
from services.kit.broker import Publisher, Relay, Topology
from services.kit.broker.relay import CONFIRM_S
from services.kit.objects import Bucket
from services.waste.erasure import Eraser
from services.waste.orphans import Orphans
from services.waste.outbox import OUTBOX
from services.waste.outcomes import WasteInternal
from services.waste.removal import Remover
from services.waste.rpc import FIRST_QUEUE, UPLOAD_S, Limits, Waste
from tests.conftest import as_user, put

LIMITS = Limits(unused_images=8, unused_s=86_400, analyses=40)
PHOTO = b"not really a photo, but the store does not care" * 10
# After so long without a word an analysis counts as an orphan.
SILENT_S = 1800.0
WAITS = frozenset(f"/eco2.waste.v1.WasteService/{name}" for name in ("WaitAnalysis", "WatchAnalysis"))


def now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """The real time, and what a test adds to it."""

    hour = timedelta(hours=1)

    def __init__(self):
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return now() + self.ahead


@dataclasses.dataclass
class Running:
    public: waste_pb2_grpc.WasteServiceStub
    internal: internal_pb2_grpc.WasteInternalServiceStub
    database: object
    board: cache.Board
    relay: Relay
    draining: threading.Event
    bucket: Bucket
    listener: cache.Listener
    cancelled: cache.Trail
    eraser: Eraser
    remover: Remover
    clock: Clock
    servicer: WasteInternal

    def upload(self, user_id, photo: bytes = PHOTO) -> str:
        """Announce and PUT a photo; gives its image_id."""
        made = self.announce(user_id, photo)
        assert put(made.upload, photo) == 200
        return made.image.image_id

    def announce(self, user_id, photo: bytes = PHOTO) -> waste_pb2.CreateImageResponse:
        request = waste_pb2.CreateImageRequest(
            content_type="image/jpeg", size_bytes=len(photo), sha256=hashlib.sha256(photo).digest()
        )
        return self.public.CreateImage(request, metadata=as_user(user_id))

    def start(self, user_id, **fields) -> waste_pb2.Analysis:
        fields.setdefault("image_id", "") or fields.update(image_id=self.upload(user_id))
        return self.public.CreateAnalysis(waste_pb2.CreateAnalysisRequest(**fields), metadata=as_user(user_id)).analysis


def checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.fixture
def user_id():
    return uuids.uuid7()


@pytest.fixture
def topology():
    return Topology.of(messages_pb2.Stage.DESCRIPTOR)


@pytest.fixture
def waste(servers, database, serve, topology):
    store, s3 = database("waste"), servers.s3
    redis = cache.connect(servers.redis_url, 1)
    channel_name = f"test.{uuids.uuid7()}"
    board, listener = cache.Board(redis, channel_name, 60), cache.Listener(redis, channel_name)
    bucket, clock = Bucket(**vars(s3)), Clock()
    eraser = Eraser(store, bucket, board, UPLOAD_S, clock)
    publisher = Publisher(servers.rabbitmq_url, topology, timeout_s=CONFIRM_S - 1)
    relay, draining = Relay(store, publisher, OUTBOX), threading.Event()
    remover = Remover(store, bucket, UPLOAD_S, LIMITS.unused_s, clock)
    cancelled = cache.Trail(redis, f"test:{uuids.uuid7()}", 60, 1000)
    servicer = WasteInternal(store, board, eraser.erase, now)
    public = Waste(
        store, bucket, board, listener, cancelled, servicer.announce, relay.wake, remover, LIMITS, draining, now
    )
    channel = serve(
        (waste_pb2_grpc.add_WasteServiceServicer_to_server, public),
        (internal_pb2_grpc.add_WasteInternalServiceServicer_to_server, servicer),
        pools=[server.Pool(WAITS, limit=4, reason="TOO_MANY_WAITERS")],
        draining=draining,
    )
    yield Running(
        waste_pb2_grpc.WasteServiceStub(channel),
        internal_pb2_grpc.WasteInternalServiceStub(channel),
        store,
        board,
        relay,
        draining,
        bucket,
        listener,
        cancelled,
        eraser,
        remover,
        clock,
        servicer,
    )
    publisher.close()
    listener.close()
    redis.close()


@pytest.fixture
def replica(waste):
    """One of any number of processes that look for orphans."""

    def made(bucket=None) -> Orphans:
        return Orphans(
            waste.database,
            bucket or waste.bucket,
            FIRST_QUEUE,
            SILENT_S,
            waste.relay.wake,
            waste.servicer.announce,
            waste.clock,
        )

    return made
