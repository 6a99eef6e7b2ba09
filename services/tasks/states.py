"""The states of a task, which of two records of it says more, and what a record tells of its history.

                 ┌───────────────────────────────┐  a retry: attempt + 1
                 ▼                               │
    ──► PENDING ──► RUNNING ──► FAILURE ─────────┤
                       │                         │
                       ├─────────────────────────┘
                       └──► SUCCESS    final

Records of one task come from several workers, late, twice and in any order. Merging them is commutative, associative
and idempotent, so any delivery of the same records ends in the same row: SUCCESS beats everything else, then the
higher attempt, then the later state; of two equal ones, such as two workers that both failed, the earlier wins.
A worker that fails for good says so with an attempt no lower than any that others may have told of before they died
(workers/intake.py), so that a task never looks as if it ran for ever.
`store.sync_tasks` does the same in SQL.

task_history keeps the events that a row of task_results cannot tell. The row of a task that succeeded at its first
attempt, as nearly all do, tells them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

PENDING, RUNNING, FAILURE, SUCCESS = ORDER = ("pending", "running", "failure", "success")
ENDED = (FAILURE, SUCCESS)
QUEUED, STARTED, COMPLETED, FAILED = EVENTS = ("queued", "started", "completed", "failed")

_NEVER = float("inf")


class Record(NamedTuple):
    """What a worker knows of a task: columns of task_results, and when the attempt ended, or on a retry the one before.

    user_id: a UUID. result: JSON. Times are microseconds since 1970.
    """

    task_id: str
    task_name: str
    worker_name: str
    status: str
    attempt: int
    user_id: str | None
    result: str | None
    error: str
    created_at: int
    started_at: int | None
    completed_at: int | None
    next_attempt_at: int | None
    ended_at: int | None


class Event(NamedTuple):
    """timestamp: microseconds since 1970, as in a record."""

    task_id: str
    attempt: int
    event_type: str
    timestamp: Any
    worker_name: str
    error: str


def further(one: Record, other: Record) -> bool:
    """Whether `one` says more than `other`."""
    return (*_standing(one), _settled(other)) > (*_standing(other), _settled(one))


def merge(one: Record, other: Record) -> Record:
    """The record that says more, with what only the other knew: who asked, and when the task was made and begun."""
    best = one if further(one, other) else other
    return best._replace(
        user_id=one.user_id or other.user_id,
        created_at=min(one.created_at, other.created_at),
        started_at=min(filter(None, (one.started_at, other.started_at)), default=None),
    )


def furthest(records: Iterable[Record]) -> list[Record]:
    """One record a task, sorted by task_id."""
    merged: dict[str, Record] = {}
    for record in records:
        known = merged.get(record.task_id)
        merged[record.task_id] = merge(known, record) if known else record
    return [merged[task_id] for task_id in sorted(merged)]


def history(records: Iterable[Record]) -> list[Event]:
    """The events that the records tell and the row will not, sorted; of one told twice the earlier."""
    return earliest(event for record in records if not _tells_all(record) for event in _events(record))


def own_events(row) -> list[Event]:
    """The events that a row of task_results tells by itself."""
    if not _tells_all(row):
        return []
    times = (QUEUED, row.created_at), (STARTED, row.started_at), (COMPLETED, row.completed_at)
    return [Event(row.task_id, 1, kind, time, row.worker_name, "") for kind, time in times if time]


def earliest(events: Iterable[Event]) -> list[Event]:
    """Each attempt's event of a type once, the earlier of two; sorted as they happen."""
    found: dict[tuple[str, int, int], Event] = {}
    for event in events:
        key = (event.task_id, event.attempt, EVENTS.index(event.event_type))
        if key not in found or event.timestamp < found[key].timestamp:
            found[key] = event
    return [found[key] for key in sorted(found)]


def _tells_all(known) -> bool:
    """known: a record, or its row. Of a later success the row no longer tells when its attempt began."""
    return known.status == SUCCESS and known.attempt == 1


def _standing(record: Record) -> tuple[bool, int, int]:
    return record.status == SUCCESS, record.attempt, ORDER.index(record.status)


def _settled(record: Record) -> float:
    return record.completed_at or record.next_attempt_at or _NEVER


def _events(record: Record) -> Iterator[Event]:
    def event(attempt: int, event_type: str, timestamp: int, error: str = "") -> Event:
        return Event(record.task_id, attempt, event_type, timestamp, record.worker_name, error)

    status, attempt, ended_at = record.status, record.attempt, record.ended_at
    yield event(1, QUEUED, record.created_at)
    if attempt > 1 and status not in ENDED:
        # Often the retry is all that a worker tells of a failed attempt; it failed then at the latest.
        failed_at = ended_at or record.next_attempt_at or record.started_at or record.created_at
        yield event(attempt - 1, FAILED, failed_at, record.error)
        yield event(attempt, QUEUED, failed_at)
    if status != PENDING and record.started_at:
        yield event(attempt, STARTED, record.started_at)
    if status == SUCCESS:
        yield event(attempt, COMPLETED, ended_at)
    elif status == FAILURE:
        yield event(attempt, FAILED, ended_at, record.error)
