"""The recycle_info process. Usage: python -m services.recycle_info, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eco2.recycle_info.v1 import internal_pb2_grpc, recycle_info_pb2_grpc

from services.kit import cache, config, revocations, server, telemetry
from services.kit.chores import Chore
from services.kit.database import Database
from services.kit.quotas import Most
from services.recycle_info import queries
from services.recycle_info.embedder import Embedder
from services.recycle_info.rpc import RecycleInfo, RecycleInfoInternal
from services.recycle_info.rules import FOLLOW_S, Rules


@dataclass(frozen=True)
class Config:
    listen: str
    api_recycle_db_url: str = config.secret()
    redis_url: str = config.secret()
    # How long what people asked is kept.
    query_days: int = 365
    # Of one user; then the oldest go.
    most_queries: Most = Most(10_000)


def main() -> None:
    telemetry.setup("recycle_info")
    settings = config.load(Config)
    if settings.query_days < 1:
        raise SystemExit("configuration: QUERY_DAYS must be at least 1")
    database = Database(settings.api_recycle_db_url)
    rules = Rules(database, Embedder())
    following = Chore("imports", rules.refresh, FOLLOW_S).start()
    limits = (settings.query_days, settings.most_queries)
    asked = queries.Queries(database, lambda: datetime.now(UTC), *limits, wake=lambda: writing.wake())
    writing = Chore("queries", asked.write, queries.WRITE_PERIOD_S).start()
    forgetting = Chore("retention", asked.forget, queries.FORGET_PERIOD_S).start()
    services = [
        (recycle_info_pb2_grpc.add_RecycleInfoServiceServicer_to_server, RecycleInfo(database, rules, asked)),
        (internal_pb2_grpc.add_RecycleInfoInternalServiceServicer_to_server, RecycleInfoInternal(rules, database)),
    ]
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    closing = (following.close, writing.close, asked.close, forgetting.close, ended.close, database.close)
    server.run(server.Server(settings.listen, services, revocations=ended), *closing)


if __name__ == "__main__":
    main()
