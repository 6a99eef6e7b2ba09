"""What auth does without being asked: repeats revocations, sends mails, deletes what has expired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from services.auth import reset_store, store
from services.kit.database import Database
from services.kit.errors import Fault
from services.kit.revocations import TTL_S, Revocations

PURGE_BATCH = 1000
# Every so many times the herald looks at all revocations that still matter, since Redis may have lost what it had.
THOROUGH = 30
# Otherwise at those of the last seconds.
RECENT_S = 10


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
