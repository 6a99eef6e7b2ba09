"""Nothing written late brings back what is gone."""

from __future__ import annotations

import threading
from concurrent import futures
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids

from services.kit import tombstones
from tests.conftest import eventually

COUNT = sa.text("SELECT count(*) FROM profiles WHERE user_id = :id")


@pytest.fixture
def db(database):
    return database("users", pool_size=20)


def write(tx, gone) -> bool:
    """A profile of theirs, unless they are gone."""
    if tombstones.find_buried(tx, [gone]):
        return False
    row = {"id": gone, "now": datetime.now(UTC)}
    tx.execute(
        sa.text(
            "INSERT INTO profiles (user_id, username, nickname, created_at, updated_at)"
            " VALUES (:id, 'x', 'x', :now, :now) ON CONFLICT DO NOTHING"
        ),
        row,
    )
    return True


def test_what_is_buried_is_found_in_any_case_and_nothing_else_is(db):
    gone, living = uuids.uuid7(), uuids.uuid7()
    for _ in range(2):
        with db.writing() as tx:
            tombstones.bury(tx, gone)
    with db.writing() as tx:
        assert tombstones.find_buried(tx, [gone, living, str(gone).upper()]) == {str(gone)}
        assert tombstones.find_buried(tx, []) == set()
        assert tombstones.find_buried(tx, [uuids.uuid7() for _ in range(5000)]) == set()
        rows = tx.execute(sa.text("SELECT tombstones::text FROM tombstones")).scalars().all()
    assert len(rows) == 1
    assert gone.hex not in rows[0].replace("-", "")


def test_what_was_removed_is_summed_up(db):
    gone = uuids.uuid7()
    with db.writing() as tx:
        tombstones.bury(tx, gone)
    for count, total in ((3, 3), (0, 3), (2, 5)):
        with db.writing() as tx:
            assert tombstones.count_removed(tx, gone, count) == total


def test_a_burial_waits_for_a_writer_who_did_not_see_it(db):
    gone, wrote, go = uuids.uuid7(), threading.Event(), threading.Event()

    def writer() -> None:
        with db.writing() as tx:
            assert write(tx, gone)
            wrote.set()
            assert go.wait(20)

    def undertaker() -> int:
        with db.writing() as tx:
            tombstones.bury(tx, gone)
        with db.reading() as connection:
            return connection.execute(COUNT, {"id": gone}).scalar()

    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with futures.ThreadPoolExecutor(2) as pool:
        written = pool.submit(writer)
        assert wrote.wait(20)
        buried = pool.submit(undertaker)
        with db.reading() as connection:
            eventually(lambda: connection.execute(waiting).scalar() == 1)
        go.set()
        written.result(20)
        # So whoever removes now removes this too.
        assert buried.result(20) == 1


def test_many_writers_and_a_removal_leave_nothing_behind(db):
    ids = [uuids.uuid7() for _ in range(8)]

    def writer(gone) -> bool:
        with db.writing() as tx:
            return write(tx, gone)

    def remover(gone) -> None:
        with db.writing() as tx:
            tombstones.bury(tx, gone)
        with db.writing() as tx:
            tx.execute(sa.text("DELETE FROM profiles WHERE user_id = :id"), {"id": gone})

    with futures.ThreadPoolExecutor(16) as pool:
        work = []
        for gone in ids:
            work += [pool.submit(writer, gone) for _ in range(6)]
            work.append(pool.submit(remover, gone))
            work += [pool.submit(writer, gone) for _ in range(6)]
        for each in work:
            each.result(30)
    with db.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM profiles")).scalar() == 0
