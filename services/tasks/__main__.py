"""The tasks service. Usage: python -m services.tasks"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from eco2.pipeline.v1 import messages_pb2
from eco2.tasks.v1 import internal_pb2_grpc, tasks_pb2_grpc

from services.kit import cache, config, revocations, server, telemetry
from services.kit.broker import Publisher, Topology
from services.kit.chores import Chore
from services.kit.database import Database
from services.tasks import rpc
from services.tasks.drain import Drain
from services.tasks.replay import CONFIRM_S
from services.tasks.retention import DEAD_LETTER_DAYS, PERIOD_S, TASK_DAYS, Days, Retention


@dataclasses.dataclass(frozen=True)
class Config:
    listen: str
    worker_db_url: str = config.secret()
    rabbitmq_url: str = config.secret()
    redis_url: str = config.secret()
    # How long tasks and dead letters are kept (retention.py).
    task_days: Days = TASK_DAYS
    dead_letter_days: Days = DEAD_LETTER_DAYS


def main() -> None:
    telemetry.setup("tasks")
    settings = config.load(Config)
    db = Database(settings.worker_db_url, pool_size=6)
    topology = Topology.of(messages_pb2.Stage.DESCRIPTOR)
    publisher = Publisher(settings.rabbitmq_url, topology, name="tasks-replay", timeout_s=CONFIRM_S - 1)
    ended = revocations.Revocations(cache.connect(settings.redis_url, revocations.DB))
    retention = Retention(db, settings.task_days, settings.dead_letter_days, lambda: datetime.now(UTC))
    forgetting = Chore("retention", retention.sweep, PERIOD_S)
    drain = Drain(db, settings.rabbitmq_url, topology)
    services = [
        (tasks_pb2_grpc.add_TasksServiceServicer_to_server, rpc.Tasks(db, publisher)),
        (internal_pb2_grpc.add_TasksInternalServiceServicer_to_server, rpc.TasksInternal(db, publisher)),
    ]
    # Each holds a connection of the database's pool while the broker confirms.
    replays = server.Pool(
        frozenset(
            {
                "/eco2.tasks.v1.TasksService/ReplayDeadLetters",
                "/eco2.tasks.v1.TasksInternalService/ReplayAnyDeadLetters",
            }
        ),
        limit=2,
        reason="TOO_MANY_REPLAYS",
    )
    # It ends when the database is clean, however many tasks that takes.
    erasures = server.Pool(
        frozenset({"/eco2.tasks.v1.TasksInternalService/EraseUser"}), limit=2, reason="TOO_MANY_ERASURES"
    )
    drain.start()
    forgetting.start()
    server.run(
        server.Server(settings.listen, services, pools=[replays, erasures], revocations=ended),
        drain.close,
        forgetting.close,
        publisher.close,
        ended.close,
        db.close,
    )


if __name__ == "__main__":
    main()
