"""Statements of the schema `users` on erasures and their steps, one for each domain.

A step is first erased and, when all are and calls that were under way have ended, confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import exc

from services.kit.database import violated
from services.kit.errors import request_id_reused

_CREATE = sa.text("INSERT INTO erasures (id, user_id, requested_at) VALUES (:id, :user_id, :now)")
_FIND_RUNNING = sa.text("SELECT id FROM erasures WHERE user_id = :user_id")
_FIND = sa.text("SELECT id, requested_at, completed_at FROM erasures WHERE id = :id")
_LIST_STEPS = sa.text("""
    SELECT domain, removed_count, attempts, erased_at, confirmed_at FROM erasure_steps
    WHERE erasure_id = :id ORDER BY position
""")
# Of all that are running: a domain that is new erases too.
_SYNC_STEPS = sa.text("""
    INSERT INTO erasure_steps (erasure_id, domain, position, next_attempt_at)
    SELECT erasures.id, step.domain, step.position, :due
    FROM erasures, unnest(CAST(:domains AS text[])) WITH ORDINALITY AS step (domain, position)
    WHERE completed_at IS NULL AND (CAST(:only AS uuid) IS NULL OR erasures.id = :only)
    ON CONFLICT (erasure_id, domain) DO NOTHING
""")
_CLAIM = """
    SELECT erasure_id, user_id, domain, erased_at, failures
    FROM erasure_steps AS step JOIN erasures ON erasures.id = erasure_id
    WHERE completed_at IS NULL AND confirmed_at IS NULL AND domain = ANY(:domains) AND {due} AND (
        erased_at IS NULL OR CAST(:settled AS timestamptz) >= ALL (
            SELECT coalesce(other.erased_at, 'infinity') FROM erasure_steps AS other
            WHERE other.erasure_id = step.erasure_id
        )
    )
    ORDER BY requested_at, position LIMIT 1 FOR UPDATE OF step SKIP LOCKED
"""
_CLAIM_ANY = sa.text(_CLAIM.format(due="next_attempt_at <= :now"))
# Those that nobody has tried: who asks for the erasure waits for these, and others leave them alone for a moment.
_CLAIM_OF = sa.text(_CLAIM.format(due="erasure_id = :only AND attempts = 0"))
_LOCK = sa.text("SELECT id FROM erasures WHERE id = :id FOR UPDATE")
# A domain counts all that it has removed, or what it has this time; either way the most that it said is true.
_DONE = sa.text("""
    UPDATE erasure_steps SET attempts = attempts + 1, failures = 0, next_attempt_at = :now,
        removed_count = greatest(removed_count, :removed),
        confirmed_at = CASE WHEN erased_at IS NOT NULL THEN CAST(:now AS timestamptz) END,
        erased_at = coalesce(erased_at, :now)
    WHERE erasure_id = :id AND domain = :domain
""")
_FAILED = sa.text("""
    UPDATE erasure_steps SET attempts = attempts + 1, failures = failures + 1, next_attempt_at = :due
    WHERE erasure_id = :id AND domain = :domain
""")
_FINISH = sa.text("""
    UPDATE erasures SET user_id = NULL, completed_at = :now WHERE id = :id AND NOT EXISTS
        (SELECT FROM erasure_steps WHERE erasure_id = :id AND confirmed_at IS NULL)
""")


def create_erasure(tx: sa.Connection, erasure_id: UUID, user_id: UUID, now: datetime) -> None:
    """Fails with AlreadyExists (REQUEST_ID_REUSED) when there is one with this id."""
    try:
        tx.execute(_CREATE, {"id": erasure_id, "user_id": user_id, "now": now})
    except exc.IntegrityError as error:
        if violated(error) != "erasures_pkey":
            raise
        raise request_id_reused() from None


def find_running(tx: sa.Connection, user_id: UUID) -> UUID | None:
    """The erasure of this user that is under way."""
    return tx.execute(_FIND_RUNNING, {"user_id": user_id}).scalar_one_or_none()


def find_erasure(connection: sa.Connection, erasure_id: UUID) -> sa.Row | None:
    """(id, requested_at, completed_at)."""
    return connection.execute(_FIND, {"id": erasure_id}).one_or_none()


def list_steps(connection: sa.Connection, erasure_id: UUID) -> Sequence[sa.Row]:
    """(domain, removed_count, attempts, erased_at, confirmed_at), in their order."""
    return connection.execute(_LIST_STEPS, {"id": erasure_id}).all()


def sync_steps(tx: sa.Connection, domains: Sequence[str], due: datetime, only: UUID | None = None) -> None:
    """Add the steps that are missing, to one erasure or to all that are running."""
    tx.execute(_SYNC_STEPS, {"domains": domains, "due": due, "only": only})


def claim_step(
    tx: sa.Connection, domains: Sequence[str], now: datetime, settled: datetime, only: UUID | None = None
) -> sa.Row | None:
    """A step (erasure_id, user_id, domain, erased_at, failures) that is due, held by this transaction; None when there
    is none, or others hold them. settled: to be confirmed, all steps must have erased before then. only: of this
    erasure, and never tried before."""
    given = {"domains": domains, "now": now, "settled": settled, "only": only}
    return tx.execute(_CLAIM_OF if only else _CLAIM_ANY, given).one_or_none()


def update_done(tx: sa.Connection, erasure_id: UUID, domain: str, removed: int, now: datetime) -> None:
    """The step has erased, or confirmed; with the last one to confirm the erasure is complete and names nobody."""
    given = {"id": erasure_id, "domain": domain, "removed": removed, "now": now}
    # Or two last ones, at the same time, would each see the other undone.
    tx.execute(_LOCK, given)
    tx.execute(_DONE, given)
    tx.execute(_FINISH, given)


def update_failed(tx: sa.Connection, erasure_id: UUID, domain: str, due: datetime) -> None:
    tx.execute(_FAILED, {"id": erasure_id, "domain": domain, "due": due})
