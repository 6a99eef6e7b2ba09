"""Erasing a person in every domain: who does it is listed, what is done stands in the database.

    DeleteAccount ──► erasure, a step for each domain ──► each erases ──► all have, calls under way have ended
                                                                      ──► each erases again ──► complete

A step is one idempotent rpc, made while its row is locked. A process that dies lets go of the row at once, and any
replica takes the step again. What fails is tried again, at growing intervals, for as long as it takes; it holds
up other domains for STEP_S at most. The second round finds what calls wrote that were under way in the first.
"""

from __future__ import annotations

import importlib
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from services.kit import tombstones
from services.kit.channel import connect
from services.kit.database import Database
from services.kit.errors import Fault
from services.users import erasure_store as store

log = logging.getLogger(__name__)

# Below the login role's idle_in_transaction_session_timeout: the step's row stays locked meanwhile. A domain that needs
# longer goes on, and is asked again.
STEP_S = 6.0
# How long the person's own call may take part.
AT_ONCE_S = 4.0
LONGEST_PAUSE_S = 60.0

# Removes all of a user, within so many seconds, and returns how much it was.
Erase = Callable[[UUID, float], int]


class Targets(dict[str, str]):
    """Domain → host:port, in the order in which they are asked; written `auth=127.0.0.1:5001,waste=…`."""

    def __init__(self, text: str):
        """Fails with ValueError."""
        for pair in text.split(","):
            domain, _, target = pair.strip().partition("=")
            if not domain or ":" not in target or domain in self:
                raise ValueError(f"{pair.strip()!r} is not domain=host:port, or comes twice")
            self[domain] = target


def sibling(domain: str, target: str) -> Erase:
    """EraseUser of a domain, which each has in its own package. Fails with ImportError for a domain we do not know."""
    messages = importlib.import_module(f"eco2.{domain}.v1.internal_pb2")
    services = importlib.import_module(f"eco2.{domain}.v1.internal_pb2_grpc")
    name = "".join(word.capitalize() for word in domain.split("_"))
    stub = getattr(services, f"{name}InternalServiceStub")(connect(target, timeout_s=STEP_S))
    return lambda user_id, timeout_s: (
        stub.EraseUser(messages.EraseUserRequest(user_id=str(user_id)), timeout=timeout_s).removed_count
    )


class Eraser:
    """domains: in the order in which they erase. settle_s: longer than a call that was under way when the last of them
    had erased may go on. now: the time, with its zone."""

    def __init__(self, database: Database, domains: Mapping[str, Erase], settle_s: float, now: Callable[[], datetime]):
        self._database, self._domains, self._now = database, dict(domains), now
        self._settle = timedelta(seconds=settle_s)
        # Whether domains that are new take part in what was running at the start.
        self._adopted = False

    def begin(self, user_id: UUID, erasure_id: UUID | None) -> UUID:
        """The erasure of this user, which may be running already. Fails with AlreadyExists (REQUEST_ID_REUSED)."""
        now = self._now()
        with self._database.writing() as tx:
            tombstones.bury(tx, user_id)
            running = store.find_running(tx, user_id)
            if running is None:
                running = erasure_id or uuid.uuid4()
                store.create_erasure(tx, running, user_id, now)
                # Others wait until whoever asks has had a go (`hurry`), or has died.
                store.sync_steps(tx, list(self._domains), now + timedelta(seconds=AT_ONCE_S + STEP_S), running)
        return running

    def hurry(self, erasure_id: UUID) -> None:
        """Do at once what can be done at once."""
        until = time.monotonic() + AT_ONCE_S
        while (left := until - time.monotonic()) > 0.1 and self._step(min(left, STEP_S), erasure_id):
            pass

    def advance(self) -> bool:
        """Take one step that is due; False when there is none."""
        if not self._adopted:
            with self._database.writing() as tx:
                store.sync_steps(tx, list(self._domains), self._now())
            self._adopted = True
        return self._step(STEP_S)

    def _step(self, timeout_s: float, only: UUID | None = None) -> bool:
        now = self._now()
        with self._database.writing() as tx:
            step = store.claim_step(tx, list(self._domains), now, now - self._settle, only)
            if step is None:
                return False
            try:
                removed = self._domains[step.domain](step.user_id, timeout_s)
            except Fault as fault:
                pause_s = min(0.5 * 2 ** min(step.failures, 10), LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)
                store.update_failed(tx, step.erasure_id, step.domain, self._now() + timedelta(seconds=pause_s))
                log.warning("%s has not erased for %s: %s", step.domain, step.erasure_id, fault.message)
            else:
                store.update_done(tx, step.erasure_id, step.domain, removed, self._now())
        return True
