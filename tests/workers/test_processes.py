"""The storage worker as it runs in production: its own process, killed in the middle of its work."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import uuid

import pytest
from eco2.pipeline.v1.messages_pb2 import STAGE_RULE_RETRIEVAL, AnalysisJob, Stage
from eco2.recycle_info.v1 import internal_pb2
from eco2.tasks.v1 import tasks_pb2
from PIL import Image

from services.kit.broker import Publisher, Topology
from workers.objects import Objects

WAIT_S = 30
COUNT = 60


@pytest.fixture
def topology() -> Topology:
    """As the process itself declares it."""
    return Topology.of(Stage.DESCRIPTOR)


@pytest.fixture
def environment(servers, rabbitmq_url, waste, tasks, rules, tmp_path) -> dict[str, str]:
    access = servers.s3
    return {
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "LISTEN": "127.0.0.1:0",
        "JOURNAL_DIR": str(tmp_path / "journal"),
        "RABBITMQ_URL": rabbitmq_url,
        "REDIS_URL": servers.redis_url,
        "WASTE_TARGET": waste.target,
        "TASKS_TARGET": tasks.target,
        "RECYCLE_INFO_TARGET": rules.target,
        "S3_ENDPOINT_URL": access.endpoint_url,
        "S3_BUCKET": access.bucket,
        "S3_REGION": access.region,
        "S3_ACCESS_KEY_ID": access.access_key_id,
        "S3_SECRET_ACCESS_KEY": access.secret_access_key,
    }


@pytest.fixture
def start(environment, tmp_path):
    """Starts workers; kills at the end what a test left running."""
    processes = []

    def run() -> subprocess.Popen:
        with (tmp_path / "log").open("ab") as log:
            processes.append(
                subprocess.Popen([sys.executable, "-m", "workers.storage"], env=environment, stdout=log, stderr=log)
            )
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)


def upload(servers, count: int) -> str:
    out = io.BytesIO()
    Image.effect_noise((1600, 1200), 50).convert("RGB").save(out, "JPEG")
    objects = Objects(**vars(servers.s3))
    key = f"uploads/{uuid.uuid4()}"
    objects.put(key, out.getvalue(), "image/jpeg")
    objects.close()
    return key


def test_kill_nine_in_the_middle_loses_nothing_and_doubles_nothing(
    start, send, servers, waste, tasks, topology, listen, tmp_path
):
    key = upload(servers, COUNT)
    after = listen(topology.queues[1])
    worker = start()
    jobs = [send(image_key=key) for _ in range(COUNT)]
    for reached in (5, 20, 40):
        waste.wait_for(lambda reached=reached: len(waste.outcomes) >= reached)
        worker.kill()
        worker.wait(WAIT_S)
        worker = start()
    waste.wait_for(lambda: all(waste.kinds(job.analysis_id) for job in jobs))
    tasks.wait_for(lambda: len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == COUNT)
    assert set(tasks.told) == {f"{job.analysis_id}:user_input" for job in jobs}
    # Told more than once perhaps, but always the same.
    assert all(len({each.SerializeToString() for each in told}) == 1 for told in waste.outcomes.values())
    handed_on = set()
    while len(handed_on) < COUNT:
        handed_on.add(AnalysisJob.FromString(after.get(timeout=WAIT_S).body).analysis_id)
    assert handed_on == {job.analysis_id for job in jobs}


def test_sigterm_drains_and_exits_cleanly(start, send, servers, waste, rules, tasks):
    rules.answer = internal_pb2.ResolveRuleResponse()
    rules.answer.rule.rule_id = "r1"
    worker = start()
    jobs = [send(STAGE_RULE_RETRIEVAL) for _ in range(10)]
    waste.wait_for(lambda: all(waste.kinds(job.analysis_id) == ["rule"] for job in jobs))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(WAIT_S) == 0
    assert len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == 10


def test_a_second_worker_on_the_same_journal_is_refused(start, send, servers, waste, tmp_path):
    start()
    job = send(image_key=upload(servers, 1))
    waste.wait_for(lambda: waste.kinds(job.analysis_id))
    second = start()
    assert second.wait(WAIT_S) == 1
    assert "belongs to a running process" in (tmp_path / "log").read_text()


def test_a_publisher_of_another_process_declares_the_same_topology(start, rabbitmq_url, topology, send, servers, waste):
    """Whoever comes first declares; the other finds it as it would have made it."""
    start()
    other = Publisher(rabbitmq_url, topology)
    assert other.ready.wait(WAIT_S)
    other.close()
