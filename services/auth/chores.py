"""What auth does without being asked: repeats revocations, sends mails, deletes what has expired."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from services.auth import reset_store, store
from services.kit.database import Database
from services.kit.errors import Fault
from services.kit.revocations import TTL_S, Revocations

log = logging.getLogger(__name__)

MAX_PAUSE_S = 30.0
PURGE_BATCH = 1000
# Every so many times the herald looks at all revocations that still matter, since Redis may have lost what it had.
THOROUGH = 30
# Otherwise at those of the last seconds.
RECENT_S = 10


class Chore:
    """Does `work` on a thread of its own: at once again while it returns True, else after `period_s` or a wake."""

    def __init__(self, name: str, work: Callable[[], bool], period_s: float):
        self._name, self._work, self._period_s = name, work, period_s
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Chore:
        self._thread.start()
        return self

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._closed.set()
        self._woken.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        pause_s = 0.1
        while not self._closed.is_set():
            self._woken.clear()
            try:
                if not self._work():
                    self._woken.wait(self._period_s * random.uniform(0.8, 1.2))
                pause_s = 0.1
            except Fault as error:
                log.warning("%s waits: %s", self._name, error)
                self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, MAX_PAUSE_S, max(self._period_s, 1))


class Herald:
    """Announces again what the database says has ended, in case that a server died between its commit and its
    announcement, or that Redis was away or came back empty."""

    def __init__(self, db: Database, revocations: Revocations, clock: Callable[[], datetime]):
        self._db, self._revocations, self._clock = db, revocations, clock
        self._round = 0

    def announce(self) -> bool:
        thorough, self._round = self._round % THOROUGH == 0, self._round + 1
        since = self._clock() - timedelta(seconds=TTL_S if thorough else RECENT_S)
        try:
            with self._db.reading() as tx:
                ended = store.list_revoked(tx, since)
            self._revocations.announce(ended, repeated=True)
        except Fault:
            self._round = 0
            raise
        return False


class Purge:
    def __init__(self, db: Database, clock: Callable[[], datetime]):
        self._db, self._clock = db, clock

    def purge(self) -> bool:
        with self._db.writing() as tx:
            return reset_store.purge(tx, self._clock(), PURGE_BATCH) == PURGE_BATCH
