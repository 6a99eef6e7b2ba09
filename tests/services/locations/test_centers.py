"""Centres, regions and policies over the wire, with what ships with the product."""

import math
import random
import uuid
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from eco2.locations.v1 import internal_pb2
from eco2.locations.v1 import locations_pb2 as pb

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.locations import embedded, hours, regions, store
from services.locations.centers import KINDS, Center, identity
from services.locations.hours import SEOUL
from tests.conftest import as_user

USER = uuid.uuid4()
CITY_HALL = {"latitude": 37.5663, "longitude": 126.9779}


@pytest.fixture
def shipped(house):
    with house.database.writing() as tx:
        store.sync_centers(tx, embedded.load_centers(), house.now)
        store.sync_policies(tx, embedded.load_policies())
    return house


def center(name: str, latitude: float, longitude: float, kinds=("BATTERY",), days=None, source="test") -> Center:
    return Center(
        id=identity(name, ""),
        name=name,
        address="",
        latitude=latitude,
        longitude=longitude,
        phone="",
        website_url="",
        hours={"days": days or {}, "note": ""},
        region_code="11140",
        source=source,
        source_url="",
        collections=[{"kind": kind, "items": "", "note": "", "confirmed": True, "source_url": ""} for kind in kinds],
    )


def stock(house, *centers: Center) -> store.Changes:
    with house.database.writing() as tx:
        return store.sync_centers(tx, centers, house.now)


def nearest(house, **request) -> list[pb.Center]:
    request = pb.ListNearestCentersRequest(**CITY_HALL | request)
    return list(house.public.ListNearestCenters(request, metadata=as_user(USER)).centers)


def names(centers) -> list[str]:
    return [each.name for each in centers]


def every(days, spans: list[list[str]]) -> hours.Days:
    return dict.fromkeys(days, spans)


def surface(a, b) -> float:
    """Metres along the surface of a sphere, by the haversine."""
    north, east = math.radians(b[0] - a[0]), math.radians(b[1] - a[1])
    half = math.sin(north / 2) ** 2
    half += math.cos(math.radians(a[0])) * math.cos(math.radians(b[0])) * math.sin(east / 2) ** 2
    return 2 * 6371008.8 * math.asin(math.sqrt(half))


def test_the_offices_of_seoul_ship_with_the_product(shipped):
    found = nearest(shipped, page_size=100)
    assert len(found) == 25
    assert found[0].name == "종로구청 임시청사"
    assert [each.distance_m for each in found] == sorted(each.distance_m for each in found)
    for each in found:
        assert [c for c in each.collections if c.kind == pb.CENTER_KIND_MEDICINE]
        assert each.source_url.startswith("http")
        assert all(c.source_url.startswith("http") and (c.confirmed or c.note) for c in each.collections)
        assert each.open_state == pb.OPEN_STATE_OPEN
    assert sum(c.confirmed for each in found for c in each.collections) == 5


def test_nearest_is_by_real_distance(house):
    chance = random.Random(5)
    points = {f"곳 {n}": (chance.uniform(37.2, 37.9), chance.uniform(126.6, 127.4)) for n in range(200)}
    stock(house, *(center(name, *point) for name, point in points.items()))
    here = (CITY_HALL["latitude"], CITY_HALL["longitude"])
    expected = sorted(points, key=lambda name: surface(here, points[name]))
    found = nearest(house, page_size=50)
    assert names(found) == expected[:50]
    for each in found:
        assert each.distance_m == pytest.approx(surface(here, points[each.name]), abs=0.1)


def test_pages_give_each_once_also_at_the_same_point(house):
    stock(house, *(center(f"곳 {n}", 37.57, 126.98) for n in range(7)), center("먼 곳", 37.6, 127.0))
    found, token = [], ""
    while True:
        page = house.public.ListNearestCenters(
            pb.ListNearestCentersRequest(**CITY_HALL, page_size=3, page_token=token), metadata=as_user(USER)
        )
        found += names(page.centers)
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == sorted({f"곳 {n}" for n in range(7)} | {"먼 곳"})
    assert found[-1] == "먼 곳"


