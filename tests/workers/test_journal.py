"""The journal on a real disk: forward-only states, who may open it, and what it promises when a future is done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import uuid

import apsw
import pytest

from workers.journal import Journal
from workers.journal_file import FAILURE, PENDING, RUNNING, SUCCESS, JournalError, JournalFull, Task, find_filesystem

WAIT_S = 60


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def new_task(attempt: int = 1, **values) -> Task:
    task_id = f"{uuid.uuid4()}:vision_analysis"
    return Task(task_id, "vision_analysis", PENDING, attempt, "", b"job")._replace(**values)


def append(journal, task, crashed=False) -> Task:
    return journal.append([task], crashed).result(WAIT_S)[0]


def record(journal, task, status, **values) -> bool:
    completed_at = 2.0 if status in (SUCCESS, FAILURE) else None
    moved = task._replace(status=status, completed_at=completed_at, **values)
    return journal.record([moved]).result(WAIT_S) == 1


def test_a_task_moves_forward_and_is_forgotten_when_everyone_knows(journal):
    task = append(journal, new_task())
    assert (task.status, task.payload) == (PENDING, b"job")
    assert record(journal, task, RUNNING, started_at=1.0)
    assert record(journal, task, SUCCESS, result=b"answer")
    [done] = journal.undelivered(10).result(WAIT_S)
    assert (done.status, done.result, done.started_at) == (SUCCESS, b"answer", 1.0)
    assert journal.forget(3.0).result(WAIT_S) == 0
    journal.delivered([done.seq])
    assert journal.undelivered(10).result(WAIT_S) == []
    assert journal.forget(3.0).result(WAIT_S) == 0
    journal.synced([done.seq])
    assert journal.forget(1.0).result(WAIT_S) == 0
    assert journal.forget(3.0).result(WAIT_S) == 1
    assert journal.unsynced(10).result(WAIT_S) == []


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
def test_many_rows_at_once_are_each_taken_in_and_moved_for_themselves(journal, count):
    tasks = [new_task(payload=str(number).encode()) for number in range(count)]
    known = append(journal, tasks[-1])
    rows = journal.append(tasks).result(WAIT_S)
    assert [(row.task_id, row.payload) for row in rows] == [(task.task_id, task.payload) for task in tasks]
    assert rows[-1] == known
    ended = [row._replace(status=SUCCESS, completed_at=2.0, result=row.payload) for row in rows]
    assert journal.record(ended).result(WAIT_S) == count
    assert journal.record(ended).result(WAIT_S) == 0
    told = journal.undelivered(count + 1).result(WAIT_S)
    assert [(row.task_id, row.result) for row in told] == [(row.task_id, row.payload) for row in rows]
    assert len({row.seq for row in told}) == count
    journal.delivered([row.seq for row in told[1:]])
    assert journal.undelivered(count + 1).result(WAIT_S) == told[:1]


def test_one_task_twice_in_a_record_moves_step_by_step(journal):
    task = append(journal, new_task())
    steps = [task._replace(status=RUNNING, started_at=1.0), task._replace(status=SUCCESS, completed_at=2.0)]
    assert journal.record([*steps, steps[0]]).result(WAIT_S) == 2
    [row] = journal.undelivered(10).result(WAIT_S)
    assert (row.status, row.started_at, row.completed_at) == (SUCCESS, 1.0, 2.0)


def test_states_only_move_forward_whatever_the_order(campaign, journal):
    versions = [(PENDING, 1), (RUNNING, 1), (FAILURE, 1), (PENDING, 2), (RUNNING, 2), (SUCCESS, 2)]
    chance = campaign.chance()
    for _ in range(campaign.count(quick=50, long=500)):
        task = append(journal, new_task())
        order = versions * 2
        chance.shuffle(order)
        reached = 0
        for status, attempt in order:
            record(journal, task, status, attempt=attempt)
            [row] = [row for row in journal.unsynced(1000).result(WAIT_S) if row.task_id == task.task_id]
            before, reached = reached, versions.index((row.status, row.attempt))
            assert reached >= max(before, versions.index((status, attempt)))
        assert (row.status, row.attempt) == (SUCCESS, 2)


def test_a_state_outside_the_vocabulary_is_refused_and_harms_no_other(journal):
    task = append(journal, new_task())
    good = journal.append([new_task()])
    bad = journal.record([task._replace(status=SUCCESS, completed_at=None)])
    also_good = journal.append([new_task()])
    with pytest.raises(apsw.ConstraintError):
        bad.result(WAIT_S)
    assert good.result(WAIT_S)[0].status == also_good.result(WAIT_S)[0].status == PENDING


@pytest.mark.parametrize(
    ("status", "attempt", "delivered_attempt", "crashed", "expected"),
    [
        (PENDING, 1, 1, False, (PENDING, 1)),
        (PENDING, 1, 1, True, (RUNNING, 1)),
        (RUNNING, 1, 1, True, (RUNNING, 2)),
        (RUNNING, 3, 1, True, (RUNNING, 4)),
        (PENDING, 2, 1, True, (PENDING, 2)),
        (SUCCESS, 1, 1, True, (SUCCESS, 1)),
        (SUCCESS, 1, 2, False, (SUCCESS, 1)),
        (FAILURE, 1, 1, True, (FAILURE, 1)),
        (FAILURE, 1, 2, False, (PENDING, 2)),
    ],
)
def test_what_a_message_finds_when_it_comes_back(journal, status, attempt, delivered_attempt, crashed, expected):
    task = append(journal, new_task(attempt))
    if status != PENDING:
        record(journal, task, status)
    row = append(journal, task._replace(attempt=delivered_attempt), crashed)
    assert (row.status, row.attempt) == expected
    assert journal.unsynced(10).result(WAIT_S) == [row]


def test_a_row_that_moved_on_stays_unsynced(journal):
    task = append(journal, new_task())
    record(journal, task, RUNNING)
    journal.synced([task.seq]).result(WAIT_S)
    [row] = journal.unsynced(10).result(WAIT_S)
    assert row.status == RUNNING
    journal.synced([row.seq])
    assert journal.unsynced(10).result(WAIT_S) == []


def test_unsynced_rows_come_in_the_order_of_their_changes(journal):
    tasks = journal.append([new_task() for _ in range(5)]).result(WAIT_S)
    record(journal, tasks[0], RUNNING)
    in_order = [task.task_id for task in (*tasks[1:], tasks[0])]
    listed = [[row.task_id for row in journal.unsynced(limit).result(WAIT_S)] for limit in (1, 3, 5, 6)]
    assert listed == [in_order[:1], in_order[:2] + in_order[-1:], in_order, in_order]


def test_past_the_quota_nothing_is_taken_and_nothing_dropped(tmp_path):
    journal = Journal(tmp_path, quota_bytes=300_000)
    accepted = []

    def fill():
        while True:
            accepted.extend(journal.append([new_task(payload=bytes(10_000))]).result(WAIT_S))

    with pytest.raises(JournalFull):
        fill()
    assert not journal.has_room().result(WAIT_S)
    assert len(journal.unsynced(1000).result(WAIT_S)) == len(accepted) > 10
    for task in accepted:
        # What was taken can always be finished.
        record(journal, task, SUCCESS)
    rows = journal.unsynced(1000).result(WAIT_S)
    journal.delivered([row.seq for row in rows])
    journal.synced([row.seq for row in rows])
    assert journal.forget(3.0).result(WAIT_S) == len(accepted)
    assert journal.has_room().result(WAIT_S)
    append(journal, new_task())
    journal.close()


def test_a_commit_survives_a_power_cut(journal):
    """FULL in SQLite's words: synced at each commit, not only at checkpoints."""
    settings = {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive", "mmap_size": 0}
    found = journal._ask(lambda: {name: journal._db.pragma(name) for name in settings}).result(WAIT_S)
    assert found == settings


def test_a_second_process_is_refused_and_told_by_whom(journal, tmp_path):
    code = "import sys, pathlib; from workers.journal import Journal; Journal(pathlib.Path(sys.argv[1]))"
    second = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert second.returncode == 1
    assert f"belongs to a running process (pid {os.getpid()})" in second.stderr


def test_a_damaged_file_is_refused(tmp_path):
    journal = Journal(tmp_path)
    journal.append([new_task(payload=bytes(5000)) for _ in range(100)]).result(WAIT_S)
    journal.close()
    with journal.path.open("r+b") as file:
        file.seek(8192)
        file.write(random.Random(1).randbytes(20_000))
    with pytest.raises(JournalError, match="damaged"):
        Journal(tmp_path)


def test_network_file_systems_are_told_from_local_ones(tmp_path):
    mounts = (
        "22 1 8:1 / / rw,relatime - ext4 /dev/vda rw\n"
        "30 22 0:25 / /data rw shared:1 - nfs4 host:/x rw\n"
        r"31 22 0:26 / /data/my\040disk rw - xfs /dev/b rw" + "\n"
    )
    assert find_filesystem(tmp_path.__class__("/var/lib"), mounts) == "ext4"
    assert find_filesystem(tmp_path.__class__("/data/journal"), mounts) == "nfs4"
    assert find_filesystem(tmp_path.__class__("/data/my disk/journal"), mounts) == "xfs"


def test_kill_nine_loses_nothing_that_was_acknowledged(tmp_path):
    code = """
import pathlib, sys
from workers.journal import Journal, Task, PENDING
journal = Journal(pathlib.Path(sys.argv[1]))
for number in range(10**9):
    journal.append([Task(f"{number}:x", "x", PENDING, 1, "", b"")]).result()
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(writer.stdout.readline()) for _ in range(200)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait(WAIT_S)
    writer.stdout.close()
    journal = Journal(tmp_path)
    kept = {row.task_id for row in journal.unsynced(10**6).result(WAIT_S)}
    journal.close()
    assert {f"{number}:x" for number in acknowledged} <= kept


def test_after_close_a_request_fails_instead_of_waiting(tmp_path):
    journal = Journal(tmp_path)
    last = journal.append([new_task()])
    journal.close()
    journal.close()
    assert last.result(0)
    with pytest.raises(JournalError, match="closed"):
        journal.append([new_task()]).result(0)


def test_cached_answers_are_kept_by_model(journal):
    journal.cache(b"hash", "m1", b"answer")
    assert journal.find_cached(b"hash", "m1").result(WAIT_S) == b"answer"
    assert journal.find_cached(b"hash", "m2").result(WAIT_S) is None
