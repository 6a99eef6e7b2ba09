"""The worker runtime on a real broker, journal and real gRPC peers."""

from __future__ import annotations

import dataclasses
import queue
import threading

from eco2.pipeline.v1.messages_pb2 import (
    STAGE_RESPONSE_GENERATION,
    STAGE_RULE_RETRIEVAL,
    STAGE_USER_INPUT,
    STAGE_VISION_ANALYSIS,
    AnalysisJob,
)
from eco2.tasks.v1 import tasks_pb2
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.broker import Consumer, Message
from services.kit.errors import invalid
from tests.conftest import eventually
from tests.workers.conftest import new_job
from workers.journal import RUNNING, SUCCESS, Journal, Task
from workers.stages import Permanent

WAIT_S = 60


def clean(job: AnalysisJob, progress) -> Outcome:
    outcome = Outcome()
    outcome.image.object_key = f"clean/{job.image_id}"
    return outcome


def look(job: AnalysisJob, progress) -> Outcome:
    outcome = Outcome()
    outcome.sight.item_key = "glass_bottle"
    return outcome


def find_rule(job: AnalysisJob, progress) -> Outcome:
    outcome = Outcome()
    outcome.rule.rule_id = "r"
    return outcome


def answer(job: AnalysisJob, progress) -> Outcome:
    outcome = Outcome()
    outcome.completion.sight.CopyFrom(job.sight)
    outcome.completion.rule.CopyFrom(job.rule)
    outcome.completion.reply.text = job.image.object_key
    return outcome


PIPELINE = {
    STAGE_USER_INPUT: clean,
    STAGE_VISION_ANALYSIS: look,
    STAGE_RULE_RETRIEVAL: find_rule,
    STAGE_RESPONSE_GENERATION: answer,
}


def test_a_job_passes_all_stages_and_everyone_is_told(start, send, waste, tasks, board):
    shown = {}

    def watched(job, progress):
        # Whoever is quicker than the telling is not told of.
        eventually(lambda: board.read(f"analysis:{job.analysis_id}").get("stage") == "response_generation")
        shown.update(board.read(f"analysis:{job.analysis_id}"))
        return answer(job, progress)

    start(PIPELINE | {STAGE_RESPONSE_GENERATION: watched})
    job = send()
    waste.wait_for(lambda: set(waste.kinds(job.analysis_id)) == {"image", "sight", "rule", "completion"})
    completion = next(each.completion for each in waste.outcomes[job.analysis_id] if each.HasField("completion"))
    assert completion.sight.item_key == "glass_bottle"
    assert completion.rule.rule_id == "r"
    assert completion.reply.text == f"clean/{job.image_id}"
    tasks.wait_for(lambda: len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == 4)
    assert set(tasks.told) == {
        f"{job.analysis_id}:{stage}"
        for stage in ("user_input", "vision_analysis", "rule_retrieval", "response_generation")
    }
    done = tasks.last(f"{job.analysis_id}:vision_analysis")
    assert (done.task_name, done.worker_name, done.attempt, done.user_id) == (
        "vision_analysis",
        "storage",
        1,
        job.user_id,
    )
    assert done.result["itemKey"] == "glass_bottle"
    assert done.create_time.ToNanoseconds() <= done.start_time.ToNanoseconds() <= done.complete_time.ToNanoseconds()
    assert (shown["state"], shown["stage"], shown["progress"]) == ("RUNNING", "response_generation", "75")


def test_the_row_is_in_the_journal_before_the_work_begins(start, send, waste, tasks):
    found = []

    def check(job, progress):
        [row] = journal.unsynced(10).result(WAIT_S)
        found.append((row.task_id, row.payload))
        return clean(job, progress)

    # What nobody takes stays unsynced.
    tasks.stop()
    worker = start({STAGE_USER_INPUT: check})
    journal = worker._journal
    job = send()
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["image"])
    assert found == [(f"{job.analysis_id}:user_input", job.SerializeToString())]


def test_a_message_is_not_acknowledged_before_the_next_stage_has_it(start, waste, topology, listen):
    first = dataclasses.replace(topology, queues=topology.queues[:1])
    # Declares the first stage's queue only, so that nobody takes the second stage's message.
    worker = start({STAGE_USER_INPUT: clean}, known=first)
    assert worker.consumer.ready.wait(WAIT_S)
    [sent] = worker._publisher.publish([Message(first.queues[0], (job := new_job()).SerializeToString())])
    sent.result(WAIT_S)
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["image"])
    worker.close(0.1)
    start({STAGE_USER_INPUT: clean})
    assert AnalysisJob.FromString(listen(topology.queues[1]).get(timeout=WAIT_S).body).analysis_id == job.analysis_id
    assert waste.kinds(job.analysis_id) == ["image"]


