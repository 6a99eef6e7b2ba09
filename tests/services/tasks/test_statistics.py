"""Statistics of tasks, filters by time, and forgetting what is old."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta

import pytest
from eco2.tasks.v1 import internal_pb2
from eco2.tasks.v1 import tasks_pb2 as pb

from services.kit import config, errors
from services.tasks import retention, statistics, store
from services.tasks.__main__ import Config
from services.tasks.retention import Days, Retention
from tests.conftest import as_user
from tests.services.tasks.test_tasks import FAILURE, PENDING, RUNNING, SUCCESS, at, task

DAY = timedelta(days=1)


def count(tasks, user_id, **fields) -> dict[str, pb.TaskStatistics]:
    answer = tasks.public.GetStatistics(pb.GetStatisticsRequest(**fields), metadata=as_user(user_id))
    return {each.task_name: each for each in answer.statistics}


def fill(tasks, user_id) -> None:
    """100 of one name that took 1 to 100 seconds, every tenth in vain; some others; and somebody else's."""
    own = {"user_id": str(user_id), "start_time": at(0)}
    tasks.sync(
        *(task(state=SUCCESS if second % 10 else FAILURE, complete_time=at(second), **own) for second in range(1, 101)),
        task(state=PENDING, user_id=str(user_id)),
        task(state=RUNNING, **own),
        task(state=RUNNING, task_name="user_input", worker_name="storage", create_time=at(3600), **own),
        # By another clock than the one that saw it begin.
        task(state=SUCCESS, task_name="rule_retrieval", user_id=str(user_id), start_time=at(5), complete_time=at(4)),
        task(state=FAILURE, task_name="rule_retrieval", user_id=str(uuid.uuid4()), start_time=at(0)),
    )


def test_statistics_are_of_the_callers_tasks_by_name(tasks, user_id):
    fill(tasks, user_id)
    counted = count(tasks, user_id)
    assert list(counted) == ["rule_retrieval", "user_input", "vision_analysis"]
    vision = counted["vision_analysis"]
    assert (vision.count, vision.pending_count, vision.running_count) == (102, 1, 1)
    assert (vision.success_count, vision.failure_count, vision.failure_rate) == (90, 10, pytest.approx(0.1))
    assert (vision.p50_s, vision.p99_s) == (pytest.approx(50.5), pytest.approx(99.01))
    begun = counted["user_input"]
    assert (begun.count, begun.failure_rate, begun.HasField("p50_s"), begun.HasField("p99_s")) == (1, 0, False, False)
    assert (counted["rule_retrieval"].count, counted["rule_retrieval"].p50_s) == (1, 0)
    assert count(tasks, uuid.uuid4()) == {}


def test_what_users_cancel_is_no_failure_of_ours(tasks, user_id):
    own = {"user_id": str(user_id), "start_time": at(0)}
    errors = ["CANCELLED: The analysis was cancelled.", "CANCELLED: … (TIMED_OUT)", "GAVE_UP: CANCELLED"]
    tasks.sync(
        *(task(state=FAILURE, error=error, **own) for error in errors),
        task(state=SUCCESS, **own),
        # Of a retry, which has not ended.
        task(state=PENDING, attempt=2, error="CANCELLED", **own),
        task(state=FAILURE, error=errors[0], task_name="user_input", **own),
    )
    counted = count(tasks, user_id)
    vision, dropped = counted["vision_analysis"], counted["user_input"]
    assert (vision.failure_count, vision.cancelled_count, vision.failure_rate) == (3, 2, 0.5)
    assert (dropped.failure_count, dropped.cancelled_count, dropped.failure_rate) == (1, 1, 0)


def test_statistics_and_lists_are_narrowed(tasks, user_id):
    fill(tasks, user_id)
    assert list(count(tasks, user_id, task_name="user_input")) == ["user_input"]
    assert list(count(tasks, user_id, worker_name="storage")) == ["user_input"]
    assert list(count(tasks, user_id, after_time=at(3600))) == ["user_input"]
    assert list(count(tasks, user_id, before_time=at(3600))) == ["rule_retrieval", "vision_analysis"]
    [late] = tasks.listed(user_id, after_time=at(3600))
    assert late not in tasks.listed(user_id, before_time=at(3600), page_size=30)
    assert len(tasks.listed(user_id, before_time=at(3600), page_size=30)) == 103


def test_operators_count_everybodys(tasks, user_id):
    fill(tasks, user_id)
    answer = tasks.internal.GetAnyStatistics(internal_pb2.GetAnyStatisticsRequest(get={"task_name": "rule_retrieval"}))
    [rules] = answer.statistics
    assert (rules.count, rules.success_count, rules.failure_rate) == (2, 1, 0.5)
    everything = tasks.internal.GetAnyStatistics(internal_pb2.GetAnyStatisticsRequest()).statistics
    assert sum(each.count for each in everything) == 105


