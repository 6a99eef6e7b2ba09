"""The waste service over the wire."""

import threading

import psycopg
import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.pipeline.v1 import messages_pb2
from eco2.recycle_info.v1 import internal_pb2 as rules_pb2
from eco2.recycle_info.v1.recycle_info_pb2 import MATERIAL_GLASS
from eco2.waste.v1 import internal_pb2, waste_pb2

from services.kit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from tests.conftest import as_user, eventually, put, together
from tests.services.waste.conftest import PHOTO, checksum

RUNNING, SUCCEEDED, FAILED = (
    waste_pb2.ANALYSIS_STATE_RUNNING,
    waste_pb2.ANALYSIS_STATE_SUCCEEDED,
    waste_pb2.ANALYSIS_STATE_FAILED,
)


def completion(**fields) -> internal_pb2.Completion:
    return internal_pb2.Completion(
        sight=messages_pb2.Sight(material=MATERIAL_GLASS, confidence=0.91, provider="embedded", model="m", **fields),
        rule=rules_pb2.ResolvedRule(
            rule_id="r", item_id="i", item_name="유리병", material=MATERIAL_GLASS, bin="유리병류"
        ),
        reply=messages_pb2.Reply(steps=["헹군다"], text="헹궈서 유리병류로."),
    )


def record(waste, analysis_id: str, **outcome) -> list[str]:
    request = internal_pb2.RecordOutcomesRequest(outcomes=[internal_pb2.Outcome(analysis_id=analysis_id, **outcome)])
    return list(waste.internal.RecordOutcomes(request).unknown_analysis_ids)


def get(waste, user_id, analysis_id: str) -> waste_pb2.Analysis:
    request = waste_pb2.GetAnalysisRequest(analysis_id=analysis_id)
    return waste.public.GetAnalysis(request, metadata=as_user(user_id)).analysis


def test_the_store_takes_exactly_what_was_announced(waste, user_id):
    upload = waste.announce(user_id).upload
    other = bytes(len(PHOTO))
    assert put(upload, other) >= 400
    assert put(upload, other, **{"x-amz-checksum-sha256": checksum(other)}) >= 400
    assert put(upload, PHOTO + b"!") >= 400
    assert put(upload, PHOTO, **{"Content-Type": "text/html"}) >= 400
    assert put(upload, PHOTO) == 200


def test_an_analysis_starts_queued_and_its_message_is_in_the_outbox(waste, user_id):
    analysis = waste.start(user_id, question="How do I recycle this?")
    assert (analysis.state, analysis.progress) == (waste_pb2.ANALYSIS_STATE_QUEUED, 0)
    with waste.database.reading() as connection:
        queue, body = connection.execute(sa.text("SELECT queue, body FROM outbox")).one()
    job = messages_pb2.AnalysisJob.FromString(body)
    assert (queue, job.analysis_id, job.language_code) == ("user_input_queue", analysis.analysis_id, "en")
    assert job.image_key.startswith(f"uploads/{user_id}/")


def test_the_region_goes_with_the_job_and_its_name_comes_with_the_answer(waste, user_id):
    analysis = waste.start(user_id, region_code="11680")
    with waste.database.reading() as connection:
        job = messages_pb2.AnalysisJob.FromString(connection.execute(sa.text("SELECT body FROM outbox")).scalar_one())
    assert (job.region_code, analysis.region_code) == ("11680", "11680")
    answer = completion()
    answer.rule.region_name = "서울특별시 강남구"
    record(waste, analysis.analysis_id, completion=answer)
    shown = get(waste, user_id, analysis.analysis_id)
    assert (shown.region_code, shown.result.region_name) == ("11680", "서울특별시 강남구")
    with pytest.raises(InvalidArgument) as refused:
        waste.start(user_id, image_id=analysis.image_id, region_code="강남")
    assert [field for field, _ in refused.value.violations] == ["region_code"]


def test_an_image_never_uploaded_is_refused_by_name(waste, user_id):
    image_id = waste.announce(user_id).image.image_id
    with pytest.raises(FailedPrecondition) as caught:
        waste.start(user_id, image_id=image_id)
    assert (caught.value.reason, caught.value.violations[0][0]) == ("IMAGE_NOT_UPLOADED", "image_id")


