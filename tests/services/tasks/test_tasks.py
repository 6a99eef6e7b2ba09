"""The tasks service over the wire, on real PostgreSQL."""

import random
import threading
import time
from concurrent import futures
from datetime import UTC, datetime, timedelta

import pytest
import uuid_utils.compat as uuids
from eco2.tasks.v1 import tasks_pb2 as pb

from services.kit import errors
from tests.conftest import as_user

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PENDING, RUNNING = pb.TASK_STATE_PENDING, pb.TASK_STATE_RUNNING
SUCCESS, FAILURE = pb.TASK_STATE_SUCCESS, pb.TASK_STATE_FAILURE
QUEUED, STARTED = pb.TASK_EVENT_TYPE_QUEUED, pb.TASK_EVENT_TYPE_STARTED
COMPLETED, FAILED = pb.TASK_EVENT_TYPE_COMPLETED, pb.TASK_EVENT_TYPE_FAILED


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def task(task_id: str = "", state: int = PENDING, **fields) -> pb.Task:
    fields = {"task_name": "vision_analysis", "worker_name": "ai", "attempt": 1, "create_time": T0} | fields
    if state in (SUCCESS, FAILURE):
        fields.setdefault("complete_time", at(9))
    return pb.Task(task_id=task_id or f"{uuids.uuid7()}:vision_analysis", state=state, **fields)


def test_what_a_worker_sent_can_be_read(tasks, user_id):
    sent = task(state=SUCCESS, user_id=str(user_id), start_time=at(1), complete_time=at(2), worker_name="storage")
    sent.result.update({"material": "PET", "parts": [1, 2.5, None, {"뚜껑": True}], "escaped": "\\u0000"})
    assert tasks.sync(sent) == 1
    got = tasks.get(user_id, sent.task_id)
    assert got.HasField("sync_time")
    got.ClearField("sync_time")
    assert got == sent
    assert tasks.events(user_id, sent.task_id) == [(1, QUEUED), (1, STARTED), (1, COMPLETED)]


def test_a_retry_shows_every_attempt(tasks, user_id):
    first = task(state=RUNNING, user_id=str(user_id), start_time=at(1))
    retry = task(first.task_id, attempt=2, error="timed out", next_attempt_time=at(5), user_id=str(user_id))
    last = task(first.task_id, SUCCESS, attempt=2, start_time=at(6), complete_time=at(7), user_id=str(user_id))
    for each in (first, retry):
        assert tasks.sync(each) == 1
    assert tasks.get(user_id, first.task_id).error == "timed out"
    assert tasks.sync(last) == 1
    got = tasks.get(user_id, first.task_id)
    assert (got.state, got.attempt, got.error) == (SUCCESS, 2, "")
    assert got.start_time.ToDatetime(UTC) == at(1)
    request = pb.ListTaskEventsRequest(task_id=first.task_id)
    events = tasks.public.ListTaskEvents(request, metadata=as_user(user_id)).events
    assert [(event.attempt, event.type) for event in events] == [
        (1, QUEUED), (1, STARTED), (1, FAILED), (2, QUEUED), (2, STARTED), (2, COMPLETED)
    ]  # fmt: skip
    assert [event.error for event in events] == ["", "", "timed out", "", "", ""]
    assert {event.worker_name for event in events} == {"ai"}


def test_nothing_goes_back_and_nothing_is_counted_twice(tasks, user_id):
    done = task(state=SUCCESS, start_time=at(1), user_id=str(user_id))
    assert tasks.sync(done) == 1
    before = tasks.rows()
    assert tasks.sync(done, done) == 0
    for stale in (
        task(done.task_id, RUNNING, start_time=at(1)), task(done.task_id, PENDING, attempt=5),
        task(done.task_id, FAILURE, attempt=9, error="late"),
    ):  # fmt: skip
        assert tasks.sync(stale) == 0
    assert tasks.rows() == before


def test_a_late_record_still_tells_what_only_it_knows(tasks, user_id):
    done = task(state=SUCCESS)
    tasks.sync(done)
    late = task(done.task_id, RUNNING, create_time=at(-2), start_time=at(-1), user_id=str(user_id))
    assert tasks.sync(late) == 1
    got = tasks.get(user_id, done.task_id)
    assert (got.state, got.create_time.ToDatetime(UTC), got.start_time.ToDatetime(UTC)) == (SUCCESS, at(-2), at(-1))
    assert tasks.sync(late) == 0