def test_a_token_belongs_to_its_question(shipped):
    token = shipped.public.ListNearestCenters(
        pb.ListNearestCentersRequest(**CITY_HALL, page_size=1), metadata=as_user(USER)
    ).next_page_token
    with pytest.raises(InvalidArgument) as caught:
        nearest(shipped, page_token=token, radius_m=100)
    assert caught.value.violations[0][0] == "page_token"


def test_a_radius_and_a_kind_narrow_it(house):
    stock(
        house,
        center("등", 37.567, 126.978, ("LAMP",)),
        center("둘", 37.5700, 126.978, ("LAMP", "BATTERY")),
        center("멀다", 37.7, 127.2, ("BATTERY",)),
        center("아주 멀다", 35.1, 129.0, ("BATTERY",)),
    )
    assert names(nearest(house)) == ["등", "둘", "멀다"]
    assert names(nearest(house, kind=pb.CENTER_KIND_BATTERY)) == ["둘", "멀다"]
    assert names(nearest(house, kind=pb.CENTER_KIND_BATTERY, radius_m=1000)) == ["둘"]
    assert nearest(house, kind=pb.CENTER_KIND_MEDICINE) == []
    both = nearest(house)[1].collections
    assert [each.kind for each in both] == [pb.CENTER_KIND_BATTERY, pb.CENTER_KIND_LAMP]


