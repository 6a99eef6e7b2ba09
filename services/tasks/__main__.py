"""The tasks service. Usage: python -m services.tasks"""

from __future__ import annotations

import dataclasses

from eco2.tasks.v1 import internal_pb2_grpc, tasks_pb2_grpc

from services.kit import config, server, telemetry
from services.kit.database import Database
from services.tasks import rpc


@dataclasses.dataclass(frozen=True)
class Config:
    listen: str
    worker_db_url: str = config.secret()


def main() -> None:
    telemetry.setup("tasks")
    settings = config.load(Config)
    db = Database(settings.worker_db_url)
    services = [
        (tasks_pb2_grpc.add_TasksServiceServicer_to_server, rpc.Tasks(db)),
        (internal_pb2_grpc.add_TasksInternalServiceServicer_to_server, rpc.TasksInternal(db)),
    ]
    server.run(server.Server(settings.listen, services), db.close)


if __name__ == "__main__":
    main()