def test_the_command_writes_one_line_for_each_name(service, user_id, monkeypatch, capsys):
    monkeypatch.setenv("TASKS_TARGET", service.target)
    fresh = task(state=PENDING, user_id=str(user_id))
    fresh.create_time.GetCurrentTime()
    service.internal.SyncTasks(internal_pb2.SyncTasksRequest(tasks=[fresh, task(state=SUCCESS, start_time=at(1))]))
    assert statistics.main([]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["count"] == 1
    assert statistics.main(["--since", "2025-12-31T00:00:00Z", "--task-name", "vision_analysis"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["count"], json.loads(line)["p50_s"]) == (2, 8)
    assert statistics.main(["--task-name", "x" * 101]) == 1
    assert "task_name" in capsys.readouterr().err


def test_bad_input_and_a_missing_caller_are_refused(tasks, user_id):
    for fields, field in (
        ({"task_name": "x" * 101}, "task_name"),
        ({"worker_name": "a\0"}, "worker_name"),
        ({"after_time": {"seconds": 10**12}}, "after_time"),
        ({"before_time": {"seconds": 10**12}}, "before_time"),
    ):
        for call, request in (
            (tasks.public.GetStatistics, pb.GetStatisticsRequest(**fields)),
            (tasks.public.ListTasks, pb.ListTasksRequest(**fields)),
        ):
            with pytest.raises(errors.InvalidArgument) as caught:
                call(request, metadata=as_user(user_id))
            assert [name for name, _ in caught.value.violations] == [field]
    with pytest.raises(errors.Unauthenticated):
        tasks.public.GetStatistics(pb.GetStatisticsRequest())


def test_statistics_come_from_an_index(tasks, user_id, database):
    tasks.owner.execute("""
        INSERT INTO tasks.task_results
            (task_id, task_name, worker_name, status, attempt, user_id, error, created_at, started_at, completed_at)
        SELECT gen_random_uuid() || ':vision_analysis', 'vision_analysis', 'ai', 'success', 1, gen_random_uuid(), '',
            now() - n * INTERVAL '1 minute', now(), now()
        FROM generate_series(1, 20000) AS n
    """)
    tasks.owner.execute("ANALYZE tasks.task_results")
    week = {"after_time": datetime.now().astimezone() - DAY, "before_time": datetime.now().astimezone()}
    with database("tasks").reading() as connection:
        for values, index in (
            ({"user_id": user_id}, "task_results_by_user"),
            ({"user_id": user_id, **week}, "task_results_by_user"),
            (week, "task_results_by_creation"),
        ):
            asked = store.counting(values).compile(dialect=connection.dialect)
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {asked}", {**asked.params, **values}).scalars())
            assert index in plan, plan
            assert "Seq Scan" not in plan


def test_tasks_and_dead_letters_are_forgotten_after_their_terms(service, user_id, database, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)  # Several batches out of few rows.
    sync = internal_pb2.SyncTasksRequest(tasks=[task(state=state) for state in (SUCCESS, FAILURE, SUCCESS, RUNNING)])
    service.internal.SyncTasks(sync)
    moment = datetime.now().astimezone()
    for _ in range(3):
        service.bury(user_id)
    service.arrived(3)
    service.replay(user_id, queue="user_input_queue", max_count=1)
    service.owner.execute("UPDATE tasks.dead_letters SET died_at = died_at - INTERVAL '5 days' WHERE replayed_by <> ''")
    ahead = [timedelta(0)]
    forgetting = Retention(database("tasks"), Days(7), Days(30), lambda: moment + ahead[0])

    def left() -> tuple[int, int, int]:
        return service.owner.execute("""
            SELECT (SELECT count(*) FROM tasks.task_results), (SELECT count(*) FROM tasks.task_history),
                (SELECT count(*) FROM tasks.dead_letters)
        """).fetchone()

    assert not forgetting.sweep()
    before = left()
    assert (before[0], before[2]) == (4, 3)
    # All ended long ago, but workers told of them just now.
    ahead[0] = 6 * DAY
    assert not forgetting.sweep()
    assert left() == before
    ahead[0] = 8 * DAY
    assert forgetting.sweep()
    assert not forgetting.sweep()
    assert left() == (0, 0, 3)
    ahead[0] = 27 * DAY
    assert not forgetting.sweep()
    assert left() == (0, 0, 3)
    ahead[0] = 31 * DAY
    assert forgetting.sweep()
    assert not forgetting.sweep()
    assert left() == (0, 0, 0)


def test_a_term_below_a_day_is_refused_with_all_else_that_is_wrong():
    with pytest.raises(SystemExit) as refused:
        config.load(Config, {"LISTEN": "127.0.0.1:0", "TASK_DAYS": "0", "DEAD_LETTER_DAYS": "-1", "REDIS_URL": "r"})
    for problem in ("WORKER_DB_URL (or", "TASK_DAYS: must be at least 1", "DEAD_LETTER_DAYS: must be at least 1"):
        assert problem in refused.value.code
