"""From the table back to the work queues: each dead letter once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent import futures
from typing import Any

from services.kit import telemetry
from services.kit.broker import Message, Publisher, headers
from services.kit.database import Database
from services.kit.errors import Unavailable
from services.tasks import dead_store

log = logging.getLogger(__name__)

# Below the login role's idle_in_transaction_session_timeout: rows stay locked while the broker confirms.
CONFIRM_S = 6.0


def replay(
    database: Database, publisher: Publisher, filters: dead_store.Filters, most: int, replayed_by: str
) -> tuple[Sequence[Any], int]:
    """Publish the oldest that match and mark what the broker confirmed. Those, and how many still match.

    A crash before the commit, or a confirmation that is lost, leaves a row waiting whose message is out: the next
    replay sends the same attempt again, which the worker's journal recognises. Fails with UNAVAILABLE
    (BROKER_UNAVAILABLE) when the broker confirmed none.
    """
    with database.writing() as tx:
        rows = dead_store.find_waiting(tx, filters, most, lock=True)
        sent = publisher.publish(to_message(row) for row in rows)
        futures.wait(sent, CONFIRM_S)
        taken = [row.id for row, each in zip(rows, sent, strict=True) if each.done() and each.exception() is None]
        replayed = dead_store.update_replayed(tx, taken, replayed_by)
        remaining = dead_store.count_waiting(tx, filters)
    if rows and not taken:
        unconfirmed = Unavailable("the broker did not confirm in time", reason="BROKER_UNAVAILABLE")
        raise next((each.exception() for each in sent if each.done()), unconfirmed)
    log.warning("%s replayed %d dead letters, %d remain", replayed_by, len(replayed), remaining)
    return replayed, remaining


def to_message(row) -> Message:
    """A new round of tries: one attempt more, so that no worker takes it for what it knows already."""
    attempt = row.attempt + 1
    told = {
        telemetry.REQUEST_ID: str(row.headers.get(telemetry.REQUEST_ID, "")),
        headers.ATTEMPT: attempt,
        headers.FIRST_ATTEMPT: attempt,
    }
    return Message(row.queue, row.payload, told)