def test_a_message_that_comes_again_is_only_handed_on_again(start, send, waste, publisher, topology, listen):
    ran = []
    start({STAGE_USER_INPUT: lambda job, progress: ran.append(1) or clean(job, progress)})
    after = listen(topology.queues[1])
    job = send()
    first = after.get(timeout=WAIT_S)
    waste.wait_for(lambda: len(waste.kinds(job.analysis_id)) == 1)
    publisher.publish([Message(topology.queues[0], job.SerializeToString())])
    assert after.get(timeout=WAIT_S).body == first.body
    other = send()
    waste.wait_for(lambda: waste.kinds(other.analysis_id))
    # The journal knows that `waste` has it.
    assert waste.kinds(job.analysis_id) == ["image"]
    assert ran == [1, 1]
    assert first.headers["x-request-id"] == "r1"


def test_the_same_task_never_runs_twice_at_once(start, send, waste, publisher, topology):
    go, entered, ran = threading.Event(), threading.Event(), []

    def slow(job, progress):
        if job.question == "slow":
            ran.append(1)
            entered.set()
            assert go.wait(WAIT_S)
        return clean(job, progress)

    start({STAGE_USER_INPUT: slow})
    job = send(question="slow")
    assert entered.wait(WAIT_S)
    publisher.publish([Message(topology.queues[0], job.SerializeToString())])[0].result(WAIT_S)
    # A later message of the same queue has been worked on, so the copy has arrived.
    other = send()
    waste.wait_for(lambda: waste.kinds(other.analysis_id))
    go.set()
    waste.wait_for(lambda: waste.kinds(job.analysis_id))
    assert ran == [1]


def test_a_transient_error_is_tried_again_later(start, send, waste, tasks):
    attempts = []

    def flaky(job, progress):
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError("the store is away")
        return clean(job, progress)

    start({STAGE_USER_INPUT: flaky})
    job = send()
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["image"])
    task_id = f"{job.analysis_id}:user_input"
    tasks.wait_for(lambda: tasks.last(task_id).state == tasks_pb2.TASK_STATE_SUCCESS)
    assert len(attempts) == tasks.last(task_id).attempt == 3


def test_after_the_last_attempt_the_user_and_the_dead_letter_queue_are_told(
    start, send, waste, tasks, topology, listen
):
    attempts = []

    def poisoned(job, progress):
        attempts.append(1)
        raise ValueError("poison")

    start({STAGE_USER_INPUT: poisoned}, max_attempts=3)
    dead = listen(f"{topology.queues[0]}.dead")
    job = send()
    letter = dead.get(timeout=WAIT_S)
    assert letter.body == job.SerializeToString()
    assert (letter.headers["x-reason"], letter.headers["x-attempt"]) == ("GAVE_UP", 3)
    assert "ValueError: poison" in letter.headers["x-error"]
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["failure"])
    assert waste.outcomes[job.analysis_id][0].failure.message.startswith("지금은")
    task_id = f"{job.analysis_id}:user_input"
    tasks.wait_for(lambda: tasks.last(task_id).state == tasks_pb2.TASK_STATE_FAILURE)
    assert len(attempts) == 3


def test_a_permanent_error_ends_it_at_once(start, send, waste, topology, listen):
    attempts = []

    def refuse(job, progress):
        attempts.append(1)
        raise Permanent("NOT_AN_IMAGE", {"ko": "사진이 아니에요.", "en": "This is not a photo."})

    start({STAGE_USER_INPUT: refuse})
    dead = listen(f"{topology.queues[0]}.dead")
    job = send(language_code="en")
    assert dead.get(timeout=WAIT_S).headers["x-reason"] == "NOT_AN_IMAGE"
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["failure"])
    failure = waste.outcomes[job.analysis_id][0].failure
    assert (failure.reason, failure.message) == ("NOT_AN_IMAGE", "This is not a photo.")
    assert attempts == [1]


def test_the_end_stands_before_all_that_dead_workers_may_have_told(start, send, rabbitmq_url, tasks, topology):
    """Two workers died over this message, and said of attempts 1 and 2 that they run; their disks are elsewhere."""
    held, job = queue.SimpleQueue(), send()
    for _ in range(2):
        other = Consumer(rabbitmq_url, topology, {topology.queues[0]: 1}, held.put).start()
        held.get(timeout=WAIT_S)
        # The broker takes back what it had, as after a death.
        other.close()

    def refuse(job, progress):
        raise Permanent("NOT_AN_IMAGE", {"ko": "사진이 아니에요.", "en": "This is not a photo."})

    start({STAGE_USER_INPUT: refuse})
    task_id = f"{job.analysis_id}:user_input"
    tasks.wait_for(lambda: tasks.last(task_id).state == tasks_pb2.TASK_STATE_FAILURE)
    assert tasks.last(task_id).attempt == 3


