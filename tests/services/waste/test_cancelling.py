"""A user who wants no answer any more."""

from __future__ import annotations

import random
import threading
from concurrent import futures

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.pipeline.v1 import messages_pb2
from eco2.waste.v1 import waste_pb2, waste_pb2_grpc

from services.kit import cache
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from services.waste.outcomes import WasteInternal
from services.waste.rpc import Waste
from tests.conftest import as_user
from tests.services.waste.conftest import LIMITS, SILENT_S, now
from tests.services.waste.test_erasure import erase
from tests.services.waste.test_history import count, delete, listed
from tests.services.waste.test_orphans import outbox, silence
from tests.services.waste.test_waste import RUNNING, SUCCEEDED, completion, get, record

CANCELLED = waste_pb2.ANALYSIS_STATE_CANCELLED
FAILURE = waste_pb2.Failure(reason="GAVE_UP", message="sorry")
IMAGE = messages_pb2.CleanImage(object_key="c", thumbnail_key="t", sha256=b"1" * 32, width=2, height=1)


def cancel(waste, user_id, analysis_id: str) -> waste_pb2.Analysis:
    request = waste_pb2.CancelAnalysisRequest(analysis_id=analysis_id)
    return waste.public.CancelAnalysis(request, metadata=as_user(user_id)).analysis


def told(waste) -> list[str]:
    """What workers hear of."""
    return waste.cancelled.read(cache.Trail.BEGINNING)[0]


