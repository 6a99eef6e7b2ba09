"""What one user may begin, and photos that nobody has had analysed."""

from __future__ import annotations

import threading
from concurrent import futures

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids

from services.kit import config, errors, tombstones
from services.waste import removal
from services.waste.__main__ import Config
from services.waste.removal import Remover
from services.waste.rpc import UPLOAD_S
from tests.conftest import together
from tests.services.waste.conftest import LIMITS
from tests.services.waste.test_erasure import erase, job_of, named, objects, rows
from tests.services.waste.test_history import delete, listed
from workers.storage.image_uploader import clean_key, thumbnail_key


def write(waste, statement: str, **values) -> None:
    with waste.database.writing() as tx:
        tx.execute(sa.text(statement), values)


def one(waste, statement: str, **values):
    with waste.database.reading() as connection:
        return connection.execute(sa.text(statement), values).scalar_one()


def age(waste, *images: str) -> None:
    """As if they had been announced a day ago."""
    write(
        waste,
        "UPDATE images SET created_at = created_at - make_interval(secs => :age) WHERE id = ANY(CAST(:ids AS uuid[]))",
        age=LIMITS.unused_s + 1,
        ids=list(images),
    )


def replica(waste, bucket=None) -> Remover:
    """One of any number of processes that remove photos."""
    return Remover(waste.database, bucket or waste.bucket, UPLOAD_S, LIMITS.unused_s, waste.clock)


