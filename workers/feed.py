"""A thread that tells a sibling what the journal holds, for as long as it takes."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from services.kit.errors import Fault

log = logging.getLogger(__name__)

# A batch of so many says that there is load, and the next one waits so long for company.
_BUSY, _GATHER_S = 64, 0.03


class Feed:
    """push: sends one batch and returns how much it was; what it raises is tried again after a growing pause.
    full: the most that a batch takes, after which the next one goes at once.
    woken: set by whoever left something to send. idle_s: the longest pause, whatever happened. longest_s: the longest
    pause between failures."""

    def __init__(
        self, name: str, push: Callable[[], int], woken: threading.Event, *, full: int, idle_s: float, longest_s: float
    ):
        self._name, self._push, self._woken = name, push, woken
        self._full, self._idle_s, self._longest_s = full, idle_s, longest_s
        self._closing = threading.Event()
        self._until = float("inf")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, grace_s: float) -> None:
        """Send what is left, for at most that long; the rest stays in the journal and goes after the next start."""
        self._until = time.monotonic() + grace_s
        self._closing.set()
        self._woken.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.1
        while not (self._closing.is_set() and time.monotonic() >= self._until):
            self._woken.clear()
            try:
                sent = self._push()
            except Exception as error:
                # A sibling that is away is expected, and its stack says nothing. Anything else must not leave a process
                # that looks alive and tells nobody.
                stack = None if isinstance(error, Fault) else error
                log.warning("%s waits: %s", self._name, error, exc_info=stack)
                if self._closing.wait(pause_s * random.uniform(0.5, 1.5)):
                    time.sleep(0.1)
                pause_s = min(pause_s * 2, self._longest_s)
                continue
            pause_s = 0.1
            if not sent:
                if self._closing.is_set():
                    return
                self._woken.wait(self._idle_s)
            elif _BUSY <= sent < self._full:
                # Under load a few large batches cost everyone less than many small ones.
                self._closing.wait(_GATHER_S)