def test_a_dead_letter_sent_again_with_a_higher_attempt_is_done_again(start, send, waste, publisher, topology):
    broken = threading.Event()
    broken.set()

    def flaky(job, progress):
        if broken.is_set():
            raise Permanent("NOT_AN_IMAGE", {"ko": "사진이 아니에요.", "en": "This is not a photo."})
        return clean(job, progress)

    start({STAGE_USER_INPUT: flaky})
    job = send()
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["failure"])
    broken.clear()
    publisher.publish([Message(topology.queues[0], job.SerializeToString(), {"x-attempt": 2})])
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["failure", "image"])


def test_a_replay_after_the_last_attempt_has_all_its_attempts_again(start, send, waste, publisher, topology, listen):
    attempts = []

    def broken_at_first(job, progress):
        attempts.append(1)
        if len(attempts) < 5:
            raise ValueError("not yet")
        return clean(job, progress)

    start({STAGE_USER_INPUT: broken_at_first}, max_attempts=3)
    dead = listen(f"{topology.queues[0]}.dead")
    job = send()
    letter = dead.get(timeout=WAIT_S)
    assert letter.headers["x-attempt"] == 3
    assert "in broken_at_first" in letter.headers["x-stack"]
    # As the tasks service replays it, twice with the same attempt: its confirmation was lost.
    again = Message(topology.queues[0], letter.body, {"x-attempt": 4, "x-first-attempt": 4})
    publisher.publish([again, again])
    waste.wait_for(lambda: "image" in waste.kinds(job.analysis_id))
    assert len(attempts) == 5
    assert dead.empty()


def test_what_is_no_job_goes_to_the_dead_letter_queue(start, publisher, topology, listen):
    start({STAGE_USER_INPUT: clean})
    dead = listen(f"{topology.queues[0]}.dead")
    publisher.publish([Message(topology.queues[0], b"\xff\xff"), Message(topology.queues[0], b"")])
    letters = [dead.get(timeout=WAIT_S) for _ in range(2)]
    assert {letter.body for letter in letters} == {b"\xff\xff", b""}
    assert {letter.headers["x-reason"] for letter in letters} == {"MALFORMED"}


def test_a_stage_that_outlasts_its_time_is_tried_again(start, send, waste):
    attempts = []

    def slow(job, progress):
        attempts.append(1)
        while len(attempts) == 1:
            progress(10)
        return clean(job, progress)

    start({STAGE_USER_INPUT: slow}, timeout_s=0.3)
    job = send()
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["image"])
    assert len(attempts) == 2


def test_waste_down_delays_the_answer_but_stops_nobody(start, send, waste, tasks):
    first = start(PIPELINE)
    waste.stop()
    # More than all stages may hold unacknowledged.
    jobs = [send() for _ in range(220)]
    tasks.wait_for(lambda: len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == 4 * len(jobs))
    assert not waste.outcomes
    first.close()
    start(PIPELINE)
    waste.start()
    waste.wait_for(lambda: all(len(waste.kinds(job.analysis_id)) == 4 for job in jobs))
    assert {kind for job in jobs for kind in waste.kinds(job.analysis_id)} == {"image", "sight", "rule", "completion"}


def test_an_outcome_that_waste_refuses_becomes_a_failure_and_holds_up_no_other(start, send, waste):
    jobs = [send() for _ in range(3)]
    waste.faults[jobs[1].analysis_id] = invalid("outcomes[1]", "is not for us")
    start({STAGE_USER_INPUT: clean})
    waste.wait_for(lambda: all(waste.kinds(job.analysis_id) for job in jobs))
    assert [waste.kinds(job.analysis_id) for job in jobs] == [["image"], ["failure"], ["image"]]
    assert waste.outcomes[jobs[1].analysis_id][0].failure.reason == "RESULT_REFUSED"