def test_every_kind_has_the_same_name_everywhere(house):
    assert {name.removeprefix("CENTER_KIND_") for name in pb.CenterKind.keys()} == {*KINDS, "UNSPECIFIED"}  # noqa: SIM118
    stock(house, center("모두", 37.567, 126.978, KINDS))
    for kind in KINDS:
        assert names(nearest(house, kind=f"CENTER_KIND_{kind}")) == ["모두"]
    assert {name.removeprefix("DAY_") for name in pb.Day.keys()} == {  # noqa: SIM118
        *("UNSPECIFIED", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY", "HOLIDAY")
    }


@pytest.mark.parametrize("kind", ["CENTER_KIND_UNSPECIFIED", "CENTER_KIND_BATTERY"])
def test_open_now_is_what_is_known_to_be_open_in_seoul(house, kind):
    day, night = [["09:00", "18:00"]], [["19:00", "01:00"]]
    week = hours.WEEK
    stock(
        house,
        center("낮", 37.567, 126.978, days=every(week, day)),
        center("밤", 37.568, 126.978, days=every(week, night) | {"holiday": night}),
        center("모름", 37.569, 126.978),
        center("공휴일에도", 37.570, 126.978, days=every(hours.DAYS, day)),
    )
    for when, expected in (
        (datetime(2026, 11, 18, 11, 0, tzinfo=SEOUL), ["낮", "공휴일에도"]),
        (datetime(2026, 11, 19, 0, 30, tzinfo=SEOUL), ["밤"]),
        (datetime(2026, 11, 18, 18, 30, tzinfo=SEOUL), []),
        # Christmas: what the first does then is not known.
        (datetime(2026, 12, 25, 11, 0, tzinfo=SEOUL), ["공휴일에도"]),
        (datetime(2026, 12, 26, 0, 30, tzinfo=SEOUL), ["밤"]),
    ):
        house.now = when.astimezone(UTC)
        assert names(nearest(house, open_now=True, kind=kind)) == expected
    house.now = datetime(2026, 12, 25, 2, 0, tzinfo=UTC)
    assert [pb.OpenState.Name(each.open_state).removeprefix("OPEN_STATE_") for each in nearest(house)] == [
        *("UNKNOWN", "CLOSED", "UNKNOWN", "OPEN")
    ]


def test_hours_are_data_and_an_unknown_day_is_absent(house):
    stock(house, center("곳", 37.567, 126.978, days={"mon": [["19:00", "01:00"]], "sun": [], "holiday": []}))
    found = nearest(house)[0]
    got = house.public.GetCenter(pb.GetCenterRequest(center_id=found.center_id), metadata=as_user(USER)).center
    assert [(day.day, [(span.open, span.close) for span in day.spans]) for day in got.opening_hours.days] == [
        (pb.DAY_MONDAY, [("19:00", "01:00")]),
        (pb.DAY_SUNDAY, []),
        (pb.DAY_HOLIDAY, []),
    ]
    assert (got.name, got.distance_m) == ("곳", 0)


def test_a_centre_that_moves_takes_its_collections_along(house):
    stock(house, center("곳", 37.567, 126.978))
    assert stock(house, center("곳", 35.1, 129.0)) == (0, 1)
    assert nearest(house, kind=pb.CENTER_KIND_BATTERY) == []
    assert names(nearest(house, kind=pb.CENTER_KIND_BATTERY, latitude=35.1, longitude=129.0)) == ["곳"]


def test_one_data_set_does_not_overwrite_another(house):
    assert stock(house, center("곳", 37.567, 126.978)) == (1, 0)
    other = center("곳", 37.9, 127.9, ("BATTERY", "LAMP"), source="other")
    assert stock(house, other) == (0, 1)
    assert stock(house, other) == (0, 0)
    assert stock(house, center("곳", 37.567, 126.978)) == (0, 0)
    found = nearest(house, kind=pb.CENTER_KIND_LAMP)
    assert (found[0].latitude, found[0].source) == (37.567, "test")


def test_what_ships_is_brought_up_to_date(shipped):
    kept = embedded.load_centers()[:3]
    with shipped.database.writing() as tx:
        assert store.sync_centers(tx, embedded.load_centers(), shipped.now) == (0, 0)
        store.sync_centers(tx, [center("수입", 37.5, 127.0)], shipped.now)
        store.delete_others(tx, embedded.SOURCE, [each.id for each in kept])
    assert sorted(names(nearest(shipped))) == sorted([*(each.name for each in kept), "수입"])


def test_a_centre_that_is_not_there_is_not_found(house):
    with pytest.raises(NotFound) as caught:
        house.public.GetCenter(pb.GetCenterRequest(center_id=str(USER)), metadata=as_user(USER))
    assert caught.value.reason == "CENTER_NOT_FOUND"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latitude", 91.0),
        ("latitude", float("inf")),
        ("latitude", None),
        ("longitude", 181.0),
        ("longitude", None),
        ("radius_m", -1),
        ("radius_m", 50_001),
        ("page_size", -1),
        ("page_token", "?"),
        ("kind", 99),
    ],
)
def test_a_bad_question_is_refused_by_field(house, field, value):
    with pytest.raises(InvalidArgument) as caught:
        nearest(house, **{field: value})
    assert caught.value.violations[0][0] == field


def test_other_bad_questions_are_refused_by_field(house):
    for call, request, field in (
        (house.public.GetCenter, pb.GetCenterRequest(center_id="7"), "center_id"),
        (house.public.LocateRegion, pb.LocateRegionRequest(latitude=37), "longitude"),
        (house.public.LocateRegion, pb.LocateRegionRequest(latitude=-91, longitude=127), "latitude"),
        (house.public.GetRegionPolicy, pb.GetRegionPolicyRequest(region_code="서울"), "region_code"),
        (house.internal.FindCenters, internal_pb2.FindCentersRequest(), "near"),
        (house.internal.FindCenters, internal_pb2.FindCentersRequest(near={}), "near.where"),
        (house.internal.FindCenters, internal_pb2.FindCentersRequest(near={"user_id": "7"}), "near.user_id"),
        (house.internal.FindRegionPolicy, internal_pb2.FindRegionPolicyRequest(), "near"),
        (
            house.internal.FindRegionPolicy,
            internal_pb2.FindRegionPolicyRequest(near={"user_id": str(USER)}, question="구" * 1001),
            "question",
        ),
        (
            house.internal.FindRegionPolicy,
            internal_pb2.FindRegionPolicyRequest(near={"coordinates": {"latitude": 91}}),
            "near.coordinates.latitude",
        ),
    ):
        with pytest.raises(InvalidArgument) as caught:
            call(request, metadata=as_user(USER))
        assert caught.value.violations[0][0] == field


