"""`python -m stack`, as a person runs it."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stack import api, daemon
from stack.home import CHECKOUT, Home, claim_ports, is_free
from stack.supervisor import start_ticks

Stack = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home() -> Iterator[Home]:
    with api.data_folder(None) as folder:
        yield folder


@pytest.fixture
def stack(home: Home) -> Iterator[Stack]:
    ports = claim_ports(home, anywhere=True)
    ports.release()
    env = os.environ | {"ECO2_HOME": str(home.path), "ECO2_PORT": str(ports["edge"])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stack", *arguments]
        return subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=120, check=False)

    yield run
    assert run("down").returncode == 0


def parts(stack: Stack) -> dict[str, Any]:
    return {part["name"]: part for part in json.loads(stack("status", "--json").stdout)}


def test_up_status_down(home: Home, stack: Stack):
    assert stack("status").returncode == 1
    up = stack("up", "--only", "redis")
    assert up.returncode == 0, up.stderr
    ports = daemon.addresses(home)
    assert f"http://127.0.0.1:{ports['edge']}" in up.stdout
    again = stack("up", "--only", "redis")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "already running")
    redis = parts(stack)["redis"]
    assert redis == {"name": "redis", "pid": redis["pid"], "port": ports["redis"], "state": "ready"}
    assert start_ticks(redis["pid"])
    assert stack("status").returncode == 0
    assert stack("down").returncode == 0
    assert start_ticks(redis["pid"]) is None
    assert is_free(ports["redis"])
    assert parts(stack)["redis"] == redis | {"pid": None, "state": "stopped"}


def test_a_part_is_stopped_and_started_by_hand(stack: Stack):
    assert stack("start", "redis").returncode == 1
    assert stack("up", "--only", "redis").returncode == 0
    first = parts(stack)["redis"]["pid"]
    assert stack("stop", "redis").returncode == 0
    assert parts(stack)["redis"]["state"] == "stopped"
    assert stack("status").returncode == 1
    assert stack("start", "redis").returncode == 0
    assert parts(stack)["redis"]["pid"] not in (None, first)
    wrong = stack("stop", "nosuch")
    assert (wrong.returncode, "no part nosuch" in wrong.stderr) == (1, True)


def test_a_part_that_cannot_start_ends_up_with_its_last_lines_and_stops_the_rest(home: Home, stack: Stack):
    log = home.folder("redis") / "appendonlydir"
    log.write_text("a file where Redis wants its folder")
    up = stack("up", "--only", "redis", "epmd")
    assert up.returncode == 1
    assert "redis cannot start" in up.stderr
    assert "appendonlydir" in up.stderr
    assert daemon.holder(home) is None
    assert {part["state"] for part in parts(stack).values()} == {"stopped"}


def test_up_waits_for_what_is_stopping_and_starts_anew(home: Home, stack: Stack):
    assert stack("up", "--only", "redis").returncode == 0
    first = parts(stack)["redis"]["pid"]
    # A part that is stopped cannot end before its grace is over.
    os.kill(first, signal.SIGSTOP)
    os.kill(daemon.holder(home), signal.SIGTERM)
    while parts(stack)["redis"]["state"] != "stopping":
        continue
    up = stack("up", "--only", "redis")
    assert (up.returncode, up.stdout.splitlines()[0]) == (0, "waiting for what is stopping"), up.stderr
    assert parts(stack)["redis"]["pid"] not in (None, first)


def test_a_supervisor_that_was_killed_leaves_nothing_stale(home: Home, stack: Stack):
    assert stack("up", "--only", "redis").returncode == 0
    supervisor = os.pidfd_open(daemon.holder(home))
    signal.pidfd_send_signal(supervisor, signal.SIGKILL)
    assert select.select([supervisor], [], [], 60)[0]
    os.close(supervisor)
    assert parts(stack)["redis"]["state"] == "stopped"
    assert stack("up", "--only", "redis").returncode == 0
    assert parts(stack)["redis"]["state"] == "ready"
