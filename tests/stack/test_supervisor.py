"""The supervisor with real processes: Redis, and small commands where only their exit matters."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from stack import api, parts
from stack.home import Home, Ports, claim_ports, is_free
from stack.parts import BASE_ENV, Part
from stack.supervisor import StartError, Supervisor, start_ticks


@pytest.fixture
def home() -> Iterator[Home]:
    with api.data_folder(None) as folder:
        yield folder


@pytest.fixture
def ports(home: Home) -> Iterator[Ports]:
    claimed = claim_ports(home, anywhere=True)
    yield claimed
    claimed.release()


def script(name: str, text: str, **options: object) -> Part:
    return Part(name=name, argv=("/bin/sh", "-c", text), env=BASE_ENV, **options)


def always() -> None:
    """A probe of a part that serves from its first moment."""


def never() -> None:
    raise ConnectionRefusedError("nobody listens")


def run(home: Home, *some: Part) -> Supervisor:
    supervisor = Supervisor(home, some)
    supervisor.start_all()
    return supervisor


def states(supervisor: Supervisor) -> dict[str, str]:
    return {part["name"]: part["state"] for part in supervisor.status()}


def test_a_part_that_is_killed_comes_back_with_another_pid_and_its_data():
    with api.infrastructure(parts=("redis",)) as infra:
        with redis.Redis.from_url(infra.redis_url + "/1") as client:
            client.set("kept", "yes")
            killed = infra.kill("redis")
        infra.wait_ready("redis")
        [status] = infra.status()
        assert status["pid"] not in (None, killed)
        assert (status["state"], status["restarts"]) == ("ready", 1)
        with redis.Redis.from_url(infra.redis_url + "/1") as client:
            assert client.get("kept") == b"yes"


def test_a_part_stopped_by_hand_stays_stopped_until_it_is_started():
    with api.infrastructure(parts=("redis",)) as infra:
        infra.stop("redis")
        [status] = infra.status()
        assert (status["state"], status["pid"]) == ("stopped", None)
        assert is_free(infra.ports["redis"])
        infra.start("redis")
        infra.wait_ready("redis")
        with pytest.raises(LookupError, match="no part nosuch"):
            infra.stop("nosuch")


def test_all_ports_are_free_and_the_folder_is_gone_after_the_end():
    with api.infrastructure(parts=("redis",)) as infra:
        assert not is_free(infra.ports["redis"])
        assert not is_free(infra.ports["guard"])
    assert all(is_free(infra.ports[name]) for name in Ports.NAMES)
    assert not infra.home.path.exists()


def test_one_that_exits_before_it_is_ready_fails_with_its_last_lines(home: Home):
    supervisor = run(home, script("broken", "echo first; echo the reason >&2; exit 3", ready=never))
    try:
        with pytest.raises(StartError, match=r"broken cannot start: it exited with 3\n  first\n  the reason"):
            supervisor.wait_ready()
    finally:
        supervisor.shutdown()


def test_a_one_shot_part_that_fails_fails_the_start_with_its_last_lines(home: Home):
    supervisor = run(
        home,
        script("schema", "echo first; echo the reason >&2; exit 3", one_shot=True),
        script("service", "exec sleep 1000", ready=always, needs=("schema",)),
    )
    try:
        with pytest.raises(StartError, match=r"schema cannot start: it exited with 3\n  first\n  the reason"):
            supervisor.wait_ready()
        assert states(supervisor)["service"] == "waiting"
    finally:
        supervisor.shutdown()
    assert states(supervisor) == {"schema": "failed", "service": "stopped"}


def test_one_that_never_gets_ready_is_ended_and_fails_with_the_probes_reason(home: Home):
    part = script("mute", "echo starting; exec sleep 1000", ready=never, start_timeout=0.5)
    supervisor = run(home, part)
    try:
        with pytest.raises(StartError, match=r"0 s: ConnectionRefusedError: nobody listens\n  starting"):
            supervisor.wait_ready()
    finally:
        supervisor.shutdown()


def test_a_server_that_cannot_start_tells_why(home: Home, ports: Ports):
    with socket.create_server(("127.0.0.1", ports["redis"])):
        [part] = parts.redis(home, ports)
        supervisor = run(home, part)
        try:
            with pytest.raises(StartError, match="Address already in use"):
                supervisor.wait_ready()
        finally:
            supervisor.shutdown()


def test_parts_start_after_what_they_need_and_stop_before_it(home: Home):
    seen: list[tuple[str, str]] = []
    trap = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"
    some = [
        script("base", trap, ready=always),
        script("middle", trap, ready=always, needs=("base",)),
        script("top", trap, ready=always, needs=("middle",)),
    ]
    supervisor = Supervisor(home, some, tell=lambda name, state: seen.append((name, state)))
    supervisor.start_all()
    supervisor.wait_ready()
    supervisor.shutdown()
    assert [name for name, state in seen if state == "ready"] == ["base", "middle", "top"]
    assert [name for name, state in seen if state == "stopped"] == ["top", "middle", "base"]


def test_a_part_outlasts_the_tidying_up_after_those_that_need_it(home: Home):
    trap, seen = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done", []
    base = script("base", trap, ready=always)
    supervisor = run(
        home,
        base,
        script("top", trap, ready=always, needs=("base",), tidy=lambda: seen.append(states(supervisor)["base"])),
    )
    supervisor.wait_ready()
    supervisor.shutdown()
    assert seen == ["ready"]


def test_one_that_ignores_the_signal_is_killed_after_its_grace_with_all_its_children(home: Home, tmp_path: Path):
    written = threading.Event()
    text = f"trap '' TERM; sleep 1000 & echo $! >{tmp_path}/child; echo written; while :; do sleep 1; done"
    part = script("deaf", text, ready=always, stop_grace=0.3)
    supervisor = Supervisor(home, [part], lambda line: written.set() if "written" in line else None)
    supervisor.start_all()
    supervisor.wait_ready()
    assert written.wait(10)
    child = int((tmp_path / "child").read_text())
    supervisor.shutdown()
    assert "did not stop in its grace" in (home.path / "log/all.log").read_text()
    assert start_ticks(child) is None


def test_each_line_carries_its_part_in_the_common_log(home: Home):
    supervisor = run(home, script("one", "echo a; echo b", one_shot=True), script("two", "echo c", one_shot=True))
    supervisor.wait_ready()
    supervisor.shutdown()
    lines = set((home.path / "log/all.log").read_text().splitlines())
    assert {"one          | a", "one          | b", "two          | c"} <= lines
    assert (home.path / "log/one.log").read_text() == "a\nb\n"


ORPHANS = """
import sys, threading
from pathlib import Path
from stack import api
with api.infrastructure(Path(sys.argv[1]), parts=("redis",)) as infra:
    print(infra.pid("redis"), flush=True)
    threading.Event().wait()
"""


def test_nothing_outlives_a_supervisor_that_is_killed(home: Home):
    with subprocess.Popen([sys.executable, "-c", ORPHANS, str(home.path)], stdout=subprocess.PIPE) as process:
        server = os.pidfd_open(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    try:
        assert select.select([server], [], [], 10)[0], "Redis still runs"
    finally:
        os.close(server)
    with api.infrastructure(home.path, parts=("redis",)) as infra:
        assert json.loads((home.path / "state.json").read_text())["parts"][0]["pid"] == infra.pid("redis")


def test_a_server_runs_in_a_folder_with_a_space_in_its_name(home: Home):
    with api.infrastructure(home.path / "my clone", ["redis"]) as stack:
        assert redis.Redis.from_url(stack.redis_url).set("key", "value")


def test_two_stacks_in_two_folders_share_no_port():
    with api.infrastructure(parts=("redis",)) as one, api.infrastructure(parts=("redis",)) as other:
        numbers = [{stack.ports[name] for name in Ports.NAMES} for stack in (one, other)]
        assert not numbers[0] & numbers[1]