def test_a_journal_that_takes_no_end_stops_the_work_until_it_does(start, send, waste):
    """Else the same work would be done over and over, until the broker gave its message up."""
    ran = []
    worker = start({STAGE_USER_INPUT: lambda job, progress: ran.append(1) or clean(job, progress)})
    worker._rest_s = WAIT_S
    ask = worker._journal._ask
    full = """CREATE TRIGGER full BEFORE UPDATE OF completed_at ON local_tasks WHEN NEW.completed_at IS NOT NULL
              BEGIN SELECT RAISE(ABORT, 'full'); END"""
    ask(lambda: worker._journal._db.execute(full).fetchall()).result(WAIT_S)
    eventually(lambda: worker.consumer.listening)
    job = send()
    eventually(lambda: not worker.consumer.listening)
    assert not waste.outcomes
    ask(lambda: worker._journal._db.execute("DROP TRIGGER full").fetchall()).result(WAIT_S)
    worker._resume_at = 0.0
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["image"])
    assert ran == [1, 1]


def test_tasks_down_holds_up_nobody_and_hears_all_of_it_later(start, send, waste, tasks):
    start({STAGE_USER_INPUT: clean})
    tasks.stop()
    jobs = [send() for _ in range(20)]
    waste.wait_for(lambda: all(waste.kinds(job.analysis_id) for job in jobs))
    assert not tasks.told
    tasks.start()
    tasks.wait_for(lambda: len(tasks.in_state(tasks_pb2.TASK_STATE_SUCCESS)) == 20)


def test_a_journal_past_its_quota_stops_consuming_and_goes_on_when_there_is_room(
    start, send, waste, tasks, tmp_path, monkeypatch
):
    tasks.stop()
    worker = start({STAGE_USER_INPUT: clean}, keep_s=0.0)
    monkeypatch.setattr(worker._journal, "_quota_bytes", 120_000)  # In production two gigabytes.
    jobs = [send(question="가" * 1000) for _ in range(60)]
    waste.wait_for(lambda: len(waste.outcomes) > 5)
    assert len(waste.outcomes) < 60
    tasks.start()
    waste.wait_for(lambda: len(waste.outcomes) == len(jobs))


def test_what_a_dead_process_finished_is_told_after_the_restart(start, tmp_path, waste, tasks):
    outcome = Outcome(analysis_id="4a3a1b8e-8f5c-4a86-9a6b-1f5b7c3f0001")
    outcome.image.object_key = "clean/x"
    job = AnalysisJob(analysis_id=outcome.analysis_id, language_code="ko")
    task = Task(f"{job.analysis_id}:user_input", "user_input", RUNNING, 1, "", job.SerializeToString())
    journal = Journal(tmp_path)
    journal.append([task])
    done = Task(
        task.task_id, task.task_name, SUCCESS, 1, "", task.payload, outcome.SerializeToString(), completed_at=1.0
    )
    journal.record([done])
    journal.close()
    start({STAGE_USER_INPUT: clean})
    waste.wait_for(lambda: waste.kinds(job.analysis_id) == ["image"])
    tasks.wait_for(lambda: tasks.last(task.task_id).state == tasks_pb2.TASK_STATE_SUCCESS)


def test_a_task_that_keeps_killing_its_worker_is_given_up(start, tmp_path, send, waste):
    started = threading.Event()
    worker = start({STAGE_USER_INPUT: lambda job, progress: started.set() or clean(job, progress)}, max_attempts=3)
    job_id = "4a3a1b8e-8f5c-4a86-9a6b-1f5b7c3f0002"
    # As three processes that died over it would have left it.
    row = Task(f"{job_id}:user_input", "user_input", RUNNING, 3, "", b"")
    worker._journal.append([row], crashed=True).result(WAIT_S)
    send(analysis_id=job_id)
    waste.wait_for(lambda: waste.kinds(job_id) == ["failure"])
    assert waste.outcomes[job_id][0].failure.reason == "WORKER_DIED"
    assert not started.is_set()


def test_a_drain_finishes_what_runs_and_gives_back_the_rest(start, send, waste, tmp_path):
    entered, go, ran = threading.Semaphore(0), threading.Event(), []

    def slow(job, progress):
        ran.append(job.analysis_id)
        entered.release()
        assert go.wait(WAIT_S)
        return clean(job, progress)

    first = start({STAGE_USER_INPUT: slow}, concurrency=1)
    jobs = [send() for _ in range(5)]
    assert entered.acquire(timeout=WAIT_S)
    closing = threading.Thread(target=first.close, args=(WAIT_S,))
    closing.start()
    assert first._closing.wait(WAIT_S)
    go.set()
    closing.join(WAIT_S)
    assert len(ran) == 1
    assert waste.kinds(ran[0]) == ["image"]
    start({STAGE_USER_INPUT: slow}, concurrency=1)
    waste.wait_for(lambda: all(waste.kinds(job.analysis_id) == ["image"] for job in jobs))
    assert len(ran) == 5
