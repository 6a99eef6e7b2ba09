"""Dead letters, from the broker's queues to the table and back, over the wire."""

from __future__ import annotations

import contextlib
import json
import uuid
from concurrent import futures
from datetime import UTC, datetime, timedelta

import pika
import pytest
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.tasks.v1 import internal_pb2
from eco2.tasks.v1 import tasks_pb2 as pb
from eco2.tasks.v1 import tasks_pb2_grpc as pb_grpc

from services.kit import errors
from services.kit.broker import Consumer, Delivery, Message, Publisher
from services.tasks import dead_letters, rpc
from services.tasks.drain import Drain
from tests.conftest import as_user, eventually
from tests.services.tasks.conftest import FIRST, SECOND, TOPOLOGY


@pytest.fixture
def worked(rabbitmq_url):
    """What arrives in the work queues: (queue, attempt, first attempt, body)."""
    arrived = []

    def take(deliveries):
        for each in deliveries:
            arrived.append((each.queue, each.headers["x-attempt"], each.headers["x-first-attempt"], each.body))
        consumer.ack(deliveries)

    consumer = Consumer(rabbitmq_url, TOPOLOGY, dict.fromkeys(TOPOLOGY.queues, 100), take).start()

    def wait_for(number: int) -> list[tuple]:
        eventually(lambda: len(arrived) >= number)
        return arrived

    yield wait_for
    consumer.close()


@pytest.fixture
def user_id():
    return uuid.uuid4()


def test_what_a_worker_gave_up_can_be_seen_and_replayed_once(service, user_id, worked):
    task_id = service.bury(user_id)
    service.arrived(1)
    [letter] = service.list(user_id)
    assert (letter.task_id, letter.queue, letter.attempt, letter.user_id) == (task_id, FIRST, 5, str(user_id))
    assert (letter.reason, letter.error) == ("GAVE_UP", "broken")
    # For operators only.
    assert (letter.stack, letter.payload) == ("", b"")
    answer = service.replay(user_id, task_id=task_id)
    [replayed] = answer.dead_letters
    assert (replayed.dead_letter_id, replayed.replayed_by) == (letter.dead_letter_id, f"user:{user_id}")
    assert replayed.HasField("replay_time")
    assert answer.remaining_count == 0
    [(queue, attempt, first, body)] = worked(1)
    assert (queue, attempt, first) == (FIRST, 6, 6)
    assert task_id.startswith(AnalysisJob.FromString(body).analysis_id)
    assert not service.replay(user_id, task_id=task_id).dead_letters
    assert service.list(user_id) == []
    assert service.list(user_id, show_replayed=True) == [replayed]


def test_a_copy_is_kept_once_and_a_second_death_is_another(service, user_id):
    task_id = service.bury(user_id)
    service.arrived(1)
    row = service.owner.execute("SELECT payload FROM tasks.dead_letters").fetchone()
    told = {"x-attempt": 5, "x-reason": "GAVE_UP", "x-error": "broken"}
    copy = Message(FIRST, row[0], told, TOPOLOGY.dead)
    service.send(copy, copy, Message(FIRST, row[0], told | {"x-attempt": 6}, TOPOLOGY.dead))
    service.arrived(2)
    assert [each.attempt for each in service.list(user_id, task_id=task_id)] == [6, 5]


def test_what_is_no_job_or_breaks_every_worker_is_kept_too(service, rabbitmq_url):
    service.send(Message(FIRST, b"\xff\0", {"x-reason": "MALFORMED", "x-error": "nul \0 in it"}, TOPOLOGY.dead))
    # Nacked for ever, the broker itself gives it up.
    consumer = Consumer(rabbitmq_url, TOPOLOGY, {SECOND: 1}, lambda each: consumer.requeue(each)).start()
    service.send(Message(SECOND, b"", {"x-odd": None, "x-list": ["a", {"b": b"\xff"}]}))
    service.arrived(2)
    consumer.close()
    letters = service.internal.ListAnyDeadLetters(internal_pb2.ListAnyDeadLettersRequest()).dead_letters
    by_reason = {each.reason: each for each in letters}
    assert set(by_reason) == {"MALFORMED", "DELIVERY_LIMIT"}
    assert by_reason["MALFORMED"].payload == b"\xff\0"
    assert by_reason["MALFORMED"].error == "nul \ufffd in it"
    assert {each.task_id for each in letters} == {""}


