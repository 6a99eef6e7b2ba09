"""Erasing a user of tasks, while workers tell what they did."""

from __future__ import annotations

import threading
import uuid
from concurrent import futures

import uuid_utils.compat as uuids
from eco2.tasks.v1 import internal_pb2
from eco2.tasks.v1 import tasks_pb2 as pb

from services.kit.broker import Message
from services.tasks import rpc
from tests.conftest import eventually
from tests.services.tasks.conftest import FIRST, TOPOLOGY
from tests.services.tasks.test_tasks import SUCCESS, at


def task(user_id, analysis_id=None, **fields) -> pb.Task:
    name = f"{analysis_id or uuid.uuid4()}:user_input"
    made = pb.Task(task_id=name, task_name="user_input", worker_name="storage", state=SUCCESS, attempt=1, **fields)
    made.user_id = str(user_id)
    for each in (made.create_time, made.start_time, made.complete_time):
        each.FromDatetime(at(1))
    made.result.update({"object_key": f"uploads/{user_id}/clean.jpg"})
    return made


def sync(service, *tasks: pb.Task) -> int:
    return service.internal.SyncTasks(internal_pb2.SyncTasksRequest(tasks=tasks)).changed


def erase(service, user_id) -> int:
    return service.internal.EraseUser(internal_pb2.EraseUserRequest(user_id=str(user_id))).removed_count


def holds(service, user_id) -> bool:
    rows = "".join(
        row[0]
        for table in ("task_results", "task_history", "dead_letters", "tombstones")
        for row in service.owner.execute(f"SELECT t::text FROM tasks.{table} t")
    )
    return str(user_id) in rows or str(user_id).encode().hex() in rows


def test_nothing_of_a_user_is_left_and_all_of_the_others(service, monkeypatch):
    monkeypatch.setattr(rpc, "ERASE_BATCH", 2)  # Several batches out of few rows.
    user_id, other = uuids.uuid7(), uuids.uuid7()
    assert sync(service, *(task(user_id) for _ in range(5)), task(other)) == 6
    service.bury(user_id)
    service.bury(other)
    service.send(Message(FIRST, b"no job of " + str(user_id).encode(), {}, TOPOLOGY.dead))
    service.send(Message(FIRST, b"no job of anybody", {}, TOPOLOGY.dead))
    service.arrived(4)
    assert service.replay(user_id, reason="GAVE_UP").dead_letters[0].replayed_by == f"user:{user_id}"
    assert erase(service, user_id) == 7
    assert not holds(service, user_id)
    assert service.count() == 2
    assert service.owner.execute("SELECT count(*) FROM tasks.task_results").fetchone() == (1,)
    assert erase(service, user_id) == 7
    assert erase(service, uuids.uuid7()) == 0


def test_what_workers_tell_late_is_passed_over_and_the_rest_of_the_batch_is_not(service):
    user_id, other = uuids.uuid7(), uuids.uuid7()
    erase(service, user_id)
    late, kept = task(user_id), task(other)
    late.user_id = late.user_id.upper()
    assert sync(service, late, kept, task(user_id)) == 1
    assert sync(service, late) == 0
    service.bury(user_id)
    service.bury(other)
    service.arrived(1)
    assert not holds(service, user_id)
    assert service.owner.execute("SELECT task_id FROM tasks.task_results").fetchall() == [(kept.task_id,)]
    assert service.list(other)[0].user_id == str(other)


def test_workers_that_tell_all_the_while_bring_nobody_back(service):
    user_id, stop = uuids.uuid7(), threading.Event()
    told = threading.Semaphore(0)

    def tell() -> None:
        while not stop.is_set():
            sync(service, *(task(user_id) for _ in range(20)), *(task(uuids.uuid7()) for _ in range(20)))
            told.release()

    with futures.ThreadPoolExecutor(3) as pool:
        telling = [pool.submit(tell) for _ in range(3)]
        for _ in range(6):
            assert told.acquire(timeout=30)
        assert erase(service, user_id) >= 100
        for _ in range(3):
            assert told.acquire(timeout=30)
        stop.set()
        for each in telling:
            each.result(30)
    eventually(lambda: not holds(service, user_id), 1)
