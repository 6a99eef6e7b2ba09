"""Statements of the schema `locations`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.errors import NotFound
from services.locations import earth, hours
from services.locations.centers import Center
from services.locations.embedded import Policy

_INSERT_PLACE = sa.text("""
    INSERT INTO user_locations (id, user_id, name, address, latitude, longitude, is_default, request_id, request_hash,
        created_at)
    VALUES (:place_id, :user_id, :name, :address, :latitude, :longitude, :is_default, :request_id, :request_hash, :now)
""")
_PLACES = """
    SELECT id, name, address, latitude, longitude, is_default, request_hash, created_at FROM user_locations
    WHERE user_id = :user_id
"""
_GET_PLACE = sa.text(f"{_PLACES} AND id = :place_id")
_GET_REQUESTED = sa.text(f"{_PLACES} AND request_id = :request_id")
_LIST_PLACES = sa.text(f"{_PLACES} AND id < :before ORDER BY id DESC LIMIT :limit")
_HOME = sa.text(f"{_PLACES} ORDER BY is_default DESC, id DESC LIMIT 1")
_COUNT_PLACES = sa.text("SELECT count(*) FROM user_locations WHERE user_id = :user_id")
_UPDATE_PLACE = sa.text("""
    UPDATE user_locations SET name = :name, address = :address, latitude = :latitude, longitude = :longitude,
        is_default = :is_default
    WHERE user_id = :user_id AND id = :place_id
""")
_CLEAR_DEFAULT = sa.text("""
    UPDATE user_locations SET is_default = false WHERE user_id = :user_id AND is_default AND id <> :place_id
""")
_DELETE_PLACE = sa.text("DELETE FROM user_locations WHERE user_id = :user_id AND id = :place_id")
_DELETE_USER = sa.text("DELETE FROM user_locations WHERE user_id = :user_id")

_CENTERS = """
    SELECT centers.id, name, address, latitude, longitude, phone, website_url, operating_hours, region_code, source,
        source_url, {chord} AS chord, ARRAY(
            SELECT jsonb_build_object('kind', kind, 'items', items, 'note', note, 'confirmed', confirmed,
                'source_url', sites.source_url)
            FROM disposal_sites sites WHERE sites.center_id = centers.id ORDER BY kind
        ) AS collections
    FROM recycle_centers centers
"""
_GET_CENTER = sa.text(f"{_CENTERS.format(chord='0')} WHERE centers.id = :center_id")


def _nearest(table: str, key: str, condition: str) -> sa.TextClause:
    """The nearest, in the order in which a GiST index over `position` has them.

    The index knows no second order, so all that are as far away as the last come along and are sorted out after. The
    radius cuts what was found: within the search, too few inside it would make that go on to the end of the country.
    """
    return sa.text(f"""
        WITH near AS MATERIALIZED (
            SELECT {key} AS id, position <-> CAST(:here AS cube) AS chord FROM {table} nearby
            WHERE (position <-> CAST(:here AS cube), {key}) > (:after_chord, :after_id) AND {condition}
            ORDER BY position <-> CAST(:here AS cube) FETCH FIRST :limit ROWS WITH TIES
        )
        {_CENTERS.format(chord="near.chord")} JOIN near ON near.id = centers.id
        WHERE near.chord <= :reach ORDER BY near.chord, near.id LIMIT :limit
    """)


# Where most may have to be passed over, as at night, a box ends the search.
_OPEN_NEAR = """
    open_minutes <> '{}' AND open_minutes && CAST(:moments AS int4multirange)
    AND position <@ cube_enlarge(CAST(:here AS cube), :reach, 3)
