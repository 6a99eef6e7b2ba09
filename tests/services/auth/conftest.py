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
from eco2.auth.v1 import account_pb2_grpc, auth_pb2_grpc, internal_pb2_grpc
from eco2.auth.v1 import auth_pb2 as pb

from services.auth import rpc, throttle, tokens
from services.auth.account import Account
from services.auth.internal import AuthInternal
from services.auth.journeys import Journeys
from services.auth.keys import KeyRing, SigningKeys
from services.auth.providers import Providers
from services.auth.sessions import Sessions
from services.auth.sign_in import SIGN_INS, SignIn
from services.auth.states import States
from services.auth.throttle import Limit, Limits, Throttle
from services.kit import cache
from services.kit.database import Database
from services.kit.revocations import DB, Revocations

ISSUER, AUDIENCE = "https://test", "test-api"
PASSWORD = "correct horse battery"
# How many calls wait for a lock that another holds.
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
LIMITS = Limits(
    Limit("10/900"), Limit("300/900"), Limit("3/3600"), Limit("60/3600"), Limit("300/900"), Limit("1000/3600")
)


def pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def make_key() -> str:
    return pem(ec.generate_private_key(ec.SECP256R1()))


KEYS = SigningKeys(make_key())
[KEY] = KEYS
TOKEN_KEY = tokens.TokenKey(secrets.token_hex(32))


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclasses.dataclass
class Parts:
    """What a server of auth is made of. services: for kit.server.Server. woken: how often mails were to be sent."""

    services: list
    revocations: Revocations
    ring: KeyRing
    issuer: tokens.Issuer
    woken: list[None]


def build(
    db: Database,
    redis_url: str,
    clock,
    *,
    keys: SigningKeys = KEYS,
    ahead_s: float = 360,
    limits: Limits = LIMITS,
    make_resets=lambda db: None,
    providers: str = "{}",
    site: str = "https://site.test",
    pages: tuple[str, ...] = (),
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
) -> Parts:
    """As services/auth/__main__.py does, but for the threads. providers: JSON, as configured."""
    revocations, woken = Revocations(cache.connect(redis_url, DB)), []
    ring = KeyRing(db, keys, timedelta(seconds=ahead_s), clock)
    ring.sync()
    signs = tokens.Issuer(ring, issuer, audience)
    sessions = Sessions(signs, TOKEN_KEY, revocations)
    attempts = Throttle(cache.connect(redis_url, throttle.DB), limits)
    states = States(cache.connect(redis_url, DB))
    callback = f"{site}/api/v1/auth/oauth/{{provider}}/callback"
    auth = rpc.Auth(db, ring, sessions, attempts, states, make_resets(db), lambda: woken.append(None), clock)
    journeys = Journeys(attempts, states, Providers(providers), callback, pages)
    account = Account(db, sessions, attempts, states, journeys, clock)
    sign_in = SignIn(db, sessions, states, journeys, clock)
    services = [
        (auth_pb2_grpc.add_AuthServiceServicer_to_server, auth),
        (account_pb2_grpc.add_AccountServiceServicer_to_server, account),
        (internal_pb2_grpc.add_SignInInternalServiceServicer_to_server, sign_in),
        (internal_pb2_grpc.add_AuthInternalServiceServicer_to_server, AuthInternal(db, sessions)),
    ]
    return Parts(services, revocations, ring, signs, woken)


@dataclasses.dataclass
class Replica:
    """One server. auth, account, sign_in: stubs to it."""

    auth: auth_pb2_grpc.AuthServiceStub
    account: account_pb2_grpc.AccountServiceStub
    sign_in: internal_pb2_grpc.SignInInternalServiceStub
    internal: internal_pb2_grpc.AuthInternalServiceStub
    db: Database
    parts: Parts

    @property
    def revocations(self) -> Revocations:
        return self.parts.revocations

    @property
    def woken(self) -> list[None]:
        return self.parts.woken


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
    """Starts one more replica. limit: of its log-in pool; the other options are those of `build`."""
    opened = []

    def one(limit: int = rpc.LOGINS.limit, **options) -> Replica:
        db = database("auth", pool_size=6)
        parts = build(db, redis_url, clock, **options)
        opened.append(parts.revocations)
        pools = [dataclasses.replace(rpc.LOGINS, limit=limit), SIGN_INS]
        channel = serve(*parts.services, pools=pools, revocations=parts.revocations)
        return Replica(
            auth_pb2_grpc.AuthServiceStub(channel),
            account_pb2_grpc.AccountServiceStub(channel),
            internal_pb2_grpc.SignInInternalServiceStub(channel),
            internal_pb2_grpc.AuthInternalServiceStub(channel),
            db,
            parts,
        )

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
