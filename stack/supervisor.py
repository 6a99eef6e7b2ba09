"""Starts parts as soon as what they need is ready, keeps them running, and stops them in reverse."""

import collections
import contextlib
import json
import logging
import os
import random
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from stack.home import Home
from stack.parts import Part

WAITING, STARTING, READY, DONE = "waiting", "starting", "ready", "done"
BACKOFF, STOPPING, STOPPED, FAILED = "backoff", "stopping", "stopped", "failed"
READY_STATES = (READY, DONE)

BACKOFF_FIRST_S, BACKOFF_LAST_S, HEALTHY_AFTER_S = 0.25, 30.0, 30.0
PROBE_EVERY_S = 0.1
LEFTOVER_GRACE_S = 5
START_LIMIT_S = 180.0
LAST_LINES = 40
LOG_BYTES = 16 * 1024 * 1024


class StartError(Exception):
    """A part could not start; the text holds the reason and the last lines that it wrote."""


class Log:
    """One stream for all parts, with a prefix a part, beside a plain file a part."""

    def __init__(self, folder: Path, echo: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._echo = echo
        self._lock = threading.Lock()
        self._all = self.open("all")

    def open(self, name: str) -> Any:
        path = self._folder / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("a", encoding="utf-8", buffering=1)

    def line(self, name: str, text: str) -> None:
        line = f"{name:<13}| {text}\n"
        with self._lock:
            self._all.write(line)
            if self._echo:
                self._echo(line)

    def close(self) -> None:
        self._all.close()


class Supervisor:
    """Runs parts. All methods may be called from any thread."""

    def __init__(
        self,
        home: Home,
        parts: Iterable[Part],
        echo: Callable[[str], None] | None = None,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        """`echo` gets each line of the common log, `tell` the name and new state of a part that has changed."""
        self.home = home
        self.log = Log(home.path / "log", echo)
        self.tell = tell
        self.changed = threading.Condition()
        self.leaving = False
        self.error: StartError | None = None
        self._runners = {part.name: _Runner(self, part) for part in parts}
        for runner in self._runners.values():
            missing = set(runner.part.needs) - set(self._runners)
            if missing:
                raise ValueError(f"{runner.part.name} needs {sorted(missing)}, which are not among the parts")

    def start_all(self) -> None:
        self.notify()
        for runner in self._runners.values():
            runner.start()

    def wait_ready(self, *names: str, timeout: float = START_LIMIT_S) -> None:
        """Returns when these parts (all, when none is named) are ready. Fails with StartError, or TimeoutError."""
        runners = [self._named(name) for name in names or self._runners]
        with self.changed:
            if not self.changed.wait_for(lambda: self.error or all(r.is_ready for r in runners), timeout):
                late = ", ".join(f"{r.part.name} is {r.state}" for r in runners if not r.is_ready)
                raise TimeoutError(f"not ready after {timeout:.0f} s: {late}")
            if self.error:
                raise self.error

    def wait_state(self, name: str, *states: str, timeout: float = 60.0) -> None:
        runner = self._runners[name]
        with self.changed:
            if not self.changed.wait_for(lambda: runner.state in states, timeout):
                raise TimeoutError(f"{name} is {runner.state} after {timeout:.0f} s, not {' or '.join(states)}")

    def status(self) -> list[dict[str, Any]]:
        """One object a part, in the order given: name, pid (null when it does not run), port, state, restarts."""
        return [runner.status() for runner in self._runners.values()]

    def pid(self, name: str) -> int | None:
        return self._runners[name].pid

    def start(self, name: str) -> None:
        self._named(name).want(True)

    def stop(self, name: str) -> None:
        """Stops one part, with its grace, and leaves it stopped. Returns when it has ended."""
        self._named(name).want(False)
        self.wait_state(name, STOPPED, DONE)

    def signal(self, name: str, number: int) -> int:
        """Sends a signal to the part's whole process group and returns its pid. Fails with LookupError when it is not
        running."""
        return self._named(name).signal(number)

    def kill(self, name: str) -> int:
        """SIGKILL; returns the dead pid once the death was noticed. The part is started again, as after a crash."""
        pid = self.signal(name, signal.SIGKILL)
        with self.changed:
            if not self.changed.wait_for(lambda: self.pid(name) != pid, 10):
                raise TimeoutError(f"{name} (pid {pid}) does not die")
        return pid

    def shutdown(self) -> None:
        """Stops all parts, those first that nothing needs any more."""
        with self.changed:
            self.leaving = True
            self.notify()
        for runner in self._runners.values():
            if runner.ident is not None:
                runner.join()
        for runner in self._runners.values():
            runner.close()
        self.log.close()

    def _named(self, name: str) -> "_Runner":
        if name not in self._runners:
            raise LookupError(f"there is no part {name}; there are {', '.join(self._runners)}")
        return self._runners[name]

    def needed(self, name: str) -> bool:
        """Whether a part that has not come to its end needs this one."""
        return any(name in other.part.needs and not other.has_ended for other in self._runners.values())

    def needs_ready(self, part: Part) -> bool:
        return all(self._runners[need].is_ready for need in part.needs)

    def note(self, text: str) -> None:
        self.log.line("stack", text)

    def notify(self) -> None:
        """Tells waiters and the state file that a part has changed."""
        with self.changed:
            parts = self.status()
            state = {"boot": boot_id(), "supervisor": os.getpid(), "leaving": self.leaving, "parts": parts}
            self.home.write("state.json", json.dumps(state, indent=1))
            self.changed.notify_all()
            for runner in self._runners.values():
                runner.wake()


class _Runner(threading.Thread):
    """The life of one part. One thread spawns it, reads its output and waits for its end: the kernel sends the
    parent-death signal when the spawning *thread* ends, so that thread must outlive its process."""

    def __init__(self, supervisor: Supervisor, part: Part) -> None:
        super().__init__(name=f"stack-{part.name}", daemon=True)
        self.part = part
        self.state = WAITING
        self.restarts = 0
        self.pid: int | None = None
        self._started_ticks: int | None = None
        self._stack = supervisor
        self._wanted = True
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tail: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._was_ready = False

    def close(self) -> None:
        os.close(self._wake)

    @property
    def is_ready(self) -> bool:
        return self.state in READY_STATES

    @property
    def has_ended(self) -> bool:
        """Its process is gone, what it left is tidied up, and all have been told. True as well before it begins."""
        return self.ident is None or self.state in (STOPPED, DONE, FAILED)

    def status(self) -> dict[str, Any]:
        return {
            "name": self.part.name,
            "pid": self.pid,
            "port": self.part.port,
            "state": self.state,
            "restarts": self.restarts,
            "started": self._started_ticks,
        }

    def want(self, wanted: bool) -> None:
        with self._stack.changed:
            self._wanted = wanted
            if wanted and self.state == STOPPED:
                self._set(WAITING)
            self._stack.changed.notify_all()
        self.wake()

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def signal(self, number: int) -> int:
        with self._stack.changed:
            if self.pid is None:
                raise LookupError(f"{self.part.name} is not running")
            os.killpg(self.pid, number)
            return self.pid

    def _set(self, state: str, pid: int | None = None) -> None:
        with self._stack.changed:
            if state != self.state or pid != self.pid:
                self.state, self.pid = state, pid
                self._started_ticks = start_ticks(pid) if pid else None
                self._stack.notify()
                if self._stack.tell:
                    self._stack.tell(self.part.name, state)

    @property
    def _stopping(self) -> bool:
        return self._stack.leaving or not self._wanted

    def run(self) -> None:
        backoff = BACKOFF_FIRST_S
        self._pause_until(lambda: self._stack.needs_ready(self.part))
        while not self._stack.leaving:
            if not self._wanted:
                self._set(STOPPED)
                self._pause_until(lambda: self._wanted)
                continue
            began = time.monotonic()
            try:
                code, problem = self._run_once()
            except Exception as error:
                logging.getLogger(__name__).exception("%s", self.part.name)
                code, problem = None, f"{type(error).__name__}: {error}"
            if self._stopping:
                continue
            if self.part.one_shot and code == 0:
                self._was_ready = True
                self._set(DONE)
                self._pause_until(lambda: False)
                continue
            reason = problem or (f"was ended by signal {-code}" if code and code < 0 else f"exited with {code}")
            self._stack.note(f"{self.part.name} {reason}")
            if not self._was_ready:
                self._fail(reason)
                return
            if time.monotonic() - began > HEALTHY_AFTER_S:
                backoff = BACKOFF_FIRST_S
            self._set(BACKOFF)
            delay = backoff * random.uniform(0.5, 1.0)
            self._stack.note(f"{self.part.name} starts again in {delay:.2f} s")
            self._pause_until(lambda: not self._wanted, delay)
            backoff = min(backoff * 2, BACKOFF_LAST_S)
            self.restarts += 1
        self._set(DONE if self.state == DONE else STOPPED)

    def _fail(self, reason: str) -> None:
        last = "".join(f"\n  {line}" for line in self._tail)
        with self._stack.changed:
            self._stack.error = self._stack.error or StartError(f"{self.part.name} cannot start: it {reason}{last}")
            self._set(FAILED)

    def _pause_until(self, condition: Callable[[], bool], limit: float | None = None) -> None:
        """Waits for the condition, the limit or the end of the stack."""
        with self._stack.changed:
            self._stack.changed.wait_for(lambda: self._stack.leaving or condition(), limit)

    def _run_once(self) -> tuple[int | None, str | None]:
        """Starts the process and returns when it has ended: its exit code, and what went wrong if we ended it."""
        self._tail.clear()
        self._set(STARTING)
        if self.part.prepare:
            self.part.prepare()
        with contextlib.ExitStack() as resources:
            log = resources.enter_context(self._stack.log.open(self.part.name))
            process = subprocess.Popen(
                [*self._launcher(), *self.part.argv],
                cwd=self.part.cwd,
                env=dict(self.part.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            resources.enter_context(process.stdout)
            os.set_blocking(process.stdout.fileno(), False)
            ended = os.pidfd_open(process.pid)
            resources.callback(os.close, ended)
            self._set(STARTING, process.pid)
            problem = self._watch(process.stdout.fileno(), ended, _Lines(self, log))
            with self._stack.changed:
                # Before the leader is reaped its group cannot be another's: nothing of this part is left running.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
                self._set(STOPPING if self._stopping else BACKOFF)
        if self.part.tidy:
            self.part.tidy()
        return code, problem

    def _launcher(self) -> list[str]:
        # The signal reaches the part even when the supervisor is killed: nothing is orphaned.
        launcher = ["setpriv", "--pdeathsig", signal.Signals(self.part.stop_signal).name.removeprefix("SIG")]
        if self.part.user:
            launcher += [f"--reuid={self.part.user}", f"--regid={self.part.user}", "--clear-groups", "--inh-caps=-all"]
        return [*launcher, "--"]

    def _watch(self, output: int, ended: int, lines: "_Lines") -> str | None:
        """Follows the running process until it ends; probes it, stops it when asked, kills it when it is late."""
        poll = select.poll()
        for descriptor in (output, ended, self._wake):
            poll.register(descriptor, select.POLLIN)
        problem, kill_at, probe_at = None, None, 0.0
        start_by = time.monotonic() + self.part.start_timeout
        while True:
            waiting = self.state == STARTING and not self.part.one_shot
            events = dict(poll.poll(PROBE_EVERY_S * 1000 if waiting or kill_at else None))
            if output in events and not lines.pump(output):
                poll.unregister(output)
            if self._wake in events:
                os.eventfd_read(self._wake)
            if ended in events:
                lines.pump(output)
                lines.flush()
                return problem
            now = time.monotonic()
            if kill_at and now > kill_at:
                self._stack.note(f"{self.part.name} did not stop in its grace of {self.part.stop_grace:.0f} s: killed")
                self.signal(signal.SIGKILL)
                kill_at = now + self.part.stop_grace
            elif self._stopping and not kill_at:
                if self._stack.leaving and self._stack.needed(self.part.name):
                    continue
                self._set(STOPPING, self.pid)
                os.kill(self.pid, self.part.stop_signal)
                kill_at = now + self.part.stop_grace
            elif waiting and not kill_at and now >= probe_at:
                reason = self._probe()
                if reason is None:
                    self._was_ready = True
                    self._set(READY, self.pid)
                probe_at = time.monotonic() + PROBE_EVERY_S
                if reason and now > start_by:
                    problem = f"was not ready after {self.part.start_timeout:.0f} s: {reason}"
                    self.signal(signal.SIGKILL)
                    kill_at = now + self.part.stop_grace

    def _probe(self) -> str | None:
        """None when the part is ready, else why it is not."""
        try:
            self.part.ready()
        except Exception as error:  # noqa: BLE001 - each server's client has its own errors, and each means "not yet"
            return f"{type(error).__name__}: {error}"
        return None

    def remember(self, line: str) -> None:
        self._tail.append(line)
        self._stack.log.line(self.part.name, line)


class _Lines:
    """Splits what a process writes into lines, for its own log and for the common one."""

    def __init__(self, runner: _Runner, log: Any) -> None:
        self._runner = runner
        self._log = log
        self._rest = ""

    def pump(self, descriptor: int) -> bool:
        """Reads what is there. False at the end of the output."""
        while True:
            try:
                chunk = os.read(descriptor, 65536)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            *whole, self._rest = (self._rest + chunk.decode(errors="replace")).split("\n")
            for line in whole:
                self._log.write(line + "\n")
                self._runner.remember(line)

    def flush(self) -> None:
        if self._rest:
            self._log.write(self._rest + "\n")
            self._runner.remember(self._rest)
            self._rest = ""


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; with its pid this names it for good. None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = fields.rpartition(")")[2].split()
    return None if after_name[0] == "Z" else int(after_name[19])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def end_leftovers(home: Home) -> None:
    """Ends parts of a supervisor that was killed: they have had their parent-death signal and may be on the way out."""
    file = home.path / "state.json"
    if not file.exists():
        return
    state = json.loads(file.read_text())
    if state["boot"] != boot_id():
        return
    for part in state["parts"]:
        if not part["pid"] or start_ticks(part["pid"]) != part["started"]:
            continue
        with contextlib.suppress(ProcessLookupError), contextlib.ExitStack() as resources:
            ended = os.pidfd_open(part["pid"])
            resources.callback(os.close, ended)
            if not select.select([ended], [], [], LEFTOVER_GRACE_S)[0]:
                os.killpg(part["pid"], signal.SIGKILL)
                select.select([ended], [], [], LEFTOVER_GRACE_S)
