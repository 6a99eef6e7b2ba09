"""Consuming in batches."""

from __future__ import annotations

import collections
import dataclasses
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from pika.exceptions import AMQPError

from services.kit.broker import headers
from services.kit.broker.link import Link
from services.kit.broker.publisher import Message
from services.kit.broker.topology import Topology


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """redelivered: somebody had it before and did not acknowledge it.

    message_id: what its publisher called it. One that came without a name got one here, unless it is redelivered: then
    it is empty.
    """

    queue: str
    body: bytes
    headers: Mapping[str, Any]
    redelivered: bool
    tag: int
    # The channel it came on; on any other its tag means another message.
    channel: Any = dataclasses.field(repr=False, compare=False)
    message_id: str = ""


class Consumer(Link):
    """Consumes queues, each with its own prefetch, and hands what arrives on in batches.

    on_deliveries runs on the connection's thread and must be quick; it gets what one read of the socket brought.
    After a reconnect every queue is consumed again with its full prefetch; acknowledging what came before is harmless
    and does nothing, since the broker has put it back.

    canary: publishes on another connection (Publisher.publish). With it, a queue that has been silent for a while gets
    a message of our own. When `deaf_after_s` pass and neither that nor anything else has come, although there was room
    for it, the connection only looks alive and is made again.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        prefetch: Mapping[str, int],
        on_deliveries: Callable[[Sequence[Delivery]], None],
        *,
        name: str = "consumer",
        canary: Callable[[Iterable[Message]], list[Future]] | None = None,
        deaf_after_s: float = 24.0,
    ):
        super().__init__(url, topology, name)
        self._prefetch, self._on_deliveries = dict(prefetch), on_deliveries
        self._arrived: list[Delivery] = []
        self._settled: collections.deque[tuple[Delivery, bool]] = collections.deque()
        # Tag → queue.
        self._outstanding: dict[int, str] = {}
        self._consuming: list[str] = []
        # Tags count from one again with each channel.
        self._session = ""
        self._pauses: set[str] = set()
        self._canary, self._deaf_after_s = canary, deaf_after_s
        # When a queue was heard last, and the canaries sent to it since then.
        self._heard: dict[str, float] = {}
        self._canaries: dict[str, list[Future]] = {}

    def start(self) -> Consumer:
        self._thread.start()
        return self

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        """They are done with."""
        self._settle_later((delivery, True) for delivery in deliveries)

    def requeue(self, deliveries: Iterable[Delivery]) -> None:
        """Give them back to their queue."""
        self._settle_later((delivery, False) for delivery in deliveries)

    @property
    def listening(self) -> bool:
        """Whether it receives: connected, not paused, and not found deaf."""
        return self.ready.is_set() and bool(self._consuming)

    def pause(self, by: str = "") -> None:
        """Receive nothing more until everybody who paused has resumed; what has arrived can still be settled."""
        self._pauses.add(by)
        self._schedule(self._adjust)

    def resume(self, by: str = "") -> None:
        self._pauses.discard(by)
        self._schedule(self._adjust)

    def close(self, timeout_s: float = 5.0) -> None:
        """Send the acknowledgements asked for so far and disconnect; the broker puts the rest back."""
        self._stop(timeout_s)

    def _begin(self, channel) -> None:
        self._session = uuid.uuid4().hex
        self._outstanding.clear()
        self._consuming.clear()
        channel.add_on_cancel_callback(lambda frame: self._hang_up(AMQPError(f"cancelled by the broker: {frame}")))
        self._adjust()

    def _adjust(self) -> None:
        if not self._open:
            return
        if self._pauses:
            for tag in self._consuming:
                self._channel.basic_cancel(tag)
            self._consuming.clear()
        elif not self._consuming:
            for queue, count in self._prefetch.items():
                self._channel.basic_qos(prefetch_count=count)
                self._consuming.append(self._channel.basic_consume(queue, self._receiver(queue)))
                self._hear(queue)

    def _receiver(self, queue: str) -> Callable:
        def receive(channel, method, properties, body) -> None:
            self._hear(queue)
            told = properties.headers or {}
            if headers.CANARY in told:
                channel.basic_ack(method.delivery_tag)
                return
            tag = method.delivery_tag
            self._outstanding[tag] = queue
            name = properties.message_id or ("" if method.redelivered else f"{self._session}.{tag}")
            self._arrived.append(Delivery(queue, body, told, method.redelivered, tag, channel, name))
            if len(self._arrived) == 1:
                self._schedule(self._hand_over)

        return receive

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived:
            self._on_deliveries(arrived)

    def _settle_later(self, pairs: Iterable[tuple[Delivery, bool]]) -> None:
        self._settled.extend(pairs)
        self._schedule(self._settle)

    def _settle(self) -> None:
        if not self._open:
            return
        done, back = set(), []
        while self._settled:
            delivery, acknowledged = self._settled.popleft()
            if delivery.channel is self._channel and delivery.tag in self._outstanding:
                (done.add if acknowledged else back.append)(delivery.tag)
        for tag in back:
            self._outstanding.pop(tag, None)
            self._channel.basic_reject(tag, requeue=True)
        # One frame for the unbroken run of the oldest, one each for the others.
        run = []
        for tag in self._outstanding:
            if tag not in done:
                break
            run.append(tag)
        if run:
            self._channel.basic_ack(run[-1], multiple=True)
        for tag in sorted(done.difference(run)):
            self._channel.basic_ack(tag)
        for tag in done:
            self._outstanding.pop(tag, None)

    def _hang_up(self, error: Exception | None = None) -> None:
        if error is None:
            self._settle()
        super()._hang_up(error)

    def _ended(self) -> None:
        self._arrived.clear()
        self._consuming.clear()

    def _hear(self, queue: str) -> None:
        self._heard[queue] = time.monotonic()
        self._canaries[queue] = []

    def _tick(self) -> None:
        if self._canary is None or not self._open or not self._consuming:
            return
        held = collections.Counter(self._outstanding.values())
        for queue, room in self._prefetch.items():
            silent_s, sent = time.monotonic() - self._heard[queue], self._canaries[queue]
            if held[queue] >= room:
                # The broker owes us nothing.
                self._hear(queue)
            elif silent_s > self._deaf_after_s:
                if sent and all(each.done() and each.exception() is None for each in sent):
                    self._consuming.clear()
                    self._hang_up(AMQPError(f"heard nothing of {queue} for {silent_s:.0f} s, not even itself"))
                    return
                # Without a canary on its way nobody can tell.
                self._hear(queue)
            elif silent_s > self._deaf_after_s * (len(sent) + 1) / 4 and len(sent) < 2:
                # The second, because another consumer of this queue may have taken the first.
                sent += self._canary([Message(queue, b"", {headers.CANARY: self._name})])
