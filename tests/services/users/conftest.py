"""The users service on real PostgreSQL, S3 and RabbitMQ, with the real auth beside it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import uuid_utils.compat as uuids
from eco2.auth.v1 import events_pb2, internal_pb2_grpc
from eco2.users.v1 import erasure_pb2, erasure_pb2_grpc, users_pb2_grpc
from eco2.users.v1 import users_pb2 as pb
from PIL import Image

from services.auth import store as accounts
from services.auth.outbox import EVENTS, OUTBOX, REGISTERED
from services.kit.broker import Inbox, Message, Publisher, Relay
from services.kit.database import Database
from services.kit.objects import Bucket
from services.users.erasure import Eraser
from services.users.people import People
from services.users.rpc import Erasures, Users
from tests.conftest import as_user, put
from tests.services.auth.conftest import build

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_S, MOST = 12.0, 6


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclasses.dataclass
class Running:
    public: users_pb2_grpc.UsersServiceStub
    status: erasure_pb2_grpc.ErasureServiceStub
    people: People
    eraser: Eraser
    # Erases there, by domain: the domains that take part besides users.
    domains: dict
    bucket: Bucket
    accounts: Database
    clock: Clock
    owner: psycopg.Connection

    def register(self, username: str = "mina"):
        """As auth does; the event stays in its outbox."""
        with self.accounts.writing() as tx:
            return accounts.create_user(tx, username, f"{username}@example.com", "x", T0, "r1")

    def profile(self, user_id) -> pb.Profile:
        return self.public.GetProfile(pb.GetProfileRequest(), metadata=as_user(user_id)).profile

    def update(self, user_id, mask=(), **fields) -> pb.Profile:
        request = pb.UpdateProfileRequest(profile=pb.Profile(**fields), update_mask={"paths": mask})
        return self.public.UpdateProfile(request, metadata=as_user(user_id)).profile

    def settings(self, user_id) -> pb.Settings:
        return self.public.GetSettings(pb.GetSettingsRequest(), metadata=as_user(user_id)).settings

    def prefer(self, user_id, mask=(), **fields) -> pb.Settings:
        request = pb.UpdateSettingsRequest(settings=pb.Settings(**fields), update_mask={"paths": mask})
        return self.public.UpdateSettings(request, metadata=as_user(user_id)).settings

    def announce(self, user_id, data: bytes, content_type: str = "image/jpeg") -> pb.CreateAvatarResponse:
        digest = hashlib.sha256(data).digest()
        request = pb.CreateAvatarRequest(content_type=content_type, size_bytes=len(data), sha256=digest)
        return self.public.CreateAvatar(request, metadata=as_user(user_id))

    def upload(self, user_id, data: bytes) -> str:
        made = self.announce(user_id, data)
        assert put(made.upload, data) == 200
        return made.avatar_id

    def confirm(self, user_id, avatar_id: str) -> pb.Profile:
        request = pb.ConfirmAvatarRequest(avatar_id=avatar_id)
        return self.public.ConfirmAvatar(request, metadata=as_user(user_id)).profile

    def objects(self, avatar_id: str) -> set[str]:
        folder = f"avatars/{avatar_id}/"
        return {key.removeprefix(folder) for key in self.bucket.list_keys(folder)}

    def leave(self, user_id, **fields) -> erasure_pb2.Erasure:
        return self.public.DeleteAccount(pb.DeleteAccountRequest(**fields), metadata=as_user(user_id)).erasure

    def erasure(self, erasure_id: str) -> erasure_pb2.Erasure:
        return self.status.GetErasure(erasure_pb2.GetErasureRequest(erasure_id=erasure_id)).erasure

    def finish(self) -> None:
        """Take all steps that there are, once calls that were under way have ended."""
        self.clock.advance(seconds=120)
        while self.eraser.advance():
            pass

    def rows(self) -> str:
        """All that the schema holds, as text."""
        tables = self.owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'users'").fetchall()
        return "\n".join(
            f"{table}: {row}"
            for [table] in tables
            for [row] in self.owner.execute(f"SELECT t::text FROM users.{table} t")
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(servers, postgres, database_name, database, serve, clock):
    own, auth = database("users", pool_size=8), database("auth")
    bucket = Bucket(**vars(servers.s3))
    parts = build(auth, servers.redis_url, clock)
    channel = serve(*parts.services)
    people = People(own, bucket, internal_pb2_grpc.AuthInternalServiceStub(channel), MOST, clock)
    domains = {"users": lambda user_id, timeout_s: people.erase(user_id)}
    eraser = Eraser(own, domains, SETTLE_S, clock)
    channel = serve(
        (users_pb2_grpc.add_UsersServiceServicer_to_server, Users(own, bucket, people, eraser, clock)),
        (erasure_pb2_grpc.add_ErasureServiceServicer_to_server, Erasures(own)),
    )
    with psycopg.connect(postgres.url(database_name), autocommit=True) as owner:
        yield Running(
            users_pb2_grpc.UsersServiceStub(channel),
            erasure_pb2_grpc.ErasureServiceStub(channel),
            people,
            eraser,
            eraser._domains,
            bucket,
            auth,
            clock,
            owner,
        )
    parts.revocations.close()
    bucket.close()


@pytest.fixture
def relay(users, rabbitmq_url):
    """Auth's, not started."""
    publisher = Publisher(rabbitmq_url, EVENTS, timeout_s=20)
    yield Relay(users.accounts, publisher, OUTBOX)
    publisher.close()


@pytest.fixture
def arrivals(users, rabbitmq_url):
    inbox = Inbox(rabbitmq_url, EVENTS, EVENTS.queues, users.people.keep, name="test-arrivals")
    inbox.start()
    yield inbox
    inbox.close()


def event(user_id, username: str) -> Message:
    registered = events_pb2.UserRegistered(user_id=str(user_id), username=username, create_time=T0)
    return Message(REGISTERED, registered.SerializeToString(), {})


@pytest.fixture
def user_id():
    return uuids.uuid7()


def photo(size=(900, 600), kind: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "green").save(out, kind, **options)
    return out.getvalue()