@pytest.mark.parametrize(
    ("latitude", "longitude", "code", "name"),
    [
        (37.5663, 126.9017, "11440", "서울특별시 마포구"),
        (37.5894, 127.0168, "11290", "서울특별시 성북구"),
        (37.2636, 127.0286, "41115", "경기도 수원시 팔달구"),
        (36.48, 127.26, "36110", "세종특별자치시"),
        (37.8813, 127.7298, "51110", "강원특별자치도 춘천시"),
        (35.8242, 127.1480, "52111", "전북특별자치도 전주시 완산구"),
        (37.4637, 126.6505, "28177", "인천광역시 미추홀구"),
        (37.2411, 131.8656, "47940", "경상북도 울릉군"),
    ],
)
def test_a_point_lies_in_a_region(house, latitude, longitude, code, name):
    request = pb.LocateRegionRequest(latitude=latitude, longitude=longitude)
    region = house.public.LocateRegion(request, metadata=as_user(USER)).region
    assert (region.region_code, region.name) == (code, name)


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(35.68, 139.69), (33.59, 130.4), (34.65, 129.45), (37.0, 125.0), (0, 0), (90, 180)]
)
def test_a_point_abroad_or_at_sea_lies_in_none(house, latitude, longitude):
    with pytest.raises(NotFound) as caught:
        house.public.LocateRegion(
            pb.LocateRegionRequest(latitude=latitude, longitude=longitude), metadata=as_user(USER)
        )
    assert caught.value.reason == "REGION_NOT_FOUND"


