"""Worker processes to kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WORKERS = 2
WAIT_S = 120


class Pair:
    """Worker processes, each with a journal of its own, started again after each kill."""

    def __init__(self, folder: Path, *arguments: str, after: Sequence[str] = ()):
        self._folder, self._arguments, self._after = folder, arguments, after
        self._log = (folder / "log").open("ab")
        self._processes = [self._start(number) for number in range(WORKERS)]

    def _start(self, number: int) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.faults.noop_worker", *self._arguments]
        command += [str(self._folder / str(number)), *self._after]
        environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
        return subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log)

    def kill(self, number: int) -> None:
        assert self._processes[number].poll() is None, "a worker ended by itself; its log says why"
        self._processes[number].kill()
        self._processes[number].wait(WAIT_S)
        self._processes[number] = self._start(number)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(WAIT_S)
        self._log.close()
