"""What a process does without being asked."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from services.kit.errors import Fault

log = logging.getLogger(__name__)


class Chore:
    """Does `work` on a thread of its own: at once again while it returns True, else after a wake or about `period_s`.

    A Fault is tried again after a pause that grows, with jitter, up to `longest_s`. Anything else ends the thread, and
    with it the process (kit.telemetry).
    """

    def __init__(self, name: str, work: Callable[[], bool], period_s: float, longest_s: float = 5.0):
        self._name, self._work, self._period_s, self._longest_s = name, work, period_s, longest_s
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Chore:
        self._thread.start()
        return self

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def close(self, timeout_s: float = 10.0) -> None:
        self._closed.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.1
        while not self._closed.is_set():
            self._woken.clear()
            try:
                if not self._work() and not self._closed.is_set():
                    self._woken.wait(self._period_s * random.uniform(0.8, 1.2))
                pause_s = 0.1
            except Fault as fault:
                log.warning("%s waits: %s", self._name, fault.message)
                self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, self._longest_s)
