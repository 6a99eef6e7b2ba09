"""LocationsService for people, LocationsInternalService for siblings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuids
from eco2.locations.v1 import internal_pb2, internal_pb2_grpc
from eco2.locations.v1 import locations_pb2 as pb
from eco2.locations.v1 import locations_pb2_grpc as pb_grpc

from services.kit import pages, quotas, tombstones
from services.kit.caller import get_caller
from services.kit.database import Database
from services.kit.errors import FailedPrecondition, NotFound, invalid, request_id_reused
from services.locations import earth, hours, regions, store

WIDEST_M = 50_000

_LAST = UUID(int=(1 << 128) - 1)
_FIRST = [-1.0, UUID(int=0)]
_FIELDS = ("name", "address", "latitude", "longitude", "is_default")

Now = Callable[[], datetime]


class Locations(pb_grpc.LocationsServiceServicer):
    """most: how many places a user may have. now: the time, with its zone."""

    def __init__(self, database: Database, most: int, now: Now):
        self._database, self._most, self._now = database, most, now

    def ListPlaces(self, request, context):
        user_id, limit = get_caller(context).user_id, pages.size(request.page_size)
        (before,) = pages.cursor(request.page_token, (UUID,)) or [_LAST]
        with self._database.reading() as connection:
            rows = store.list_places(connection, user_id, before, limit + 1)
        more = pages.token([str(rows[limit - 1].id)]) if len(rows) > limit else ""
        return pb.ListPlacesResponse(places=map(_place, rows[:limit]), next_page_token=more)

    def CreatePlace(self, request, context):
        user_id, place_id = get_caller(context).user_id, uuids.uuid7()
        request_id = UUID(request.request_id) if request.request_id else None
        place = {name: getattr(request, name) for name in _FIELDS}
        digest = hashlib.sha256(repr(place).encode()).digest()
        with self._database.writing() as tx:
            tombstones.check_alive(tx, user_id)
            quotas.lock(tx, user_id)
            if request_id and (row := store.find_requested(tx, user_id, request_id)):
                if bytes(row.request_hash) != digest:
                    raise request_id_reused()
                return pb.CreatePlaceResponse(place=_place(row))
            store.create_place(
                tx,
                place_id=place_id,
                user_id=user_id,
                request_id=request_id,
                request_hash=digest if request_id else None,
                now=self._now(),
                **place,
            )
            quotas.check(store.count_places(tx, user_id), self._most, "places", "TOO_MANY_PLACES")
            return pb.CreatePlaceResponse(place=_place(store.get_place(tx, user_id, place_id)))

    def GetPlace(self, request, context):
        with self._database.reading() as connection:
            row = store.get_place(connection, get_caller(context).user_id, UUID(request.place_id))
        return pb.GetPlaceResponse(place=_place(row))

    def UpdatePlace(self, request, context):
        user_id, place_id = get_caller(context).user_id, UUID(request.place_id)
        masked = list(request.update_mask.paths) or [name for name in _FIELDS if getattr(request.place, name)]
        if "*" in masked:
            masked = list(_FIELDS)
        if "name" in masked and not request.place.name.strip():
            raise invalid("place.name", "must not be empty")
        with self._database.writing() as tx:
            # Two at once would both clear the old default and both set a new one.
            quotas.lock(tx, user_id)
            row = store.get_place(tx, user_id, place_id)
            place = {name: getattr(request.place if name in masked else row, name) for name in _FIELDS}
            store.update_place(tx, user_id=user_id, place_id=place_id, **place)
            return pb.UpdatePlaceResponse(place=_place(store.get_place(tx, user_id, place_id)))

    def DeletePlace(self, request, context):
        with self._database.writing() as tx:
            store.delete_place(tx, get_caller(context).user_id, UUID(request.place_id))
        return pb.DeletePlaceResponse()

    def ListNearestCenters(self, request, context):
        get_caller(context)
        limit, point = pages.size(request.page_size), (request.latitude, request.longitude)
        marks = (*point, request.kind, request.radius_m, request.open_now)
        after = pages.cursor(request.page_token, (float, UUID), *marks) or _FIRST
        at = self._now()
        centers = _nearest(self._database, at, point, request, limit + 1, after)
        more = ""
        if len(centers) > limit:
            last = centers[limit - 1]
            more = pages.token([last.chord, str(last.id)], *marks)
        return pb.ListNearestCentersResponse(
            centers=[_center(row, at) for row in centers[:limit]], next_page_token=more
        )

    def GetCenter(self, request, context):
        get_caller(context)
        with self._database.reading() as connection:
            row = store.get_center(connection, UUID(request.center_id))
        return pb.GetCenterResponse(center=_center(row, self._now()))

    def LocateRegion(self, request, context):
        get_caller(context)
        return pb.LocateRegionResponse(region=_locate(request.latitude, request.longitude))

    def GetRegionPolicy(self, request, context):
        get_caller(context)
        with self._database.reading() as connection:
            policy = store.find_policy(connection, request.region_code)
        if policy is None:
            raise NotFound(
                "nothing is known of this region; the national rules hold",
                reason="POLICY_NOT_FOUND",
                region_code=request.region_code,
            )
        return pb.GetRegionPolicyResponse(policy=_policy(policy))


class LocationsInternal(internal_pb2_grpc.LocationsInternalServiceServicer):
    """now: the time, with its zone."""

    def __init__(self, database: Database, now: Now):
        self._database, self._now = database, now

    def FindCenters(self, request, context):
        at, limit = self._now(), pages.size(request.limit)
        rows = _nearest(self._database, at, self._point(request.near), request, limit, _FIRST)
        return internal_pb2.FindCentersResponse(centers=[_center(row, at) for row in rows])

    def FindRegionPolicy(self, request, context):
        named = regions.find_named(request.question)
        region = _region(named) if named else _locate(*self._point(request.near))
        with self._database.reading() as connection:
            policy = store.find_policy(connection, region.region_code)
        return internal_pb2.FindRegionPolicyResponse(region=region, policy=policy and _policy(policy))

    def EraseUser(self, request, context):
        removed = tombstones.erase(self._database, UUID(request.user_id), store.delete_user)
        return internal_pb2.EraseUserResponse(removed_count=removed)

    def _point(self, near: internal_pb2.Near) -> tuple[float, float]:
        """Latitude and longitude. Fails with FAILED_PRECONDITION (NO_PLACE) when the person has none."""
        if near.WhichOneof("where") == "coordinates":
            return near.coordinates.latitude, near.coordinates.longitude
        with self._database.reading() as connection:
            home = store.find_home(connection, UUID(near.user_id))
        if home is None:
            raise FailedPrecondition("no place has been saved", reason="NO_PLACE")
        return float(home.latitude), float(home.longitude)


def _nearest(database: Database, at: datetime, point: tuple[float, float], request, limit: int, after: Sequence[Any]):
    """request: kind, radius_m and open_now as both services have them."""
    with database.reading() as connection:
        return store.list_nearest(
            connection,
            *point,
            kind=pb.CenterKind.Name(request.kind).removeprefix("CENTER_KIND_") if request.kind else "",
            radius_m=request.radius_m or WIDEST_M,
            open_at=at if request.open_now else None,
            after=after,
            limit=limit,
        )


def _locate(latitude: float, longitude: float) -> pb.Region:
    """Fails with NOT_FOUND (REGION_NOT_FOUND)."""
    region = regions.locate(latitude, longitude)
    if region is None:
        raise NotFound("this is not in South Korea", reason="REGION_NOT_FOUND")
    return _region(region)


def _region(region: regions.Region) -> pb.Region:
    return pb.Region(region_code=region.code, name=region.name)


def _place(row) -> pb.Place:
    return pb.Place(
        place_id=str(row.id),
        name=row.name,
        address=row.address,
        latitude=row.latitude,
        longitude=row.longitude,
        is_default=row.is_default,
        create_time=row.created_at,
    )


def _center(row, at: datetime) -> pb.Center:
    days = row.operating_hours["days"]
    return pb.Center(
        center_id=str(row.id),
        name=row.name,
        address=row.address,
        latitude=row.latitude,
        longitude=row.longitude,
        phone=row.phone,
        website_url=row.website_url,
        collections=[pb.Collection(**each | {"kind": f"CENTER_KIND_{each['kind']}"}) for each in row.collections],
        opening_hours=pb.OpeningHours(
            days=[
                pb.DayHours(day=number, spans=[pb.TimeSpan(open=opens, close=closes) for opens, closes in days[day]])
                for number, day in enumerate(hours.DAYS, start=pb.DAY_MONDAY)
                if day in days
            ],
            note=row.operating_hours["note"],
        ),
        open_state=f"OPEN_STATE_{hours.state(days, at)}",
        distance_m=round(earth.distance_m(row.chord), 1),
        region_code=row.region_code,
        source=row.source,
        source_url=row.source_url,
    )


def _policy(policy) -> pb.RegionPolicy:
    return pb.RegionPolicy(
        region=pb.Region(region_code=policy["region_code"], name=policy["region_name"]),
        website_url=policy["website_url"],
        department=policy["department"],
        phone=policy["phone"],
        rules=[pb.RegionRule(**rule | {"topic": f"REGION_TOPIC_{rule['topic']}"}) for rule in policy["rules"]],
        check_date=policy["checked"],
    )
