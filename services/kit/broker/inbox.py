"""From queues to a store: each message at least once, acknowledged when it has been committed."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Iterable, Sequence

from services.kit.broker.consumer import Consumer, Delivery
from services.kit.broker.topology import Topology
from services.kit.errors import Fault

log = logging.getLogger(__name__)

MAX_PAUSE_S = 5.0


class Inbox:
    """One thread and one consumer; any number of inboxes may run on the same queues.

    store: commits a batch; on a Fault it gets the same batch again after a growing pause. What it fails on otherwise,
    alone, is left to the broker: it comes again after the next start, until the delivery limit makes it a dead letter.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        queues: Iterable[str],
        store: Callable[[Sequence[Delivery]], None],
        *,
        name: str,
        batch: int = 200,
    ):
        self._store_batch, self._name, self._batch = store, name, batch
        self._arrived: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._consumer = Consumer(url, topology, dict.fromkeys(queues, batch), self._receive, name=name)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
                    log.warning("%s: %d messages wait: %s", self._name, len(batch), fault.message)
                    self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                    pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def _store(self, batch: list[Delivery]) -> None:
        try:
            self._store_batch(batch)
        except Fault:
            raise
        except Exception:
            if len(batch) == 1:
                log.exception("%s cannot store a message of %s", self._name, batch[0].queue)
                return
            for delivery in batch:
                self._store([delivery])
            return
        # Only now: what was not committed must come again.
        self._consumer.ack(batch)
