"""Saved places over the wire."""

import uuid

import pytest
import sqlalchemy as sa
from eco2.locations.v1 import internal_pb2
from eco2.locations.v1 import locations_pb2 as pb

from services.kit.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted, Unauthenticated
from tests.conftest import as_user, together
from tests.services.locations.conftest import MOST

USER, OTHER = uuid.uuid4(), uuid.uuid4()
HOME = {"name": "집", "address": "서울특별시 마포구 월드컵로 212", "latitude": 37.5663, "longitude": 126.9017}


def create(house, user=USER, **fields) -> pb.Place:
    return house.public.CreatePlace(pb.CreatePlaceRequest(**HOME | fields), metadata=as_user(user)).place


def update(house, place_id, mask=(), user=USER, **fields) -> pb.Place:
    request = pb.UpdatePlaceRequest(place_id=place_id, place=pb.Place(**fields))
    request.update_mask.paths.extend(mask)
    return house.public.UpdatePlace(request, metadata=as_user(user)).place


def listed(house, user=USER, **request) -> list[pb.Place]:
    return list(house.public.ListPlaces(pb.ListPlacesRequest(**request), metadata=as_user(user)).places)


def test_a_place_is_kept_as_it_was_given(house):
    made = create(house)
    got = house.public.GetPlace(pb.GetPlaceRequest(place_id=made.place_id), metadata=as_user(USER)).place
    assert got == made
    assert {name: getattr(made, name) for name in HOME} == HOME
    assert not made.is_default
    assert made.create_time.ToDatetime(house.now.tzinfo) == house.now


def test_places_come_newest_first_and_page_by_page(house):
    names = [create(house, name=f"곳 {number}").name for number in range(5)]
    create(house, OTHER, name="남의 집")
    found, token = [], ""
    while True:
        page = house.public.ListPlaces(pb.ListPlacesRequest(page_size=2, page_token=token), metadata=as_user(USER))
        found += [place.name for place in page.places]
        token = page.next_page_token
        if not token:
            break
    assert found == names[::-1]


def test_only_one_place_is_the_default(house):
    first, second = create(house, is_default=True), create(house, is_default=True)
    assert [place.is_default for place in listed(house)] == [True, False]
    update(house, first.place_id, is_default=True)
    assert {place.place_id: place.is_default for place in listed(house)} == {
        first.place_id: True,
        second.place_id: False,
    }
    assert not update(house, first.place_id, ["is_default"]).is_default
    assert not any(place.is_default for place in listed(house))


def test_the_database_itself_refuses_a_second_default(house):
    two = sa.text(
        "INSERT INTO user_locations (id, user_id, name, address, latitude, longitude, is_default, created_at)"
        " SELECT gen_random_uuid(), :user_id, 'n', 'a', 37, 127, true, now() FROM generate_series(1, 2)"
    )
    with house.database.reading() as connection, pytest.raises(sa.exc.IntegrityError, match="one_default"):
        connection.execute(two, {"user_id": USER})


def test_defaults_made_at_once_leave_one(house):
    assert not together(8, lambda: create(house, is_default=True))
    assert sorted(place.is_default for place in listed(house)) == [False] * 7 + [True]


def test_a_mask_says_what_changes(house):
    made = create(house, is_default=True)
    moved = update(house, made.place_id, ["name", "latitude"], name="회사", address="안 바뀜", latitude=37.5)
    assert (moved.name, moved.address, moved.latitude, moved.longitude) == (
        "회사",
        HOME["address"],
        37.5,
        HOME["longitude"],
    )
    assert moved.is_default
    # Without a mask, what is not empty.
    assert update(house, made.place_id, address="새 주소").name == "회사"
    emptied = update(house, made.place_id, ["*"], name="모두", latitude=1.0, longitude=2.0)
    assert (emptied.address, emptied.is_default, emptied.create_time) == ("", False, made.create_time)


def test_the_same_request_makes_one_place(house):
    request_id = str(uuid.uuid4())
    made = create(house, request_id=request_id, is_default=True)
    assert create(house, request_id=request_id, is_default=True) == made
    assert len(listed(house)) == 1
    with pytest.raises(AlreadyExists) as caught:
        create(house, request_id=request_id, name="다른 곳")
    assert (caught.value.reason, caught.value.violations[0][0]) == ("REQUEST_ID_REUSED", "request_id")
    assert create(house, OTHER, request_id=request_id).place_id != made.place_id


def test_there_is_a_most_however_many_are_saved_at_once(house):
    first = create(house)
    refused = together(MOST + 2, lambda: create(house, is_default=True))
    assert [(type(fault), fault.reason, fault.metadata) for fault in refused] == [
        (ResourceExhausted, "TOO_MANY_PLACES", {"most": str(MOST)})
    ] * 3
    assert [len(listed(house)), sum(place.is_default for place in listed(house))] == [MOST, 1]
    create(house, OTHER)
    house.public.DeletePlace(pb.DeletePlaceRequest(place_id=first.place_id), metadata=as_user(USER))
    create(house)


