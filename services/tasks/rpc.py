"""TasksService for people, TasksInternalService for workers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc
from eco2.tasks.v1 import tasks_pb2 as pb
from eco2.tasks.v1 import tasks_pb2_grpc as pb_grpc

from services.kit import pages, tombstones
from services.kit.broker import Publisher
from services.kit.caller import get_caller
from services.kit.database import Database
from services.kit.errors import NotFound
from services.tasks import dead_store, messages, replay, states, store

# Rows that one statement deletes, with a history each: far below the role's statement_timeout.
ERASE_BATCH = 2000


class Tasks(pb_grpc.TasksServiceServicer):
    def __init__(self, db: Database, publisher: Publisher):
        self._db, self._publisher = db, publisher

    def ListTasks(self, request, context):
        user_id, filters = get_caller(context).user_id, messages.task_filters(request)
        marks = (user_id, *filters.items())
        size = pages.size(request.page_size)
        after = pages.cursor(request.page_token, (datetime.fromisoformat, int), *marks)
        with self._db.reading() as tx:
            rows = store.list_tasks(tx, user_id, filters, after, size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1]
            token = pages.token([last.created_at.isoformat(), last.id], *marks)
        return pb.ListTasksResponse(tasks=map(messages.task, rows[:size]), next_page_token=token)

    def GetTask(self, request, context):
        with self._db.reading() as tx:
            return pb.GetTaskResponse(task=messages.task(_get_task(tx, context, request.task_id)))

    def ListTaskEvents(self, request, context):
        with self._db.reading() as tx:
            task = _get_task(tx, context, request.task_id)
            rows = store.list_events(tx, request.task_id)
        known = [
            states.Event(row.task_id, row.attempt, row.event_type, row.timestamp, **row.event_data) for row in rows
        ]
        events = states.earliest([*known, *states.own_events(task)])
        return pb.ListTaskEventsResponse(events=map(messages.event, events))

    def GetStatistics(self, request, context):
        rows = _count_tasks(self._db, request, get_caller(context).user_id)
        return pb.GetStatisticsResponse(statistics=map(messages.statistics, rows))

    def ListDeadLetters(self, request, context):
        rows, token = _list_dead(self._db, request, get_caller(context).user_id)
        return pb.ListDeadLettersResponse(dead_letters=map(messages.dead_letter, rows), next_page_token=token)

    def GetDeadLetter(self, request, context):
        row = _get_dead(self._db, UUID(request.dead_letter_id), get_caller(context).user_id)
        return pb.GetDeadLetterResponse(dead_letter=messages.dead_letter(row))

    def ReplayDeadLetters(self, request, context):
        user_id = get_caller(context).user_id
        rows, remaining = _replay(self._db, self._publisher, request, f"user:{user_id}", user_id)
        return pb.ReplayDeadLettersResponse(dead_letters=map(messages.dead_letter, rows), remaining_count=remaining)


class TasksInternal(internal_pb2_grpc.TasksInternalServiceServicer):
    def __init__(self, db: Database, publisher: Publisher):
        self._db, self._publisher = db, publisher

    def SyncTasks(self, request, context):
        records = [messages.record(task, f"tasks[{index}]") for index, task in enumerate(request.tasks)]
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
        return internal_pb2.ListAnyDeadLettersResponse(dead_letters=map(messages.whole, rows), next_page_token=token)

    def GetAnyStatistics(self, request, context):
        rows = _count_tasks(self._db, request.get)
        return internal_pb2.GetAnyStatisticsResponse(statistics=map(messages.statistics, rows))

    def GetAnyDeadLetter(self, request, context):
        row = _get_dead(self._db, UUID(request.dead_letter_id))
        return internal_pb2.GetAnyDeadLetterResponse(dead_letter=messages.whole(row))

    def ReplayAnyDeadLetters(self, request, context):
        rows, remaining = _replay(self._db, self._publisher, request.replay, f"operator:{request.operator}")
        return internal_pb2.ReplayAnyDeadLettersResponse(
            dead_letters=map(messages.whole, rows), remaining_count=remaining
        )

    def EraseUser(self, request, context):
        user_id, removed = UUID(request.user_id), ERASE_BATCH
        with self._db.writing() as tx:
            tombstones.bury(tx, user_id)
        while removed == ERASE_BATCH:
            with self._db.writing() as tx:
                removed = store.delete_tasks(tx, user_id, ERASE_BATCH)
                tombstones.count_removed(tx, user_id, removed)
        with self._db.writing() as tx:
            removed = tombstones.count_removed(tx, user_id, dead_store.delete_dead_letters(tx, user_id))
        return internal_pb2.EraseUserResponse(removed_count=removed)


def _get_task(tx, context, task_id: str):
    """The row of a task of the caller's. Fails with NOT_FOUND (TASK_NOT_FOUND)."""
    row = store.find_task(tx, get_caller(context).user_id, task_id)
    if row is None:
        raise NotFound("no such task", reason="TASK_NOT_FOUND", task_id=task_id)
    return row


def _count_tasks(db: Database, request: pb.GetStatisticsRequest, user_id: UUID | None = None):
    """The rows of store.count_tasks, of everybody's tasks without a user."""
    filters = messages.task_filters(request)
    with db.reading() as connection:
        return store.count_tasks(connection, user_id, filters)


def _get_dead(db: Database, dead_letter_id: UUID, user_id: UUID | None = None):
    """The row of a dead letter, anybody's without a user. Fails with NOT_FOUND (DEAD_LETTER_NOT_FOUND)."""
    with db.reading() as connection:
        row = dead_store.find_dead_letter(connection, dead_letter_id)
    if row is None or user_id not in (None, row.user_id):
        raise NotFound("no such dead letter", reason="DEAD_LETTER_NOT_FOUND", dead_letter_id=dead_letter_id)
    return row


def _list_dead(db: Database, request: pb.ListDeadLettersRequest, user_id: UUID | None = None):
    """The rows of a page of dead letters, everybody's without a user, and the token of the next page."""
    filters, waiting = messages.dead_filters(request, user_id), not request.show_replayed
    size, marks = pages.size(request.page_size), (waiting, *filters.items())
    (before,) = pages.cursor(request.page_token, (UUID,), *marks) or [None]
    with db.reading() as connection:
        rows = dead_store.list_dead_letters(connection, filters, waiting, before, size + 1)
    more = pages.token([str(rows[size - 1].id)], *marks) if len(rows) > size else ""
    return rows[:size], more


def _replay(
    db: Database, publisher: Publisher, request: pb.ReplayDeadLettersRequest, by: str, user_id: UUID | None = None
):
    """The rows that were replayed, or would be, and how many more match.

    Fails with NOT_FOUND (DEAD_LETTER_NOT_FOUND) where one is named that is not there, or is somebody else's.
    """
    if request.dead_letter_id:
        _get_dead(db, UUID(request.dead_letter_id), user_id)
    filters, most = messages.dead_filters(request, user_id), pages.size(request.max_count)
    if not request.dry_run:
        return replay.replay(db, publisher, filters, most, by)
    with db.reading() as connection:
        rows = dead_store.find_waiting(connection, filters, most, lock=False)
        return rows, max(0, dead_store.count_waiting(connection, filters) - len(rows))
