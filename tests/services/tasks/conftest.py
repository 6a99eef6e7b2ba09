"""The tasks service with its broker, and its drain at work."""

from __future__ import annotations

import uuid

import psycopg
import pytest
import uuid_utils.compat as uuids
from eco2.pipeline.v1.messages_pb2 import AnalysisJob, Stage
from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc
from eco2.tasks.v1 import tasks_pb2 as pb
from eco2.tasks.v1 import tasks_pb2_grpc as pb_grpc

from services.kit.broker import Message, Publisher, Topology
from services.kit.channel import connect
from services.kit.server import Server
from services.tasks import replay, rpc
from services.tasks.drain import Drain
from tests.conftest import as_user, eventually

WAIT_S = 60
TOPOLOGY = Topology.of(Stage.DESCRIPTOR)
FIRST, SECOND = TOPOLOGY.queues[:2]


class Service:
    """The service, its broker, and what is stored."""

    def __init__(self, target, channel, publisher, owner):
        self.target, self.publisher, self.owner = target, publisher, owner
        self.public = pb_grpc.TasksServiceStub(channel)
        self.internal = internal_pb2_grpc.TasksInternalServiceStub(channel)

    def bury(self, user_id, queue: str = FIRST, reason: str = "GAVE_UP", attempt: int = 5, **headers) -> str:
        """A dead letter as a worker sends it; its task_id."""
        ids = {name: str(uuid.uuid4()) for name in ("analysis_id", "image_id")}
        job = AnalysisJob(user_id=str(user_id), image_key="k", language_code="ko", **ids)
        told = {"x-attempt": attempt, "x-reason": reason, "x-error": "broken", "x-stack": "in f", "x-request-id": "r1"}
        self.send(Message(queue, job.SerializeToString(), told | headers, TOPOLOGY.dead))
        return f"{job.analysis_id}:{queue.removesuffix('_queue')}"

    def send(self, *messages: Message) -> None:
        for sent in self.publisher.publish(messages):
            sent.result(WAIT_S)

    def count(self) -> int:
        return self.owner.execute("SELECT count(*) FROM tasks.dead_letters").fetchone()[0]

    def arrived(self, number: int) -> None:
        eventually(lambda: self.count() == number)

    def list(self, user_id, **fields) -> list[pb.DeadLetter]:
        request = pb.ListDeadLettersRequest(**fields)
        return list(self.public.ListDeadLetters(request, metadata=as_user(user_id)).dead_letters)

    def replay(self, user_id, **fields) -> pb.ReplayDeadLettersResponse:
        return self.public.ReplayDeadLetters(pb.ReplayDeadLettersRequest(**fields), metadata=as_user(user_id))

    def replay_any(self, **fields) -> internal_pb2.ReplayAnyDeadLettersResponse:
        request = internal_pb2.ReplayAnyDeadLettersRequest(operator="mina", replay=fields)
        return self.internal.ReplayAnyDeadLetters(request)


class Central:
    """The public and the internal stub, and what is stored."""

    def __init__(self, channel, owner):
        self.public = pb_grpc.TasksServiceStub(channel)
        self.internal = internal_pb2_grpc.TasksInternalServiceStub(channel)
        self.owner = owner

    def sync(self, *tasks: pb.Task) -> int:
        return self.internal.SyncTasks(internal_pb2.SyncTasksRequest(tasks=tasks)).changed

    def get(self, user_id, task_id: str) -> pb.Task:
        return self.public.GetTask(pb.GetTaskRequest(task_id=task_id), metadata=as_user(user_id)).task

    def events(self, user_id, task_id: str) -> list[tuple[int, int]]:
        request = pb.ListTaskEventsRequest(task_id=task_id)
        answer = self.public.ListTaskEvents(request, metadata=as_user(user_id))
        return [(event.attempt, event.type) for event in answer.events]

    def listed(self, user_id, **fields) -> list[str]:
        """The ids on all pages."""
        found, token = [], ""
        while True:
            request = pb.ListTasksRequest(page_token=token, **fields)
            answer = self.public.ListTasks(request, metadata=as_user(user_id))
            found += [task.task_id for task in answer.tasks]
            token = answer.next_page_token
            if not token:
                return found

    def rows(self) -> list[tuple]:
        return self.owner.execute("""
            SELECT task_id, status, attempt, worker_name, user_id, result, error, created_at, started_at, completed_at,
                next_attempt_at
            FROM tasks.task_results ORDER BY task_id
        """).fetchall()

    def history(self) -> list[tuple]:
        return self.owner.execute("""
            SELECT task_id, attempt, event_type, timestamp, event_data FROM tasks.task_history ORDER BY 1, 2, 3
        """).fetchall()

    def forget(self) -> None:
        self.owner.execute("TRUNCATE tasks.task_results, tasks.task_history")


@pytest.fixture
def tasks(postgres, database_name, database, serve):
    """The service without a broker."""
    db = database("tasks")
    channel = serve(
        (pb_grpc.add_TasksServiceServicer_to_server, rpc.Tasks(db, publisher=None)),
        (internal_pb2_grpc.add_TasksInternalServiceServicer_to_server, rpc.TasksInternal(db, publisher=None)),
    )
    with psycopg.connect(postgres.url(database_name), autocommit=True) as owner:
        yield Central(channel, owner)


@pytest.fixture
def user_id():
    return uuids.uuid7()


@pytest.fixture
def publisher(rabbitmq_url):
    opened = Publisher(rabbitmq_url, TOPOLOGY, timeout_s=replay.CONFIRM_S - 1)
    yield opened
    opened.close()


@pytest.fixture
def service(postgres, database_name, database, rabbitmq_url, publisher):
    db = database("tasks")
    services = [
        (pb_grpc.add_TasksServiceServicer_to_server, rpc.Tasks(db, publisher)),
        (internal_pb2_grpc.add_TasksInternalServiceServicer_to_server, rpc.TasksInternal(db, publisher)),
    ]
    server = Server("127.0.0.1:0", services).start()
    target = f"127.0.0.1:{server.port}"
    drain = Drain(db, rabbitmq_url, TOPOLOGY)
    drain.start()
    with connect(target, timeout_s=20) as channel, psycopg.connect(postgres.url(database_name), autocommit=True) as own:
        yield Service(target, channel, publisher, own)
    server.stop(grace_s=0)
    drain.close()
