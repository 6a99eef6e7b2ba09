"""The broker against a real RabbitMQ: confirms, redelivery, dead letters, delays, and a broker that goes away."""

from __future__ import annotations

import collections
import queue
import threading
import urllib.parse
import uuid

import pytest
from eco2.pipeline.v1 import messages_pb2

from services.kit.broker import Consumer, Message, Publisher, Topology, queue_of, stage_name
from services.kit.errors import Unavailable
from tests.conftest import eventually
from tests.faults.proxy import Proxy, amqp_heartbeats

WAIT_S = 60


class Inbox:
    """What a consumer received, for a test to take one by one."""

    def __init__(self, url: str, topology: Topology, prefetch: int = 50):
        self.arrived = queue.SimpleQueue()
        self.batches = collections.Counter()
        self.consumer = Consumer(url, topology, dict.fromkeys(topology.queues, prefetch), self._take).start()

    def _take(self, deliveries):
        self.batches[len(deliveries)] += 1
        for delivery in deliveries:
            self.arrived.put(delivery)

    def take(self, count: int = 1) -> list:
        return [self.arrived.get(timeout=WAIT_S) for _ in range(count)]


@pytest.fixture
def topology() -> Topology:
    name = f"t{uuid.uuid4().hex[:8]}"
    return Topology(name, (f"{name}_a", f"{name}_b"), delays_s=(0.2, 0.5))


@pytest.fixture
def opened(servers):
    """Makes publishers and inboxes that are closed at the end."""
    closing = []

    def make(kind, topology, **options):
        made = kind(servers.rabbitmq_url, topology, **options)
        closing.append(made.close if kind is Publisher else made.consumer.close)
        return made

    yield make
    for close in closing:
        close()


def test_names_come_from_the_enum():
    stages = messages_pb2.Stage.DESCRIPTOR
    assert Topology.of(stages).exchange == "eco2"
    assert Topology.of(stages).queues == (
        "user_input_queue",
        "vision_analysis_queue",
        "rule_retrieval_queue",
        "response_generation_queue",
    )
    assert stage_name(stages, messages_pb2.STAGE_USER_INPUT) == "user_input"
    assert queue_of(stages, messages_pb2.STAGE_USER_INPUT) == "user_input_queue"


def test_every_confirmed_message_arrives_once_and_in_order(opened, topology):
    publisher, inbox = opened(Publisher, topology, window=100), opened(Inbox, topology)
    bodies = [str(number).encode() for number in range(2000)]
    sent = publisher.publish(Message(topology.queues[0], body, {"x-request-id": "r1"}) for body in bodies)
    received = []
    for _ in bodies:
        received += inbox.take()
        inbox.consumer.ack(received[-1:])
    assert [future.result(WAIT_S) for future in sent] == [None] * len(bodies)
    assert [delivery.body for delivery in received] == bodies
    assert received[0].headers["x-request-id"] == "r1"
    assert received[0].queue == topology.queues[0]
    assert max(inbox.batches) > 1


def test_a_message_that_no_queue_takes_fails(opened, topology):
    [future] = opened(Publisher, topology).publish([Message("nowhere", b"")])
    with pytest.raises(Unavailable, match="no queue takes it"):
        future.result(WAIT_S)


def test_without_a_broker_a_message_fails_in_time_and_close_does_not_hang(topology):
    publisher = Publisher("amqp://guest:guest@127.0.0.1:1/none", topology, timeout_s=0.5)
    [future] = publisher.publish([Message(topology.queues[0], b"")])
    with pytest.raises(Unavailable):
        future.result(WAIT_S)
    publisher.close(1)
    [late] = publisher.publish([Message(topology.queues[0], b"")])
    with pytest.raises(Unavailable, match="closed"):
        late.result(0)


def test_what_is_not_acknowledged_comes_back(opened, topology):
    publisher, first = opened(Publisher, topology), opened(Inbox, topology)
    publisher.publish([Message(topology.queues[0], body) for body in (b"1", b"2", b"3")])
    one, _, three = first.take(3)
    first.consumer.ack([one, three])
    first.consumer.close()
    [again] = opened(Inbox, topology).take()
    assert (again.body, again.redelivered) == (b"2", True)


def test_an_acknowledgement_from_before_a_reconnect_means_no_other_message(opened, topology):
    publisher, first = opened(Publisher, topology), opened(Inbox, topology)
    publisher.publish([Message(topology.queues[0], b"1")])
    [before] = first.take()
    first.consumer._schedule(first.consumer._connection.close)
    [again] = first.take()
    assert again.tag == before.tag
    first.consumer.ack([before])
    first.consumer.close()
    assert opened(Inbox, topology).take()[0].body == b"1"


def test_requeued_is_delivered_again_and_the_delivery_limit_ends_that(opened, topology, servers):
    limited = Topology(topology.exchange, topology.queues, topology.delays_s, delivery_limit=3)
    publisher, inbox = opened(Publisher, limited), opened(Inbox, limited)
    publisher.publish([Message(limited.queues[0], b"poison")])
    for _ in range(4):
        inbox.consumer.requeue(inbox.take())
    [dead] = dead_letters(opened, limited).take()
    assert dead.body == b"poison"
    assert dead.headers["x-death"][0]["reason"] == "delivery_limit"


def test_a_delay_leads_back_to_the_queue_it_was_meant_for(opened, topology):
    publisher, inbox = opened(Publisher, topology), opened(Inbox, topology)
    publisher.publish([Message(topology.queues[1], b"later", {"x-attempt": 2}, topology.delay(0), ttl_ms=100)])
    [delivery] = inbox.take()
    assert (delivery.queue, delivery.body, delivery.headers["x-attempt"]) == (topology.queues[1], b"later", 2)


