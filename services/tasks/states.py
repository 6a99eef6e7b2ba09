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
`store.sync_tasks` does the same in SQL.

A record is a dict with the columns of task_results that a worker knows, plus `ended_at`: when the attempt ended, or on
a retry the attempt before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

PENDING, RUNNING, FAILURE, SUCCESS = ORDER = ("pending", "running", "failure", "success")
ENDED = (FAILURE, SUCCESS)
QUEUED, STARTED, COMPLETED, FAILED = EVENTS = ("queued", "started", "completed", "failed")

Record = dict[str, Any]

_NEVER = datetime.max.replace(tzinfo=UTC)


def further(one: Record, other: Record) -> bool:
    """Whether `one` says more than `other`."""
    return (*_standing(one), _settled(other)) > (*_standing(other), _settled(one))


def merge(one: Record, other: Record) -> Record:
    """The record that says more, with what only the other knew: who asked, and when the task was made and begun."""
    best = one if further(one, other) else other
    return best | {
        "user_id": one["user_id"] or other["user_id"],
        "created_at": min(one["created_at"], other["created_at"]),
        "started_at": min(filter(None, (one["started_at"], other["started_at"])), default=None),
    }


def furthest(records: Iterable[Record]) -> list[Record]:
    """One record a task, sorted by task_id."""
    merged: dict[str, Record] = {}
    for record in records:
        known = merged.get(record["task_id"])
        merged[record["task_id"]] = merge(known, record) if known else record
    return [merged[task_id] for task_id in sorted(merged)]


def history(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The events that all the records tell, sorted; of one told twice the earlier."""
    events: dict[tuple, dict[str, Any]] = {}
    for record in records:
        for attempt, event_type, timestamp, error in _events(record):
            key = (record["task_id"], attempt, event_type)
            if key not in events or timestamp < events[key]["timestamp"]:
                events[key] = {
                    "task_id": record["task_id"],
                    "attempt": attempt,
                    "event_type": event_type,
                    "timestamp": timestamp,
                    "worker_name": record["worker_name"],
                    "error": error,
                }
    return [events[key] for key in sorted(events)]


def _standing(record: Record) -> tuple[bool, int, int]:
    return record["status"] == SUCCESS, record["attempt"], ORDER.index(record["status"])


def _settled(record: Record) -> datetime:
    return record["completed_at"] or record["next_attempt_at"] or _NEVER


def _events(record: Record) -> Iterator[tuple[int, str, datetime, str]]:
    """(attempt, type, time, error) each."""
    status, attempt, ended_at = record["status"], record["attempt"], record["ended_at"]
    yield 1, QUEUED, record["created_at"], ""
    if attempt > 1 and status not in ENDED:
        # Often the retry is all that a worker tells of a failed attempt; it failed then at the latest.
        failed_at = ended_at or record["next_attempt_at"] or record["started_at"] or record["created_at"]
        yield attempt - 1, FAILED, failed_at, record["error"]
        yield attempt, QUEUED, failed_at, ""
    if status != PENDING and record["started_at"]:
        yield attempt, STARTED, record["started_at"], ""
    if status == SUCCESS:
        yield attempt, COMPLETED, ended_at, ""
    elif status == FAILURE:
        yield attempt, FAILED, ended_at, record["error"]
