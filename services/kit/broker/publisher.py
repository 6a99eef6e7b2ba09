"""Publishing with confirms."""

from __future__ import annotations

import collections
import dataclasses
import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent import futures
from concurrent.futures import Future
from typing import Any

import pika

from services.kit.broker.link import Link
from services.kit.broker.topology import Topology
from services.kit.errors import Unavailable

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """exchange: empty for the topology's own. ttl_ms: life in the queue, or the queue's own when None."""

    routing_key: str
    body: bytes
    headers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    exchange: str = ""
    ttl_ms: int | None = None


class Publisher(Link):
    """Publishes durable messages and says of each when the broker has it.

    window: how many may be unconfirmed at once; more wait here, in order. timeout_s: after that a message has failed,
    though the broker may still have got it. One that the broker refuses, as it does while a queue has no leader, is
    sent again until then.
    """

    def __init__(
        self, url: str, topology: Topology, *, name: str = "publisher", window: int = 500, timeout_s: float = 30.0
    ):
        super().__init__(url, topology, name)
        self._window, self._timeout_s = window, timeout_s
        self._waiting: collections.deque[tuple[Message, Future, float]] = collections.deque()
        self._unconfirmed: dict[int, tuple[Message, Future, float]] = {}
        self._refused: list[tuple[Message, Future, float]] = []
        self._returned: set[int] = set()
        self._tag, self._session = 0, ""
        self._confirming = self._refusing = False
        self._thread.start()

    def publish(self, messages: Iterable[Message]) -> list[Future]:
        """A future each: None once confirmed; Unavailable when returned, late, or the connection was lost.

        Never blocks. A future's callbacks run on the connection's thread.
        """
        deadline = time.monotonic() + self._timeout_s
        entries = [(message, Future(), deadline) for message in messages]
        with self._lock:
            closed = self._refusing
            if not closed:
                self._waiting.extend(entries)
        if closed:
            for _, future, _ in entries:
                future.set_exception(_unpublished("closed"))
        self._schedule(self._pump)
        return [future for _, future, _ in entries]

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for what is on its way, at most that long, then disconnect; what is left has failed."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            self._refusing = True
        left = [*list(self._waiting), *list(self._refused), *list(self._unconfirmed.values())]
        futures.wait([future for _, future, _ in left], timeout_s)
        self._stop(max(1.0, deadline - time.monotonic()))
        for _, future, _ in (*self._waiting, *self._refused):
            future.set_exception(_unpublished("closed"))
        self._waiting.clear()
        self._refused.clear()

    def _begin(self, channel) -> None:
        self._tag, self._session = 0, uuid.uuid4().hex
        channel.add_on_return_callback(
            lambda _c, _m, properties, _b: self._returned.add(int(properties.message_id.rpartition(".")[2]))
        )
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._start_sending())

    def _start_sending(self) -> None:
        self._confirming = True
        self._pump()

    def _pump(self) -> None:
        while self._open and self._confirming and self._waiting and len(self._unconfirmed) < self._window:
            message, future, deadline = self._waiting.popleft()
            self._tag += 1
            self._unconfirmed[self._tag] = (message, future, deadline)
            properties = pika.BasicProperties(
                delivery_mode=2,
                headers=dict(message.headers),
                message_id=f"{self._session}.{self._tag}",
                expiration=None if message.ttl_ms is None else str(message.ttl_ms),
            )
            exchange = message.exchange or self._topology.exchange
            self._channel.basic_publish(exchange, message.routing_key, message.body, properties, mandatory=True)

    def _confirmed(self, frame) -> None:
        confirmed = isinstance(frame.method, pika.spec.Basic.Ack)
        tag = frame.method.delivery_tag
        tags = [tag]
        if frame.method.multiple:
            tags = []
            for each in self._unconfirmed:
                if each > tag:
                    break
                tags.append(each)
        for each in tags:
            # A late one's future has failed already.
            message, future, deadline = self._unconfirmed.pop(each, (None, None, 0))
            returned = each in self._returned
            self._returned.discard(each)
            if future is None:
                continue
            if returned:
                future.set_exception(_unpublished("no queue takes it"))
            elif confirmed:
                future.set_result(None)
            else:
                self._refused.append((message, future, deadline))
        self._pump()

    def _ended(self) -> None:
        while self._unconfirmed:
            self._unconfirmed.pop(next(iter(self._unconfirmed)))[1].set_exception(
                _unpublished("the connection was lost before the confirmation")
            )
        self._returned.clear()
        self._confirming = False

    def _tick(self) -> None:
        now = time.monotonic()
        if self._refused:
            log.warning("%s sends %d again that the broker refused", self._name, len(self._refused))
            self._waiting.extendleft(reversed(self._refused))
            self._refused.clear()
        while self._waiting and self._waiting[0][2] < now:
            self._waiting.popleft()[1].set_exception(_unpublished("no connection in time"))
        for tag in [tag for tag, (_, _, deadline) in self._unconfirmed.items() if deadline < now]:
            self._unconfirmed.pop(tag)[1].set_exception(_unpublished("not confirmed in time"))
        self._pump()


def _unpublished(why: str) -> Unavailable:
    return Unavailable(f"message not published: {why}", reason="BROKER_UNAVAILABLE")
