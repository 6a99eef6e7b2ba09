"""What a user sees of all their analyses, what they say of them, and taking one away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.recycle_info.v1.recycle_info_pb2 import MATERIAL_GLASS, MATERIAL_PAPER, MATERIAL_PAPER_PACK
from eco2.waste.v1 import internal_pb2, waste_pb2

from services.kit import errors
from services.kit.objects import LATE
from services.waste import history_store
from services.waste.rpc import UPLOAD_S
from tests.conftest import as_user, put
from tests.services.waste.conftest import PHOTO
from tests.services.waste.test_erasure import Slow, erase, job_of, jpeg, named, objects, rows
from tests.services.waste.test_waste import FAILED, SUCCEEDED, completion, get, record
from workers.stages import Permanent
from workers.storage.image_uploader import ImageUploader, clean_key, thumbnail_key

QUEUED = waste_pb2.ANALYSIS_STATE_QUEUED


def paper() -> internal_pb2.Completion:
    made = completion()
    made.rule.MergeFrom(
        type(made.rule)(
            item_id="carton", material=MATERIAL_PAPER, category_major="재활용폐기물", category_middle="종이류"
        )
    )
    return made


def listed(waste, user_id, **fields) -> list[str]:
    """The ids on all pages."""
    found, token = [], ""
    while True:
        request = waste_pb2.ListAnalysesRequest(page_token=token, **fields)
        answer = waste.public.ListAnalyses(request, metadata=as_user(user_id))
        found += [analysis.analysis_id for analysis in answer.analyses]
        token = answer.next_page_token
        if not token:
            return found


def delete(waste, user_id, analysis_id: str) -> None:
    waste.public.DeleteAnalysis(waste_pb2.DeleteAnalysisRequest(analysis_id=analysis_id), metadata=as_user(user_id))


def count(waste, user_id, **fields) -> waste_pb2.GetStatisticsResponse:
    return waste.public.GetStatistics(waste_pb2.GetStatisticsRequest(**fields), metadata=as_user(user_id))


def move(waste, analysis_id: str, created_at: str) -> None:
    with waste.database.writing() as tx:
        values = {"id": analysis_id, "at": datetime.fromisoformat(created_at)}
        tx.execute(sa.text("UPDATE analyses SET created_at = :at WHERE id = :id"), values)


@pytest.fixture
def history(waste, user_id) -> dict[str, str]:
    """What a user did over half a year, by what became of it."""
    image_id = waste.upload(user_id)
    names = ("glass", "paper", "other_paper", "failed", "queued")
    made = {name: waste.start(user_id, image_id=image_id).analysis_id for name in names}
    record(waste, made["glass"], completion=completion())
    for name in ("paper", "other_paper"):
        record(waste, made[name], completion=paper())
    record(waste, made["failed"], failure=waste_pb2.Failure(reason="GAVE_UP", message="sorry"))
    # In Seoul it is July already.
    move(waste, made["glass"], "2026-06-30T15:30:00+00:00")
    move(waste, made["paper"], "2026-07-31T10:00:00+09:00")
    for name in ("other_paper", "failed", "queued"):
        move(waste, made[name], "2026-11-21T10:00:00+09:00")
    other = waste.start(uuids.uuid7()).analysis_id
    record(waste, other, completion=paper())
    return made


def test_a_list_is_narrowed_by_each_filter_and_by_all(waste, user_id, history):
    since = datetime(2026, 7, 31, 1, tzinfo=UTC)
    for fields, names in (
        ({"state": SUCCEEDED}, ["other_paper", "paper", "glass"]),
        ({"state": FAILED}, ["failed"]),
        ({"state": QUEUED}, ["queued"]),
        ({"material": MATERIAL_PAPER}, ["other_paper", "paper"]),
        ({"material": MATERIAL_PAPER_PACK}, []),
        ({"category_major": "재활용폐기물"}, ["other_paper", "paper"]),
        ({"category_middle": "종이류"}, ["other_paper", "paper"]),
        ({"item_id": "i"}, ["glass"]),
        ({"after_time": since}, ["queued", "failed", "other_paper", "paper"]),
        ({"before_time": since}, ["glass"]),
        ({"material": MATERIAL_PAPER, "before_time": datetime(2026, 8, 1, tzinfo=UTC)}, ["paper"]),
    ):
        for size in (1, 20):
            assert listed(waste, user_id, page_size=size, **fields) == [history[name] for name in names], fields


def test_statistics_count_by_state_material_category_and_month(waste, user_id, history):
    counted = count(waste, user_id)
    assert counted.total_count == 5
    assert {each.state: each.count for each in counted.by_state} == {SUCCEEDED: 3, FAILED: 1, QUEUED: 1}
    assert [(each.material, each.count) for each in counted.by_material] == [(MATERIAL_PAPER, 2), (MATERIAL_GLASS, 1)]
    assert [(each.category_major, each.count) for each in counted.by_category] == [("재활용폐기물", 2)]
    assert [(each.month, each.count) for each in counted.by_month] == [("2026-11", 3), ("2026-07", 2)]
    july = count(
        waste,
        user_id,
        after_time=datetime(2026, 6, 30, 15, tzinfo=UTC),
        before_time=datetime(2026, 7, 31, 15, tzinfo=UTC),
    )
    assert (july.total_count, [each.month for each in july.by_month]) == (2, ["2026-07"])
    assert count(waste, uuids.uuid7()) == waste_pb2.GetStatisticsResponse()


def test_bad_input_and_a_missing_caller_are_refused_by_name(waste, user_id, history):
    call = waste.public
    token = call.ListAnalyses(waste_pb2.ListAnalysesRequest(page_size=1), metadata=as_user(user_id)).next_page_token
    wrong_time = {"seconds": 10**12}
    analysis_id = history["paper"]
    for method, request, field in (
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(page_token=token, state=FAILED), "page_token"),
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(page_size=-1), "page_size"),
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(state=77), "state"),
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(material=77), "material"),
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(item_id="x" * 101), "item_id"),
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(category_major="\0"), "category_major"),
        (call.ListAnalyses, waste_pb2.ListAnalysesRequest(after_time=wrong_time), "after_time"),
        (call.GetStatistics, waste_pb2.GetStatisticsRequest(before_time=wrong_time), "before_time"),
        (call.DeleteAnalysis, waste_pb2.DeleteAnalysisRequest(analysis_id="x"), "analysis_id"),
        (
            call.CreateFeedback,
            waste_pb2.CreateFeedbackRequest(analysis_id=analysis_id, correct=False, true_material=77),
            "true_material",
        ),
        (
            call.CreateFeedback,
            waste_pb2.CreateFeedbackRequest(analysis_id=analysis_id, correct=True, true_category="종이팩"),
            "true_category",
        ),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            method(request, metadata=as_user(user_id))
        assert [name for name, _ in caught.value.violations] == [field]
        with pytest.raises((errors.Unauthenticated, errors.InvalidArgument)):
            method(request)
    with pytest.raises(errors.InvalidArgument):
        call.ListAnalyses(waste_pb2.ListAnalysesRequest(page_token=token), metadata=as_user(uuids.uuid7()))
    for method, request in (
        (call.DeleteAnalysis, waste_pb2.DeleteAnalysisRequest(analysis_id=analysis_id)),
        (call.GetStatistics, waste_pb2.GetStatisticsRequest()),
    ):
        with pytest.raises(errors.Unauthenticated):
            method(request)


def test_a_list_and_statistics_come_from_the_index_of_a_user(waste, user_id):
    fill = """
        WITH pictures AS (
            INSERT INTO images (id, user_id, s3_key, content_type, size_bytes, sha256, created_at)
            SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '', 1, sha256(''), now()
            FROM generate_series(1, 5000) RETURNING id, user_id
        )
        INSERT INTO analyses (id, user_id, image_id, question, language, created_at)
        SELECT gen_random_uuid(), user_id, id, '', 'ko', now() FROM pictures
    """
    asked = {"state": "SUCCEEDED", "material": "MATERIAL_GLASS", "item_id": "i", "after_time": datetime.now(UTC)}
    with waste.database.writing() as tx:
        tx.execute(sa.text(fill))
    with waste.database.reading() as connection:
        for statement, given in (
            (history_store._list(frozenset(asked)), {**asked, "limit": 20}),
            (history_store._count(frozenset({"after_time"})), {"after_time": asked["after_time"]}),
        ):
            explained = sa.text(f"EXPLAIN {statement.text}")
            plan = "\n".join(connection.execute(explained, {"user_id": user_id, **given}).scalars())
            assert "analyses_by_user" in plan, plan
            assert "Seq Scan on analyses" not in plan


def test_what_it_really_was_is_kept_and_shown(waste, user_id, history):
    said = {"comment": "갑", "true_material": MATERIAL_PAPER_PACK, "true_category": "종이팩", "true_item_id": "carton"}
    request = waste_pb2.CreateFeedbackRequest(analysis_id=history["glass"], correct=False, **said)
    answer = waste.public.CreateFeedback(request, metadata=as_user(user_id)).feedback
    assert {name: getattr(answer, name) for name in said} == said
    assert get(waste, user_id, history["glass"]).feedback == answer
    with waste.database.reading() as connection:
        kept = connection.execute(sa.text("SELECT true_material, true_category, true_item_id FROM feedback")).one()
    assert kept == ("MATERIAL_PAPER_PACK", "종이팩", "carton")
    request = waste_pb2.CreateFeedbackRequest(analysis_id=history["glass"], correct=True)
    waste.public.CreateFeedback(request, metadata=as_user(user_id))
    shown = get(waste, user_id, history["glass"]).feedback
    assert (shown.correct, shown.true_material, shown.true_category) == (True, 0, "")
    assert not get(waste, user_id, history["paper"]).HasField("feedback")


def test_a_photo_goes_with_its_last_analysis(waste, user_id):
    first = waste.start(user_id)
    second = waste.start(user_id, image_id=first.image_id, question="깨졌어요")
    job = job_of(user_id, first.image_id)
    for key in (clean_key(job), thumbnail_key(job)):
        waste.bucket.put(key, b"x", "image/jpeg")
    record(waste, first.analysis_id, sight=completion().sight)
    record(waste, first.analysis_id, completion=completion())
    said = waste_pb2.CreateFeedbackRequest(analysis_id=first.analysis_id, correct=True)
    waste.public.CreateFeedback(said, metadata=as_user(user_id))
    delete(waste, user_id, first.analysis_id)
    assert first.analysis_id not in rows(waste)
    assert waste.board.read(f"analysis:{first.analysis_id}") == {}
    assert len(objects(waste, user_id)) == 2
    assert listed(waste, user_id) == [second.analysis_id]
    delete(waste, user_id, second.analysis_id)
    assert objects(waste, user_id) == set()
    assert waste.bucket.find_size(thumbnail_key(job)) is None
    for call in (lambda: delete(waste, user_id, second.analysis_id), lambda: get(waste, user_id, first.analysis_id)):
        with pytest.raises(errors.NotFound) as caught:
            call()
        assert caught.value.reason == "ANALYSIS_NOT_FOUND"
    with pytest.raises(errors.NotFound) as caught:
        waste.start(user_id, image_id=first.image_id)
    assert caught.value.reason == "IMAGE_NOT_FOUND"


def test_somebody_elses_analysis_is_not_found_and_stays(waste, user_id):
    made = waste.start(user_id)
    with pytest.raises(errors.NotFound):
        delete(waste, uuids.uuid7(), made.analysis_id)
    assert get(waste, user_id, made.analysis_id).state == QUEUED
    assert len(objects(waste, user_id)) == 1


def test_one_under_way_ends_and_nothing_late_brings_it_back(waste, user_id):
    made = waste.start(user_id, image_id=waste.upload(user_id, jpeg()))
    watch = waste_pb2.WatchAnalysisRequest(analysis_id=made.analysis_id)
    stream = waste.public.WatchAnalysis(watch, metadata=as_user(user_id), timeout=20)
    assert not next(stream).done
    job, key = job_of(user_id, made.image_id), f"analysis:{made.analysis_id}"
    # A worker has put what it made, and looks whether the original is there.
    interrupted = Slow(waste.bucket, lambda: delete(waste, user_id, made.analysis_id))
    with pytest.raises(Permanent):
        ImageUploader(interrupted).run(job, lambda percent: None)
    assert objects(waste, user_id) == set()
    assert waste.bucket.find_size(thumbnail_key(job)) is None
    last = next(stream)
    assert (last.done, last.analysis.analysis_id) == (True, made.analysis_id)
    assert list(stream) == []
    # Neither the message nor anything but the photo's key, until nothing can be uploaded there any more.
    assert made.analysis_id not in rows(waste)
    assert str(made.analysis_id).encode().hex() not in rows(waste)
    waste.board.advance(key, 30, {"stage": "vision_analysis", "progress": 30})
    failure = waste_pb2.Failure(reason="IMAGE_NOT_FOUND", message="gone")
    for outcome in ({"sight": completion().sight}, {"completion": completion()}, {"failure": failure}):
        assert record(waste, made.analysis_id, **outcome) == [made.analysis_id]
    assert waste.board.read(key) == {}
    assert made.analysis_id not in rows(waste)
    assert listed(waste, user_id) == []


def test_what_is_uploaded_after_the_deletion_is_swept_until_no_url_works_any_more(waste, user_id):
    announced = waste.announce(user_id)
    assert put(announced.upload, PHOTO) == 200
    made, bystander = waste.start(user_id, image_id=announced.image.image_id), waste.start(user_id)
    delete(waste, user_id, made.analysis_id)
    assert put(announced.upload, PHOTO) == 200
    waste.remover.sweep()
    assert len(objects(waste, user_id)) == 1
    assert get(waste, user_id, bystander.analysis_id).state == QUEUED
    assert made.image_id in rows(waste)
    waste.clock.ahead += LATE + timedelta(seconds=UPLOAD_S + 1)
    waste.remover.sweep()
    assert made.image_id not in rows(waste)


def test_a_store_that_is_away_delays_only_the_objects(waste, user_id, servers):
    made = waste.start(user_id)
    servers.stop("s3")
    try:
        delete(waste, user_id, made.analysis_id)
        assert listed(waste, user_id) == []
        with pytest.raises(errors.Unavailable):
            waste.remover.sweep()
    finally:
        servers.start("s3")
        servers.wait_ready("s3")
    assert len(objects(waste, user_id)) == 1
    waste.remover.sweep()
    assert objects(waste, user_id) == set()


def test_erasure_takes_what_a_user_had_deleted_before(waste, user_id):
    announced = waste.announce(user_id)
    assert put(announced.upload, PHOTO) == 200
    made = waste.start(user_id, image_id=announced.image.image_id)
    delete(waste, user_id, made.analysis_id)
    job = job_of(user_id, made.image_id)
    waste.bucket.put(thumbnail_key(job), b"x", "image/jpeg")
    erase(waste, user_id)
    stored = rows(waste)
    assert not [form for form in named(user_id) if form in stored]
    assert waste.bucket.find_size(thumbnail_key(job)) is None
    # The URL to upload to is still out.
    assert put(announced.upload, PHOTO) == 200
    waste.eraser.sweep()
    assert objects(waste, user_id) == set()
    with pytest.raises(errors.Unauthenticated) as caught:
        delete(waste, user_id, made.analysis_id)
    assert caught.value.reason == "ACCOUNT_ERASED"