def test_one_that_waits_in_the_queue_ends_and_workers_are_told_once(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    cancelled = cancel(waste, user_id, analysis_id)
    assert (cancelled.state, cancelled.progress) == (CANCELLED, 100)
    assert cancelled.HasField("complete_time")
    assert not cancelled.HasField("result")
    assert not cancelled.HasField("failure")
    assert cancel(waste, user_id, analysis_id) == cancelled == get(waste, user_id, analysis_id)
    assert told(waste) == [analysis_id]
    assert waste.board.read(f"analysis:{analysis_id}")["state"] == "CANCELLED"


def test_nothing_that_workers_still_find_out_changes_it(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    record(waste, analysis_id, image=IMAGE)
    assert get(waste, user_id, analysis_id).state == RUNNING
    cancelled = cancel(waste, user_id, analysis_id)
    assert cancelled.state == CANCELLED
    for late in (
        {"sight": completion().sight},
        {"rule": completion().rule},
        {"failure": waste_pb2.Failure(reason="CANCELLED", message="m")},
        {"failure": FAILURE},
        {"completion": completion()},
        {"failure": FAILURE},
    ):
        assert record(waste, analysis_id, **late) == []
        after = get(waste, user_id, analysis_id)
        assert (after.state, after.complete_time) == (CANCELLED, cancelled.complete_time)
        assert not after.HasField("result")
        assert not after.HasField("failure")
    # Of progress that a worker tells late nobody hears either.
    progress = {"state": "RUNNING", "stage": "vision_analysis", "progress": 99}
    assert not waste.board.advance(f"analysis:{analysis_id}", 99, progress)
    assert waste.board.read(f"analysis:{analysis_id}")["state"] == "CANCELLED"


@pytest.mark.parametrize("end", [{"completion": completion()}, {"failure": FAILURE}], ids=["succeeded", "failed"])
def test_one_that_has_ended_stays_as_it_is(waste, user_id, end):
    analysis_id = waste.start(user_id).analysis_id
    record(waste, analysis_id, **end)
    ended = get(waste, user_id, analysis_id)
    assert cancel(waste, user_id, analysis_id) == ended
    assert get(waste, user_id, analysis_id) == ended
    assert told(waste) == []
    # What failed can still be replayed into an answer.
    record(waste, analysis_id, completion=completion())
    assert get(waste, user_id, analysis_id).state == SUCCEEDED


def test_somebody_elses_is_not_found_and_goes_on(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    request = waste_pb2.CancelAnalysisRequest(analysis_id=analysis_id)
    with pytest.raises(NotFound) as caught:
        cancel(waste, uuids.uuid7(), analysis_id)
    assert caught.value.reason == "ANALYSIS_NOT_FOUND"
    with pytest.raises(NotFound):
        cancel(waste, user_id, str(uuids.uuid7()))
    with pytest.raises(Unauthenticated):
        waste.public.CancelAnalysis(request)
    with pytest.raises(InvalidArgument, match="analysis_id"):
        cancel(waste, user_id, "7")
    assert told(waste) == []
    record(waste, analysis_id, completion=completion())
    assert get(waste, user_id, analysis_id).state == SUCCEEDED


def test_against_an_answer_one_of_the_two_wins_and_everyone_agrees(waste, user_id):
    image_id, chance, winners = waste.upload(user_id), random.Random(7), set()
    with futures.ThreadPoolExecutor(3) as threads:
        for _ in range(40):
            analysis_id = waste.start(user_id, image_id=image_id).analysis_id
            start = threading.Barrier(3)

            def at_once(act, start=start):
                start.wait(10)
                return act()

            acts = [
                lambda a=analysis_id: record(waste, a, completion=completion()),
                lambda a=analysis_id: cancel(waste, user_id, a),
                lambda a=analysis_id: cancel(waste, user_id, a),
            ]
            order = chance.sample(range(3), 3)
            given = {index: threads.submit(at_once, acts[index]) for index in order}
            states = {given[index].result(30).state for index in (1, 2)}
            final = get(waste, user_id, analysis_id)
            # Whoever was answered saw the end: it is the same for all, and stays.
            assert states == {final.state}
            assert final.HasField("result") == (final.state == SUCCEEDED)
            assert (analysis_id in told(waste)) == (final.state == CANCELLED)
            assert told(waste).count(analysis_id) <= 1
            shown = waste.board.read(f"analysis:{analysis_id}")["state"]
            assert shown == waste_pb2.AnalysisState.Name(final.state).removeprefix("ANALYSIS_STATE_")
            winners.add(final.state)
    assert winners <= {SUCCEEDED, CANCELLED}


def test_who_waits_and_who_watches_see_the_end(waste, user_id):
    analysis_id, answers = waste.start(user_id).analysis_id, []
    watch = waste_pb2.WatchAnalysisRequest(analysis_id=analysis_id)
    stream = waste.public.WatchAnalysis(watch, metadata=as_user(user_id), timeout=20)
    assert not next(stream).done
    request = waste_pb2.WaitAnalysisRequest(analysis_id=analysis_id, timeout_s=20)
    thread = threading.Thread(
        target=lambda: answers.append(waste.public.WaitAnalysis(request, metadata=as_user(user_id)).analysis)
    )
    thread.start()
    cancel(waste, user_id, analysis_id)
    last = next(stream)
    assert (last.done, last.analysis.state) == (True, CANCELLED)
    assert list(stream) == []
    thread.join(10)
    assert answers[0].state == CANCELLED


def test_without_redis_it_is_cancelled_all_the_same(waste, user_id, serve, caplog):
    analysis_id = waste.start(user_id).analysis_id
    away = cache.connect("redis://127.0.0.1:1", 1)
    board, trail = cache.Board(away, "test", 60), cache.Trail(away, "test", 60, 10)
    announce = WasteInternal(waste.database, board, erase=None, now=now).announce
    public = Waste(
        waste.database, waste.bucket, board, waste.listener, trail, announce, waste.relay.wake, waste.remover,
        LIMITS, waste.draining, now,
    )  # fmt: skip
    other = waste_pb2_grpc.WasteServiceStub(serve((waste_pb2_grpc.add_WasteServiceServicer_to_server, public)))
    request = waste_pb2.CancelAnalysisRequest(analysis_id=analysis_id)
    assert other.CancelAnalysis(request, metadata=as_user(user_id)).analysis.state == CANCELLED
    assert "in vain" in caplog.text
    record(waste, analysis_id, completion=completion())
    assert get(waste, user_id, analysis_id).state == CANCELLED


def test_the_request_id_that_made_it_gives_it_again_and_another_starts_anew(waste, user_id):
    image_id, request_id = waste.upload(user_id), str(uuids.uuid7())
    first = waste.start(user_id, image_id=image_id, request_id=request_id)
    cancelled = cancel(waste, user_id, first.analysis_id)
    assert waste.start(user_id, image_id=image_id, request_id=request_id) == cancelled
    again = waste.start(user_id, image_id=image_id, request_id=str(uuids.uuid7()))
    assert again.analysis_id != first.analysis_id
    record(waste, again.analysis_id, completion=completion())
    assert get(waste, user_id, again.analysis_id).state == SUCCEEDED
    assert len(outbox(waste)) == 2


def test_it_is_listed_counted_and_can_be_deleted(waste, user_id):
    image_id = waste.upload(user_id)
    done, dropped = (waste.start(user_id, image_id=image_id).analysis_id for _ in range(2))
    record(waste, done, completion=completion())
    cancel(waste, user_id, dropped)
    assert listed(waste, user_id) == [dropped, done]
    assert listed(waste, user_id, state=CANCELLED) == [dropped]
    counted = count(waste, user_id)
    assert {each.state: each.count for each in counted.by_state} == {SUCCEEDED: 1, CANCELLED: 1}
    assert sum(each.count for each in counted.by_material) == 1
    delete(waste, user_id, dropped)
    assert listed(waste, user_id) == [done]


def test_to_delete_one_under_way_stops_the_workers_too(waste, user_id):
    image_id = waste.upload(user_id)
    done, queued, running, dropped = (waste.start(user_id, image_id=image_id).analysis_id for _ in range(4))
    record(waste, done, completion=completion())
    record(waste, running, image=IMAGE)
    cancel(waste, user_id, dropped)
    for each in (done, queued, running, dropped):
        delete(waste, user_id, each)
    assert told(waste) == [dropped, queued, running]
    assert listed(waste, user_id) == []
    with pytest.raises(NotFound):
        delete(waste, user_id, queued)
    assert len(told(waste)) == 3


def test_nobody_looks_for_it_as_for_an_orphan(waste, user_id, replica):
    analysis_id = waste.start(user_id).analysis_id
    cancel(waste, user_id, analysis_id)
    silence(waste, analysis_id, 100 * SILENT_S)
    replica().sweep()
    assert len(outbox(waste)) == 1
    assert get(waste, user_id, analysis_id).state == CANCELLED


def test_a_user_who_leaves_leaves_none_behind(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    cancel(waste, user_id, analysis_id)
    erase(waste, user_id)
    with waste.database.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM analyses")).scalar() == 0
    # What workers are still told names nobody.
    assert str(user_id) not in str(told(waste))
    with pytest.raises(NotFound):
        cancel(waste, user_id, analysis_id)


def test_what_was_cancelled_takes_no_feedback(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    cancel(waste, user_id, analysis_id)
    request = waste_pb2.CreateFeedbackRequest(analysis_id=analysis_id, correct=True)
    with pytest.raises(FailedPrecondition) as caught:
        waste.public.CreateFeedback(request, metadata=as_user(user_id))
    assert caught.value.reason == "ANALYSIS_CANCELLED"
