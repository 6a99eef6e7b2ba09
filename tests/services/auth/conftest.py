"""Auth over the wire: real PostgreSQL and Redis, a clock that the test moves, as many replicas as it likes."""

from __future__ import annotations

import dataclasses
import secrets
from datetime import UTC, datetime, timedelta

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from eco2.auth.v1 import account_pb2_grpc, auth_pb2_grpc
from eco2.auth.v1 import auth_pb2 as pb

from services.auth import rpc, throttle, tokens
from services.auth.account import Account
from services.auth.sessions import Sessions
from services.auth.throttle import Limit, Limits, Throttle
from services.kit import cache
from services.kit.database import Database
from services.kit.revocations import DB, Revocations

ISSUER, AUDIENCE = "https://test", "test-api"
PASSWORD = "correct horse battery"
LIMITS = Limits(Limit("10/900"), Limit("300/900"), Limit("3/3600"), Limit("60/3600"))


def pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


KEY = tokens.SigningKey(pem(ec.generate_private_key(ec.SECP256R1())))
TOKEN_KEY = tokens.TokenKey(secrets.token_hex(32))


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclasses.dataclass
class Replica:
    """One server. auth, account: stubs to it. woken: how often mails were to be sent."""

    auth: auth_pb2_grpc.AuthServiceStub
    account: account_pb2_grpc.AccountServiceStub
    db: Database
    revocations: Revocations
    woken: list[None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def redis_url(servers) -> str:
    """Without anybody's failed attempts."""
    for number in (DB, throttle.DB):
        cache.connect(servers.redis_url, number).flushdb()
    return servers.redis_url


@pytest.fixture
def start(database, serve, clock, redis_url):
    """Starts one more replica. options: of its log-in pool."""
    opened = []

    def one(limits: Limits = LIMITS, make_resets=lambda db: None, issuer: tokens.Issuer | None = None, **pool):
        db, revocations, woken = database("auth"), Revocations(cache.connect(redis_url, DB)), []
        opened.append(revocations)
        sessions = Sessions(issuer or tokens.Issuer((KEY,), ISSUER, AUDIENCE), TOKEN_KEY, revocations)
        attempts = Throttle(cache.connect(redis_url, throttle.DB), limits)
        auth = rpc.Auth(db, sessions, attempts, make_resets(db), lambda: woken.append(None), clock)
        channel = serve(
            (auth_pb2_grpc.add_AuthServiceServicer_to_server, auth),
            (account_pb2_grpc.add_AccountServiceServicer_to_server, Account(db, sessions, attempts, clock)),
            pools=[dataclasses.replace(rpc.LOGINS, **pool)],
            revocations=revocations,
        )
        stubs = auth_pb2_grpc.AuthServiceStub(channel), account_pb2_grpc.AccountServiceStub(channel)
        return Replica(*stubs, db, revocations, woken)

    yield one
    for each in opened:
        each.close()


@pytest.fixture
def replica(start) -> Replica:
    return start()


@pytest.fixture
def auth(replica) -> auth_pb2_grpc.AuthServiceStub:
    return replica.auth


@pytest.fixture
def owner(postgres, database_name):
    """The superuser, to look at what is stored."""
    with psycopg.connect(postgres.url(database_name), autocommit=True) as connection:
        yield connection


def register(auth, username="mina", email="Mina@example.com", password=PASSWORD, **options) -> pb.RegisterResponse:
    return auth.Register(pb.RegisterRequest(username=username, email=email, password=password), **options)


def login(auth, username="mina", password=PASSWORD, **options) -> pb.LoginResponse:
    return auth.Login(pb.LoginRequest(username=username, password=password), **options)


def refresh(auth, token: str) -> str:
    return auth.Refresh(pb.RefreshRequest(refresh_token=token)).tokens.refresh_token


def claims_of(access_token: str) -> dict:
    """Verified by the signature, issuer and audience; the times are the test's clock's."""
    options = {"verify_exp": False, "verify_iat": False}
    key = jwt.PyJWK(KEY.jwk).key
    return jwt.decode(access_token, key, algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE, options=options)


def bearing(tokens: pb.Tokens) -> tuple[tuple[str, str], ...]:
    """The metadata that Envoy makes of an access token."""
    claims = claims_of(tokens.access_token)
    return (("x-claim-sub", claims["sub"]), ("x-claim-sid", claims["sid"]))


def from_address(address: str) -> tuple[tuple[str, str], ...]:
    """What Envoy tells of who calls."""
    return (("x-client-address", address),)
