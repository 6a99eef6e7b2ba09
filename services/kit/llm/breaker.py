"""A circuit breaker: after failures in a row, calls fail at once for a while, and then one tries for all."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator

from services.kit.errors import DeadlineExceeded, Unavailable


class Breaker:
    """failures: how many in a row open it. rest_s: for how long, give or take a fifth by chance, so that processes
    that lost the same server do not come back together."""

    def __init__(self, failures: int = 5, rest_s: float = 10.0, clock: Callable[[], float] = time.monotonic):
        self._most, self._rest_s, self._clock = failures, rest_s, clock
        self._lock = threading.Lock()
        self._failed = 0
        self._open_until: float | None = None
        self._probing = False

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Around one call. Unavailable and DeadlineExceeded in it are failures; whatever else it raises, the other
        side was there. Fails with Unavailable (MODEL_RESTING) instead of running it while the breaker is open."""
        probe = self._enter()
        try:
            yield
        except (Unavailable, DeadlineExceeded):
            self._fail(probe)
            raise
        except GeneratorExit:
            # A reader of a stream who leaves says nothing about the other side.
            self._leave(probe)
            raise
        except BaseException:
            self._succeed()
            raise
        self._succeed()

    def _enter(self) -> bool:
        """Whether this call is the one that finds out if the other side is back."""
        with self._lock:
            if self._open_until is None:
                return False
            left = self._open_until - self._clock()
            if left <= 0 and not self._probing:
                self._probing = True
                return True
        raise Unavailable("the model is left alone for a while", reason="MODEL_RESTING", retry_after_s=max(left, 1.0))

    def _succeed(self) -> None:
        with self._lock:
            self._failed, self._open_until, self._probing = 0, None, False

    def _leave(self, probe: bool) -> None:
        with self._lock:
            self._probing = self._probing and not probe

    def _fail(self, probe: bool) -> None:
        with self._lock:
            self._failed += 1
            if probe or (self._failed >= self._most and self._open_until is None):
                self._open_until = self._clock() + self._rest_s * random.uniform(0.8, 1.2)
            self._probing = self._probing and not probe
