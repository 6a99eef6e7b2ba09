"""From the dead-letter queues to the table, where dead letters can be seen, searched and replayed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import protovalidate
import uuid_utils.compat as uuids
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from google.protobuf.message import DecodeError

from services.kit import tombstones
from services.kit.broker import Delivery, Inbox, Topology, headers
from services.kit.database import Database
from services.tasks import dead_store

log = logging.getLogger(__name__)


class Drain(Inbox):
    """Any number may run; a copy that comes twice is kept once."""

    def __init__(self, database: Database, rabbitmq_url: str, topology: Topology, *, batch: int = 200):
        self._database = database
        queues = [f"{name}.dead" for name in topology.queues]
        super().__init__(rabbitmq_url, topology, queues, self._keep, name="tasks-dead-letters", batch=batch)

    def _keep(self, batch: Sequence[Delivery]) -> None:
        rows = [to_row(delivery) for delivery in batch]
        with self._database.writing() as tx:
            erased = tombstones.find_buried(tx, {row["user_id"] for row in rows if row["user_id"]})
            new = dead_store.create_dead_letters(tx, [row for row in rows if row["user_id"] not in erased])
        log.warning("%d dead letters", new)


def to_row(delivery: Delivery) -> dict[str, Any]:
    """As dead_store.create_dead_letters takes it."""
    told, name = delivery.headers, delivery.queue.removesuffix(".dead")
    task_id = user_id = None
    try:
        job = AnalysisJob.FromString(delivery.body)
        protovalidate.validate(job)
        task_id, user_id = f"{job.analysis_id}:{name.removesuffix('_queue')}", job.user_id.lower()
    except (DecodeError, protovalidate.ValidationError) as problem:
        log.info("a dead letter of %s is no job: %s", name, problem)
    reason, error = told.get(headers.REASON), told.get(headers.ERROR, "")
    if not reason:
        deaths = told.get(headers.DEATHS) or [{}]
        reason = str(deaths[0].get("reason", "unknown")).upper()
        error = "the broker gave it up: no worker that took it ever said how it went"
    return {
        "id": uuids.uuid7(),
        "key": task_id or key_of(delivery),
        "task_id": task_id,
        "queue": name,
        "attempt": headers.attempt_of(told),
        "user_id": user_id,
        "reason": _plain(str(reason))[:100],
        "error": _plain(str(error)),
        "stack": _plain(str(told.get(headers.STACK, ""))),
        "payload": delivery.body,
        "headers": json.dumps(_plain({key: told[key] for key in told if key not in (headers.ERROR, headers.STACK)})),
    }


def key_of(delivery: Delivery) -> str:
    """What tells one message that is no job from another, though their bytes be equal.

    A nameless one that somebody had before may be kept already under the name that it got then: it counts as a copy if
    any with the same bytes is there.
    """
    digest = hashlib.sha256(delivery.body).hexdigest()
    if not delivery.message_id:
        return digest
    return f"{digest}:{hashlib.sha256(delivery.message_id.encode()).hexdigest()}"


def _plain(value: Any) -> Any:
    """A header as JSON and PostgreSQL take it: its strings without NUL, and what is no JSON as text."""
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if value is None or isinstance(value, bool | int):
        return value
    return str(value).replace("\0", "\ufffd")
