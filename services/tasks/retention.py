"""Forgetting what is old: tasks with their history, and dead letters, each after its own term."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from services.kit.database import Database
from services.tasks import dead_store, store

log = logging.getLogger(__name__)

# How often it looks, and how many rows of a kind one transaction deletes: far below the role's statement_timeout.
PERIOD_S, BATCH = 600.0, 1000


class Days(int):
    """A term of at least one day."""

    def __new__(cls, value: int | str) -> Days:
        days = super().__new__(cls, value)
        if days < 1:
            raise ValueError(f"must be at least 1, not {days}")
        return days


TASK_DAYS, DEAD_LETTER_DAYS = Days(90), Days(180)


class Retention:
    """task_days: how long a task is kept after its end, or after the last word of it when it never ended.
    dead_letter_days: how long a dead letter is kept after its death or its replay. now: the time, with its zone.

    The terms must be longer than a worker's journal lives: a task that one tells of later would be there again.
    """

    def __init__(self, database: Database, task_days: Days, dead_letter_days: Days, now: Callable[[], datetime]):
        self._database, self._now = database, now
        self._task_term, self._dead_term = timedelta(days=task_days), timedelta(days=dead_letter_days)

    def sweep(self) -> bool:
        """One batch; True when there may be more."""
        now = self._now()
        with self._database.writing() as tx:
            tasks = store.delete_old_tasks(tx, now - self._task_term, BATCH)
            dead = dead_store.delete_old_dead_letters(tx, now - self._dead_term, BATCH)
        if tasks or dead:
            log.info("forgot %d tasks and %d dead letters", tasks, dead)
        return max(tasks, dead) >= BATCH