def test_a_deleted_place_is_gone(house):
    made = create(house)
    request = pb.DeletePlaceRequest(place_id=made.place_id)
    house.public.DeletePlace(request, metadata=as_user(USER))
    assert listed(house) == []
    with pytest.raises(NotFound) as caught:
        house.public.DeletePlace(request, metadata=as_user(USER))
    assert caught.value.reason == "PLACE_NOT_FOUND"


def test_somebody_elses_place_is_not_found(house):
    made = create(house)
    for call, request in (
        (house.public.GetPlace, pb.GetPlaceRequest(place_id=made.place_id)),
        (house.public.UpdatePlace, pb.UpdatePlaceRequest(place_id=made.place_id, place=pb.Place(name="내 것"))),
        (house.public.DeletePlace, pb.DeletePlaceRequest(place_id=made.place_id)),
    ):
        with pytest.raises(NotFound) as caught:
            call(request, metadata=as_user(OTHER))
        assert caught.value.reason == "PLACE_NOT_FOUND"
    assert listed(house, OTHER) == []
    assert listed(house) == [made]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  "),
        ("name", "가" * 101),
        ("address", "가" * 301),
        ("latitude", 90.1),
        ("latitude", float("nan")),
        ("latitude", None),
        ("longitude", -180.1),
        ("longitude", None),
        ("request_id", "7"),
    ],
)
def test_a_bad_place_is_refused_by_field(house, field, value):
    with pytest.raises(InvalidArgument) as caught:
        create(house, **{field: value})
    assert caught.value.violations[0][0] == field
    assert listed(house) == []


@pytest.mark.parametrize(
    ("mask", "fields", "field"),
    [
        (["place_id"], {"name": "a"}, "update_mask"),
        (["no_such_field"], {"name": "a"}, "update_mask"),
        (["name"], {"name": " "}, "place.name"),
        (["*"], {}, "place.name"),
        ([], {"latitude": 91.0}, "place.latitude"),
    ],
)
def test_a_bad_change_is_refused_by_field(house, mask, fields, field):
    made = create(house)
    with pytest.raises(InvalidArgument) as caught:
        update(house, made.place_id, mask, **fields)
    assert caught.value.violations[0][0] == field
    assert listed(house) == [made]


def test_bad_ids_sizes_and_tokens_are_refused_by_field(house):
    for call, request, field in (
        (house.public.GetPlace, pb.GetPlaceRequest(place_id="7"), "place_id"),
        (house.public.UpdatePlace, pb.UpdatePlaceRequest(place_id="7", place=pb.Place(name="a")), "place_id"),
        (house.public.UpdatePlace, pb.UpdatePlaceRequest(place_id=str(USER)), "place"),
        (house.public.DeletePlace, pb.DeletePlaceRequest(place_id=""), "place_id"),
        (house.public.ListPlaces, pb.ListPlacesRequest(page_size=-1), "page_size"),
        (house.public.ListPlaces, pb.ListPlacesRequest(page_token="?"), "page_token"),
        (house.internal.EraseUser, internal_pb2.EraseUserRequest(user_id="7"), "user_id"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            call(request, metadata=as_user(USER))
        assert caught.value.violations[0][0] == field


def test_nobody_is_refused(house):
    for call, request in (
        (house.public.ListPlaces, pb.ListPlacesRequest()),
        (house.public.CreatePlace, pb.CreatePlaceRequest(**HOME)),
        (house.public.GetPlace, pb.GetPlaceRequest(place_id=str(USER))),
        (house.public.UpdatePlace, pb.UpdatePlaceRequest(place_id=str(USER), place=pb.Place(name="a"))),
        (house.public.DeletePlace, pb.DeletePlaceRequest(place_id=str(USER))),
        (house.public.ListNearestCenters, pb.ListNearestCentersRequest(latitude=37, longitude=127)),
        (house.public.GetCenter, pb.GetCenterRequest(center_id=str(USER))),
        (house.public.LocateRegion, pb.LocateRegionRequest(latitude=37, longitude=127)),
        (house.public.GetRegionPolicy, pb.GetRegionPolicyRequest(region_code="11440")),
    ):
        with pytest.raises(Unauthenticated) as caught:
            call(request)
        assert caught.value.reason == "TOKEN_MISSING"


def test_an_erased_person_occurs_nowhere(house):
    create(house, is_default=True)
    create(house, request_id=str(uuid.uuid4()))
    create(house, OTHER)
    erase = internal_pb2.EraseUserRequest(user_id=str(USER))
    assert house.internal.EraseUser(erase).removed_count == 2
    # Idempotent, and the sum stays.
    assert house.internal.EraseUser(erase).removed_count == 2
    with pytest.raises(Unauthenticated) as caught:
        create(house)
    assert caught.value.reason == "ACCOUNT_ERASED"
    with house.database.reading() as connection:
        tables = connection.execute(
            sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'locations' AND tablename <> 'alembic_version'")
        ).scalars()
        for table in tables:
            rows = connection.execute(
                sa.text(f"SELECT count(*) FROM {table} t WHERE t::text LIKE :seen"), {"seen": f"%{USER}%"}
            )
            assert rows.scalar_one() == 0, table
    assert len(listed(house, OTHER)) == 1
