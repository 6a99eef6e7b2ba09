"""From the dead-letter queues to the table, where dead letters can be seen, searched and replayed."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import protovalidate
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from google.protobuf.message import DecodeError

from services.kit.broker import Consumer, Delivery, Topology, headers
from services.kit.database import Database
from services.kit.errors import Fault
from services.tasks import dead_store

log = logging.getLogger(__name__)

MAX_PAUSE_S = 5.0


class Drain:
    """One thread and one consumer. Any number may run; a copy that comes twice is kept once."""

    def __init__(self, database: Database, rabbitmq_url: str, topology: Topology, *, batch: int = 200):
        self._database, self._batch = database, batch
        self._arrived: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        prefetch = {f"{name}.dead": batch for name in topology.queues}
        self._consumer = Consumer(rabbitmq_url, topology, prefetch, self._receive, name="tasks-dead-letters")
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._consumer.start()

    def close(self) -> None:
        """What is not stored yet stays with the broker."""
        self._closed.set()
        self._arrived.put(None)
        self._thread.join(timeout=MAX_PAUSE_S)
        self._consumer.close()

    def _receive(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._arrived.put(delivery)

    def _run(self) -> None:
        pause_s = 0.1
        while (first := self._arrived.get()) is not None:
            batch = [first]
            while len(batch) < self._batch and not self._arrived.empty():
                if (delivery := self._arrived.get()) is None:
                    return
                batch.append(delivery)
            while not self._closed.is_set():
                try:
                    self._store(batch)
                    pause_s = 0.1
                    break
                except Fault as fault:
                    log.warning("%d dead letters wait: %s", len(batch), fault.message)
                    self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                    pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def _store(self, batch: list[Delivery]) -> None:
        try:
            with self._database.writing() as tx:
                new = dead_store.create_dead_letters(tx, [to_row(delivery) for delivery in batch])
        except sa.exc.DBAPIError:
            if len(batch) == 1:
                # Never dropped: unacknowledged, it stays with the broker, and comes again after the next start.
                log.exception("a dead letter of %s cannot be stored", batch[0].queue)
                return
            for delivery in batch:
                self._store([delivery])
            return
        # Only now: what was not committed must come again.
        self._consumer.ack(batch)
        log.warning("%d dead letters", new)


def to_row(delivery: Delivery) -> dict[str, Any]:
    """As dead_store.create_dead_letters takes it."""
    told, name = delivery.headers, delivery.queue.removesuffix(".dead")
    task_id = user_id = None
    try:
        job = AnalysisJob.FromString(delivery.body)
        protovalidate.validate(job)
        task_id, user_id = f"{job.analysis_id}:{name.removesuffix('_queue')}", job.user_id
    except (DecodeError, protovalidate.ValidationError) as problem:
        log.info("a dead letter of %s is no job: %s", name, problem)
    reason, error = told.get(headers.REASON), told.get(headers.ERROR, "")
    if not reason:
        deaths = told.get(headers.DEATHS) or [{}]
        reason = str(deaths[0].get("reason", "unknown")).upper()
        error = "the broker gave it up: no worker that took it ever said how it went"
    return {
        "id": uuids.uuid7(),
        "key": task_id or hashlib.sha256(delivery.body).hexdigest(),
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


def _plain(value: Any) -> Any:
    """A header as JSON and PostgreSQL take it: its strings without NUL, and what is no JSON as text."""
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if value is None or isinstance(value, bool | int):
        return value
    return str(value).replace("\0", "\ufffd")
