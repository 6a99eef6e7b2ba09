"""One supervisor a data folder, in a process of its own: started, asked and stopped from the command line."""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from stack import mesh
from stack.home import CHECKOUT, Home, HomeError, claim_ports
from stack.supervisor import (
    READY_STATES,
    START_LIMIT_S,
    STARTING,
    STOPPED,
    WAITING,
    StartError,
    Supervisor,
    end_leftovers,
)

# Longer than all graces in a row.
STOP_LIMIT_S = 120.0
ASK_LIMIT_S = 60.0

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# struct flock on 64-bit Linux: type, whence, start, length, pid.
FLOCK = "hhqqi"


class AskedToStop(BaseException):
    """A signal asked the supervisor to stop; raised in its main thread, wherever that waits."""


def up(home: Home, edge_port: int, only: list[str]) -> int:
    """Starts a supervisor that outlives us. Returns 0 when every part is ready, 1 with the reason when one is not."""
    if is_up(home):
        return _join(home)
    if running := holder(home):
        print("waiting for what is stopping", flush=True)
        _wait_end(running)
    with (home.path / "log/supervisor.log").open("a") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "stack", "daemon", "--only", *only],
            cwd=CHECKOUT,
            env=os.environ | {"ECO2_HOME": str(home.path), "ECO2_PORT": str(edge_port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    began = time.monotonic()
    try:
        for line in daemon.stdout:
            event = json.loads(line)
            if event.get("state") in READY_STATES:
                print(f"{time.monotonic() - began:6.1f} s  {event['part']}", flush=True)
            elif "error" in event:
                sys.stderr.write(event["error"] + "\n")
            elif "up" in event:
                return _say_addresses(home)
    except KeyboardInterrupt:
        daemon.terminate()
        daemon.wait(STOP_LIMIT_S)
        raise
    daemon.wait(STOP_LIMIT_S)
    sys.stderr.write(f"the stack did not start; its logs are in {home.path / 'log'}\n")
    return 1


def _join(home: Home) -> int:
    """Another `up` was first: wait until what it starts is ready."""
    print("already running")
    give_up = time.monotonic() + START_LIMIT_S
    while holder(home) and time.monotonic() < give_up:
        parts = status(home)
        if parts and not any(part["state"] in (WAITING, STARTING) for part in parts):
            break
        time.sleep(0.2)
    late = [part["name"] for part in status(home) if part["state"] not in READY_STATES]
    if late or not holder(home):
        sys.stderr.write(f"not ready: {', '.join(late)}; see `make status`\n")
        return 1
    return _say_addresses(home)


def down(home: Home) -> int:
    pid = holder(home)
    if pid is None:
        print("not running")
        return 0
    _wait_end(pid, signal.SIGTERM)
    print("stopped")
    return 0


def is_up(home: Home) -> bool:
    """Whether a supervisor runs here that nobody has asked to stop."""
    state, pid = _state(home), holder(home)
    return pid is not None and not (pid == state["supervisor"] and state.get("leaving"))


def _wait_end(pid: int, number: int = 0) -> None:
    """Sends the supervisor this signal (0 sends none) and returns when it has ended."""
    with contextlib.ExitStack() as resources:
        try:
            supervisor = os.pidfd_open(pid)
            resources.callback(os.close, supervisor)
            signal.pidfd_send_signal(supervisor, number)
        except ProcessLookupError:
            return
        if not select.select([supervisor], [], [], STOP_LIMIT_S)[0]:
            raise HomeError(f"the supervisor (pid {pid}) has not ended after {STOP_LIMIT_S:.0f} s")


def status(home: Home) -> list[dict[str, Any]]:
    """The parts as the supervisor sees them; all stopped when there is none; empty when it is just starting."""
    state, pid = _state(home), holder(home)
    if pid is None:
        return [part | {"pid": None, "state": STOPPED, "restarts": 0} for part in state["parts"]]
    return state["parts"] if state["supervisor"] == pid else []


def _state(home: Home) -> dict[str, Any]:
    """What the last supervisor wrote of itself and its parts."""
    file = home.path / "state.json"
    return json.loads(file.read_text()) if file.exists() else {"supervisor": None, "parts": []}


def ask(home: Home, what: str, part: str) -> int:
    """Has the running supervisor start or stop one part. Returns when that has happened."""
    if not holder(home):
        raise HomeError("not running")
    with socket.socket(socket.AF_UNIX) as connection, _socket_path(home) as path:
        connection.settimeout(ASK_LIMIT_S)
        connection.connect(path)
        connection.sendall(json.dumps({"do": what, "part": part}).encode() + b"\n")
        with connection.makefile() as answers:
            answer = json.loads(answers.readline())
    if answer["error"]:
        raise HomeError(answer["error"])
    return 0


def serve(home: Home, edge_port: int, only: list[str], echo: Callable[[str], None] | None) -> int:
    """Supervises until a signal asks to stop. Without `echo` it tells its progress on stdout, a JSON object a line."""

    def tell(**event: object) -> None:
        # Whoever started us may have left; that is no reason to stop.
        with contextlib.suppress(BrokenPipeError):
            if echo is None:
                os.write(1, json.dumps(event).encode() + b"\n")

    for number in ASKING:
        signal.signal(number, _stop)
    try:
        with contextlib.ExitStack() as resources:
            resources.enter_context(_held(home))
            end_leftovers(home)
            ports = claim_ports(home, edge=edge_port)
            resources.callback(ports.release)
            parts = mesh.chosen(mesh.everything(home, ports), only)
            supervisor = Supervisor(home, parts, echo, lambda part, state: tell(part=part, state=state))
            resources.callback(supervisor.shutdown)
            supervisor.start_all()
            resources.enter_context(_listening(home, supervisor))
            supervisor.wait_ready()
            supervisor.note(f"everything is ready at http://127.0.0.1:{ports['edge']}")
            tell(up=True)
            threading.Event().wait()
    except AskedToStop:
        return 0
    except (HomeError, StartError, TimeoutError) as error:
        tell(error=str(error))
        if echo:
            sys.stderr.write(f"{error}\n")
    return 1


def addresses(home: Home) -> dict[str, int]:
    """The port of each name in `Ports.NAMES`, of the stack that runs or ran last."""
    return json.loads((home.path / "ports.json").read_text())


def holder(home: Home) -> int | None:
    """The pid of the supervisor of this folder. Asks the kernel, so a crash or a reboot leaves nothing stale."""
    with (home.path / "lock").open("a") as file:
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else pid


def _say_addresses(home: Home) -> int:
    ports = addresses(home)
    edge = f"127.0.0.1:{ports['edge']}"
    rabbitmq = f"http://127.0.0.1:{ports['rabbitmq_management']}"
    lines = {
        "REST and pages": f"http://{edge}",
        "gRPC": f".venv/bin/grpcurl -plaintext {edge} list",
        "RabbitMQ": f"{rabbitmq} (user eco2, password in {home.path / 'secrets/rabbitmq'})",
        "log": str(home.path / "log/all.log"),
    }
    for what, where in lines.items():
        print(f"{what:<16}{where}")
    return 0


def _stop(*_: object) -> NoReturn:
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)
    raise AskedToStop


@contextlib.contextmanager
def _held(home: Home) -> Iterator[None]:
    """The lock of the one supervisor of a data folder."""
    with (home.path / "lock").open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HomeError(f"a supervisor runs already in {home.path}") from None
        yield


@contextlib.contextmanager
def _socket_path(home: Home) -> Iterator[str]:
    """A path of the control socket that is short enough: the real one may exceed the 107 bytes it may have."""
    folder = os.open(home.path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/control"
    finally:
        os.close(folder)


@contextlib.contextmanager
def _listening(home: Home, supervisor: Supervisor) -> Iterator[None]:
    """Answers `ask` in a thread of its own; only this user can connect."""
    (home.path / "control").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with _socket_path(home) as path:
        listener.bind(path)
    (home.path / "control").chmod(0o600)
    listener.listen()

    def answer() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as stream:
                connection.settimeout(ASK_LIMIT_S)
                # A client that went away, or sent no request, gets no answer.
                with contextlib.suppress(OSError, ValueError):
                    stream.write(json.dumps({"error": _obey(supervisor, json.loads(stream.readline()))}) + "\n")
                    stream.flush()

    threading.Thread(target=answer, name="control", daemon=True).start()
    yield


def _obey(supervisor: Supervisor, request: dict[str, str]) -> str | None:
    part = request["part"]
    try:
        if request["do"] == "stop":
            supervisor.stop(part)
        else:
            supervisor.start(part)
            supervisor.wait_ready(part, timeout=ASK_LIMIT_S)
    except (LookupError, StartError, TimeoutError) as error:
        return str(error)
    return None
