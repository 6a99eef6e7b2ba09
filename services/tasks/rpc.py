"""TasksService for people, TasksInternalService for workers."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc
from eco2.tasks.v1 import tasks_pb2 as pb
from eco2.tasks.v1 import tasks_pb2_grpc as pb_grpc
from google.protobuf import json_format

from services.kit import pages, tombstones
from services.kit.broker import Publisher
from services.kit.caller import get_caller
from services.kit.database import Database
from services.kit.errors import InvalidArgument, NotFound, invalid
from services.tasks import dead_store, replay, states, store

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

# Rows that one statement deletes, with a history each: far below the role's statement_timeout.
ERASE_BATCH = 2000


class Tasks(pb_grpc.TasksServiceServicer):
    def __init__(self, db: Database, publisher: Publisher):
        self._db, self._publisher = db, publisher

    def ListTasks(self, request, context):
        user_id = get_caller(context).user_id
        filters = {
            "status": _STATUS.get(request.state, ""),
            "worker_name": request.worker_name,
            "task_name": request.task_name,
            "analysis_id": request.analysis_id.lower(),
        }
        filters = {name: value for name, value in filters.items() if value}
        marks = (user_id, *filters.items())
        size = pages.size(request.page_size)
        after = pages.cursor(request.page_token, (datetime.fromisoformat, int), *marks)
        with self._db.reading() as tx:
            rows = store.list_tasks(tx, user_id, filters, after, size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = pages.token([last.created_at.isoformat(), last.id], *marks)
        return pb.ListTasksResponse(tasks=[_task(row) for row in rows[:size]], next_page_token=token)

    def GetTask(self, request, context):
        with self._db.reading() as tx:
            return pb.GetTaskResponse(task=_task(_get_task(tx, context, request.task_id)))

    def ListTaskEvents(self, request, context):
        with self._db.reading() as tx:
            task = _get_task(tx, context, request.task_id)
            rows = store.list_events(tx, request.task_id)
        known = [
            states.Event(row.task_id, row.attempt, row.event_type, row.timestamp, **row.event_data) for row in rows
        ]
        events = [
            pb.TaskEvent(
                type=_EVENT_TYPE[event.event_type],
                event_time=event.timestamp,
                attempt=event.attempt,
                worker_name=event.worker_name,
                error=event.error,
            )
            for event in states.earliest([*known, *states.own_events(task)])
        ]
        return pb.ListTaskEventsResponse(events=events)

    def ListDeadLetters(self, request, context):
        rows, token = _list_dead(self._db, request, get_caller(context).user_id)
        return pb.ListDeadLettersResponse(dead_letters=map(_dead_letter, rows), next_page_token=token)

    def ReplayDeadLetters(self, request, context):
        user_id = get_caller(context).user_id
        rows, remaining = _replay(self._db, self._publisher, request, f"user:{user_id}", user_id)
        return pb.ReplayDeadLettersResponse(dead_letters=map(_dead_letter, rows), remaining_count=remaining)


class TasksInternal(internal_pb2_grpc.TasksInternalServiceServicer):
    def __init__(self, db: Database, publisher: Publisher):
        self._db, self._publisher = db, publisher

    def SyncTasks(self, request, context):
        records = [_record(task, f"tasks[{index}]") for index, task in enumerate(request.tasks)]
        merged, events = states.furthest(records), states.history(records)
        with self._db.writing() as tx:
            erased = tombstones.find_buried(tx, {task.user_id for task in request.tasks if task.user_id})
            if erased:
                pairs = zip(request.tasks, records, strict=True)
                records = [record for task, record in pairs if task.user_id.lower() not in erased]
                merged, events = states.furthest(records), states.history(records)
            changed = store.sync_tasks(tx, merged)
            store.sync_events(tx, events)
        return internal_pb2.SyncTasksResponse(changed=changed)

    def ListAnyDeadLetters(self, request, context):
        rows, token = _list_dead(self._db, request.list)
        return internal_pb2.ListAnyDeadLettersResponse(dead_letters=map(_whole, rows), next_page_token=token)

    def ReplayAnyDeadLetters(self, request, context):
        rows, remaining = _replay(self._db, self._publisher, request.replay, f"operator:{request.operator}")
        return internal_pb2.ReplayAnyDeadLettersResponse(dead_letters=map(_whole, rows), remaining_count=remaining)

    def EraseUser(self, request, context):
        user_id, more = UUID(request.user_id), True
        with self._db.writing() as tx:
            tombstones.bury(tx, user_id)
        while more:
            with self._db.writing() as tx:
                more = store.delete_tasks(tx, user_id, ERASE_BATCH)
                removed = tombstones.count_removed(tx, user_id, more)
        with self._db.writing() as tx:
            removed = tombstones.count_removed(tx, user_id, dead_store.delete_dead_letters(tx, user_id))
        return internal_pb2.EraseUserResponse(removed_count=removed)


def _get_task(tx, context, task_id: str):
    """The row of a task of the caller's. Fails with NOT_FOUND (TASK_NOT_FOUND)."""
    row = store.find_task(tx, get_caller(context).user_id, task_id)
    if row is None:
        raise NotFound("no such task", reason="TASK_NOT_FOUND", task_id=task_id)
    return row


def _task(row) -> pb.Task:
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


def _list_dead(db: Database, request: pb.ListDeadLettersRequest, user_id: UUID | None = None):
    """The rows of a page of dead letters, everybody's without a user, and the token of the next page."""
    filters, waiting = _dead_filters(request, user_id), not request.show_replayed
    size, marks = pages.size(request.page_size), (waiting, *filters.items())
    (before,) = pages.cursor(request.page_token, (UUID,), *marks) or [None]
    with db.reading() as connection:
        rows = dead_store.list_dead_letters(connection, filters, waiting, before, size + 1)
    more = pages.token([str(rows[size - 1].id)], *marks) if len(rows) > size else ""
    return rows[:size], more


def _replay(
    db: Database, publisher: Publisher, request: pb.ReplayDeadLettersRequest, by: str, user_id: UUID | None = None
):
    """The rows that were replayed, or would be, and how many more match."""
    filters, most = _dead_filters(request, user_id), pages.size(request.max_count)
    if not request.dry_run:
        return replay.replay(db, publisher, filters, most, by)
    with db.reading() as connection:
        rows = dead_store.find_waiting(connection, filters, most, lock=False)
        return rows, max(0, dead_store.count_waiting(connection, filters) - len(rows))


def _dead_filters(request, user_id: UUID | None) -> dict:
    """As dead_store takes them. request: a list or replay of dead letters; both name their filters alike."""
    filters = {
        "user_id": user_id,
        "task_id": request.task_id,
        "queue": request.queue,
        "reason": request.reason,
        "died_before": _time(request, "before_time", ""),
    }
    return {name: value for name, value in filters.items() if value}


def _whole(row) -> pb.DeadLetter:
    letter = _dead_letter(row)
    letter.stack, letter.payload = row.stack, row.payload
    return letter


def _dead_letter(row) -> pb.DeadLetter:
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


def _record(task: pb.Task, path: str) -> states.Record:
    """path: of the task in the request, for errors."""
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


def _time(message, field: str, path: str) -> datetime | None:
    if not message.HasField(field):
        return None
    try:
        return getattr(message, field).ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise _no_time(path, field) from None


def _no_time(path: str, field: str) -> InvalidArgument:
    return invalid(f"{path}.{field}".lstrip("."), "is not a time between the years 1 and 9999")
