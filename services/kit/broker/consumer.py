"""Consuming in batches."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pika.exceptions import AMQPError

from services.kit.broker.link import Link
from services.kit.broker.topology import Topology


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """redelivered: somebody had it before and did not acknowledge it."""

    queue: str
    body: bytes
    headers: Mapping[str, Any]
    redelivered: bool
    tag: int
    # The channel it came on; on any other its tag means another message.
    channel: Any = dataclasses.field(repr=False, compare=False)


class Consumer(Link):
    """Consumes queues, each with its own prefetch, and hands what arrives on in batches.

    on_deliveries runs on the connection's thread and must be quick; it gets what one read of the socket brought.
    After a reconnect every queue is consumed again with its full prefetch; acknowledging what came before is harmless
    and does nothing, since the broker has put it back.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        prefetch: Mapping[str, int],
        on_deliveries: Callable[[Sequence[Delivery]], None],
        *,
        name: str = "consumer",
    ):
        super().__init__(url, topology, name)
        self._prefetch, self._on_deliveries = dict(prefetch), on_deliveries
        self._arrived: list[Delivery] = []
        self._settled: collections.deque[tuple[Delivery, bool]] = collections.deque()
        self._outstanding: dict[int, None] = {}
        self._consuming: list[str] = []
        self._paused = False

    def start(self) -> Consumer:
        self._thread.start()
        return self

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        """They are done with."""
        self._settle_later((delivery, True) for delivery in deliveries)

    def requeue(self, deliveries: Iterable[Delivery]) -> None:
        """Give them back to their queue."""
        self._settle_later((delivery, False) for delivery in deliveries)

    def pause(self) -> None:
        """Receive nothing more; what has arrived can still be settled."""
        self._paused = True
        self._schedule(self._adjust)

    def resume(self) -> None:
        self._paused = False
        self._schedule(self._adjust)

    def close(self, timeout_s: float = 5.0) -> None:
        """Send the acknowledgements asked for so far and disconnect; the broker puts the rest back."""
        self._stop(timeout_s)

    def _begin(self, channel) -> None:
        self._outstanding.clear()
        self._consuming.clear()
        channel.add_on_cancel_callback(lambda frame: self._hang_up(AMQPError(f"cancelled by the broker: {frame}")))
        self._adjust()

    def _adjust(self) -> None:
        if not self._open:
            return
        if self._paused:
            for tag in self._consuming:
                self._channel.basic_cancel(tag)
            self._consuming.clear()
        elif not self._consuming:
            for queue, count in self._prefetch.items():
                self._channel.basic_qos(prefetch_count=count)
                self._consuming.append(self._channel.basic_consume(queue, self._receiver(queue)))

    def _receiver(self, queue: str) -> Callable:
        def receive(channel, method, properties, body) -> None:
            self._outstanding[method.delivery_tag] = None
            headers = properties.headers or {}
            self._arrived.append(Delivery(queue, body, headers, method.redelivered, method.delivery_tag, channel))
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
