"""RabbitMQ: the topology as data, a publisher with confirms, a consumer with coalesced acknowledgements; a relay from
an outbox, and an inbox into a store.

Publisher and consumer each keep one connection on a thread of its own, and make it again when it is lost. Callbacks
run on that thread, where heartbeats are answered too: a callback hands over and returns.
"""

from services.kit.broker import headers
from services.kit.broker.consumer import Consumer, Delivery
from services.kit.broker.inbox import Inbox
from services.kit.broker.publisher import Message, Publisher
from services.kit.broker.relay import Outbox, Relay
from services.kit.broker.topology import Topology, declare, queue_of, stage_name

__all__ = [
    "Consumer",
    "Delivery",
    "Inbox",
    "Message",
    "Outbox",
    "Publisher",
    "Relay",
    "Topology",
    "declare",
    "headers",
    "queue_of",
    "stage_name",
]
