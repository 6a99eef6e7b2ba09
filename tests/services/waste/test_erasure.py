"""Erasing a user of waste, while clients and workers go on."""

from __future__ import annotations

import io
import threading
import uuid
from concurrent import futures
from datetime import timedelta

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.pipeline.v1 import messages_pb2
from eco2.waste.v1 import internal_pb2, waste_pb2
from PIL import Image

from services.kit import errors
from services.kit.objects import LATE
from services.waste import erase_store, erasure
from services.waste.rpc import UPLOAD_S
from tests.conftest import as_user, put
from tests.services.waste.conftest import PHOTO
from workers.stages import Permanent
from workers.storage.image_uploader import ImageUploader, clean_key, thumbnail_key


def erase(waste, user_id) -> int:
    return waste.internal.EraseUser(internal_pb2.EraseUserRequest(user_id=str(user_id))).removed_count


def rows(waste) -> str:
    with waste.database.reading() as connection:
        tables = connection.execute(
            sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'waste' AND tablename <> 'alembic_version'")
        ).scalars()
        return "\n".join(
            f"{table} {row}"
            for table in tables.all()
            for row in connection.execute(sa.text(f"SELECT t::text FROM {table} t")).scalars()
        )


def named(user_id) -> tuple[str, str]:
    """As text, and as text within bytes."""
    return str(user_id), str(user_id).encode().hex()


def objects(waste, user_id) -> set[str]:
    return set(waste.bucket.list_keys(f"uploads/{user_id}/"))


def job_of(user_id, image_id) -> messages_pb2.AnalysisJob:
    key = f"uploads/{user_id}/{image_id}/original.jpg"
    return messages_pb2.AnalysisJob(
        analysis_id=str(uuid.uuid4()), user_id=str(user_id), image_id=str(image_id), image_key=key, language_code="ko"
    )


def finish(waste, analysis_id: str) -> None:
    done = internal_pb2.Completion(sight=messages_pb2.Sight(provider="embedded", model="m"))
    seen = messages_pb2.Sight(provider="embedded", model="m")
    outcomes = [
        internal_pb2.Outcome(analysis_id=analysis_id, sight=seen),
        internal_pb2.Outcome(analysis_id=analysis_id, completion=done),
    ]
    waste.internal.RecordOutcomes(internal_pb2.RecordOutcomesRequest(outcomes=outcomes))


def test_nothing_of_a_user_is_left_and_all_of_the_others(waste, user_id):
    other = uuids.uuid7()
    kept = waste.start(other)
    analyses = [waste.start(user_id).analysis_id for _ in range(3)]
    waste.announce(user_id)
    finish(waste, analyses[0])
    comment = waste_pb2.CreateFeedbackRequest(analysis_id=analyses[0], correct=True)
    waste.public.CreateFeedback(comment, metadata=as_user(user_id))
    waste.board.advance(f"analysis:{analyses[1]}", 10, {"progress": 10, "stage": "user_input"})
    for analysis_id in analyses:
        image_id = waste.public.GetAnalysis(
            waste_pb2.GetAnalysisRequest(analysis_id=analysis_id), metadata=as_user(user_id)
        ).analysis.image_id
        job = job_of(user_id, image_id)
        for key in (clean_key(job), thumbnail_key(job)):
            waste.bucket.put(key, b"x", "image/jpeg")
    assert named(user_id)[1] in rows(waste)
    # 4 images, 3 analyses, 1 feedback, 3 messages, 6 objects, 2 hashes of progress.
    assert erase(waste, user_id) == 19
    stored = rows(waste)
    assert not [form for form in named(user_id) if form in stored]
    assert objects(waste, user_id) == set()
    assert waste.bucket.find_size(thumbnail_key(job)) is None
    assert not any(map(waste.board.read, (f"analysis:{analysis_id}" for analysis_id in analyses)))
    for analysis_id in analyses:
        with pytest.raises(errors.NotFound):
            waste.public.GetAnalysis(waste_pb2.GetAnalysisRequest(analysis_id=analysis_id), metadata=as_user(user_id))
    assert waste.public.GetAnalysis(waste_pb2.GetAnalysisRequest(analysis_id=kept.analysis_id), metadata=as_user(other))
    assert len(objects(waste, other)) == 1
    # Idempotent, and the sum stays.
    assert erase(waste, user_id) == 19
    assert erase(waste, uuids.uuid7()) == 0


