"""From the outbox to the broker: each message at least once, never before its transaction has committed."""

from __future__ import annotations

import logging
import random
import threading
from concurrent import futures

from services.kit import telemetry
from services.kit.broker import Message, Publisher
from services.kit.database import Database
from services.kit.errors import Fault
from services.waste import store

log = logging.getLogger(__name__)

BATCH = 200
# Rows that another replica left behind are found after this long.
IDLE_S = 1.0
# Below the login role's idle_in_transaction_session_timeout: rows stay locked while the broker confirms.
CONFIRM_S = 6.0
MAX_PAUSE_S = 5.0


class Relay:
    """One thread. Any number of relays may run: rows that one holds are skipped by the others."""

    def __init__(self, database: Database, publisher: Publisher):
        self._database, self._publisher = database, publisher
        self._woken, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something has been committed."""
        self._woken.set()

    def close(self) -> None:
        self._closed.set()
        self._woken.set()
        self._thread.join(timeout=CONFIRM_S + 2)

    def relay(self) -> int:
        """Publish one batch and return how many messages the broker took. Fails with Unavailable when it took none."""
        with self._database.writing() as tx:
            rows = store.list_messages(tx, BATCH)
            sent = self._publisher.publish(
                Message(row.queue, row.body, {telemetry.REQUEST_ID: row.request_id}) for row in rows
            )
            futures.wait(sent, CONFIRM_S)
            taken = [row.id for row, each in zip(rows, sent, strict=True) if each.done() and each.exception() is None]
            store.delete_messages(tx, taken)
        if rows and not taken:
            raise next((each.exception() for each in sent if each.done()), TimeoutError("the broker did not confirm"))
        return len(taken)

    def _run(self) -> None:
        pause_s = 0.1
        while not self._closed.is_set():
            self._woken.clear()
            try:
                if self.relay() < BATCH:
                    self._woken.wait(IDLE_S)
                pause_s = 0.1
            except (Fault, TimeoutError) as error:
                log.warning("the outbox waits: %s", error)
                self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