def test_another_users_task_is_not_found(tasks, user_id):
    sent = task(user_id=str(user_id))
    nobodys = task()
    tasks.sync(sent, nobodys)
    stranger = uuids.uuid7()
    for task_id, caller in ((sent.task_id, stranger), (nobodys.task_id, user_id), ("unknown", user_id)):
        for call in (tasks.get, tasks.events):
            with pytest.raises(errors.NotFound) as caught:
                call(caller, task_id)
            assert caught.value.reason == "TASK_NOT_FOUND"
    assert tasks.listed(stranger) == []
    with pytest.raises(errors.Unauthenticated):
        tasks.public.ListTasks(pb.ListTasksRequest())


def test_lists_are_paged_newest_first_and_filtered(tasks, user_id):
    analyses = [str(uuids.uuid7()) for _ in range(9)]
    sent = [
        task(f"{analysis}:{name}", state, task_name=name, worker_name=worker, user_id=str(user_id),
             # Two by two at the same moment.
             create_time=at(index // 2))
        for index, analysis in enumerate(analyses)
        for name, worker, state in (("vision_analysis", "ai", SUCCESS), ("rule_retrieval", "storage", RUNNING))
    ]  # fmt: skip
    tasks.sync(*random.Random(3).sample(sent, len(sent)))
    times = {each.task_id: each.create_time.ToDatetime(UTC) for each in sent}
    everything = tasks.listed(user_id, page_size=4)
    assert sorted(everything) == sorted(times)
    assert [times[task_id] for task_id in everything] == sorted(times.values(), reverse=True)
    assert tasks.listed(user_id) == everything
    assert set(tasks.listed(user_id, analysis_id=analyses[4].upper())) == {
        f"{analyses[4]}:vision_analysis", f"{analyses[4]}:rule_retrieval"
    }  # fmt: skip
    vision = [task_id for task_id in everything if task_id.endswith(":vision_analysis")]
    for fields in ({"state": SUCCESS}, {"worker_name": "ai"}, {"task_name": "vision_analysis"}):
        assert tasks.listed(user_id, page_size=2, **fields) == vision
    assert tasks.listed(user_id, state=FAILURE) == []


def test_a_page_token_belongs_to_its_caller_and_filters(tasks, user_id):
    tasks.sync(*(task(user_id=str(user_id)) for _ in range(3)))
    request = pb.ListTasksRequest(page_size=1)
    token = tasks.public.ListTasks(request, metadata=as_user(user_id)).next_page_token
    for caller, fields in ((user_id, {"state": SUCCESS}), (uuids.uuid7(), {}), (user_id, {"page_size": -1})):
        with pytest.raises(errors.InvalidArgument):
            tasks.public.ListTasks(pb.ListTasksRequest(page_token=token, **fields), metadata=as_user(caller))


BAD_TIME = 10**12
WRONG = {
    "tasks[1].task_id": task("x\0y"),
    "tasks[1].error": task(error="\0"),
    "tasks[1].result.fields['a'].list_value.values[1].string_value": task(state=SUCCESS),
    "tasks[1].result": task(state=SUCCESS),
    "tasks[1].state": task(state=pb.TASK_STATE_UNSPECIFIED),
    "tasks[1].attempt": task(attempt=0),
    "tasks[1].user_id": task(user_id="me"),
    "tasks[1].create_time": task(),
    "tasks[1].start_time": task(),
    "tasks[1].complete_time": task(state=FAILURE),
}
WRONG["tasks[1].result.fields['a'].list_value.values[1].string_value"].result.update({"a": ["b", "c\0"]})
WRONG["tasks[1].result"].result.update({"a": float("inf")})
WRONG["tasks[1].create_time"].ClearField("create_time")
WRONG["tasks[1].start_time"].start_time.seconds = BAD_TIME
WRONG["tasks[1].complete_time"].ClearField("complete_time")


@pytest.mark.parametrize("field", WRONG)
def test_one_bad_task_refuses_the_batch_and_names_the_field(tasks, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        tasks.sync(task(), WRONG[field])
    assert [name for name, _ in caught.value.violations] == [field]
    assert tasks.rows() == []


@pytest.mark.parametrize("call", ["GetTask", "ListTaskEvents", "ListTasks"])
def test_a_nul_in_a_query_is_refused(tasks, user_id, call):
    request = getattr(pb, f"{call}Request")(**{"worker_name" if call == "ListTasks" else "task_id": "a\0"})
    with pytest.raises(errors.InvalidArgument):
        getattr(tasks.public, call)(request, metadata=as_user(user_id))


def test_an_empty_batch_and_one_too_large_are_refused(tasks):
    for count in (0, 5001):
        with pytest.raises(errors.InvalidArgument):
            tasks.sync(*[task("same")] * count)


def life(rng: random.Random, task_id: str, worker: int) -> list[pb.Task]:
    """What one worker's journal tells of a task over its life; each worker has its own times and its own luck."""
    moment = worker * 0.001 + rng.random()
    made, told, error = at(moment), [], ""
    for attempt in range(1, rng.randint(1, 3) + 1):
        fields = {"attempt": attempt, "create_time": made, "error": error}
        due = at(moment) if attempt > 1 else None
        told.append(task(task_id, PENDING, next_attempt_time=due, **fields))
        moment += rng.random() + 0.1
        fields["start_time"] = at(moment)
        told.append(task(task_id, RUNNING, next_attempt_time=due, **fields))
        moment += rng.random() + 0.1
        error = f"failed at {moment}"
    if rng.random() < 0.8:
        ended = fields | {"complete_time": at(moment), "error": ""}
        ended |= {"error": error} if rng.random() < 0.4 else {}
        state = FAILURE if ended["error"] else SUCCESS
        told.append(task(task_id, state, result={"worker": worker} if state == SUCCESS else None, **ended))
    return told


STANDING = {"pending": 0, "running": 1, "failure": 2, "success": 2}


def standing(row: tuple) -> tuple:
    """The proto's order, for rows of Service.rows()."""
    return row[1] == "success", row[2], STANDING[row[1]]


def expected_of(records: list[pb.Task]) -> tuple:
    """The model: what the furthest of all records says, whoever sent it and whenever."""
    names = {PENDING: "pending", RUNNING: "running", SUCCESS: "success", FAILURE: "failure"}
    best = max(standing((record.task_id, names[record.state], record.attempt)) for record in records)
    started = [record.start_time.ToDatetime(UTC) for record in records if record.HasField("start_time")]
    return best, min(record.create_time.ToDatetime(UTC) for record in records), min(started, default=None)


def batches_of(rng: random.Random, lives: list[list[pb.Task]]) -> list[list[pb.Task]]:
    """Everything at least once, much of it twice, in any order and grouping."""
    records = [record for life in lives for record in life]
    records += rng.choices(records, k=len(records) // 2)
    rng.shuffle(records)
    cuts = sorted(rng.sample(range(1, len(records)), k=3))
    return [records[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(records)], strict=True)]


def test_any_replay_and_reordering_from_three_workers_ends_alike(tasks):
    """100 stories of three tasks, each told by three workers in four different ways."""
    rng, sequences = random.Random(20260101), 0
    for story in range(100):
        ids = [f"{story}:{name}" for name in "abc"]
        lives = [life(rng, task_id, worker) for task_id in ids for worker in range(3)]
        records = {task_id: [each for one in lives for each in one if each.task_id == task_id] for task_id in ids}
        ends = []
        for _ in range(4):
            tasks.forget()
            seen: dict[str, tuple] = {}
            for batch in batches_of(rng, lives):
                tasks.sync(*batch)
                for row in tasks.rows():
                    assert seen.get(row[0], ()) <= standing(row), f"story {story}: {row[0]} went back"
                    seen[row[0]] = standing(row)
            ends.append((tasks.rows(), tasks.history()))
            sequences += 1
        assert all(end == ends[0] for end in ends), f"story {story}"
        for row in ends[0][0]:
            assert (standing(row), row[7], row[8]) == expected_of(records[row[0]])
    assert sequences == 400


def test_overlapping_shuffled_batches_at_once_do_not_deadlock(tasks):
    rng = random.Random(5)
    ids = [f"{uuids.uuid7()}:vision_analysis" for _ in range(1000)]
    together = threading.Barrier(4)

    def send(worker: int) -> None:
        batch = [record for task_id in ids for record in life(random.Random(f"{worker}{task_id}"), task_id, worker)]
        random.Random(worker).shuffle(batch)
        together.wait(10)
        for begin in range(0, len(batch), 2000):
            tasks.sync(*batch[begin : begin + 2000])

    with futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(4)))
    everything = [
        record for worker in range(4) for task_id in ids
        for record in life(random.Random(f"{worker}{task_id}"), task_id, worker)
    ]  # fmt: skip
    rows, history = tasks.rows(), tasks.history()
    assert len(rows) == 1000
    rng.shuffle(everything)
    for begin in range(0, len(everything), 5000):
        assert tasks.sync(*everything[begin : begin + 5000]) == 0
    assert (tasks.rows(), tasks.history()) == (rows, history)


def test_a_full_batch_stays_well_below_the_statement_timeout(tasks, user_id):
    batch = [
        task(state=SUCCESS, user_id=str(user_id), start_time=at(1), result={"material": "PET", "confidence": 0.9})
        for _ in range(5000)
    ]
    for kind, changed in (("new", 5000), ("replayed", 0)):
        begun = time.perf_counter()
        assert tasks.sync(*batch) == changed
        took_s = time.perf_counter() - begun
        print(f"5000 {kind} rows with 3 events each: {took_s:.2f} s")
        assert took_s < 4