def test_many_images_go_in_batches(waste, user_id, monkeypatch):
    monkeypatch.setattr(erasure, "BATCH", 2)  # Several batches out of few rows.
    for _ in range(5):
        waste.announce(user_id)
    assert erase(waste, user_id) == 5


def test_an_erased_user_can_announce_nothing_and_start_nothing(waste, user_id):
    image_id = waste.upload(user_id)
    erase(waste, user_id)
    with pytest.raises(errors.Unauthenticated) as caught:
        waste.announce(user_id)
    assert caught.value.reason == "ACCOUNT_ERASED"
    with pytest.raises(errors.NotFound):
        waste.start(user_id, image_id=image_id)
    finish(waste, str(uuids.uuid7()))


def test_a_user_who_is_busy_all_the_while_is_erased(waste, user_id):
    stop = threading.Event()

    def busy() -> int:
        done = 0
        while not stop.is_set():
            try:
                waste.start(user_id)
            except (errors.Unauthenticated, errors.NotFound, errors.FailedPrecondition):
                continue
            done += 1
            started.release()
        return done

    started = threading.Semaphore(0)
    with futures.ThreadPoolExecutor(4) as pool:
        busy_ones = [pool.submit(busy) for _ in range(4)]
        for _ in range(20):
            assert started.acquire(timeout=30)
        erase(waste, user_id)
        stop.set()
        assert sum(each.result(30) for each in busy_ones) >= 20
    stored = rows(waste)
    assert not [form for form in named(user_id) if form in stored]


def test_what_is_uploaded_late_is_swept_until_no_url_works_any_more(waste, user_id):
    made = waste.announce(user_id)
    quiet = uuids.uuid7()
    erase(waste, user_id)
    erase(waste, quiet)
    with waste.database.reading() as connection:
        assert len(erase_store.list_late_uploads(connection)) == 1
    assert put(made.upload, PHOTO) == 200
    # And a worker that still has the job finds it, and makes what it makes.
    job = job_of(user_id, made.image.image_id)
    waste.bucket.put(clean_key(job), b"x", "image/jpeg")
    waste.bucket.put(thumbnail_key(job), b"x", "image/jpeg")
    bystander = uuids.uuid7()
    waste.upload(bystander)
    waste.eraser.sweep()
    assert objects(waste, user_id) == set()
    assert waste.bucket.find_size(thumbnail_key(job)) is None
    assert len(objects(waste, bystander)) == 1
    waste.clock.ahead += LATE
    waste.eraser.sweep()
    with waste.database.reading() as connection:
        assert len(erase_store.list_late_uploads(connection)) == 1
    waste.clock.ahead += timedelta(seconds=UPLOAD_S + 1)
    waste.eraser.sweep()
    with waste.database.reading() as connection:
        assert not erase_store.list_late_uploads(connection)


class Slow:
    """The store, as a worker sees it that is interrupted right after its last put."""

    def __init__(self, bucket, interrupt):
        self._bucket, self._interrupt = bucket, interrupt

    def __getattr__(self, name: str):
        return getattr(self._bucket, name)

    def find_size(self, key: str):
        self._interrupt()
        return self._bucket.find_size(key)


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (300, 200), "green").save(out, "JPEG")
    return out.getvalue()


def test_a_worker_that_was_under_way_leaves_nothing_behind(waste, user_id):
    image_id = waste.upload(user_id, jpeg())
    job = job_of(user_id, image_id)
    interrupted = Slow(waste.bucket, lambda: erase(waste, user_id))
    with pytest.raises(Permanent):
        ImageUploader(interrupted).run(job, lambda percent: None)
    assert objects(waste, user_id) == set()
    assert waste.bucket.find_size(thumbnail_key(job)) is None


def test_a_worker_that_died_under_way_leaves_nothing_behind_once_its_message_has_come_again(waste, user_id):
    image_id = waste.upload(user_id, jpeg())
    job = job_of(user_id, image_id)
    erase(waste, user_id)
    for key in (clean_key(job), thumbnail_key(job)):
        waste.bucket.put(key, b"x", "image/jpeg")
    with pytest.raises(Permanent):
        ImageUploader(waste.bucket).run(job, lambda percent: None)
    assert objects(waste, user_id) == set()
    assert waste.bucket.find_size(thumbnail_key(job)) is None