def test_a_request_id_makes_one_analysis_and_refuses_another_body(waste, user_id):
    image_id, request_id = waste.upload(user_id), str(uuids.uuid7())
    made = []
    assert not together(
        8, lambda: made.append(waste.start(user_id, image_id=image_id, request_id=request_id).analysis_id)
    )
    assert len(made) == 8
    assert len(set(made)) == 1
    with pytest.raises(AlreadyExists) as caught:
        waste.start(user_id, image_id=image_id, request_id=request_id, question="?")
    assert caught.value.reason == "REQUEST_ID_REUSED"
    with waste.database.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM outbox")).scalar() == 1


def test_what_is_somebody_elses_is_not_found(waste, user_id):
    analysis, stranger = waste.start(user_id), uuids.uuid7()
    record(waste, analysis.analysis_id, completion=completion())
    for call, request in (
        (waste.public.GetAnalysis, waste_pb2.GetAnalysisRequest(analysis_id=analysis.analysis_id)),
        (waste.public.WaitAnalysis, waste_pb2.WaitAnalysisRequest(analysis_id=analysis.analysis_id)),
        (waste.public.CreateAnalysis, waste_pb2.CreateAnalysisRequest(image_id=analysis.image_id)),
        (waste.public.CreateFeedback, waste_pb2.CreateFeedbackRequest(analysis_id=analysis.analysis_id, correct=True)),
    ):
        with pytest.raises(NotFound):
            call(request, metadata=as_user(stranger))
        with pytest.raises(Unauthenticated):
            call(request)
    listed = waste.public.ListAnalyses(waste_pb2.ListAnalysesRequest(), metadata=as_user(stranger))
    assert not listed.analyses


