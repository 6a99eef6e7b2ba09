"""What people asked, kept for themselves and for better rules. Asking never waits for it, nor fails with it."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuids

from services.kit import quotas, tombstones
from services.kit.database import Database
from services.kit.errors import Fault
from services.recycle_info import query_store

log = logging.getLogger(__name__)

# How many wait while the database is away, and how many one transaction writes or deletes.
ROOM, BATCH = 10_000, 500
WRITE_PERIOD_S, FORGET_PERIOD_S = 60.0, 600.0


class Queries:
    """wake: called when there is something to write. now: the time, with its zone. days: how long one is kept. most:
    how many of one user are kept, the newest."""

    def __init__(self, database: Database, now: Callable[[], datetime], days: int, most: int, wake: Callable[[], None]):
        if days < 1:
            raise ValueError("a term is at least one day")
        self._database, self._now, self._wake = database, now, wake
        self._term, self._most = timedelta(days=days), most
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(ROOM)
        self._batch: list[dict[str, Any]] = []

    def keep(self, user_id: UUID, question: str, result: Mapping[str, Any]) -> None:
        """To be written soon. When too many wait already it is dropped, and the log says so."""
        now = self._now()
        row = {"id": str(uuids.uuid7()), "user_id": str(user_id), "query": question.replace("\0", " ")}
        try:
            self._waiting.put_nowait({**row, "result": dict(result), "created_at": now.isoformat()})
        except queue.Full:
            log.warning("a question is not kept: %d wait for the database", ROOM)
        self._wake()

    def write(self) -> bool:
        """One batch, which stays for the next time when the database does not take it; True when there may be more."""
        while len(self._batch) < BATCH and not self._waiting.empty():
            self._batch.append(self._waiting.get_nowait())
        if not self._batch:
            return False
        with self._database.writing() as tx:
            gone = tombstones.find_buried(tx, {row["user_id"] for row in self._batch})
            rows = [row for row in self._batch if row["user_id"] not in gone]
            users = {row["user_id"] for row in rows}
            quotas.lock(tx, *users)
            query_store.create_queries(tx, rows)
            query_store.delete_beyond(tx, users, self._most)
        self._batch = []
        return not self._waiting.empty()

    def close(self) -> None:
        """Write what still waits; what the database does not take now is lost, and the log says so."""
        try:
            while self.write():
                pass
        except Fault as fault:
            log.warning("%d questions are not kept: %s", len(self._batch) + self._waiting.qsize(), fault.message)

    def forget(self) -> bool:
        """Delete a batch of those past their term; True when there may be more."""
        with self._database.writing() as tx:
            return query_store.delete_old(tx, self._now() - self._term, BATCH) >= BATCH
