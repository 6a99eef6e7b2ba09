"""One message that no try can help, among many that are well."""

from __future__ import annotations

import threading

from eco2.pipeline.v1.messages_pb2 import STAGE_RESPONSE_GENERATION, AnalysisJob
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub

from services.kit.channel import connect
from tests.conftest import eventually
from tests.faults.house import House
from tests.faults.noop_worker import Unseen
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Stage

MAX_ATTEMPTS, WAIT_S = 5, 300


def test_a_poison_message_is_tried_exactly_n_times_and_harms_no_other(
    campaign, postgres, database_name, servers, rabbitmq_url, topology, listen, tmp_path
):
    count, queue = campaign.count(quick=300, long=10_000), topology.queues[STAGE_RESPONSE_GENERATION - 1]
    tries, guard = 0, threading.Lock()

    def handle(job: AnalysisJob, progress) -> Outcome:
        nonlocal tries
        if job.question == "poison":
            with guard:
                tries += 1
            raise ValueError("poison")
        outcome = Outcome()
        outcome.completion.reply.text = "fine"
        return outcome

    urls = (postgres.url(database_name, schema) for schema in (None, "waste", "tasks"))
    house = House(*urls, servers.redis_url, rabbitmq_url, topology)
    channels = [connect(f"127.0.0.1:{port}", timeout_s=5) for port in (house.waste_port, house.tasks_port)]
    dead = listen(f"{queue}.dead")
    worker = Worker(
        [Stage(STAGE_RESPONSE_GENERATION, handle, concurrency=4, prefetch=50, timeout_s=10)],
        Journal(tmp_path), rabbitmq_url, topology, WasteInternalServiceStub(channels[0]),
        TasksInternalServiceStub(channels[1]), Unseen(), "poison", max_attempts=MAX_ATTEMPTS,
    ).start()  # fmt: skip
    before = campaign.chance().randint(0, count - 1)
    house.accept(before, queue)
    [poisoned] = house.accept(1, queue, question="poison")
    house.accept(count - 1 - before, queue)
    eventually(lambda: house.answered() == count, WAIT_S)
    letter = dead.get(timeout=WAIT_S)
    assert AnalysisJob.FromString(letter.body).analysis_id == poisoned
    assert (letter.headers["x-attempt"], letter.headers["x-reason"]) == (MAX_ATTEMPTS, "GAVE_UP")
    eventually(lambda: house.recorded() == count - 1, WAIT_S)
    row = "SELECT status || ' ' || attempt FROM tasks.task_results WHERE status <> 'success'"
    eventually(lambda: house.one(f"SELECT count(*) FROM ({row}) AS r") == 1 and house.one(row) == "failure 5", WAIT_S)
    assert tries == MAX_ATTEMPTS
    assert house.one("SELECT count(*) FROM waste.answered WHERE state = 'SUCCEEDED'") == count - 1
    assert house.one("SELECT count(*) FROM tasks.task_results WHERE attempt > 1") == 1
    assert dead.empty()
    worker.close()
    for each in channels:
        each.close()
    house.close()
    campaign.report(f"1 poison among {count}: tried {tries} times, then dead; {count - 1} others tried once")