def test_equal_bytes_that_are_no_job_are_each_kept_and_a_copy_is_not(service, rabbitmq_url):
    """As they come from workers, and as somebody else's client sends them, without a name."""
    told = {"x-attempt": 1, "x-reason": "MALFORMED"}
    service.send(*[Message(FIRST, b"garbage", told, TOPOLOGY.dead)] * 3)
    service.arrived(3)
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_url))) as connection:
        channel = connection.channel()
        for _ in range(3):
            channel.basic_publish(TOPOLOGY.dead, FIRST, b"garbage", pika.BasicProperties(headers=told))
        channel.basic_publish(TOPOLOGY.dead, SECOND, b"garbage")
    service.arrived(7)


def delivery(**fields) -> Delivery:
    given = {"queue": f"{FIRST}.dead", "body": b"garbage", "headers": {}, "redelivered": False, "tag": 1} | fields
    return Delivery(channel=None, **given)


def test_what_is_drained_again_is_kept_once_although_it_is_no_job(database, service, rabbitmq_url):
    drain = Drain(database("tasks"), rabbitmq_url, TOPOLOGY)
    first = [delivery(message_id="a.1"), delivery(message_id="a.2")]
    for _ in range(2):
        drain._keep(first)
        assert service.count() == 2
    # Nameless and had before: it may have been kept under the name that it got then.
    again = delivery(redelivered=True)
    drain._keep([again, again])
    assert service.count() == 2
    other = delivery(redelivered=True, body=b"other garbage")
    for _ in range(2):
        drain._keep([other, other])
        assert service.count() == 3


def test_one_can_be_looked_at_and_replayed_by_its_id(service, user_id, worked):
    mine, theirs = service.bury(user_id), service.bury(uuid.uuid4())
    service.bury(user_id, SECOND)
    service.send(Message(FIRST, b"no job", {"x-reason": "MALFORMED"}, TOPOLOGY.dead))
    service.arrived(4)
    letters = service.internal.ListAnyDeadLetters(internal_pb2.ListAnyDeadLettersRequest()).dead_letters
    ids = {each.task_id: each.dead_letter_id for each in letters}

    def look(dead_letter_id: str) -> pb.DeadLetter:
        request = pb.GetDeadLetterRequest(dead_letter_id=dead_letter_id)
        return service.public.GetDeadLetter(request, metadata=as_user(user_id)).dead_letter

    for _ in range(2):
        shown = look(ids[mine])
        assert (shown.task_id, shown.attempt, shown.stack, shown.payload) == (mine, 5, "", b"")
        assert not shown.HasField("replay_time")
    for absent in (ids[theirs], ids[""], str(uuid.uuid4())):
        for call in (look, lambda each: service.replay(user_id, dead_letter_id=each)):
            with pytest.raises(errors.NotFound) as caught:
                call(absent)
            assert caught.value.reason == "DEAD_LETTER_NOT_FOUND"
    asked = internal_pb2.GetAnyDeadLetterRequest(dead_letter_id=ids[theirs])
    assert service.internal.GetAnyDeadLetter(asked).dead_letter.stack == "in f"
    assert len(service.replay(user_id, dead_letter_id=ids[mine], dry_run=True).dead_letters) == 1
    [replayed] = service.replay(user_id, dead_letter_id=ids[mine]).dead_letters
    assert replayed.task_id == mine
    # Repeated, it does nothing.
    assert not service.replay(user_id, dead_letter_id=ids[mine]).dead_letters
    assert not service.replay(user_id, dead_letter_id=ids[mine], queue=SECOND).dead_letters
    [whole] = service.replay_any(dead_letter_id=ids[""]).dead_letters
    assert whole.payload == b"no job"
    assert {body for *_, body in worked(2)} >= {b"no job"}
    for request in (pb.GetDeadLetterRequest(dead_letter_id="x"), pb.GetDeadLetterRequest()):
        with pytest.raises(errors.InvalidArgument, match="dead_letter_id"):
            service.public.GetDeadLetter(request, metadata=as_user(user_id))
    with pytest.raises(errors.InvalidArgument, match="dead_letter_id"):
        service.replay(user_id, dead_letter_id="x")
    with pytest.raises(errors.Unauthenticated):
        service.public.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id=ids[mine]))


