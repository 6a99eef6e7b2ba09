"""A worker is killed and its disk is gone, with answers that it had not told: real processes, real parts."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from concurrent import futures
from datetime import UTC, datetime

import pytest
from eco2.pipeline.v1.messages_pb2 import STAGE_RULE_RETRIEVAL

from services.kit.objects import Bucket
from services.waste.orphans import Orphans
from tests.conftest import eventually
from tests.faults.noop_worker import TOPOLOGY

COUNT, WAIT_S, REPLICAS = 20, 120, 3
QUEUE = TOPOLOGY.queues[STAGE_RULE_RETRIEVAL - 1]
# Nobody listens there.
AWAY = "127.0.0.1:1"


@pytest.fixture
def start(house, rabbitmq_url, tmp_path):
    processes = []

    def run(name: str, waste_target: str) -> subprocess.Popen:
        arguments = rabbitmq_url, waste_target, f"127.0.0.1:{house.tasks_port}", str(tmp_path / name)
        environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.faults.noop_worker", *arguments]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait(WAIT_S)


def test_what_a_lost_disk_knew_is_done_again_and_answered_once(house, start, servers, database, tmp_path):
    bucket = Bucket(**vars(servers.s3))
    worker = start("lost", AWAY)
    accepted = house.accept(COUNT, QUEUE)
    for key in house.owner.execute("SELECT s3_key FROM waste.images").fetchall():
        bucket.put(key[0], b"a photo", "image/jpeg")
    # All the work is done and acknowledged, and `waste` has not been told.
    eventually(lambda: house.recorded() == 2 * COUNT, WAIT_S)
    assert house.answered() == 0
    worker.send_signal(signal.SIGKILL)
    worker.wait(WAIT_S)
    shutil.rmtree(tmp_path / "lost")

    start("new", f"127.0.0.1:{house.waste_port}")
    house.owner.execute("UPDATE waste.analyses SET heard_at = heard_at - interval '1 hour' WHERE completed_at IS NULL")
    replicas = [
        Orphans(
            database("waste"), bucket, QUEUE, 1800, house.relay.wake, house.waste.announce, lambda: datetime.now(UTC)
        )
        for _ in range(REPLICAS)
    ]
    with futures.ThreadPoolExecutor(REPLICAS) as threads:
        for each in [threads.submit(replica.sweep) for replica in replicas]:
            each.result(WAIT_S)
    eventually(lambda: house.answered() == COUNT, WAIT_S)
    eventually(lambda: house.one("SELECT count(*) FROM waste.outbox") == 0)
    for replica in replicas:
        replica.sweep()
    assert house.one("SELECT count(*) FROM waste.outbox") == 0
    assert house.one("SELECT count(*) FROM waste.analyses WHERE begun_anew") > 0
    assert house.one("SELECT count(DISTINCT id) FROM waste.answered WHERE state = 'SUCCEEDED'") == len(accepted)
    assert house.one("SELECT count(*) FROM waste.answered") == COUNT
    assert house.recorded() == house.one("SELECT count(*) FROM tasks.task_results") == 2 * COUNT
    bucket.close()
