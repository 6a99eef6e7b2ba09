"""A broker of its own for each test, and peers that speak real gRPC and remember what they were told."""

from __future__ import annotations

import collections
import dataclasses
import queue
import threading
import uuid
from pathlib import Path

import grpc
import pytest
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber
from eco2.recycle_info.v1 import internal_pb2_grpc as recycle_info_grpc
from eco2.tasks.v1 import internal_pb2 as tasks_internal
from eco2.tasks.v1 import internal_pb2_grpc as tasks_grpc
from eco2.tasks.v1 import tasks_pb2
from eco2.waste.v1 import internal_pb2 as waste_internal
from eco2.waste.v1 import internal_pb2_grpc as waste_grpc

from services.kit import cache
from services.kit.broker import Consumer, Message, Publisher, Topology
from services.kit.channel import connect
from services.kit.server import Server
from workers import progress
from workers.ai import backbone
from workers.journal import Journal
from workers.progress import Announcer
from workers.runtime import Worker
from workers.stages import Stage

WAIT_S = 60
LOOPBACK = "127.0.0.1"


@pytest.fixture
def topology() -> Topology:
    """The pipeline's, with short delays."""
    return dataclasses.replace(Topology.of(StageNumber.DESCRIPTOR), delays_s=(0.1, 0.2))


class Peer:
    """A gRPC server that can be stopped and started again on its port."""

    def __init__(self, add):
        self._add, self._port, self._server = add, 0, None
        self.changed = threading.Condition()
        self.start()

    def start(self) -> None:
        self._server = Server(f"{LOOPBACK}:{self._port}", [(self._add, self)])
        self._port = self._server.port
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace_s=0.1)

    @property
    def target(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    def wait_for(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 2 * WAIT_S), "the peer was not told in time"


class RecordingWaste(Peer, waste_grpc.WasteInternalServiceServicer):
    """faults: what to raise, by analysis_id, for anything but its failure."""

    def __init__(self):
        self.outcomes, self.faults = collections.defaultdict(list), {}
        super().__init__(waste_grpc.add_WasteInternalServiceServicer_to_server)

    def RecordOutcomes(self, request, context):
        for outcome in request.outcomes:
            if outcome.analysis_id in self.faults and outcome.WhichOneof("outcome") != "failure":
                raise self.faults[outcome.analysis_id]
        with self.changed:
            for outcome in request.outcomes:
                self.outcomes[outcome.analysis_id].append(outcome)
            self.changed.notify_all()
        return waste_internal.RecordOutcomesResponse()

    def kinds(self, analysis_id: str) -> list[str]:
        return [outcome.WhichOneof("outcome") for outcome in self.outcomes[analysis_id]]


class RecordingTasks(Peer, tasks_grpc.TasksInternalServiceServicer):
    """Keeps every version it was told, and the furthest of each task."""

    def __init__(self):
        self.told = collections.defaultdict(list)
        super().__init__(tasks_grpc.add_TasksInternalServiceServicer_to_server)

    def SyncTasks(self, request, context):
        with self.changed:
            for task in request.tasks:
                self.told[task.task_id].append(task)
            self.changed.notify_all()
        return tasks_internal.SyncTasksResponse()

    def last(self, task_id: str):
        return max(self.told[task_id], key=lambda task: (task.attempt, task.state), default=tasks_pb2.Task())

    def in_state(self, state: int) -> list[str]:
        return [task_id for task_id in self.told if self.last(task_id).state == state]


class Rules(Peer, recycle_info_grpc.RecycleInfoInternalServiceServicer):
    """Answers with what the test put into `answer`: a response, or a Fault to raise."""

    def __init__(self):
        self.answer, self.asked = None, []
        super().__init__(recycle_info_grpc.add_RecycleInfoInternalServiceServicer_to_server)

    def ResolveRule(self, request, context):
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(scope="session")
def backbone_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("backbone") / "vision.onnx"
    assert backbone.build(path)
    return path


@pytest.fixture
def waste():
    peer = RecordingWaste()
    yield peer
    peer.stop()


@pytest.fixture
def tasks():
    peer = RecordingTasks()
    yield peer
    peer.stop()


@pytest.fixture
def rules():
    peer = Rules()
    yield peer
    peer.stop()


@pytest.fixture
def board(servers) -> cache.Board:
    client = cache.connect(servers.redis_url, progress.DB)
    yield cache.Board(client, progress.CHANNEL, progress.TTL_S)
    client.close()


@pytest.fixture
def publisher(rabbitmq_url, topology):
    opened = Publisher(rabbitmq_url, topology)
    yield opened
    opened.close()


@pytest.fixture
def send(publisher, topology):
    """Puts a job into a stage's queue; the job."""

    def put(stage: int = StageNumber.STAGE_USER_INPUT, headers=None, **fields) -> AnalysisJob:
        job = new_job(**fields)
        [sent] = publisher.publish(
            [Message(topology.queues[stage - 1], job.SerializeToString(), {"x-request-id": "r1"} | (headers or {}))]
        )
        sent.result(WAIT_S)
        return job

    return put


def new_job(**fields) -> AnalysisJob:
    ids = {name: str(uuid.uuid4()) for name in ("analysis_id", "user_id", "image_id")}
    return AnalysisJob(**({"image_key": "uploads/x", "language_code": "ko"} | ids | fields))


@pytest.fixture
def listen(rabbitmq_url, topology):
    """Collects and acknowledges what arrives in the queues named."""
    consumers = []

    def start(*queues: str):
        arrived = queue.SimpleQueue()

        def take(deliveries):
            for delivery in deliveries:
                arrived.put(delivery)
            consumer.ack(deliveries)

        consumer = Consumer(rabbitmq_url, topology, dict.fromkeys(queues, 100), take)
        consumers.append(consumer.start())
        return arrived

    yield start
    for consumer in consumers:
        consumer.close()


@pytest.fixture
def channel():
    """Opens kit channels that are closed at the end."""
    opened: list[grpc.Channel] = []

    def open_(target: str) -> grpc.Channel:
        opened.append(connect(target, timeout_s=2))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def start(tmp_path, rabbitmq_url, topology, waste, tasks, board, channel):
    """Starts a worker on its handlers by stage number; its journal is the test's folder."""
    running = []

    def make(handlers, *, timeout_s=10.0, concurrency=2, known=topology, cancelled=frozenset(), **options) -> Worker:
        stages = [Stage(number, run, concurrency, 50, timeout_s) for number, run in handlers.items()]
        worker = Worker(
            stages,
            Journal(tmp_path),
            rabbitmq_url,
            known,
            waste_grpc.WasteInternalServiceStub(channel(waste.target)),
            tasks_grpc.TasksInternalServiceStub(channel(tasks.target)),
            Announcer(board, cancelled),
            "storage",
            **options,
        )
        running.append(worker)
        return worker.start()

    yield make
    for worker in running:
        worker.close()
