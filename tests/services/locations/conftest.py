"""The locations service on real PostgreSQL, with a clock that the test sets."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from eco2.locations.v1 import internal_pb2_grpc, locations_pb2_grpc

from services.kit.database import Database
from services.locations.rpc import Locations, LocationsInternal

MOST = 10


@dataclasses.dataclass
class House:
    public: locations_pb2_grpc.LocationsServiceStub
    internal: internal_pb2_grpc.LocationsInternalServiceStub
    database: Database
    # A Wednesday, 11:00 in Seoul.
    now: datetime = datetime(2026, 11, 18, 2, 0, tzinfo=UTC)


@pytest.fixture
def house(database, serve) -> House:
    db = database("locations")
    made = House(None, None, db)
    channel = serve(
        (locations_pb2_grpc.add_LocationsServiceServicer_to_server, Locations(db, MOST, lambda: made.now)),
        (internal_pb2_grpc.add_LocationsInternalServiceServicer_to_server, LocationsInternal(db, lambda: made.now)),
    )
    made.public = locations_pb2_grpc.LocationsServiceStub(channel)
    made.internal = internal_pb2_grpc.LocationsInternalServiceStub(channel)
    return made
