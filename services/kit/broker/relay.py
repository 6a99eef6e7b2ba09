"""From an outbox to the broker: each message at least once, never before its transaction has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from typing import Any, NamedTuple

from services.kit.broker.publisher import Message, Publisher
from services.kit.chores import Chore
from services.kit.database import Database
from services.kit.errors import Unavailable

BATCH = 200
# Rows that another replica left behind are found after this long.
IDLE_S = 1.0
# Below the login role's idle_in_transaction_session_timeout: rows stay locked while the broker confirms.
CONFIRM_S = 6.0


class Outbox(NamedTuple):
    """A table of messages that were committed and are not sent yet.

    take: (transaction, most) → the oldest rows, each with an `id`, that nobody else holds; held by this transaction
    now. pack: a row → its message. forget: (transaction, ids) deletes rows.
    """

    take: Callable[[Any, int], Sequence[Any]]
    pack: Callable[[Any], Message]
    forget: Callable[[Any, Iterable[Any]], None]


class Relay(Chore):
    """One thread; `wake` after a commit. Any number may run: rows that one holds are skipped by the others."""

    def __init__(self, database: Database, publisher: Publisher, outbox: Outbox):
        super().__init__("relay", lambda: self.relay() == BATCH, IDLE_S)
        self._database, self._publisher, self._outbox = database, publisher, outbox

    def relay(self) -> int:
        """Publish one batch and return how many messages the broker took. Fails with Unavailable when it took none."""
        with self._database.writing() as tx:
            rows = self._outbox.take(tx, BATCH)
            sent = self._publisher.publish(map(self._outbox.pack, rows))
            futures.wait(sent, CONFIRM_S)
            taken = [row.id for row, each in zip(rows, sent, strict=True) if each.done() and each.exception() is None]
            self._outbox.forget(tx, taken)
        if rows and not taken:
            unconfirmed = Unavailable("the broker did not confirm in time", reason="BROKER_UNAVAILABLE")
            raise next((each.exception() for each in sent if each.done()), unconfirmed)
        return len(taken)
