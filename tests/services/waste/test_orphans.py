"""Analyses that no worker has any more."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from eco2.pipeline.v1 import messages_pb2
from eco2.waste.v1 import waste_pb2

from services.waste import orphans
from services.waste.orphans import Orphans
from tests.conftest import as_user, together
from tests.services.waste.conftest import SILENT_S
from tests.services.waste.test_erasure import erase
from tests.services.waste.test_waste import FAILED, RUNNING, SUCCEEDED, completion, get, record

QUEUED = waste_pb2.ANALYSIS_STATE_QUEUED
REPLICAS = 4


def silence(waste, analysis_id: str, seconds: float) -> None:
    """As if so much time had gone by without a word of it."""
    with waste.database.writing() as tx:
        tx.execute(
            sa.text("UPDATE analyses SET heard_at = heard_at - make_interval(secs => :seconds) WHERE id = :id"),
            {"seconds": seconds, "id": analysis_id},
        )


def outbox(waste) -> list[messages_pb2.AnalysisJob]:
    with waste.database.reading() as connection:
        bodies = connection.execute(sa.text("SELECT body FROM outbox ORDER BY id")).scalars().all()
    return [messages_pb2.AnalysisJob.FromString(body) for body in bodies]


def sweep_together(replicas: list[Orphans]) -> None:
    ready = iter(replicas)
    assert not together(len(replicas), lambda: next(ready).sweep())


def test_a_silent_analysis_begins_anew_once_however_many_look(waste, user_id, replica):
    analysis = waste.start(user_id, question="How do I recycle this?", region_code="11680")
    silence(waste, analysis.analysis_id, SILENT_S + 1)
    for _ in range(3):
        sweep_together([replica() for _ in range(REPLICAS)])
    first, again = outbox(waste)
    assert again == first
    assert get(waste, user_id, analysis.analysis_id).state == QUEUED


def test_one_that_falls_silent_again_fails_and_says_what_to_do(waste, user_id, replica):
    analysis = waste.start(user_id, question="How do I recycle this?")
    for _ in range(2):
        silence(waste, analysis.analysis_id, SILENT_S + 1)
        sweep_together([replica() for _ in range(REPLICAS)])
    found = get(waste, user_id, analysis.analysis_id)
    assert (found.state, found.failure.reason) == (FAILED, "WORK_LOST")
    assert found.failure.message == orphans.LOST[1]["en"]
    assert found.failure.HasField("retry_time")
    assert len(outbox(waste)) == 2
    # From a queue that was longer than that.
    record(waste, analysis.analysis_id, completion=completion())
    assert get(waste, user_id, analysis.analysis_id).state == SUCCEEDED


def test_who_waits_is_told(waste, user_id, replica):
    analysis = waste.start(user_id)
    for _ in range(2):
        silence(waste, analysis.analysis_id, SILENT_S + 1)
        replica().sweep()
    moved = waste.board.read(f"analysis:{analysis.analysis_id}")
    assert moved["state"] == "FAILED"
    request = waste_pb2.WaitAnalysisRequest(analysis_id=analysis.analysis_id, timeout_s=20)
    assert waste.public.WaitAnalysis(request, metadata=as_user(user_id)).analysis.state == FAILED


def test_without_its_photo_it_fails_at_once(waste, user_id, replica):
    analysis = waste.start(user_id)
    waste.bucket.delete([outbox(waste)[0].image_key])
    silence(waste, analysis.analysis_id, SILENT_S + 1)
    replica().sweep()
    found = get(waste, user_id, analysis.analysis_id)
    assert (found.state, found.failure.reason) == (FAILED, "IMAGE_NOT_FOUND")
    assert found.failure.message == orphans.PHOTO_GONE[1]["ko"]
    assert not found.failure.HasField("retry_time")
    assert len(outbox(waste)) == 1


def test_a_slow_one_that_lives_and_one_that_has_ended_are_let_be(waste, user_id, replica):
    image_id = waste.upload(user_id)
    slow, failed, done = (waste.start(user_id, image_id=image_id).analysis_id for _ in range(3))
    for _ in range(3):
        silence(waste, slow, SILENT_S * 0.9)
        replica().sweep()
        record(waste, slow, sight=messages_pb2.Sight(provider="embedded", model="m"))
    record(waste, failed, failure=waste_pb2.Failure(reason="GAVE_UP", message="m"))
    record(waste, done, completion=completion())
    for each in (failed, done):
        silence(waste, each, 100 * SILENT_S)
    replica().sweep()
    assert [get(waste, user_id, each).state for each in (slow, failed, done)] == [RUNNING, FAILED, SUCCEEDED]
    assert len(outbox(waste)) == 3


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_the_clock_of_a_replica_may_jump(waste, user_id, replica, hours):
    lives, silent = waste.start(user_id).analysis_id, waste.start(user_id).analysis_id
    silence(waste, silent, SILENT_S + 1)
    waste.clock.ahead += hours * waste.clock.hour
    replica().sweep()
    assert [job.analysis_id for job in outbox(waste)] == [lives, silent, silent]


class Meanwhile:
    """A bucket that is slow to say whether a photo is there."""

    def __init__(self, bucket, happens):
        self._bucket, self._happens = bucket, happens

    def find_size(self, key: str) -> int | None:
        self._happens()
        return self._bucket.find_size(key)


def test_one_heard_of_while_it_is_looked_at_is_let_be(waste, user_id, replica):
    analysis_id = waste.start(user_id).analysis_id
    silence(waste, analysis_id, SILENT_S + 1)
    sight = messages_pb2.Sight(provider="embedded", model="m")
    replica(Meanwhile(waste.bucket, lambda: record(waste, analysis_id, sight=sight))).sweep()
    assert len(outbox(waste)) == 1


def test_the_user_leaves_while_it_is_looked_at(waste, user_id, replica):
    analysis_id = waste.start(user_id).analysis_id
    silence(waste, analysis_id, SILENT_S + 1)
    replica(Meanwhile(waste.bucket, lambda: erase(waste, user_id))).sweep()
    assert outbox(waste) == []


def test_a_sweep_has_a_bound_and_takes_the_oldest(waste, user_id, replica, monkeypatch):
    monkeypatch.setattr(orphans, "BATCH", 3)  # Several batches out of few rows.
    image_id = waste.upload(user_id)
    made = [waste.start(user_id, image_id=image_id).analysis_id for _ in range(5)]
    for each in made:
        silence(waste, each, SILENT_S + 1)
    for reached in (3, 5):
        assert replica().sweep() is False
        assert [job.analysis_id for job in outbox(waste)] == made + made[:reached]
