"""The locations process. Usage: python -m services.locations, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eco2.locations.v1 import internal_pb2_grpc, locations_pb2_grpc

from services.kit import cache, config, revocations, server, telemetry
from services.kit.database import Database
from services.kit.quotas import Most
from services.locations import embedded, regions, store
from services.locations.rpc import Locations, LocationsInternal


@dataclass(frozen=True)
class Config:
    listen: str
    api_locations_db_url: str = config.secret()
    redis_url: str = config.secret()
    # Of one user.
    most_places: Most = Most(100)


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    telemetry.setup("locations")
    settings = config.load(Config)
    regions.load()
    database = Database(settings.api_locations_db_url)
    centers = embedded.load_centers()
    with database.writing() as tx:
        store.sync_centers(tx, centers, now())
        store.delete_others(tx, embedded.SOURCE, [center.id for center in centers])
        store.sync_policies(tx, embedded.load_policies())
    places = Locations(database, settings.most_places, now)
    services = [
        (locations_pb2_grpc.add_LocationsServiceServicer_to_server, places),
        (internal_pb2_grpc.add_LocationsInternalServiceServicer_to_server, LocationsInternal(database, now)),
    ]
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    server.run(server.Server(settings.listen, services, revocations=ended), ended.close, database.close)


if __name__ == "__main__":
    main()
