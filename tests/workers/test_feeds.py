"""What leaves the journal for `waste` and `tasks`, and what happens when it is not taken."""

from __future__ import annotations

import threading
import uuid

import apsw
import pytest
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.tasks.v1 import internal_pb2_grpc as tasks_grpc
from eco2.waste.v1 import internal_pb2_grpc as waste_grpc
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.errors import Unavailable
from tests.conftest import eventually
from workers.feed import Feed
from workers.journal import Journal
from workers.journal_file import FAILURE, PENDING, SUCCESS, Task
from workers.reporter import Reporter
from workers.sync import Sync

WAIT_S = 60


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def reporter(journal, waste, channel) -> Reporter:
    return Reporter(journal, waste_grpc.WasteInternalServiceStub(channel(waste.target)))


def finish(journal, status: str = SUCCESS, analysis_id: str = "", attempt: int = 1) -> str:
    """Puts an ended task into the journal; its analysis_id."""
    outcome = Outcome(analysis_id=analysis_id or str(uuid.uuid4()))
    if status == SUCCESS:
        outcome.image.object_key = "clean/x"
    else:
        outcome.failure.reason, outcome.failure.message = "NOT_AN_IMAGE", "no photo"
    job = AnalysisJob(analysis_id=outcome.analysis_id, language_code="en").SerializeToString()
    task = Task(f"{outcome.analysis_id}:user_input", "user_input", PENDING, attempt, "", job)
    ended = task._replace(status=status, result=outcome.SerializeToString(), completed_at=1.0)
    journal.append([task])
    journal.record([ended]).result(WAIT_S)
    return outcome.analysis_id


def test_each_outcome_is_told_once(journal, reporter, waste):
    told = [finish(journal) for _ in range(3)]
    assert [reporter.report(), reporter.report()] == [3, 0]
    assert [waste.kinds(analysis_id) for analysis_id in told] == [["image"]] * 3
    assert journal.undelivered(10).result(WAIT_S) == []


def test_an_outcome_that_waste_fails_on_waits_for_its_next_turn_and_holds_up_no_other(journal, reporter, waste):
    first, second = finish(journal), finish(journal)
    waste.faults[first] = ValueError("a bug of theirs")
    assert reporter.report() == 2
    assert (waste.kinds(first), waste.kinds(second)) == ([], ["image"])
    third = finish(journal)
    assert [reporter.report(), reporter.report()] == [1, 0]
    assert waste.kinds(third) == ["image"]
    waste.faults.clear()
    reporter._turn_ends = 0.0
    assert reporter.report() == 1
    assert waste.kinds(first) == ["image"]


def test_while_waste_is_away_nothing_counts_as_told(journal, reporter, waste):
    analysis_id = finish(journal)
    waste.stop()
    with pytest.raises(Unavailable):
        reporter.report()
    waste.start()
    eventually(lambda: _report(reporter))
    assert waste.kinds(analysis_id) == ["image"]


def _report(reporter) -> int:
    """0 until the connection is there again."""
    try:
        return reporter.report()
    except Unavailable:
        return 0


def test_an_outcome_that_changed_while_it_was_told_is_told_again(journal, reporter, waste):
    analysis_id = finish(journal, FAILURE)
    [row] = journal.undelivered(10).result(WAIT_S)
    finish(journal, SUCCESS, analysis_id, attempt=2)
    journal.delivered([row.seq]).result(WAIT_S)
    assert reporter.report() == 1
    assert waste.kinds(analysis_id) == ["image"]


def test_a_journal_that_cannot_note_what_was_sent_is_no_success(journal, tasks, channel):
    """Else the same rows would go out again and again, as fast as they can."""
    task_id = f"{finish(journal)}:user_input"
    sql = "CREATE TRIGGER full BEFORE UPDATE OF synced_to_pg ON local_tasks BEGIN SELECT RAISE(ABORT, 'full'); END"
    journal._ask(lambda: journal._db.execute(sql).fetchall()).result(WAIT_S)
    sync = Sync(journal, tasks_grpc.TasksInternalServiceStub(channel(tasks.target)), "storage")
    assert sync.sync() == 1
    for _ in range(3):
        with pytest.raises(apsw.ConstraintError):
            sync.sync()
    journal._ask(lambda: journal._db.execute("DROP TRIGGER full").fetchall()).result(WAIT_S)
    assert sync.sync() == 0
    assert len(tasks.told[task_id]) == 1


def test_a_backlog_goes_and_what_is_new_does_not_wait_for_it(journal, tasks, channel):
    """Half of each batch is the oldest, half the newest."""
    backlog, fresh = [f"{finish(journal)}:user_input" for _ in range(40)], []
    sync = Sync(journal, tasks_grpc.TasksInternalServiceStub(channel(tasks.target)), "storage", batch=10)
    for number in range(1, 5):
        fresh += [f"{finish(journal)}:user_input" for _ in range(2)]
        assert sync.sync() == 10
        assert set(tasks.told) >= {*fresh, *backlog[: number * 5]}
    while sync.sync():
        pass
    assert set(tasks.told) == {*backlog, *fresh}
    assert all(len(told) == 1 for told in tasks.told.values())


def test_a_feed_outlives_whatever_its_push_raises():
    answers, done = [ValueError("a bug"), Unavailable("away"), 1, 0], threading.Event()

    def push() -> int:
        answer = answers.pop(0)
        if not answers:
            done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    feed = Feed("test", push, threading.Event(), full=100, idle_s=WAIT_S, longest_s=0.1)
    feed.start()
    assert done.wait(WAIT_S)
    feed.finish(0)
    feed.join(WAIT_S)
    assert not feed._thread.is_alive()