"""
_TAKES = "EXISTS (SELECT FROM disposal_sites sites WHERE sites.center_id = nearby.id AND sites.kind = :kind)"
# (of one kind, open now) → statement.
NEAREST = {
    (False, False): _nearest("recycle_centers", "id", "true"),
    (True, False): _nearest("disposal_sites", "center_id", "kind = :kind"),
    (False, True): _nearest("recycle_centers", "id", _OPEN_NEAR),
    (True, True): _nearest("recycle_centers", "id", f"{_OPEN_NEAR} AND {_TAKES}"),
}

_SYNC_CENTERS = sa.text("""
    INSERT INTO recycle_centers AS kept (id, name, address, latitude, longitude, phone, website_url, operating_hours,
        open_minutes, region_code, source, source_url, updated_at)
    SELECT id, name, address, latitude, longitude, phone, website_url, hours, open_minutes, region_code, source,
        source_url, :now
    FROM jsonb_to_recordset(:rows) AS given (id uuid, name text, address text, latitude numeric(10, 8),
        longitude numeric(11, 8), phone text, website_url text, hours jsonb, open_minutes int4multirange,
        region_code text, source text, source_url text)
    ORDER BY id
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, latitude = excluded.latitude,
        longitude = excluded.longitude, phone = excluded.phone, website_url = excluded.website_url,
        operating_hours = excluded.operating_hours, open_minutes = excluded.open_minutes,
        region_code = excluded.region_code, source_url = excluded.source_url, updated_at = excluded.updated_at
    WHERE kept.source = excluded.source AND (kept.name, kept.address, kept.latitude, kept.longitude, kept.phone,
            kept.website_url, kept.operating_hours, kept.region_code, kept.source_url)
        IS DISTINCT FROM (excluded.name, excluded.address, excluded.latitude, excluded.longitude, excluded.phone,
            excluded.website_url, excluded.operating_hours, excluded.region_code, excluded.source_url)
    RETURNING kept.id, kept.xmax = 0 AS new
""").bindparams(sa.bindparam("rows", type_=JSONB))
_SYNC_SITES = sa.text("""
    INSERT INTO disposal_sites AS kept (center_id, kind, latitude, longitude, items, note, confirmed, source,
        source_url)
    SELECT center_id, kind, centers.latitude, centers.longitude, items, note, confirmed, given.source, given.source_url
    FROM jsonb_to_recordset(:rows) AS given (center_id uuid, kind text, items text, note text, confirmed boolean,
        source text, source_url text)
    JOIN recycle_centers centers ON centers.id = center_id
    ORDER BY center_id, kind
    ON CONFLICT (center_id, kind) DO UPDATE SET items = excluded.items, note = excluded.note,
        confirmed = excluded.confirmed, source_url = excluded.source_url
    WHERE kept.source = excluded.source AND (kept.items, kept.note, kept.confirmed, kept.source_url)
        IS DISTINCT FROM (excluded.items, excluded.note, excluded.confirmed, excluded.source_url)
    RETURNING kept.center_id
""").bindparams(sa.bindparam("rows", type_=JSONB))
_DELETE_CENTERS = sa.text("DELETE FROM recycle_centers WHERE source = :source AND id <> ALL(:ids)")
_SYNC_POLICIES = sa.text("""
    INSERT INTO region_policies AS kept (region_code, policy)
    SELECT policy ->> 'region_code', policy FROM jsonb_array_elements(:rows) AS given (policy) ORDER BY 1
    ON CONFLICT (region_code) DO UPDATE SET policy = excluded.policy WHERE kept.policy <> excluded.policy
""").bindparams(sa.bindparam("rows", type_=JSONB))
_FIND_POLICY = sa.text("SELECT policy FROM region_policies WHERE region_code = :region_code")


class Changes(NamedTuple):
    """How many centres a sync made, and how many it changed, itself or in what it collects."""

    new: int
    changed: int


def create_place(tx: sa.Connection, **place: Any) -> None:
    """place: place_id, user_id, name, address, latitude, longitude, is_default, request_id, request_hash, now.

    The user is locked (kit.quotas).
    """
    if place["is_default"]:
        tx.execute(_CLEAR_DEFAULT, place)
    tx.execute(_INSERT_PLACE, place)


def count_places(tx: sa.Connection, user_id: UUID) -> int:
    return tx.execute(_COUNT_PLACES, {"user_id": user_id}).scalar_one()


def get_place(connection: sa.Connection, user_id: UUID, place_id: UUID) -> sa.Row:
    """A row of user_locations. Fails with NotFound (PLACE_NOT_FOUND), also for somebody else's."""
    row = connection.execute(_GET_PLACE, {"user_id": user_id, "place_id": place_id}).one_or_none()
    if row is None:
        raise NotFound("no such place", reason="PLACE_NOT_FOUND", place_id=place_id)
    return row


def find_requested(connection: sa.Connection, user_id: UUID, request_id: UUID) -> sa.Row | None:
    """The place that a request_id made."""
    return connection.execute(_GET_REQUESTED, {"user_id": user_id, "request_id": request_id}).one_or_none()