def test_paused_receives_nothing_until_resumed(opened, topology):
    publisher, inbox = opened(Publisher, topology), opened(Inbox, topology)
    assert inbox.consumer.ready.wait(WAIT_S)
    inbox.consumer.pause()
    # The other queue's consumer is a second inbox, so that its delivery proves that time has passed for the first.
    witness = opened(Inbox, topology)
    [sent] = publisher.publish([Message(topology.queues[0], b"1")])
    sent.result(WAIT_S)
    [seen] = witness.take()
    witness.consumer.close()
    assert inbox.arrived.empty()
    inbox.consumer.resume()
    [delivery] = inbox.take()
    assert delivery.body == seen.body


def test_after_the_broker_was_killed_all_goes_on_with_full_prefetch(opened, topology, servers):
    publisher, inbox = opened(Publisher, topology), opened(Inbox, topology, prefetch=21)
    [first] = publisher.publish([Message(topology.queues[0], b"before")])
    first.result(WAIT_S)
    [before] = inbox.take()
    servers.kill("rabbitmq")
    sent = publisher.publish([Message(topology.queues[0], str(number).encode()) for number in range(20)])
    servers.wait_ready("rabbitmq")
    inbox.consumer.ack([before])
    failed = sum(future.exception(2 * WAIT_S) is not None for future in sent)
    received = {delivery.body for delivery in inbox.take(21 - failed)}
    # The acknowledgement of the dead channel meant nothing: the message is back.
    assert b"before" in received
    assert len(received) == 21 - failed


def test_futures_may_publish_from_their_callbacks(opened, topology):
    publisher, done = opened(Publisher, topology), threading.Event()
    [first] = publisher.publish([Message(topology.queues[0], b"1")])
    first.add_done_callback(
        lambda _: publisher.publish([Message(topology.queues[0], b"2")])[0].add_done_callback(lambda _: done.set())
    )
    assert done.wait(WAIT_S)


def dead_letters(opened, topology: Topology) -> Inbox:
    """An inbox on the dead-letter queues; declaring them again as work queues would be refused."""

    class Dead(Inbox):
        def __init__(self, url, _topology):
            self.arrived, self.batches = queue.SimpleQueue(), collections.Counter()
            prefetch = {f"{name}.dead": 10 for name in topology.queues}
            self.consumer = Consumer(url, topology, prefetch, self._take).start()

    return opened(Dead, topology)


def test_a_deaf_consumer_finds_out_and_hears_again(opened, topology, servers):
    there = urllib.parse.urlsplit(servers.rabbitmq_url)
    proxy, arrived, publisher = Proxy(there.hostname, there.port), queue.SimpleQueue(), opened(Publisher, topology)

    def take(deliveries):
        for delivery in deliveries:
            arrived.put(delivery.body)
        consumer.ack(deliveries)

    url = servers.rabbitmq_url.replace(f":{there.port}", f":{proxy.port}")
    prefetch = dict.fromkeys(topology.queues, 10)
    consumer = Consumer(url, topology, prefetch, take, canary=publisher.publish, deaf_after_s=4).start()
    publisher.publish([Message(topology.queues[0], b"1")])
    assert arrived.get(timeout=WAIT_S) == b"1"
    assert consumer.listening
    proxy.deafen(amqp_heartbeats)
    publisher.publish([Message(topology.queues[0], b"2")])
    eventually(lambda: not consumer.listening)
    # Found within the time, and what the broker had sent to deaf ears comes again; the canaries stay our own.
    assert arrived.get(timeout=WAIT_S) == b"2"
    assert consumer.listening
    assert arrived.empty()
    consumer.close()
    proxy.close()


def test_consumers_that_are_only_idle_or_full_keep_their_connections(opened, topology, servers):
    publisher, sent = opened(Publisher, topology), collections.Counter()
    full, arrived = topology.queues[0], queue.SimpleQueue()

    def canary(messages):
        messages = list(messages)
        sent.update(message.routing_key for message in messages)
        return publisher.publish(messages)

    consumers = [
        Consumer(servers.rabbitmq_url, topology, prefetch, arrived.put, canary=canary, deaf_after_s=4).start()
        for prefetch in ({full: 1}, {topology.queues[1]: 10}, {topology.queues[1]: 10})
    ]
    # The first holds all that it may, and so hears nothing for good reason.
    publisher.publish([Message(full, b"1"), Message(full, b"2")])
    [held] = arrived.get(timeout=WAIT_S)
    channels = [eventually_channel(consumer) for consumer in consumers]
    eventually(lambda: sent[topology.queues[1]] >= 8)
    assert [consumer._channel for consumer in consumers] == channels
    assert sent[full] == 0
    assert arrived.empty()
    consumers[0].ack([held])
    assert [delivery.body for delivery in arrived.get(timeout=WAIT_S)] == [b"2"]
    for consumer in consumers:
        consumer.close()


def eventually_channel(consumer: Consumer):
    eventually(lambda: consumer.listening)
    return consumer._channel


def test_who_paused_must_resume(opened, topology):
    publisher, inbox = opened(Publisher, topology), opened(Inbox, topology)
    eventually(lambda: inbox.consumer.listening)
    inbox.consumer.pause("operator")
    inbox.consumer.pause()
    eventually(lambda: not inbox.consumer.listening)
    inbox.consumer.resume()
    publisher.publish([Message(topology.queues[0], b"1")])[0].result(WAIT_S)
    assert not inbox.consumer.listening
    inbox.consumer.resume("operator")
    assert [delivery.body for delivery in inbox.take()] == [b"1"]
