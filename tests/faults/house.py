"""The services on real PostgreSQL that the workers under test talk to, with work committed to the outbox."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import psycopg
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.tasks.v1 import internal_pb2_grpc as tasks_grpc
from eco2.waste.v1 import internal_pb2_grpc as waste_grpc

from services.kit import cache
from services.kit.broker import Publisher, Relay, Topology
from services.kit.database import Database
from services.kit.server import Server
from services.tasks.rpc import TasksInternal
from services.waste.outbox import OUTBOX
from services.waste.outcomes import WasteInternal
from workers import progress

# Counts, inside PostgreSQL, how often an analysis got its answer.
_AUDIT = """
    CREATE TABLE waste.answered (id uuid NOT NULL, state text NOT NULL);
    GRANT INSERT ON waste.answered TO api_waste_role;
    CREATE FUNCTION waste.audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO waste.answered VALUES (NEW.id, NEW.state); RETURN NEW; END $$;
    CREATE TRIGGER audit AFTER UPDATE OF state ON waste.analyses FOR EACH ROW
      WHEN (NEW.completed_at IS NOT NULL) EXECUTE FUNCTION waste.audit();
"""

# Refuses, inside PostgreSQL, what must never happen: so that no moment between two looks is missed.
NEVER_BACK = """
    CREATE FUNCTION tasks.never_back() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE states text[] := ARRAY['pending', 'running', 'failure', 'success'];
    BEGIN
      IF (NEW.status = 'success', NEW.attempt, array_position(states, NEW.status::text))
         < (OLD.status = 'success', OLD.attempt, array_position(states, OLD.status::text)) THEN
        RAISE EXCEPTION '% goes back from % % to % %', OLD.task_id, OLD.attempt, OLD.status, NEW.attempt, NEW.status;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER never_back BEFORE UPDATE ON tasks.task_results FOR EACH ROW EXECUTE FUNCTION tasks.never_back();
"""


class House:
    """`waste` with its relay, and `tasks`, each a gRPC server of this process.

    owner_url: the superuser's. waste_url, tasks_url: the login roles', perhaps through a proxy. now: waste's clock.
    """

    def __init__(
        self,
        owner_url: str,
        waste_url: str,
        tasks_url: str,
        redis_url: str,
        rabbitmq_url: str,
        topology: Topology,
        now=lambda: datetime.now(UTC),
    ):
        self.owner = psycopg.connect(owner_url, autocommit=True)
        self.owner.execute(_AUDIT)
        self._databases = Database(waste_url), Database(tasks_url)
        self._redis = cache.connect(redis_url, progress.DB)
        board = cache.Board(self._redis, progress.CHANNEL, progress.TTL_S)
        self.waste = waste = WasteInternal(self._databases[0], board, erase=None, now=now)
        add_waste, add_tasks = (
            waste_grpc.add_WasteInternalServiceServicer_to_server,
            tasks_grpc.add_TasksInternalServiceServicer_to_server,
        )
        self._servers = [
            Server("127.0.0.1:0", [(add_waste, waste)]).start(),
            Server("127.0.0.1:0", [(add_tasks, TasksInternal(self._databases[1], publisher=None))]).start(),
        ]
        self.waste_port, self.tasks_port = (server.port for server in self._servers)
        self._publisher = Publisher(rabbitmq_url, topology, name="relay")
        self.relay = Relay(self._databases[0], self._publisher, OUTBOX)
        self.relay.start()

    def accept(self, count: int, queue: str, **fields) -> list[str]:
        """Take analyses in as CreateAnalysis does, in one transaction; their ids."""
        now, jobs = datetime.now(UTC), []
        for _ in range(count):
            ids = {name: str(uuid.uuid4()) for name in ("analysis_id", "user_id", "image_id")}
            jobs.append(
                AnalysisJob(**({"image_key": f"uploads/{ids['image_id']}", "language_code": "ko"} | ids | fields))
            )
        with self.owner.transaction(), self.owner.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO waste.images (id, user_id, s3_key, content_type, size_bytes, sha256, created_at)"
                " VALUES (%s, %s, %s, 'image/jpeg', 1, sha256('x'), %s)",
                [(job.image_id, job.user_id, f"uploads/{job.image_id}", now) for job in jobs],
            )
            cursor.executemany(
                "INSERT INTO waste.analyses (id, user_id, image_id, question, language, created_at)"
                " VALUES (%s, %s, %s, '', 'ko', %s)",
                [(job.analysis_id, job.user_id, job.image_id, now) for job in jobs],
            )
            cursor.executemany(
                "INSERT INTO waste.outbox (queue, body, request_id, created_at) VALUES (%s, %s, 'r', %s)",
                [(queue, job.SerializeToString(), now) for job in jobs],
            )
        self.relay.wake()
        return [job.analysis_id for job in jobs]

    def one(self, sql: str):
        return self.owner.execute(sql).fetchone()[0]

    def answered(self) -> int:
        return self.one("SELECT count(*) FROM waste.analyses WHERE completed_at IS NOT NULL")

    def recorded(self) -> int:
        """Tasks that have ended well, as `tasks` knows."""
        return self.one("SELECT count(*) FROM tasks.task_results WHERE status = 'success'")

    def close(self) -> None:
        self.relay.close()
        self._publisher.close()
        for server in self._servers:
            server.stop(grace_s=0)
        for database in self._databases:
            database.close()
        self._redis.close()
        self.owner.close()
