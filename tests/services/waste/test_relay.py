"""The outbox relay on real PostgreSQL and RabbitMQ."""

import queue
import threading

import pytest
import sqlalchemy as sa
from eco2.pipeline.v1 import messages_pb2

from services.kit.broker import Consumer, Relay
from services.kit.errors import Unavailable
from services.waste import store
from services.waste.outbox import OUTBOX
from tests.conftest import eventually
from tests.services.waste.conftest import now


@pytest.fixture
def received(servers, topology, waste):
    """What arrives in the first stage's queue."""
    bodies = queue.Queue()

    def take(deliveries):
        for delivery in deliveries:
            bodies.put(delivery.body)
        consumer.ack(deliveries)

    consumer = Consumer(servers.rabbitmq_url, topology, {"user_input_queue": 50}, take).start()
    yield bodies
    consumer.close()


def left(waste) -> int:
    with waste.database.reading() as connection:
        return connection.execute(sa.text("SELECT count(*) FROM outbox")).scalar()


def test_a_committed_message_is_published_and_forgotten(waste, user_id, received):
    analysis = waste.start(user_id)
    assert waste.relay.relay() == 1
    assert messages_pb2.AnalysisJob.FromString(received.get(timeout=60)).analysis_id == analysis.analysis_id
    assert left(waste) == 0


def test_several_relays_publish_each_message_once(waste, user_id, received):
    image_id = waste.upload(user_id)
    made = {waste.start(user_id, image_id=image_id).analysis_id for _ in range(30)}
    relays = [Relay(waste.database, waste.relay._publisher, OUTBOX) for _ in range(3)]
    threads = [threading.Thread(target=relay.relay) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    seen = [messages_pb2.AnalysisJob.FromString(received.get(timeout=60)).analysis_id for _ in made]
    assert sorted(seen) == sorted(made)
    assert received.empty()
    assert left(waste) == 0


def test_what_the_broker_does_not_take_stays(waste, user_id, received):
    analysis = waste.start(user_id)
    with waste.database.writing() as tx:
        store.create_message(tx, "no_such_queue", b"", "", now())
    assert waste.relay.relay() == 1
    assert messages_pb2.AnalysisJob.FromString(received.get(timeout=60)).analysis_id == analysis.analysis_id
    assert left(waste) == 1
    with pytest.raises(Unavailable, match="no queue takes it"):
        waste.relay.relay()
    assert left(waste) == 1


def test_what_another_relay_holds_is_skipped_and_not_waited_for(waste, user_id, received):
    held, free = waste.start(user_id), waste.start(user_id)
    with waste.database.writing() as tx:
        [row] = store.list_messages(tx, 1)
        assert messages_pb2.AnalysisJob.FromString(row.body).analysis_id == held.analysis_id
        assert waste.relay.relay() == 1
        assert messages_pb2.AnalysisJob.FromString(received.get(timeout=60)).analysis_id == free.analysis_id
    assert left(waste) == 1


def test_a_message_outlives_a_broker_that_is_away(waste, user_id, received, servers):
    servers.stop("rabbitmq")
    try:
        analysis = waste.start(user_id)
        waste.relay.start()
        waste.relay.wake()
        assert left(waste) == 1
    finally:
        servers.start("rabbitmq")
        servers.wait_ready("rabbitmq")
    assert messages_pb2.AnalysisJob.FromString(received.get(timeout=60)).analysis_id == analysis.analysis_id
    eventually(lambda: left(waste) == 0)
    waste.relay.close()