def test_everybody_sees_and_replays_only_their_own(service, user_id, worked):
    stranger = uuid.uuid4()
    mine, theirs = service.bury(user_id), service.bury(stranger)
    service.arrived(2)
    assert [each.task_id for each in service.list(user_id)] == [mine]
    assert not service.replay(user_id, task_id=theirs).dead_letters
    assert [each.task_id for each in service.replay(user_id, queue=FIRST).dead_letters] == [mine]
    assert [each.task_id for each in service.list(stranger)] == [theirs]
    whole = service.internal.ListAnyDeadLetters(internal_pb2.ListAnyDeadLettersRequest()).dead_letters
    assert [(each.task_id, each.stack) for each in whole] == [(theirs, "in f")]
    assert theirs.startswith(AnalysisJob.FromString(whole[0].payload).analysis_id)
    [replayed] = service.replay_any(queue=FIRST).dead_letters
    assert (replayed.task_id, replayed.replayed_by) == (theirs, "operator:mina")
    assert len(worked(2)) == 2


def test_a_replay_by_filter_is_bounded_and_can_be_tried_dry(service, user_id, worked):
    made = [service.bury(user_id, SECOND, "GAVE_UP") for _ in range(5)]
    service.bury(user_id, FIRST, "NOT_AN_IMAGE")
    service.arrived(6)
    dry = service.replay(user_id, reason="GAVE_UP", dry_run=True, max_count=3)
    assert ([each.task_id for each in dry.dead_letters], dry.remaining_count) == (made[:3], 2)
    assert len(service.list(user_id, reason="GAVE_UP")) == 5
    past = datetime.now(UTC) - timedelta(days=1)
    assert not service.replay(user_id, before_time=past).dead_letters
    first = service.replay(user_id, reason="GAVE_UP", max_count=3)
    assert ([each.task_id for each in first.dead_letters], first.remaining_count) == (made[:3], 2)
    assert not any(each.HasField("replay_time") for each in dry.dead_letters)
    rest = service.replay(user_id, queue=SECOND, reason="GAVE_UP", before_time=datetime.now(UTC) + timedelta(days=1))
    assert ([each.task_id for each in rest.dead_letters], rest.remaining_count) == (made[3:], 0)
    assert {(queue, attempt) for queue, attempt, *_ in worked(5)} == {(SECOND, 6)}
    assert [each.reason for each in service.list(user_id)] == ["NOT_AN_IMAGE"]


def test_replays_at_once_send_each_once(service, user_id, worked):
    for _ in range(40):
        service.bury(user_id)
    service.arrived(40)
    with futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: service.replay(user_id, queue=FIRST, max_count=20), range(8)))
    replayed = [each.task_id for answer in answers for each in answer.dead_letters]
    assert len(replayed) == len(set(replayed)) == 40
    assert len({body for *_, body in worked(40)}) == 40
    assert len(worked(40)) == 40


def test_a_page_follows_the_other(service, user_id):
    made = [service.bury(user_id) for _ in range(5)]
    service.arrived(5)
    seen, token = [], ""
    while True:
        request = pb.ListDeadLettersRequest(page_size=2, page_token=token)
        answer = service.public.ListDeadLetters(request, metadata=as_user(user_id))
        seen += [each.task_id for each in answer.dead_letters]
        if not (token := answer.next_page_token):
            break
        with pytest.raises(errors.InvalidArgument, match="other filters"):
            service.list(user_id, page_token=token, queue=FIRST)
    assert sorted(seen) == sorted(made)
    assert seen == [each.task_id for each in service.list(user_id)]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ReplayDeadLettersRequest(), "task_id, a queue"),
        (pb.ReplayDeadLettersRequest(dry_run=True), "task_id, a queue"),
        (pb.ReplayDeadLettersRequest(queue="q", max_count=-1), "max_count"),
        (pb.ReplayDeadLettersRequest(before_time={"seconds": 10**12}), "before_time"),
        (pb.ReplayDeadLettersRequest(reason="r" * 101), "reason"),
    ],
)
def test_bad_input_is_refused(service, user_id, request_, field):
    with pytest.raises(errors.InvalidArgument, match=field):
        service.public.ReplayDeadLetters(request_, metadata=as_user(user_id))
    asked = internal_pb2.ReplayAnyDeadLettersRequest(operator="o", replay=request_)
    with pytest.raises(errors.InvalidArgument, match=field):
        service.internal.ReplayAnyDeadLetters(asked)