def test_outcomes_move_forward_only_and_end_once(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    image = messages_pb2.CleanImage(object_key="c", thumbnail_key="t", sha256=b"1" * 32, width=2, height=1)
    record(waste, analysis_id, image=image)
    assert get(waste, user_id, analysis_id).state == RUNNING
    record(waste, analysis_id, sight=completion().sight)
    record(waste, analysis_id, completion=completion())
    ended = get(waste, user_id, analysis_id)
    assert (ended.state, ended.progress, ended.result.material) == (SUCCEEDED, 100, MATERIAL_GLASS)
    assert ended.result.confidence == pytest.approx(0.91)
    assert not ended.result.HasField("follow_up_question")
    assert ended.image_url.startswith("http")
    other = completion()
    other.reply.text = "too late"
    late_failure = waste_pb2.Failure(reason="LATE", message="too late")
    for late in ({"image": image}, {"failure": late_failure}, {"completion": other}):
        record(waste, analysis_id, **late)
        assert get(waste, user_id, analysis_id).state == SUCCEEDED
        assert get(waste, user_id, analysis_id).result == ended.result


def test_an_answer_after_all_takes_the_place_of_the_failure(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    record(waste, analysis_id, failure=waste_pb2.Failure(reason="GAVE_UP", message="sorry"))
    failed = get(waste, user_id, analysis_id)
    assert (failed.state, failed.failure.reason) == (waste_pb2.ANALYSIS_STATE_FAILED, "GAVE_UP")
    # What the replayed stages find on the way does not show, and a second failure is no news.
    record(waste, analysis_id, sight=completion().sight)
    record(waste, analysis_id, failure=waste_pb2.Failure(reason="AGAIN", message="sorry"))
    assert get(waste, user_id, analysis_id) == failed
    with waste.listener.waiting(f"analysis:{analysis_id}") as told:
        record(waste, analysis_id, completion=completion())
        assert told.wait(10)
    after = get(waste, user_id, analysis_id)
    assert (after.state, after.result.material) == (SUCCEEDED, MATERIAL_GLASS)
    assert not after.HasField("failure")
    assert waste.board.read(f"analysis:{analysis_id}")["state"] == "SUCCEEDED"
    record(waste, analysis_id, failure=waste_pb2.Failure(reason="LATE", message="sorry"))
    assert get(waste, user_id, analysis_id) == after


def test_where_the_users_words_decided_the_confidence_is_theirs(waste, user_id):
    analysis_id, answer = waste.start(user_id).analysis_id, completion()
    answer.rule.from_question, answer.rule.question_confidence = True, 0.8
    record(waste, analysis_id, completion=answer)
    assert get(waste, user_id, analysis_id).result.confidence == pytest.approx(0.8)


def test_a_failure_carries_its_reason_and_words(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    record(waste, analysis_id, failure=waste_pb2.Failure(reason="NOT_AN_IMAGE", message="사진이 아닙니다"))
    failed = get(waste, user_id, analysis_id)
    assert (failed.state, failed.failure.reason, failed.failure.message) == (FAILED, "NOT_AN_IMAGE", "사진이 아닙니다")
    assert not failed.failure.HasField("retry_time")


def test_a_failure_says_when_to_try_again_until_there_is_an_answer(waste, user_id):
    analysis_id, failure = waste.start(user_id).analysis_id, waste_pb2.Failure(reason="BUSY", message="later")
    failure.retry_time.FromJsonString("2031-02-03T04:05:06Z")
    record(waste, analysis_id, failure=failure)
    assert get(waste, user_id, analysis_id).failure == failure
    record(waste, analysis_id, completion=completion())
    assert not get(waste, user_id, analysis_id).HasField("failure")


def test_an_answer_names_its_models_and_their_instructions(waste, user_id):
    analysis_id, answer = waste.start(user_id).analysis_id, completion(prompt_version="p1")
    told = {"provider": "openai", "model": "m2", "prompt_version": "p2", "fallback_reason": ""}
    answer.reply.MergeFrom(messages_pb2.Reply(**told))
    record(waste, analysis_id, sight=answer.sight)
    record(waste, analysis_id, completion=answer)
    result = get(waste, user_id, analysis_id).result
    assert (result.provider, result.model, result.prompt_version) == ("embedded", "m", "p1")
    assert {name: getattr(result.advice, name) for name in told} == told
    with waste.database.reading() as connection:
        assert connection.execute(sa.text("SELECT prompt_version FROM gpt_vision_results")).scalar() == "p1"


def test_an_outcome_for_what_no_longer_exists_is_named_and_harms_nothing(waste, user_id):
    analysis_id, gone = waste.start(user_id).analysis_id, str(uuids.uuid7())
    request = internal_pb2.RecordOutcomesRequest(
        outcomes=[internal_pb2.Outcome(analysis_id=each, completion=completion()) for each in (gone, analysis_id)]
    )
    assert list(waste.internal.RecordOutcomes(request).unknown_analysis_ids) == [gone]
    assert get(waste, user_id, analysis_id).state == SUCCEEDED


def test_progress_is_seen_live_and_never_claims_the_end(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    key = f"analysis:{analysis_id}"
    assert waste.board.advance(key, 30, {"stage": "vision_analysis", "progress": 30, "state": "RUNNING"})
    assert not waste.board.advance(key, 20, {"stage": "user_input", "progress": 20, "state": "RUNNING"})
    shown = get(waste, user_id, analysis_id)
    assert (shown.state, shown.progress, shown.stage) == (RUNNING, 30, "vision_analysis")
    waste.board.advance(key, 100, {"stage": "response_generation", "progress": 100, "state": "RUNNING"})
    assert get(waste, user_id, analysis_id).progress == 99


def test_the_end_is_announced_after_any_progress(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    waste.board.advance(f"analysis:{analysis_id}", 99, {"stage": "response_generation", "progress": 99})
    record(waste, analysis_id, completion=completion())
    shown = waste.board.read(f"analysis:{analysis_id}")
    assert (shown["state"], shown["progress"]) == ("SUCCEEDED", "100")


def test_waiting_ends_with_the_analysis(waste, user_id):
    analysis_id, answers = waste.start(user_id).analysis_id, []
    request = waste_pb2.WaitAnalysisRequest(analysis_id=analysis_id, timeout_s=15)
    thread = threading.Thread(
        target=lambda: answers.append(waste.public.WaitAnalysis(request, metadata=as_user(user_id)).analysis)
    )
    thread.start()
    record(waste, analysis_id, completion=completion())
    thread.join(10)
    assert answers[0].state == SUCCEEDED


def test_waiting_gives_the_present_state_when_the_time_is_up(waste, user_id):
    request = waste_pb2.WaitAnalysisRequest(analysis_id=waste.start(user_id).analysis_id, timeout_s=1)
    assert (
        waste.public.WaitAnalysis(request, metadata=as_user(user_id)).analysis.state == waste_pb2.ANALYSIS_STATE_QUEUED
    )


def test_watching_shows_each_change_and_says_when_it_is_done(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    stream = waste.public.WatchAnalysis(
        waste_pb2.WatchAnalysisRequest(analysis_id=analysis_id), metadata=as_user(user_id), timeout=20
    )
    assert next(stream).analysis.progress == 0
    waste.board.advance(f"analysis:{analysis_id}", 30, {"stage": "vision_analysis", "progress": 30, "state": "RUNNING"})
    assert next(stream).analysis.progress == 30
    record(waste, analysis_id, completion=completion())
    last = next(stream)
    assert (last.done, last.analysis.state) == (True, SUCCEEDED)
    assert list(stream) == []


def test_a_watcher_outlasts_a_database_that_is_away_for_a_moment(waste, user_id, postgres, database_name, caplog):
    """Over HTTP/1.1 an error in the middle of a stream cannot be told from its end."""
    analysis_id = waste.start(user_id).analysis_id
    request = waste_pb2.WatchAnalysisRequest(analysis_id=analysis_id)
    stream = waste.public.WatchAnalysis(request, metadata=as_user(user_id), timeout=20)
    assert next(stream).analysis.progress == 0
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database_name])
        waste.board.advance(f"analysis:{analysis_id}", 30, {"stage": "user_input", "progress": 30})
        eventually(lambda: "is not known just now" in caplog.text)
        admin.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS true")
    assert next(stream).analysis.progress == 30
    stream.cancel()


def test_a_draining_server_ends_streams_with_what_it_has(waste, user_id):
    request = waste_pb2.WatchAnalysisRequest(analysis_id=waste.start(user_id).analysis_id)
    stream = waste.public.WatchAnalysis(request, metadata=as_user(user_id), timeout=20)
    assert not next(stream).done
    waste.draining.set()
    assert next(stream).done


def test_a_stream_of_an_unknown_analysis_is_not_found(waste, user_id):
    request = waste_pb2.WatchAnalysisRequest(analysis_id=str(uuids.uuid7()))
    stream = waste.public.WatchAnalysis(request, metadata=as_user(user_id), timeout=20)
    with pytest.raises(Exception, match="no such analysis"):
        next(stream)


def test_too_many_waiters_are_told_so_and_short_calls_go_on(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    watch = waste_pb2.WatchAnalysisRequest(analysis_id=analysis_id)
    streams = [waste.public.WatchAnalysis(watch, metadata=as_user(user_id), timeout=20) for _ in range(4)]
    for stream in streams:
        next(stream)
    with pytest.raises(ResourceExhausted) as caught:
        waste.public.WaitAnalysis(waste_pb2.WaitAnalysisRequest(analysis_id=analysis_id), metadata=as_user(user_id))
    assert caught.value.reason == "TOO_MANY_WAITERS"
    assert get(waste, user_id, analysis_id).analysis_id == analysis_id
    for stream in streams:
        stream.cancel()


def test_a_list_pages_newest_first(waste, user_id):
    image_id = waste.upload(user_id)
    made = [waste.start(user_id, image_id=image_id).analysis_id for _ in range(5)]
    seen, token = [], ""
    while True:
        page = waste.public.ListAnalyses(
            waste_pb2.ListAnalysesRequest(page_size=2, page_token=token), metadata=as_user(user_id)
        )
        seen += [analysis.analysis_id for analysis in page.analyses]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    with pytest.raises(InvalidArgument) as caught:
        waste.public.ListAnalyses(waste_pb2.ListAnalysesRequest(page_token="x"), metadata=as_user(user_id))
    assert caught.value.violations[0][0] == "page_token"


def test_feedback_waits_for_the_end_and_the_last_word_counts(waste, user_id):
    analysis_id = waste.start(user_id).analysis_id
    request = waste_pb2.CreateFeedbackRequest(analysis_id=analysis_id, correct=True)
    with pytest.raises(FailedPrecondition):
        waste.public.CreateFeedback(request, metadata=as_user(user_id))
    record(waste, analysis_id, completion=completion())
    with pytest.raises(InvalidArgument) as caught:
        waste.public.CreateFeedback(waste_pb2.CreateFeedbackRequest(analysis_id=analysis_id), metadata=as_user(user_id))
    assert caught.value.violations[0][0] == "correct"
    waste.public.CreateFeedback(request, metadata=as_user(user_id))
    request.correct, request.comment = False, "플라스틱이에요"
    waste.public.CreateFeedback(request, metadata=as_user(user_id))
    with waste.database.reading() as connection:
        assert connection.execute(sa.text("SELECT correct, comment FROM feedback")).all() == [(False, "플라스틱이에요")]
