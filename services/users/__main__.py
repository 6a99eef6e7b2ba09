"""The users process. Usage: python -m services.users, configured by the environment (see Config)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eco2.auth.v1 import events_pb2
from eco2.auth.v1.internal_pb2_grpc import AuthInternalServiceStub
from eco2.users.v1 import erasure_pb2_grpc, users_pb2_grpc

from services.kit import cache, config, revocations, server, telemetry
from services.kit.broker import Inbox, Topology
from services.kit.channel import connect
from services.kit.chores import Chore
from services.kit.database import Database
from services.kit.objects import Access
from services.kit.quotas import Most
from services.users.erasure import Eraser, Targets, sibling
from services.users.people import TIDY_S, People
from services.users.rpc import Erasures, Users


@dataclass(frozen=True)
class Config(Access):
    listen: str
    auth_target: str
    # Every sibling that keeps something of a user, in the order in which they erase; auth first, since it ends the
    # log-ins.
    erasure_targets: Targets
    api_users_db_url: str = config.secret()
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()
    # Longer than any call at the edge may take.
    erasure_settle_s: float = 12.0
    # Pictures that a user has announced and not made the avatar; each is forgotten after a day.
    most_avatars: Most = Most(20)


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    telemetry.setup("users")
    settings = config.load(Config)
    database = Database(settings.api_users_db_url, pool_size=8)
    bucket = settings.bucket()
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    auth = AuthInternalServiceStub(connect(settings.auth_target, timeout_s=3))
    people = People(database, bucket, auth, settings.most_avatars, now)
    domains = {domain: sibling(domain, target) for domain, target in settings.erasure_targets.items()}
    domains["users"] = lambda user_id, timeout_s: people.erase(user_id)
    eraser = Eraser(database, domains, settings.erasure_settle_s, now)
    events = Topology.of(events_pb2.Event.DESCRIPTOR)
    arrivals = Inbox(settings.rabbitmq_url, events, events.queues, people.keep, name="users-arrivals")
    chores = [Chore("erasures", eraser.advance, 1.0), Chore("avatars", people.tidy, TIDY_S)]
    services = [
        (users_pb2_grpc.add_UsersServiceServicer_to_server, Users(database, bucket, people, eraser, now)),
        (erasure_pb2_grpc.add_ErasureServiceServicer_to_server, Erasures(database)),
    ]
    pools = [
        # Each holds two connections of the database's pool while siblings erase.
        server.Pool(frozenset({"/eco2.users.v1.UsersService/DeleteAccount"}), limit=2, reason="TOO_MANY_ERASURES"),
        # Each decodes a picture.
        server.Pool(frozenset({"/eco2.users.v1.UsersService/ConfirmAvatar"}), limit=2, reason="TOO_MANY_AVATARS"),
    ]
    for each in (arrivals, *chores):
        each.start()
    server.run(
        server.Server(settings.listen, services, pools=pools, revocations=ended),
        *(each.close for each in (arrivals, *chores)),
        ended.close,
        bucket.close,
        database.close,
    )


if __name__ == "__main__":
    main()
