"""The workers as they run in production: processes of their own, killed in the middle of their work."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from importlib.resources import files

import grpc
import pytest
from eco2.pipeline.v1.messages_pb2 import (
    STAGE_RULE_RETRIEVAL,
    STAGE_VISION_ANALYSIS,
    AnalysisJob,
    CleanImage,
    Stage,
)
from eco2.recycle_info.v1 import internal_pb2
from eco2.tasks.v1 import tasks_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from services.kit.broker import Publisher, Topology
from services.kit.objects import Bucket
from tests.conftest import eventually
from tests.openai_api import schema_of, status
from tests.workers.ai.conftest import Rules, verbatim

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
WAIT_S = 60
COUNT = 60


@pytest.fixture
def topology() -> Topology:
    """As the process itself declares it."""
    return Topology.of(Stage.DESCRIPTOR)


@pytest.fixture
def environment(servers, rabbitmq_url, waste, tasks, rules) -> dict[str, str]:
    access = servers.s3
    return {
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "LISTEN": "127.0.0.1:0",
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

    def run(name: str = "storage", journal: str = "") -> subprocess.Popen:
        own = environment | {"JOURNAL_DIR": str(tmp_path / (journal or name))}
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, "-m", f"workers.{name}"]
            processes.append(subprocess.Popen(command, env=own, stdout=log, stderr=log))
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)


@pytest.fixture
def ai(environment, catalogue, backbone_path) -> None:
    """What worker-ai needs, and the real rules."""
    environment |= {
        "BACKBONE_PATH": str(backbone_path),
        "MODEL_PROVIDER": "embedded",
        "RECYCLE_INFO_TARGET": catalogue,
        "OPENBLAS_NUM_THREADS": "1",
    }


@pytest.fixture
def catalogue(in_force) -> str:
    """The address of the real rules."""
    rules = Rules(in_force)
    yield rules.target
    rules.server.stop()


@pytest.fixture
def openai(environment, ai, openai_api):
    """One switch: worker-ai asks this server instead of its own models."""
    environment |= {"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": openai_api.url}
    openai_api.answers |= {
        "look": {"material": "CERAMIC", "item_key": "", "confidence": 0.9, "alternatives": [], "several": False},
        "wording": verbatim,
    }
    return openai_api


def noise() -> bytes:
    """A photo that nobody has looked at."""
    out, image = io.BytesIO(), Image.effect_noise((1600, 1200), 50).convert("RGB")
    # Pillow's noise is C's rand(), which may begin anew.
    image.paste(Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3)).resize((800, 800)))
    image.save(out, "JPEG")
    return out.getvalue()


def upload(servers, data: bytes) -> str:
    objects = Bucket(**vars(servers.s3))
    key = f"uploads/{uuid.uuid4()}"
    objects.put(key, data, "image/jpeg")
    objects.close()
    return key


def completion(waste, job: AnalysisJob):
    waste.wait_for(lambda: {"completion", "failure"} & set(waste.kinds(job.analysis_id)))
    [done] = [each.completion for each in waste.outcomes[job.analysis_id] if each.HasField("completion")]
    return done


def test_a_photo_becomes_advice_and_the_same_photo_is_looked_at_once(start, ai, send, servers, waste, tasks):
    start("storage")
    start("ai")
    key = upload(servers, (files("skimage") / "data/coffee.png").read_bytes())
    first = completion(waste, send(image_key=key))
    assert first.sight.provider == first.reply.provider == "embedded"
    assert not first.sight.cached
    assert first.rule.rule_id
    assert list(first.reply.steps) == list(first.rule.steps)
    again = completion(waste, send(image_key=key, language_code="en"))
    assert again.sight.cached
    assert again.rule.rule_id == first.rule.rule_id
    tasks.wait_for(lambda: len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == 8)
    assert {tasks.last(task_id).worker_name for task_id in tasks.told} == {"storage", "ai"}


def test_with_one_switch_the_openai_api_looks_and_words(start, openai, send, servers, waste):
    start("storage")
    start("ai")
    key = upload(servers, noise())
    first, again = (completion(waste, send(image_key=key)) for _ in range(2))
    assert first.sight.provider == first.reply.provider == "openai"
    assert first.sight.model == first.reply.model == "gpt-5-mini"
    assert first.sight.prompt_version
    assert first.reply.prompt_version
    assert not first.reply.fallback_reason
    assert (first.sight.cached, first.reply.cached) == (False, False)
    assert (again.sight.cached, again.reply.cached) == (True, True)
    assert [schema_of(body) for body in openai.requests] == ["look", "wording"]


def test_a_model_that_is_down_ends_the_analysis_with_its_reason_and_a_time(start, openai, send, servers, waste):
    openai.always = status(500)
    start("storage")
    start("ai")
    job = send(image_key=upload(servers, noise()))
    waste.wait_for(lambda: "failure" in waste.kinds(job.analysis_id))
    [failure] = [each.failure for each in waste.outcomes[job.analysis_id] if each.HasField("failure")]
    assert failure.reason == "MODEL_UNAVAILABLE"
    assert failure.retry_time.ToSeconds() > time.time()


def test_a_thousand_jobs_about_one_photo_in_two_processes_cost_one_call(start, openai, send, servers, waste):
    go, look = threading.Event(), openai.answers["look"]
    openai.answers["look"] = lambda body: look if go.wait(WAIT_S) else None
    image = CleanImage(object_key=upload(servers, noise()), sha256=uuid.uuid4().bytes * 2)
    for name in ("ai1", "ai2"):
        start("ai", name)
    jobs = [send(STAGE_VISION_ANALYSIS, image=image) for _ in range(1000)]
    go.set()
    waste.wait_for(lambda: all(waste.kinds(job.analysis_id) for job in jobs))
    assert len(openai.asked("look")) == 1
    sights = [waste.outcomes[job.analysis_id][0].sight for job in jobs]
    assert sum(not sight.cached for sight in sights) == 1
    assert {sight.provider for sight in sights} == {"openai"}


def test_kill_nine_of_worker_ai_loses_nothing(start, ai, send, servers, waste, tasks):
    keys = [upload(servers, noise()) for _ in range(30)]
    start("storage")
    worker = start("ai")
    jobs = [send(image_key=key) for key in keys]
    for reached in (3, 15):
        waste.wait_for(lambda reached=reached: sum("sight" in waste.kinds(job.analysis_id) for job in jobs) >= reached)
        worker.kill()
        worker.wait(WAIT_S)
        worker = start("ai")
    waste.wait_for(lambda: all("completion" in waste.kinds(job.analysis_id) for job in jobs))
    tasks.wait_for(lambda: len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == 4 * len(jobs))
    assert len(tasks.told) == 4 * len(jobs)


def test_kill_nine_in_the_middle_loses_nothing_and_doubles_nothing(
    start, send, servers, waste, tasks, topology, listen, tmp_path
):
    key = upload(servers, noise())
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
    job = send(image_key=upload(servers, noise()))
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


def health(port: int) -> int:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        asked = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=WAIT_S, wait_for_ready=True
        )
        return asked.status


def test_an_operator_pauses_and_resumes_a_worker_and_health_says_so(start, environment, send, waste):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment["LISTEN"] = f"127.0.0.1:{port}"
    worker = start("storage")
    eventually(lambda: health(port) == SERVING)
    worker.send_signal(signal.SIGUSR1)
    eventually(lambda: health(port) == NOT_SERVING)
    job = send(image_key="uploads/none")
    eventually(lambda: health(port) == NOT_SERVING)
    assert not waste.outcomes
    worker.send_signal(signal.SIGUSR2)
    eventually(lambda: health(port) == SERVING)
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["failure"])
    worker.terminate()
    assert worker.wait(WAIT_S) == 0
