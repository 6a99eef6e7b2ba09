"""Exchanges and queues as data, and the one function that applies them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from google.protobuf.descriptor import EnumDescriptor
from pika.channel import Channel


@dataclasses.dataclass(frozen=True)
class Topology:
    """One direct exchange with work queues, a dead-letter queue for each, and delays that lead back to it.

    A message to `delay(n)` with the routing key of a queue returns to that queue after `delays_s[n]`; a message to
    `dead`, or one that was delivered `delivery_limit` times without an acknowledgement, ends in `<queue>.dead`.
    """

    exchange: str
    queues: tuple[str, ...]
    delays_s: tuple[float, ...] = (1, 5, 30, 120)
    delivery_limit: int = 50

    @classmethod
    def of(cls, stages: EnumDescriptor) -> Topology:
        """The topology that a proto enum of stages names; see `queue_of`."""
        queues = tuple(queue_of(stages, value.number) for value in stages.values if value.number)
        return cls(stages.file.package.partition(".")[0], queues)

    @property
    def dead(self) -> str:
        return f"{self.exchange}.dead"

    def delay(self, index: int) -> str:
        """The exchange of the n-th delay, from 0; of the last when there are fewer."""
        return f"{self.exchange}.delay.{self.delay_s(index):g}s"

    def delay_s(self, index: int) -> float:
        return self.delays_s[min(index, len(self.delays_s) - 1)]


def stage_name(stages: EnumDescriptor, number: int) -> str:
    """Value STAGE_USER_INPUT of enum Stage is "user_input"."""
    return stages.values_by_number[number].name.removeprefix(f"{stages.name.upper()}_").lower()


def queue_of(stages: EnumDescriptor, number: int) -> str:
    """Value STAGE_USER_INPUT of enum Stage has the queue "user_input_queue"."""
    return f"{stage_name(stages, number)}_queue"


def declare(channel: Channel, topology: Topology, done: Callable[[], None]) -> None:
    """Create what is missing of the topology; `done` is called when all of it is there.

    Idempotent. The channel closes when something exists with other properties.
    """
    exchange, dead = topology.exchange, topology.dead
    # A message leaves its queue only when the next one has it; for that RabbitMQ wants reject-publish.
    safe = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    for name in (exchange, dead):
        channel.exchange_declare(name, "direct", durable=True)
    for queue in topology.queues:
        channel.queue_declare(f"{queue}.dead", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(f"{queue}.dead", dead, queue)
        work = safe | {"x-dead-letter-exchange": dead, "x-delivery-limit": topology.delivery_limit}
        channel.queue_declare(queue, durable=True, arguments=work)
        channel.queue_bind(queue, exchange, queue)
    for index, delay_s in enumerate(topology.delays_s):
        name = topology.delay(index)
        channel.exchange_declare(name, "fanout", durable=True)
        wait = safe | {"x-dead-letter-exchange": exchange, "x-message-ttl": round(delay_s * 1000)}
        channel.queue_declare(name, durable=True, arguments=wait)
        channel.queue_bind(name, name)
    # The channel works in order, so the answer to this one answers all.
    channel.exchange_declare(exchange, "direct", durable=True, callback=lambda _: done())
