"""Tasks and dead letters as protos, and back. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eco2.tasks.v1 import tasks_pb2 as pb
from google.protobuf import json_format

from services.kit.errors import InvalidArgument, invalid
from services.tasks import states

_STATUS = {
    pb.TASK_STATE_PENDING: states.PENDING,
    pb.TASK_STATE_RUNNING: states.RUNNING,
    pb.TASK_STATE_SUCCESS: states.SUCCESS,
    pb.TASK_STATE_FAILURE: states.FAILURE,
}
_STATE = {status: state for state, status in _STATUS.items()}
_EVENT_TYPE = {
    states.QUEUED: pb.TASK_EVENT_TYPE_QUEUED,
    states.STARTED: pb.TASK_EVENT_TYPE_STARTED,
    states.COMPLETED: pb.TASK_EVENT_TYPE_COMPLETED,
    states.FAILED: pb.TASK_EVENT_TYPE_FAILED,
}


def task_filters(request: pb.ListTasksRequest | pb.GetStatisticsRequest) -> dict[str, Any]:
    """What narrows a list of tasks or statistics, as store.py takes it. Fails with InvalidArgument."""
    filters: dict[str, Any] = {"worker_name": request.worker_name, "task_name": request.task_name}
    if isinstance(request, pb.ListTasksRequest):
        filters |= {"status": _STATUS.get(request.state), "analysis_id": request.analysis_id.lower()}
    filters |= {field: _time(request, field) for field in ("after_time", "before_time")}
    return {name: value for name, value in filters.items() if value}


def dead_filters(request, user_id: UUID | None) -> dict:
    """As dead_store takes them. request: a list or replay of dead letters; both name their filters alike."""
    filters: dict[str, Any] = {
        "user_id": user_id,
        "task_id": request.task_id,
        "queue": request.queue,
        "reason": request.reason,
        "died_before": _time(request, "before_time"),
    }
    if isinstance(request, pb.ReplayDeadLettersRequest) and request.dead_letter_id:
        filters["id"] = UUID(request.dead_letter_id)
    return {name: value for name, value in filters.items() if value}


def task(row) -> pb.Task:
    return pb.Task(
        task_id=row.task_id,
        task_name=row.task_name,
        worker_name=row.worker_name,
        state=_STATE[row.status],
        attempt=row.attempt,
        user_id=str(row.user_id),
        result=row.result,
        error=row.error,
        create_time=row.created_at,
        start_time=row.started_at,
        complete_time=row.completed_at,
        next_attempt_time=row.next_attempt_at,
        sync_time=row.synced_at,
    )


def event(told: states.Event) -> pb.TaskEvent:
    return pb.TaskEvent(
        type=_EVENT_TYPE[told.event_type],
        event_time=told.timestamp,
        attempt=told.attempt,
        worker_name=told.worker_name,
        error=told.error,
    )


def statistics(row) -> pb.TaskStatistics:
    """row: as store.count_tasks gives it."""
    # A user's change of mind is no fault of ours.
    failed = row.failure - row.cancelled
    ended = row.success + failed
    # Clocks differ: a worker may have begun what another had finished before that.
    p50_s, p99_s = (max(0.0, took_s) for took_s in row.took_s) if row.took_s else (None, None)
    return pb.TaskStatistics(
        task_name=row.task_name,
        count=row.count,
        pending_count=row.pending,
        running_count=row.running,
        success_count=row.success,
        failure_count=row.failure,
        failure_rate=failed / ended if ended else 0.0,
        cancelled_count=row.cancelled,
        p50_s=p50_s,
        p99_s=p99_s,
    )


def whole(row) -> pb.DeadLetter:
    """With what only operators see."""
    letter = dead_letter(row)
    letter.stack, letter.payload = row.stack, row.payload
    return letter


def dead_letter(row) -> pb.DeadLetter:
    return pb.DeadLetter(
        dead_letter_id=str(row.id),
        task_id=row.task_id,
        queue=row.queue,
        attempt=row.attempt,
        user_id=str(row.user_id or ""),
        reason=row.reason,
        error=row.error,
        death_time=row.died_at,
        replay_time=row.replayed_at,
        replayed_by=row.replayed_by,
    )


def record(task: pb.Task, path: str) -> states.Record:
    """path: of the task in the request, for errors. Fails with InvalidArgument."""
    status, ended_at = _STATUS[task.state], _micros(task, "complete_time", path)
    if status in states.ENDED and ended_at is None:
        raise invalid(f"{path}.complete_time", "is required of a task that has ended")
    try:
        result = json_format.MessageToJson(task.result, indent=None) if task.HasField("result") else None
    except (json_format.SerializeToJsonError, ValueError):
        raise invalid(f"{path}.result", "has a number that JSON cannot write") from None
    return states.Record(
        task.task_id,
        task.task_name,
        task.worker_name,
        status,
        task.attempt,
        task.user_id or None,
        result,
        task.error,
        _micros(task, "create_time", path),
        _micros(task, "start_time", path),
        ended_at if status in states.ENDED else None,
        _micros(task, "next_attempt_time", path),
        ended_at,
    )


def _micros(message, field: str, path: str) -> int | None:
    if not message.HasField(field):
        return None
    time = getattr(message, field)
    seconds, nanos = time.seconds, time.nanos
    # Those of google.protobuf.Timestamp.
    if not (-62_135_596_800 <= seconds <= 253_402_300_799 and 0 <= nanos <= 999_999_999):
        raise _no_time(path, field)
    return seconds * 1_000_000 + nanos // 1000


def _time(message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    try:
        return getattr(message, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise _no_time("", field) from None


def _no_time(path: str, field: str) -> InvalidArgument:
    return invalid(f"{path}.{field}".lstrip("."), "is not a time between the years 1 and 9999")
