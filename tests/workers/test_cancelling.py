"""What a worker does with analyses that their users have cancelled, on a real broker, journal, Redis and peers."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import pytest
from eco2.pipeline.v1.messages_pb2 import STAGE_USER_INPUT, STAGE_VISION_ANALYSIS
from eco2.tasks.v1 import tasks_pb2

from services.kit import cache
from services.kit.cache import Trail
from tests.conftest import eventually
from tests.faults.proxy import RESET, UP, Proxy
from tests.workers.conftest import WAIT_S, new_job
from tests.workers.test_runtime import clean, look
from workers import cancellations, progress
from workers.cancellations import Cancellations
from workers.journal import RUNNING, Task
from workers.stages import Permanent

BROKEN = {"ko": "안 돼요.", "en": "It cannot be done."}


@pytest.fixture
def client(servers):
    opened = cache.connect(servers.redis_url, progress.DB)
    yield opened
    opened.close()


@pytest.fixture
def trail(client) -> Trail:
    """What `waste` appends to."""
    return Trail(client, cancellations.KEY, cancellations.TTL_S, cancellations.MOST)


@pytest.fixture
def cancelled(client):
    following = Cancellations(client)
    yield following
    following.close()


def ends_cancelled(job, stage: str, waste, tasks) -> None:
    """Its user and `tasks` hear of it once."""
    task_id = f"{job.analysis_id}:{stage}"
    tasks.wait_for(lambda: tasks.last(task_id).state == tasks_pb2.TASK_STATE_FAILURE)
    assert tasks.last(task_id).error.startswith("CANCELLED")
    waste.wait_for(lambda: "failure" in waste.kinds(job.analysis_id))
    [failure] = [each.failure for each in waste.outcomes[job.analysis_id] if each.HasField("failure")]
    assert failure.reason == "CANCELLED"


def test_what_is_cancelled_in_the_queue_never_begins_and_is_no_dead_letter(
    start, send, trail, cancelled, waste, tasks, topology, listen
):
    ran, dead = [], listen(f"{topology.queues[0]}.dead")

    def refuse(job, progress):
        ran.append(job.analysis_id)
        raise Permanent("NOT_AN_IMAGE", BROKEN)

    dropped, bad = send(), send()
    trail.append(dropped.analysis_id)
    eventually(lambda: dropped.analysis_id in cancelled)
    worker = start({STAGE_USER_INPUT: refuse}, concurrency=1, cancelled=cancelled)
    ends_cancelled(dropped, "user_input", waste, tasks)
    # In their order: had the first one become a dead letter, it would be there before the second one.
    assert bad.SerializeToString() == dead.get(timeout=WAIT_S).body
    assert ran == [bad.analysis_id]
    eventually(lambda: not worker._active)


def test_amid_a_stage_it_stops_where_it_says_how_far_it_is(start, send, trail, cancelled, waste, tasks):
    entered, went_on, ran = threading.Event(), [], []

    def slow(job, progress):
        progress(10)
        entered.set()
        eventually(lambda: job.analysis_id in cancelled)
        progress(40)
        went_on.append(job)
        return clean(job, progress)

    start({STAGE_USER_INPUT: slow, STAGE_VISION_ANALYSIS: lambda *_: ran.append(1)}, cancelled=cancelled)
    job = send()
    assert entered.wait(WAIT_S)
    trail.append(job.analysis_id)
    ends_cancelled(job, "user_input", waste, tasks)
    assert (went_on, ran) == ([], [])
    assert waste.kinds(job.analysis_id) == ["failure"]


def test_the_next_stage_does_not_begin(start, send, trail, cancelled, waste, tasks):
    entered, ran = threading.Event(), []

    def last_word(job, progress):
        entered.set()
        eventually(lambda: job.analysis_id in cancelled)
        return clean(job, progress)

    def never(job, progress):
        ran.append(job)
        return look(job, progress)

    start({STAGE_USER_INPUT: last_word, STAGE_VISION_ANALYSIS: never}, cancelled=cancelled)
    job = send()
    assert entered.wait(WAIT_S)
    trail.append(job.analysis_id)
    ends_cancelled(job, "vision_analysis", waste, tasks)
    assert ran == []
    assert tasks.last(f"{job.analysis_id}:user_input").state == tasks_pb2.TASK_STATE_SUCCESS
    assert set(tasks.told) == {f"{job.analysis_id}:{stage}" for stage in ("user_input", "vision_analysis")}


def test_a_failure_for_good_of_what_is_cancelled_is_no_dead_letter(
    start, send, trail, cancelled, waste, tasks, topology, listen
):
    dead, tries = listen(f"{topology.queues[0]}.dead"), []

    def fail(job, progress):
        tries.append(job.analysis_id)
        if job.question:
            trail.append(job.analysis_id)
            eventually(lambda: job.analysis_id in cancelled)
        raise Permanent("NOT_AN_IMAGE", BROKEN) if job.question == "now" else ConnectionError("away")

    start({STAGE_USER_INPUT: fail}, max_attempts=2, cancelled=cancelled)
    for question, why in (("now", "NOT_AN_IMAGE"), ("in the end", "ConnectionError")):
        job = send(question=question)
        ends_cancelled(job, "user_input", waste, tasks)
        assert waste.kinds(job.analysis_id) == ["failure"]
        # Whoever looks for a fault of ours still sees it.
        assert why in tasks.last(f"{job.analysis_id}:user_input").error
    # What was begun before is the handler's to look at, which may have to clean up.
    assert tries.count(job.analysis_id) == 2
    last = send()
    assert dead.get(timeout=WAIT_S).body == last.SerializeToString()


def test_after_a_death_a_new_process_knows_and_stops_it(
    start, send, trail, client, tmp_path, waste, tasks, topology, listen
):
    """As kill -9 leaves it: the journal has a run, the broker its message, and nobody has heard of the cancel."""
    job, ran, dead = new_job(), [], listen(f"{topology.queues[0]}.dead")
    trail.append(job.analysis_id)
    born = Cancellations(client)
    assert job.analysis_id in born, "a new process knows it before it takes any work"

    def resumed(job, progress):
        ran.append("begun")
        progress(30)
        ran.append("went on")
        return clean(job, progress)

    def refuse(job, progress):
        raise Permanent("NOT_AN_IMAGE", BROKEN)

    def either(each, progress):
        return (resumed if each.analysis_id == job.analysis_id else refuse)(each, progress)

    worker = start({STAGE_USER_INPUT: either}, concurrency=1, cancelled=born)
    row = Task(f"{job.analysis_id}:user_input", "user_input", RUNNING, 1, job.user_id, job.SerializeToString())
    worker._journal.append([row], crashed=True).result(WAIT_S)
    send(**{name: getattr(job, name) for name in ("analysis_id", "user_id", "image_id")})
    ends_cancelled(job, "user_input", waste, tasks)
    assert ran == ["begun"]
    bad = send()
    assert dead.get(timeout=WAIT_S).body == bad.SerializeToString()
    born.close()


def test_a_copy_of_a_message_that_comes_late_is_not_worked_on(start, send, trail, cancelled, waste, tasks):
    ran = []
    start({STAGE_USER_INPUT: lambda *_: ran.append(1)}, cancelled=cancelled)
    job = new_job()
    trail.append(job.analysis_id)
    eventually(lambda: job.analysis_id in cancelled)
    same = {name: getattr(job, name) for name in ("analysis_id", "user_id", "image_id")}
    for _ in range(3):
        send(**same)
    other = send()
    waste.wait_for(lambda: waste.kinds(other.analysis_id) or waste.kinds(job.analysis_id))
    ends_cancelled(job, "user_input", waste, tasks)
    assert waste.kinds(job.analysis_id) == ["failure"]


def test_redis_may_go_and_come_back(servers, trail, caplog):
    url = urlsplit(servers.redis_url)
    proxy = Proxy(url.hostname, url.port)
    through = cache.connect(servers.redis_url.replace(f":{url.port}", f":{proxy.port}"), progress.DB)
    before, meanwhile, after = (new_job().analysis_id for _ in range(3))
    proxy.set(RESET)
    # A worker starts without it, and says so.
    following = Cancellations(through)
    assert "not known yet" in caplog.text
    trail.append(before)
    assert before not in following
    proxy.set(UP)
    eventually(lambda: before in following)
    proxy.set(RESET)
    trail.append(meanwhile)
    assert before in following, "what is known stays known"
    proxy.set(UP)
    eventually(lambda: meanwhile in following)
    trail.append(after)
    eventually(lambda: after in following)
    following.close()
    through.close()
    proxy.close()


def test_only_so_many_are_kept_in_mind(client, monkeypatch):
    monkeypatch.setattr(cancellations, "KEY", f"test:{new_job().analysis_id}")  # Without what other tests cancelled.
    monkeypatch.setattr(cancellations, "MOST", 10)  # In production 20,000.
    trail = Trail(client, cancellations.KEY, 60, 1000)
    ids = [str(number) for number in range(25)]
    for each in ids:
        trail.append(each)
    following = Cancellations(client)
    assert [each for each in ids if each in following] == ids[-10:]
    following.close()
