"""Real servers for the tests: started once a process on free ports, with a database of its own for each test.

`make test` runs two processes of pytest side by side, each with servers of its own.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import itertools
import os
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from xdist.scheduler import LoadScopeScheduling

import migrations.__main__ as migrations
from services.kit import channel
from services.kit.database import Database
from services.kit.errors import Fault
from services.kit.server import Server
from services.recycle_info.embedder import Embedder
from services.recycle_info.rules import Rules
from stack import mesh
from stack.api import Infrastructure, infrastructure
from tests.campaign import Campaign
from tests.openai_api import OpenAIApi

LOGINS = mesh.ROLES
# Whatever key is in the environment, tests ask no model on the internet.
os.environ["MODEL_PROVIDER"] = "embedded"
_numbers = itertools.count(1)
# Each of these stays in one process: its tests share a mesh or an edge, or kill what they run.
ROOMS = ("tests/e2e", "tests/faults", "tests/gateway")


class Rooms(LoadScopeScheduling):
    """Shares rooms and single files out among the processes, in their order, to each as it gets done."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((room for room in ROOMS if file.startswith(f"{room}/")), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Rooms:
    # As they stand, rather than those with the most tests first: the longest are among the first.
    config.option.loadscopereorder = False
    return Rooms(config, log)


@pytest.fixture(scope="session")
def servers() -> Infrastructure:
    """PostgreSQL, RabbitMQ, Redis and S3, empty."""
    with infrastructure() as running:
        yield running


class Postgres:
    """A migrated template database, and copies of it."""

    def __init__(self, admin_url: str):
        self.admin_url = admin_url
        self.passwords = {login: secrets.token_hex(8) for login in LOGINS.values()}
        migrations.apply(admin_url, self.passwords, database="template")

    @contextlib.contextmanager
    def copy(self) -> Iterator[str]:
        """The name of a fresh copy, which is dropped at the end."""
        name = f"test_{next(_numbers)}"
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def url(self, database: str, schema: str | None = None) -> str:
        """As the login role of a schema; as the superuser without one."""
        url = sa.make_url(self.admin_url).set(database=database)
        if schema:
            url = url.set(username=LOGINS[schema], password=self.passwords[LOGINS[schema]])
        return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres(servers) -> Postgres:
    return Postgres(servers.postgres_admin_url)


@pytest.fixture
def database_name(postgres) -> str:
    """A fresh copy of the migrated database."""
    with postgres.copy() as name:
        yield name


@pytest.fixture
def database(postgres, database_name):
    """Makes the Database of a domain, logged in as its own role."""
    opened = []

    def connect(schema: str, **options) -> Database:
        opened.append(Database(postgres.url(database_name, schema), **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@dataclasses.dataclass(frozen=True)
class InForce:
    """The rules that ship, ready to be searched, and the database that they are in."""

    rules: Rules
    database: Database


@pytest.fixture(scope="session")
def in_force(postgres) -> InForce:
    """For tests that change no rule, and of whom nothing is left but what made-up users have asked."""
    with postgres.copy() as name, contextlib.closing(Database(postgres.url(name, "recycle_info"))) as database:
        yield InForce(Rules(database, Embedder()), database)


@pytest.fixture
def rabbitmq_url(servers) -> str:
    """A virtual host of its own, so that no test sees another's messages."""
    name = f"t{uuid.uuid4().hex}"
    management = urllib.parse.urlsplit(servers.rabbitmq_management_url)

    def call(method: str, path: str, body: str | None = None) -> None:
        connection = http.client.HTTPConnection(management.hostname, management.port, timeout=30)
        credentials = f"{management.username}:{management.password}".encode()
        headers = {
            "Authorization": "Basic " + base64.b64encode(credentials).decode(),
            "Content-Type": "application/json",
        }
        connection.request(method, path, body, headers)
        status = connection.getresponse().status
        connection.close()
        assert status < 300, (method, path, status)

    call("PUT", f"/api/vhosts/{name}")
    everything = '{"configure": ".*", "write": ".*", "read": ".*"}'
    call("PUT", f"/api/permissions/{name}/{management.username}", everything)
    yield servers.rabbitmq_url.rpartition("/")[0] + f"/{name}"
    call("DELETE", f"/api/vhosts/{name}")


@pytest.fixture
def serve():
    """Starts a server of (add_…_to_server, servicer) pairs on a free port; gives a channel to it that raises Faults."""
    servers, channels = [], []

    def start(*services, **options) -> grpc.Channel:
        servers.append(Server("127.0.0.1:0", services, **options).start())
        channels.append(channel.connect(f"127.0.0.1:{servers[-1].port}", timeout_s=20))
        return channels[-1]

    yield start
    for each in channels:
        each.close()
    for server in servers:
        server.stop(grace_s=0)


def as_user(user_id: object) -> tuple[tuple[str, str], ...]:
    """The metadata by which Envoy tells a service who is calling."""
    return (("x-claim-sub", str(user_id)),)


def put(upload, body: bytes, **headers: str) -> int:
    """The status that the store answers a PUT with."""
    request = urllib.request.Request(upload.url, data=body, method=upload.method, headers={**upload.headers, **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def eventually(true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Returns once `true()` is; fails when it is not within the time."""
    pause, until = threading.Event(), time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, f"still not true after {timeout_s} s"
        pause.wait(0.02)


def together(count: int, ask: Callable[[], object]) -> list[Fault]:
    """Ask so many times at once; the Faults that came of it."""
    start = threading.Barrier(count)

    def one() -> Fault | None:
        start.wait(10)
        try:
            ask()
        except Fault as fault:
            return fault
        return None

    with futures.ThreadPoolExecutor(count) as threads:
        asked = [threads.submit(one) for _ in range(count)]
        return [fault for fault in (each.result(30) for each in asked) if fault]


@pytest.fixture
def campaign(request) -> Campaign:
    return Campaign(request.node.name)


@pytest.fixture
def openai_api() -> OpenAIApi:
    """An OpenAI-compatible server that does what the test tells it."""
    running = OpenAIApi()
    yield running
    running.close()
