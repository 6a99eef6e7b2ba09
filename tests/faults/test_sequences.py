"""SyncTasks under replay, reordering and duplication, from three workers at once, against the model."""

from __future__ import annotations

import itertools
import random
from concurrent import futures

import psycopg
import pytest
from eco2.tasks.v1 import internal_pb2_grpc
from eco2.tasks.v1 import tasks_pb2 as pb

from services.tasks import rpc
from tests.faults.house import NEVER_BACK
from tests.services.tasks.conftest import Central
from tests.services.tasks.test_tasks import batches_of, expected_of, life, standing

WORKERS, TELLINGS, STORIES = 3, 4, 25


@pytest.fixture
def owner(postgres, database_name) -> psycopg.Connection:
    with psycopg.connect(postgres.url(database_name), autocommit=True) as connection:
        connection.execute(NEVER_BACK)
        yield connection


@pytest.fixture
def tasks(owner, database, serve) -> Central:
    servicer = rpc.TasksInternal(database("tasks"), publisher=None)
    return Central(serve((internal_pb2_grpc.add_TasksInternalServiceServicer_to_server, servicer)), owner)


def copy(record: pb.Task, task_id: str) -> pb.Task:
    copied = pb.Task()
    copied.CopyFrom(record)
    copied.task_id = task_id
    return copied


def tell(tasks: Central, worker: int, sequences: list[list[list[pb.Task]]], chance: random.Random) -> None:
    """One worker sends its share of each sequence's batches, many sequences in a call, some calls twice."""
    for turn in range(max(map(len, sequences))):
        batch = [record for batches in sequences for record in (batches[turn] if turn < len(batches) else ())]
        for start in range(0, len(batch), 5000):
            for _ in range(chance.choice((1, 1, 2))):
                tasks.sync(*batch[start : start + 5000])


def test_any_sequence_of_batches_ends_as_the_model_says(campaign, tasks):
    """A sequence is one telling of a story: all that three workers have to say of three tasks, in four or more
    batches, shuffled, half of it twice. Each story is told four times, and all tellings must end alike."""
    count, done, rows_told = campaign.count(quick=300, long=10_000), 0, 0
    with futures.ThreadPoolExecutor(WORKERS) as threads:
        for story in itertools.count():
            if done >= count:
                break
            chance = campaign.chance(story)
            tasks.forget()
            told: dict[str, list[pb.Task]] = {}
            sequences: list[list[list[list[pb.Task]]]] = [[] for _ in range(WORKERS)]
            for number in range(STORIES):
                lives = [life(chance, f"{number}:{name}", worker) for name in "abc" for worker in range(3)]
                for telling in range(TELLINGS):
                    own = [[copy(each, f"{telling}:{each.task_id}") for each in one] for one in lives]
                    for record in itertools.chain.from_iterable(own):
                        told.setdefault(record.task_id, []).append(record)
                    # The three workers tell it at once: any batch may come from any of them.
                    shares: list[list[list[pb.Task]]] = [[] for _ in range(WORKERS)]
                    for batch in batches_of(chance, own):
                        shares[chance.randrange(WORKERS)].append(batch)
                    for share, batches in zip(sequences, shares, strict=True):
                        share.append(batches)
            work = [
                threads.submit(tell, tasks, worker, sequences[worker], campaign.chance(story, worker))
                for worker in range(WORKERS)
            ]
            for each in work:
                each.result(120)
            found, history = tasks.rows(), tasks.history()
            assert {row[0] for row in found} == set(told)
            ends: dict[str, set] = {}
            for row in found:
                assert (standing(row), row[7], row[8]) == expected_of(told[row[0]]), f"group {story}: {row[0]}"
                ends.setdefault(row[0].partition(":")[2], set()).add(repr(row[1:]))
            assert all(len(end) == 1 for end in ends.values()), f"group {story}: tellings end differently"
            events: dict[str, list] = {}
            for task_id, *event in history:
                events.setdefault(task_id, []).append(event)
            for task_id, listed in events.items():
                assert listed == events["0:" + task_id.partition(":")[2]], f"group {story}: history of {task_id}"
            done += STORIES * TELLINGS
            rows_told += sum(map(len, told.values()))
    campaign.report(f"{done} sequences of {rows_told} records from {WORKERS} workers, no state went back, all alike")


def test_the_test_sees_a_state_that_goes_back(tasks, owner):
    """The guard in PostgreSQL works, or the test above shows nothing."""
    done = life(random.Random(1), "1:a", 0)
    tasks.sync(*done)
    with pytest.raises(psycopg.errors.RaiseException, match="goes back"):
        owner.execute("UPDATE tasks.task_results SET status = 'pending', completed_at = NULL")