def find_home(connection: sa.Connection, user_id: UUID) -> sa.Row | None:
    """The default place, or the newest when none is."""
    return connection.execute(_HOME, {"user_id": user_id}).one_or_none()


def list_places(connection: sa.Connection, user_id: UUID, before: UUID, limit: int) -> Sequence[sa.Row]:
    """Up to `limit` places with ids below `before`, newest first: ids are UUIDv7."""
    return connection.execute(_LIST_PLACES, {"user_id": user_id, "before": before, "limit": limit}).all()


def update_place(tx: sa.Connection, **place: Any) -> None:
    """place: place_id, user_id, name, address, latitude, longitude, is_default. The user is locked (kit.quotas)."""
    if place["is_default"]:
        tx.execute(_CLEAR_DEFAULT, place)
    tx.execute(_UPDATE_PLACE, place)


def delete_place(tx: sa.Connection, user_id: UUID, place_id: UUID) -> None:
    """Fails with NotFound (PLACE_NOT_FOUND), also for somebody else's."""
    if tx.execute(_DELETE_PLACE, {"user_id": user_id, "place_id": place_id}).rowcount == 0:
        raise NotFound("no such place", reason="PLACE_NOT_FOUND", place_id=place_id)


def delete_user(tx: sa.Connection, user_id: UUID) -> int:
    """How many places that were."""
    return tx.execute(_DELETE_USER, {"user_id": user_id}).rowcount


def nearest(
    latitude: float,
    longitude: float,
    *,
    kind: str,
    radius_m: float,
    open_at: datetime | None,
    after: Sequence[Any],
    limit: int,
) -> tuple[sa.TextClause, dict[str, Any]]:
    """The statement for centres around a point, and its parameters. kind: or empty. after: [chord, id] of the last."""
    parameters = {
        "here": earth.cube(latitude, longitude),
        "reach": earth.chord(radius_m),
        "after_chord": after[0],
        "after_id": after[1],
        "limit": limit,
    }
    if kind:
        parameters["kind"] = kind
    if open_at:
        parameters["moments"] = hours.moments_multirange(open_at)
    return NEAREST[bool(kind), open_at is not None], parameters


def list_nearest(connection: sa.Connection, *point: float, **filters: Any) -> Sequence[sa.Row]:
    """Centres, nearest first, with chord: metres in a straight line. Arguments as `nearest`."""
    return connection.execute(*nearest(*point, **filters)).all()


def get_center(connection: sa.Connection, center_id: UUID) -> sa.Row:
    """As `list_nearest` has them, chord 0. Fails with NotFound (CENTER_NOT_FOUND)."""
    row = connection.execute(_GET_CENTER, {"center_id": center_id}).one_or_none()
    if row is None:
        raise NotFound("no such centre", reason="CENTER_NOT_FOUND", center_id=center_id)
    return row


def sync_centers(tx: sa.Connection, centers: Iterable[Center], now: datetime) -> Changes:
    """Insert or change centres; their ids are distinct. What another data set has said of one stays as it is."""
    rows, sites = [], []
    for center in centers:
        row = {name: value for name, value in vars(center).items() if name != "collections"}
        rows.append(row | {"id": str(center.id), "open_minutes": hours.multirange(center.hours["days"])})
        sites += [
            {"center_id": str(center.id), "source": center.source, **collection} for collection in center.collections
        ]
    touched = {row.id: row.new for row in tx.execute(_SYNC_CENTERS, {"rows": rows, "now": now})}
    grown = set(tx.execute(_SYNC_SITES, {"rows": sites}).scalars())
    new = {center_id for center_id, is_new in touched.items() if is_new}
    return Changes(len(new), len((set(touched) | grown) - new))


def delete_others(tx: sa.Connection, source: str, ids: list[UUID]) -> None:
    """Delete the centres of a data set that are not among these."""
    tx.execute(_DELETE_CENTERS, {"source": source, "ids": ids})


def sync_policies(tx: sa.Connection, policies: list[Policy]) -> None:
    tx.execute(_SYNC_POLICIES, {"rows": policies})


def find_policy(connection: sa.Connection, region_code: str) -> Policy | None:
    return connection.execute(_FIND_POLICY, {"region_code": region_code}).scalar_one_or_none()
