"""Erasures: every domain, whatever is away or dies, with a proof that names nobody."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import uuid
from concurrent import futures

import pytest
from eco2.tasks.v1 import internal_pb2 as tasks_pb2
from eco2.tasks.v1 import internal_pb2_grpc as tasks_grpc
from eco2.users.v1 import erasure_pb2, erasure_pb2_grpc, users_pb2, users_pb2_grpc
from eco2.waste.v1 import internal_pb2 as waste_pb2
from eco2.waste.v1 import internal_pb2_grpc as waste_grpc

from services.kit import channel, config, errors
from services.kit.server import Server
from services.users.__main__ import Config
from services.users.erasure import Eraser, Targets, sibling
from stack.home import CHECKOUT
from tests.conftest import as_user, eventually, put
from tests.gateway.edge import free_ports
from tests.services.auth.conftest import build
from tests.services.users.conftest import SETTLE_S, event, photo

RUNNING, ERASED = erasure_pb2.ERASURE_STATE_RUNNING, erasure_pb2.ERASURE_STATE_ERASED


class Domain:
    """A domain that erases: counts the calls, fails with `fault`, waits while `open` is not set."""

    def __init__(self, removed: int = 0):
        self.removed, self.fault, self.calls = removed, None, []
        self.open, self.reached = threading.Event(), threading.Semaphore(0)
        self.open.set()

    def __call__(self, user_id, timeout_s: float = 60) -> int:
        self.calls.append(str(user_id))
        self.reached.release()
        self.open.wait(timeout_s)
        if self.fault:
            raise self.fault
        removed, self.removed = self.removed, 0
        return removed


@pytest.fixture
def domains(users) -> dict[str, Domain]:
    """Two more that take part, before users."""
    made = {"waste": Domain(7), "tasks": Domain(4)}
    own = users.domains.pop("users")
    users.domains.update(made, users=own)
    return made


def shown(erasure) -> dict[str, tuple[int, bool, bool]]:
    return {
        each.domain: (each.removed_count, each.HasField("erase_time"), each.HasField("confirm_time"))
        for each in erasure.domains
    }


def test_all_is_erased_at_once_and_confirmed_when_calls_under_way_have_ended(users, domains):
    user_id = users.register()
    avatar_id = users.upload(user_id, photo())
    users.confirm(user_id, avatar_id)
    pending = users.announce(user_id, photo())
    users.prefer(user_id, theme="dark")
    erasure = users.leave(user_id)
    assert erasure.state == RUNNING
    assert shown(erasure) == {
        "waste": (7, True, False), "tasks": (4, True, False), "users": (4, True, False)
    }  # fmt: skip
    assert users.objects(avatar_id) == set()
    assert not users.eraser.advance()
    users.clock.advance(seconds=SETTLE_S - 1)
    assert not users.eraser.advance()
    users.finish()
    done = users.erasure(erasure.erasure_id)
    assert (done.state, done.erasure_id) == (ERASED, erasure.erasure_id)
    assert shown(done) == {"waste": (7, True, True), "tasks": (4, True, True), "users": (4, True, True)}
    assert [each.attempt_count for each in done.domains] == [2, 2, 2]
    assert done.complete_time.ToDatetime() >= max(each.confirm_time.ToDatetime() for each in done.domains)
    assert domains["waste"].calls == domains["tasks"].calls == [str(user_id)] * 2
    rows = users.rows()
    assert str(user_id) not in rows
    assert "mina" not in rows
    # An upload that comes in late goes too.
    assert put(pending.upload, photo()) == 200
    users.clock.advance(hours=1)
    users.people.tidy()
    assert users.objects(pending.avatar_id) == set()
    assert "avatars: " not in users.rows()


def test_who_is_erased_does_not_come_back(users, relay, arrivals):
    user_id = users.register()
    avatar_id = users.upload(user_id, photo())
    users.profile(user_id)
    users.leave(user_id)
    other = users.register("jun")
    for sent in relay._publisher.publish([event(user_id, "mina"), event(other, "jun")]):
        sent.result(20)
    eventually(lambda: users.owner.execute("SELECT count(*) FROM users.profiles").fetchone() == (1,))
    for call in (
        users.profile,
        lambda user_id: users.update(user_id, bio="x"),
        lambda user_id: users.prefer(user_id, theme="dark"),
        lambda user_id: users.announce(user_id, photo()),
        lambda user_id: users.confirm(user_id, avatar_id),
    ):
        with pytest.raises(errors.Unauthenticated) as caught:
            call(user_id)
        assert caught.value.reason == "ACCOUNT_ERASED"
    users.finish()
    assert str(user_id) not in users.rows()


def test_a_domain_that_is_away_holds_up_no_other_and_is_asked_until_it_has_erased(users, domains):
    user_id = users.register()
    domains["waste"].fault = errors.Unavailable("away")
    erasure = users.leave(user_id)
    assert shown(erasure) == {"waste": (0, False, False), "tasks": (4, True, False), "users": (0, True, False)}
    for _ in range(5):
        users.finish()
    asked = users.erasure(erasure.erasure_id)
    assert (asked.state, asked.domains[0].attempt_count) == (RUNNING, len(domains["waste"].calls))
    assert len(domains["waste"].calls) > 5
    # Nobody is confirmed before all have erased.
    assert len(domains["tasks"].calls) == 1
    # The pauses grow.
    users.clock.advance(seconds=7)
    assert not users.eraser.advance()
    domains["waste"].fault = None
    users.finish()
    users.finish()
    done = users.erasure(erasure.erasure_id)
    assert (done.state, done.domains[0].removed_count) == (ERASED, 7)


def test_what_is_found_in_the_second_round_does_not_lower_the_count(users, domains):
    erasure = users.leave(users.register())
    domains["waste"].removed = 1
    users.finish()
    assert users.erasure(erasure.erasure_id).domains[0].removed_count == 7


def test_asking_again_gives_the_same_erasure(users, domains):
    user_id, chosen = users.register(), str(uuid.uuid4())
    domains["tasks"].fault = errors.Unavailable("away")
    assert users.leave(user_id, request_id=chosen).erasure_id == chosen
    with futures.ThreadPoolExecutor(4) as pool:
        assert {each.erasure_id for each in pool.map(users.leave, [user_id] * 4)} == {chosen}
    with pytest.raises(errors.AlreadyExists) as caught:
        users.leave(users.register("jun"), request_id=chosen)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    with pytest.raises(errors.InvalidArgument):
        users.leave(user_id, request_id="x")


def test_an_erasure_is_found_by_its_id_only(users):
    for erasure_id, kind in ((str(uuid.uuid4()), errors.NotFound), ("1", errors.InvalidArgument)):
        with pytest.raises(kind):
            users.erasure(erasure_id)
    erasure = users.leave(users.register())
    assert uuid.UUID(erasure.erasure_id).version == 4


def test_several_replicas_share_the_work_and_finish_once(users, domains, database):
    erasures = [users.leave(users.register(f"user{number}")) for number in range(10)]
    users.clock.advance(seconds=60)
    replicas = [Eraser(database("users"), users.domains, SETTLE_S, users.clock) for _ in range(3)]

    def work(eraser: Eraser) -> int:
        return sum(iter(lambda: int(eraser.advance()), 0))

    with futures.ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, replicas)) == 30
    done = [users.erasure(each.erasure_id) for each in erasures]
    assert all(each.state == ERASED for each in done)
    assert all(step.attempt_count == 2 for each in done for step in each.domains)


def test_a_domain_that_is_new_takes_part_in_what_is_running(users, domains, database):
    user_id = users.register()
    erasure = users.leave(user_id)
    late = Domain(3)
    newer = Eraser(database("users"), users.domains | {"chat_llm": late}, SETTLE_S, users.clock)
    users.clock.advance(seconds=60)
    while newer.advance():
        pass
    users.clock.advance(seconds=60)
    while newer.advance():
        pass
    assert users.erasure(erasure.erasure_id).state == ERASED
    assert late.calls == [str(user_id)] * 2


def test_targets_name_domains_once_and_with_their_address():
    assert list(Targets("auth=a:1, waste=b:2").items()) == [("auth", "a:1"), ("waste", "b:2")]
    for text in ("auth", "auth=a", "auth=a:1,auth=a:2", "=a:1"):
        with pytest.raises(SystemExit, match=r"ERASURE_TARGETS: .* is not domain=host:port, or comes twice"):
            config.load(Config, {"ERASURE_TARGETS": text})
    with pytest.raises(ImportError):
        sibling("weather", "127.0.0.1:1")


class Waste(waste_grpc.WasteInternalServiceServicer):
    def __init__(self):
        self.domain = Domain(7)

    def EraseUser(self, request, context):
        return waste_pb2.EraseUserResponse(removed_count=self.domain(request.user_id))


class Tasks(tasks_grpc.TasksInternalServiceServicer):
    def __init__(self):
        self.domain = Domain(4)

    def EraseUser(self, request, context):
        return tasks_pb2.EraseUserResponse(removed_count=self.domain(request.user_id))


@dataclasses.dataclass
class Process:
    """The users process as it ships, its siblings in this one."""

    environment: dict[str, str]
    siblings: dict[str, Domain]
    log: object
    running: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "services.users"]
        self.running = subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log, cwd=CHECKOUT)

    def kill(self) -> None:
        self.running.kill()
        self.running.wait(20)


@pytest.fixture
def process(servers, postgres, database_name, database, rabbitmq_url, clock, tmp_path):
    waste, tasks = Waste(), Tasks()
    auth = build(database("auth"), servers.redis_url, clock)
    peers = {
        "auth": auth.services,
        "waste": [(waste_grpc.add_WasteInternalServiceServicer_to_server, waste)],
        "tasks": [(tasks_grpc.add_TasksInternalServiceServicer_to_server, tasks)],
    }
    serving = {name: Server("127.0.0.1:0", services).start() for name, services in peers.items()}
    environment = os.environ | {
        "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'proto/gen'}",
        "LISTEN": f"127.0.0.1:{free_ports('users')['users']}",
        "AUTH_TARGET": f"127.0.0.1:{serving['auth'].port}",
        "ERASURE_TARGETS": ",".join(f"{name}=127.0.0.1:{server.port}" for name, server in serving.items()),
        "ERASURE_SETTLE_S": "0.5",
        "API_USERS_DB_URL": postgres.url(database_name, "users"),
        "RABBITMQ_URL": rabbitmq_url,
        "REDIS_URL": servers.redis_url,
        **{f"S3_{name.removeprefix('s3_').upper()}": value for name, value in vars(servers.s3).items()},
    }
    with (tmp_path / "log").open("ab") as log:
        made = Process(environment, {"waste": waste.domain, "tasks": tasks.domain}, log)
        made.start()
        yield made
        for each in made.siblings.values():
            each.open.set()
        made.kill()
    for server in serving.values():
        server.stop(grace_s=0)
    auth.revocations.close()


@pytest.mark.parametrize(
    ("held", "call"), [("waste", 1), ("tasks", 1), ("waste", 2), ("tasks", 2)], ids=lambda value: str(value)
)
def test_kill_nine_in_the_middle_of_a_step_loses_and_repeats_nothing_that_counts(users, process, held, call):
    user_id = users.register()
    domain = process.siblings[held]
    target = process.environment["LISTEN"]
    with channel.connect(target, timeout_s=20) as opened:
        stub = users_pb2_grpc.UsersServiceStub(opened)
        status = erasure_pb2_grpc.ErasureServiceStub(opened)
        request = users_pb2.DeleteAccountRequest(request_id=str(uuid.uuid4()))
        waiting = erasure_pb2.GetErasureRequest(erasure_id=request.request_id)
        if call == 1:
            domain.open.clear()
        with futures.ThreadPoolExecutor(1) as pool:
            # Wait for ready: the process may still be starting.
            leaving = pool.submit(stub.DeleteAccount, request, metadata=as_user(user_id), wait_for_ready=True)
            if call == 2:
                leaving.result(20)
                domain.open.clear()
                domain.reached.acquire(timeout=20)
            assert domain.reached.acquire(timeout=20)
            process.kill()
            domain.open.set()
            process.start()
            # The answer may be lost. The person chose the id, and finds it all the same.
            assert isinstance(leaving.exception(40), errors.Fault | None)

        def finished() -> bool:
            erasure = status.GetErasure(waiting, wait_for_ready=True, timeout=20).erasure
            return erasure.state == ERASED

        eventually(finished, 60)
        erasure = status.GetErasure(waiting, timeout=20).erasure
    assert [each.domain for each in erasure.domains] == ["auth", "waste", "tasks", "users"]
    # The account with its event.
    assert erasure.domains[0].removed_count == 2
    assert users.owner.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)
    assert str(user_id) not in users.rows()