def test_each_district_of_seoul_has_a_policy_with_its_sources(shipped):
    offices = {office.region_code: office for office in embedded.load_centers()}
    assert len(offices) == 25
    topics = {name.removeprefix("REGION_TOPIC_") for name in pb.RegionTopic.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert topics == set(embedded.TOPICS)
    for code, office in offices.items():
        request = pb.GetRegionPolicyRequest(region_code=code)
        policy = shipped.public.GetRegionPolicy(request, metadata=as_user(USER)).policy
        region = shipped.public.LocateRegion(
            pb.LocateRegionRequest(latitude=office.latitude, longitude=office.longitude), metadata=as_user(USER)
        ).region
        assert policy.region == region
        assert policy.phone.startswith("02-")
        assert datetime.fromisoformat(policy.check_date)
        for rule in policy.rules:
            assert rule.topic
            assert rule.text_ko
            assert rule.text_en
            assert rule.source_url.startswith("http")


def test_a_region_of_which_nothing_is_known_says_so(shipped):
    with pytest.raises(NotFound) as caught:
        shipped.public.GetRegionPolicy(pb.GetRegionPolicyRequest(region_code="26110"), metadata=as_user(USER))
    assert caught.value.reason == "POLICY_NOT_FOUND"


def test_siblings_ask_around_a_point_or_a_persons_place(shipped):
    around = internal_pb2.Near(coordinates=internal_pb2.Coordinates(**CITY_HALL))
    found = shipped.internal.FindCenters(internal_pb2.FindCentersRequest(near=around, limit=2)).centers
    assert names(found) == names(nearest(shipped, page_size=2))
    person = internal_pb2.Near(user_id=str(USER))
    for call, request in (
        (shipped.internal.FindCenters, internal_pb2.FindCentersRequest(near=person)),
        (shipped.internal.FindRegionPolicy, internal_pb2.FindRegionPolicyRequest(near=person)),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            call(request)
        assert caught.value.reason == "NO_PLACE"
    for name, latitude, longitude, default in (
        ("집", 37.4784, 126.9513, True),
        ("부산", 35.1796, 129.0756, False),
    ):
        shipped.public.CreatePlace(
            pb.CreatePlaceRequest(name=name, latitude=latitude, longitude=longitude, is_default=default),
            metadata=as_user(USER),
        )
    request = internal_pb2.FindCentersRequest(near=person, limit=1, open_now=True, kind=pb.CENTER_KIND_MEDICINE)
    assert names(shipped.internal.FindCenters(request).centers) == ["관악구청"]
    answer = shipped.internal.FindRegionPolicy(internal_pb2.FindRegionPolicyRequest(near=person))
    assert (answer.region.name, answer.policy.region) == ("서울특별시 관악구", answer.region)
    for place in shipped.public.ListPlaces(pb.ListPlacesRequest(), metadata=as_user(USER)).places:
        if place.is_default:
            shipped.public.DeletePlace(pb.DeletePlaceRequest(place_id=place.place_id), metadata=as_user(USER))
    answer = shipped.internal.FindRegionPolicy(internal_pb2.FindRegionPolicyRequest(near=person))
    assert answer.region.name.startswith("부산광역시")
    assert not answer.HasField("policy")
    with pytest.raises(NotFound) as caught:
        shipped.internal.FindRegionPolicy(
            internal_pb2.FindRegionPolicyRequest(near={"coordinates": {"latitude": 0, "longitude": 0}})
        )
    assert caught.value.reason == "REGION_NOT_FOUND"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("강남구에서 고무장갑 어떻게 버려요?", "서울특별시 강남구"),
        ("우리 집은 서울시  마포구청 옆이에요", "서울특별시 마포구"),
        ("부산 중구는요?", "부산광역시 중구"),
        ("경남 고성군", "경상남도 고성군"),
        ("수원시 팔달구는 무슨 요일이에요?", "경기도 수원시 팔달구"),
        ("수원시는?", "경기도 수원시"),
        ("남양주시", "경기도 남양주시"),
        ("세종시는 언제 버려요?", "세종특별자치시"),
        ("광주시 북구는요?", "광주광역시 북구"),
        ("경기 광주시는요?", "경기도 광주시"),
        # Several have it, or none.
        ("광주시는 무슨 요일이에요?", ""),
        ("중구는 무슨 요일이에요?", ""),
        ("고성군", ""),
        ("가구와 구리 전선은?", ""),
        ("고양이 모래", ""),
        ("Gangnam", ""),
        ("", ""),
    ],
)
def test_a_municipality_is_known_by_its_name(text, name):
    found = regions.find_named(text)
    assert (found.name if found else "") == name


def test_what_words_name_comes_before_where_the_person_is(shipped):
    request = internal_pb2.FindRegionPolicyRequest(near={"user_id": str(uuid.uuid4())}, question="마포구 규정은?")
    answer = shipped.internal.FindRegionPolicy(request)
    assert (answer.region.region_code, answer.policy.region.name) == ("11440", "서울특별시 마포구")
    request = internal_pb2.FindRegionPolicyRequest(near={"coordinates": CITY_HALL}, question="수원시 규정은?")
    answer = shipped.internal.FindRegionPolicy(request)
    assert (answer.region.region_code, answer.HasField("policy")) == ("41110", False)
    request = internal_pb2.FindRegionPolicyRequest(near={"coordinates": CITY_HALL}, question="우리 동네는?")
    assert shipped.internal.FindRegionPolicy(request).region.name == "서울특별시 중구"


def test_the_point_of_a_row_is_the_point_of_a_question(house):
    stock(house, center("곳", 37.567, 126.978))
    with house.database.reading() as connection:
        for table in ("recycle_centers", "disposal_sites"):
            gap = connection.execute(
                sa.text(f"SELECT position <-> CAST(:here AS cube) FROM {table}"),
                {"here": store.earth.cube(37.567, 126.978)},
            ).scalar_one()
            assert gap < 1e-6