def test_a_photo_stays_for_as_long_as_it_may_be_uploaded():
    names = ("S3_ENDPOINT_URL", "S3_BUCKET", "S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "LISTEN")
    given = dict.fromkeys((*names, "API_WASTE_DB_URL", "RABBITMQ_URL", "REDIS_URL"), "x")
    assert config.load(Config, given | {"UNUSED_AFTER_S": str(UPLOAD_S)}).unused_after_s == UPLOAD_S
    with pytest.raises(SystemExit, match="UNUSED_AFTER_S must be at least"):
        config.load(Config, given | {"UNUSED_AFTER_S": str(UPLOAD_S - 1)})


def test_photos_not_analysed_have_a_limit_however_many_are_announced_at_once(waste, user_id):
    most, used = LIMITS.unused_images, waste.start(user_id)
    refused = together(2 * most, lambda: waste.announce(user_id))
    assert [(type(fault), fault.reason, fault.metadata) for fault in refused] == [
        (errors.ResourceExhausted, "TOO_MANY_UPLOADS", {"most": str(most)})
    ] * most
    # When the oldest of them goes.
    assert all(LIMITS.unused_s < fault.retry_after_s <= LIMITS.unused_s + removal.SWEEP_S for fault in refused)
    assert one(waste, "SELECT count(*) FROM images") == most + 1
    waste.announce(uuids.uuid7())
    # One that has gone makes room, and so does one that is analysed.
    age(waste, str(one(waste, "SELECT id FROM images WHERE uploaded_at IS NULL AND user_id = :u LIMIT 1", u=user_id)))
    waste.remover.sweep()
    assert listed(waste, user_id) == [used.analysis_id]
    for _ in range(2):
        waste.start(user_id, image_id=waste.upload(user_id))
    assert len(together(2, lambda: waste.announce(user_id))) == 1


def test_analyses_of_a_day_have_a_limit_however_many_begin_at_once(waste, user_id):
    first, replayed, left = waste.start(user_id), str(uuids.uuid7()), 5
    waste.start(user_id, image_id=first.image_id, request_id=replayed)
    write(waste, "UPDATE analysis_days SET count = :count", count=LIMITS.analyses - left)
    refused = together(3 * left, lambda: waste.start(user_id, image_id=first.image_id))
    assert [(type(fault), fault.reason, fault.metadata) for fault in refused] == [
        (errors.ResourceExhausted, "TOO_MANY_ANALYSES", {"most": str(LIMITS.analyses)})
    ] * (2 * left)
    assert all(0 < fault.retry_after_s <= 86_400 for fault in refused)
    # Nothing is left of those that were refused.
    for table in ("analyses", "outbox"):
        assert one(waste, f"SELECT count(*) FROM {table}") == 2 + left
    # What was deleted counts, and what was answered before is no new one.
    delete(waste, user_id, first.analysis_id)
    with pytest.raises(errors.ResourceExhausted):
        waste.start(user_id, image_id=first.image_id)
    waste.start(user_id, image_id=first.image_id, request_id=replayed)
    waste.start(uuids.uuid7())
    write(waste, "UPDATE analysis_days SET day = day - 1")
    waste.start(user_id, image_id=first.image_id)
    assert one(waste, "SELECT count FROM analysis_days WHERE user_id = :u", u=user_id) == 1


def test_one_that_began_before_midnight_and_ends_after_it_resets_nothing(waste, user_id):
    first = waste.start(user_id)
    write(waste, "UPDATE analysis_days SET day = day + 1, count = :count", count=LIMITS.analyses)
    with pytest.raises(errors.ResourceExhausted) as caught:
        waste.start(user_id, image_id=first.image_id)
    assert caught.value.retry_after_s > 86_400


def test_the_count_goes_with_the_user(waste, user_id):
    waste.start(user_id)
    assert str(user_id) in rows(waste)
    erase(waste, user_id)
    stored = rows(waste)
    assert not [form for form in named(user_id) if form in stored]


def test_a_photo_that_nobody_had_analysed_goes_with_all_that_was_made_of_it(waste, user_id):
    used, young = waste.start(user_id), waste.upload(user_id)
    old, never = waste.upload(user_id), waste.announce(user_id).image.image_id
    for key in (clean_key(job_of(user_id, old)), thumbnail_key(job_of(user_id, old))):
        waste.bucket.put(key, b"x", "image/jpeg")
    age(waste, used.image_id, old, never)
    waste.remover.sweep()
    kept = objects(waste, user_id)
    assert len(kept) == 2
    assert {image for image in (used.image_id, young, old, never) if any(image in key for key in kept)} == {
        used.image_id,
        young,
    }
    assert waste.bucket.find_size(thumbnail_key(job_of(user_id, old))) is None
    stored = rows(waste)
    assert [image in stored for image in (used.image_id, young, old, never)] == [True, True, False, False]
    with pytest.raises(errors.NotFound) as caught:
        waste.start(user_id, image_id=old)
    assert caught.value.reason == "IMAGE_NOT_FOUND"
    waste.start(user_id, image_id=young)


class Killed(BaseException):
    pass


class Mortal:
    """A bucket whose process dies before the call of this number."""

    def __init__(self, bucket, calls: int):
        self._bucket, self._left = bucket, calls

    def __getattr__(self, name: str):
        def call(*args):
            if self._left == 0:
                raise Killed
            self._left -= 1
            return getattr(self._bucket, name)(*args)

        return call


def test_a_sweep_that_dies_anywhere_is_finished_by_the_next(waste, user_id, monkeypatch):
    monkeypatch.setattr(removal, "BATCH", 2)  # Several batches out of few rows.
    deaths = 0
    for calls in range(100):
        images = [waste.upload(user_id) for _ in range(3)]
        waste.bucket.put(thumbnail_key(job_of(user_id, images[0])), b"x", "image/jpeg")
        age(waste, *images)
        try:
            replica(waste, Mortal(waste.bucket, calls)).sweep()
        except Killed:
            deaths += 1
            # Whatever is still there, a row knows it.
            stored = rows(waste)
            assert all(key.split("/")[2] in stored for key in objects(waste, user_id))
            replica(waste).sweep()
        assert objects(waste, user_id) == set()
        assert waste.bucket.find_size(thumbnail_key(job_of(user_id, images[0]))) is None
        assert not [image for image in images if image in rows(waste)]
        if deaths == calls:
            break
    # Each photo takes three calls.
    assert deaths == 9


def test_a_store_that_is_away_loses_no_photo(waste, user_id, servers):
    old = waste.upload(user_id)
    age(waste, old)
    servers.stop("s3")
    try:
        with pytest.raises(errors.Unavailable):
            waste.remover.sweep()
    finally:
        servers.start("s3")
        servers.wait_ready("s3")
    assert old in rows(waste)
    replica(waste).sweep()
    assert objects(waste, user_id) == set()
    assert old not in rows(waste)


def test_a_photo_that_is_analysed_at_that_moment_stays_whole_or_is_gone_whole(waste, user_id):
    for _ in range(4):
        images = [waste.upload(user_id) for _ in range(LIMITS.unused_images)]
        age(waste, *images)
        start, begun, refused = threading.Barrier(len(images) + 2), {}, set()

        def analyse(image: str, start=start, begun=begun, refused=refused) -> None:
            start.wait(10)
            try:
                begun[image] = waste.start(user_id, image_id=image)
            except errors.Fault as fault:
                refused.add(fault.reason)

        def sweep(start=start) -> None:
            start.wait(10)
            replica(waste).sweep()

        with futures.ThreadPoolExecutor(len(images) + 2) as threads:
            asked = [threads.submit(analyse, image) for image in images]
            for each in [*asked, threads.submit(sweep), threads.submit(sweep)]:
                each.result(30)
        # The second between the row that was read and the object that was looked for.
        assert refused <= {"IMAGE_NOT_FOUND", "IMAGE_NOT_UPLOADED"}
        stored, kept = rows(waste), objects(waste, user_id)
        for image in images:
            there = image in begun
            assert ((image in stored), any(image in key for key in kept)) == (there, there)
        for analysis in begun.values():
            delete(waste, user_id, analysis.analysis_id)


def test_nothing_of_somebody_who_is_being_erased_moves(waste, user_id):
    old = waste.upload(user_id)
    age(waste, old)
    with waste.database.writing() as tx:
        tombstones.bury(tx, user_id)
    waste.remover.sweep()
    assert one(waste, "SELECT count(*) FROM images") == 1
    assert one(waste, "SELECT count(*) FROM removals") == 0
    erase(waste, user_id)
    assert old not in rows(waste)
