"""A user's lock, and limits as settings."""

from __future__ import annotations

import threading
from concurrent import futures

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids

from services.kit import config, quotas
from services.kit.errors import ResourceExhausted
from services.locations.__main__ import Config
from tests.conftest import eventually

WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


def test_one_user_waits_for_nobody_else_and_no_other_schema(database):
    waste, users = database("waste"), database("users")
    mina, jun = uuids.uuid7(), uuids.uuid7()
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with waste.writing() as tx:
            quotas.lock(tx, mina)
            held.set()
            assert leave.wait(10)

    def take(db, user_id) -> None:
        with db.writing() as tx:
            quotas.lock(tx, user_id)

    with futures.ThreadPoolExecutor(2) as threads:
        holding = threads.submit(hold)
        assert held.wait(10)
        take(waste, jun)
        take(users, mina)
        # As it may be written.
        waiting = threads.submit(take, waste, str(mina).upper())
        with waste.reading() as connection:
            eventually(lambda: connection.execute(WAITING).scalar() == 1)
        leave.set()
        for each in (holding, waiting):
            each.result(10)


def test_what_is_too_many_names_its_limit_and_when_there_is_room():
    quotas.check(3, 3, "places", "TOO_MANY_PLACES")
    with pytest.raises(ResourceExhausted, match="there may be no more than 3 places") as caught:
        quotas.check(4, 3, "places", "TOO_MANY_PLACES", 60)
    assert (caught.value.reason, caught.value.retry_after_s, caught.value.metadata) == (
        "TOO_MANY_PLACES",
        60,
        {"most": "3"},
    )


def test_room_that_is_late_is_waited_for_and_not_expected_in_the_past():
    for late in (-3600, 0):
        with pytest.raises(ResourceExhausted) as caught:
            quotas.check(4, 3, "places", "TOO_MANY_PLACES", late)
        assert caught.value.retry_after_s == 1
    with pytest.raises(ResourceExhausted) as caught:
        quotas.check(4, 3, "places", "TOO_MANY_PLACES")
    assert caught.value.retry_after_s is None


def test_a_limit_is_at_least_one():
    given = {"LISTEN": "l", "API_LOCATIONS_DB_URL": "u", "REDIS_URL": "r"}
    assert config.load(Config, given).most_places == 100
    assert config.load(Config, given | {"MOST_PLACES": "7"}).most_places == 7
    for wrong in ("0", "-1", "many"):
        with pytest.raises(SystemExit, match="MOST_PLACES"):
            config.load(Config, given | {"MOST_PLACES": wrong})
