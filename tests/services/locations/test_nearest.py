"""That the nearest centres come from an index, whatever is asked. `make nearest` measures it with a million."""

from __future__ import annotations

import os
import random
import statistics
import time
from datetime import datetime

import psycopg
import pytest
import sqlalchemy as sa

from services.locations import store
from services.locations.hours import SEOUL
from tests.services.locations.conftest import House

COUNT = int(os.environ.get("CENTERS", "20000"))
LONG = COUNT >= 1_000_000
LIMIT_MS, QUESTIONS = 5.0, 200

# As dense as people live: half of all within 40 km of Seoul. One in a hundred has hours that are known.
FILL = """
    SELECT setseed(0.5);
    CREATE TEMP TABLE spread AS
    SELECT gen_random_uuid() AS id, n,
        (CASE WHEN n % 2 = 0 THEN 37.2 + random() * 0.7 ELSE 34.3 + random() * 4 END)::numeric(10, 8) AS latitude,
        (CASE WHEN n % 2 = 0 THEN 126.6 + random() * 0.8 ELSE 126.1 + random() * 3.3 END)::numeric(11, 8) AS longitude
    FROM generate_series(1, {count}) AS n;
    INSERT INTO locations.recycle_centers (id, name, address, latitude, longitude, phone, website_url, operating_hours,
        open_minutes, region_code, source, source_url, updated_at)
    SELECT id, 'centre ' || n, 'address ' || n, latitude, longitude, '', '', '{{"days": {{}}, "note": ""}}',
        CASE WHEN n % 100 = 0 THEN '{{[540,1080),[3420,3960)}}' ELSE '{{}}' END::int4multirange, '11140', 'test', '',
        now()
    FROM spread;
    INSERT INTO locations.disposal_sites (center_id, kind, latitude, longitude, items, note, confirmed, source,
        source_url)
    SELECT id, (ARRAY['MEDICINE', 'BATTERY', 'LAMP', 'CLOTHING'])[1 + n % 4], latitude, longitude, '', '', true,
        'test', ''
    FROM spread;
    ANALYZE locations.recycle_centers;
    ANALYZE locations.disposal_sites;
"""

# (of one kind, open now) → the index that answers.
INDEX = {
    (False, False): "recycle_centers_nearest",
    (True, False): "disposal_sites_nearest",
    (False, True): "recycle_centers_nearest_with_hours",
    (True, True): "recycle_centers_nearest_with_hours",
}
MONDAY_10 = datetime(2026, 11, 16, 10, 0, tzinfo=SEOUL)


@pytest.fixture
def crowded(house, postgres, database_name) -> House:
    started = time.monotonic()
    with psycopg.connect(postgres.url(database_name), autocommit=True) as admin:
        admin.execute("SET search_path = locations, pg_catalog")
        admin.execute(FILL.format(count=COUNT))
    print(f"\n{COUNT} centres made in {time.monotonic() - started:.0f} s")
    return house


def explain(connection, asked: tuple[bool, bool], point: tuple[float, float], options: str = "") -> dict:
    one_kind, open_now = asked
    statement, parameters = store.nearest(
        *point,
        kind="BATTERY" if one_kind else "",
        radius_m=50_000,
        open_at=MONDAY_10 if open_now else None,
        after=[-1.0, "00000000-0000-0000-0000-000000000000"],
        limit=20,
    )
    return connection.execute(sa.text(f"EXPLAIN (FORMAT JSON{options}) {statement.text}"), parameters).scalar_one()[0]


def nodes(plan: dict):
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


@pytest.mark.parametrize("asked", list(INDEX), ids=lambda asked: f"kind-{asked[0]}-open-{asked[1]}")
def test_the_nearest_come_from_an_index(crowded, asked):
    with crowded.database.reading() as connection:
        found = list(nodes(explain(connection, asked, (37.5663, 126.9779))["Plan"]))
    used = {node["Index Name"]: node for node in found if "Index Name" in node}
    assert INDEX[asked] in used, found
    assert not [node for node in found if node["Node Type"] == "Seq Scan"], found
    if asked[1]:
        # Whether in order or not, only what lies within the radius and has hours.
        assert "<@" in used[INDEX[asked]]["Index Cond"]
    else:
        # In order, so that it ends after the twentieth.
        assert "<->" in used[INDEX[asked]]["Order By"]


@pytest.mark.skipif(not LONG, reason="measured with a million centres: make nearest")
def test_the_nearest_of_a_million_take_less_than_five_milliseconds(crowded):
    chance = random.Random(11)
    points = [(chance.uniform(34.5, 37.9), chance.uniform(126.5, 129.2)) for _ in range(QUESTIONS)]
    with crowded.database.reading() as connection:
        for asked in INDEX:
            taken = sorted(
                explain(connection, asked, point, ", ANALYZE, TIMING OFF")["Execution Time"] for point in points
            )
            print(
                f"nearest 20 of {COUNT}, one kind {asked[0]}, open now {asked[1]}:"
                f" median {statistics.median(taken):.2f} ms, p99 {taken[QUESTIONS * 99 // 100 - 1]:.2f} ms"
            )
            assert statistics.median(taken) < LIMIT_MS
