"""The recycle_info process. Usage: python -m services.recycle_info, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass

from eco2.recycle_info.v1 import internal_pb2_grpc, recycle_info_pb2_grpc

from services.kit import cache, config, revocations, server, telemetry
from services.kit.database import Database
from services.recycle_info import corpus, store
from services.recycle_info.catalogue import Catalogue, documents, item_id, rule_id
from services.recycle_info.embedder import Embedder
from services.recycle_info.meanings import Meanings
from services.recycle_info.rpc import RecycleInfo, RecycleInfoInternal


@dataclass(frozen=True)
class Config:
    listen: str
    api_recycle_db_url: str = config.secret()
    redis_url: str = config.secret()


def main() -> None:
    telemetry.setup("recycle_info")
    settings = config.load(Config)
    database = Database(settings.api_recycle_db_url)
    with database.writing() as tx:
        store.sync_items(tx, [(item_id(key), rule_id(key), item) for key, item in corpus.load().items()])
    with database.reading() as connection:
        items = {item["key"]: item for _, _, item in store.list_all(connection)}
    catalogue = Catalogue(items, Meanings.load(documents(items), Embedder()))
    services = [
        (recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server, RecycleInfo(database, catalogue)),
        (internal_pb2_grpc.add_RecycleInfoInternalServiceServicer_to_server, RecycleInfoInternal(catalogue)),
    ]
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    server.run(server.Server(settings.listen, services, revocations=ended), ended.close, database.close)


if __name__ == "__main__":
    main()