def test_bad_input_to_a_list_and_a_missing_caller_or_operator_are_refused(service):
    for call, request in (
        (service.public.ListDeadLetters, pb.ListDeadLettersRequest()),
        (service.public.ReplayDeadLetters, pb.ReplayDeadLettersRequest(queue="q")),
    ):
        with pytest.raises(errors.Unauthenticated):
            call(request)
    with pytest.raises(errors.InvalidArgument, match="page_size"):
        service.list(uuid.uuid4(), page_size=-1)
    with pytest.raises(errors.InvalidArgument, match="operator"):
        service.internal.ReplayAnyDeadLetters(internal_pb2.ReplayAnyDeadLettersRequest(replay={"queue": "q"}))


def test_the_command_lists_and_replays(service, user_id, worked, monkeypatch, capsys):
    monkeypatch.setenv("TASKS_TARGET", service.target)
    made = {service.bury(user_id) for _ in range(3)}
    service.arrived(3)
    assert dead_letters.main(["list", "--reason", "GAVE_UP"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["task_id"] for each in shown} == made
    assert {each["payload"]["language_code"] for each in shown} == {"ko"}
    assert dead_letters.main(["replay", "--queue", FIRST, "--dry-run", "--operator", "mina"]) == 0
    assert dead_letters.main(["replay", "--queue", FIRST, "--most", "2", "--operator", "mina"]) == 0
    assert dead_letters.main(["replay", "--queue", FIRST, "--operator", "mina"]) == 0
    assert len(worked(3)) == 3
    assert {each.replayed_by for each in service.list(user_id, show_replayed=True)} == {"operator:mina"}
    chosen = shown[0]["dead_letter_id"]
    capsys.readouterr()
    assert dead_letters.main(["peek", chosen]) == 0
    assert json.loads(capsys.readouterr().out)["payload"] == shown[0]["payload"]
    assert dead_letters.main(["peek", str(uuid.uuid4())]) == 1
    assert dead_letters.main(["replay", "--id", chosen, "--operator", "mina"]) == 0
    assert "DEAD_LETTER_NOT_FOUND" in capsys.readouterr().err
    assert dead_letters.main(["replay"]) == 1
    assert "task_id" in capsys.readouterr().err


def test_without_a_broker_nothing_is_marked(service, user_id, database, serve):
    task_id = service.bury(user_id)
    service.arrived(1)
    nowhere = Publisher("amqp://guest:guest@127.0.0.1:1/none", TOPOLOGY, timeout_s=0.5)
    channel = serve((pb_grpc.add_TasksServiceServicer_to_server, rpc.Tasks(database("tasks"), nowhere)))
    request = pb.ReplayDeadLettersRequest(task_id=task_id)
    with pytest.raises(errors.Unavailable) as caught:
        pb_grpc.TasksServiceStub(channel).ReplayDeadLetters(request, metadata=as_user(user_id))
    nowhere.close(1)
    assert caught.value.reason == "BROKER_UNAVAILABLE"
    assert [each.task_id for each in service.list(user_id)] == [task_id]


def test_what_comes_while_the_database_is_away_is_kept_afterwards(service, user_id, servers):
    servers.stop("postgres")
    try:
        service.bury(user_id)
    finally:
        servers.start("postgres")
        servers.wait_ready("postgres")
    service.owner.close()
    eventually(lambda: len(service.list(user_id)) == 1)
