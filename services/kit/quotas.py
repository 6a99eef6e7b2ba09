"""How much one user may have of a thing, exact however many requests come at once.

Whoever makes one takes the user's lock, makes it, counts, and has the count checked in the same transaction: a refusal
undoes what was made. A count that is one row's is exact without the lock.
"""

from __future__ import annotations

import sqlalchemy as sa

from services.kit.errors import ResourceExhausted

# Advisory locks are the database's, and each schema has its own users.
_LOCK = sa.text("""
    SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || id, 0)) FROM unnest(CAST(:ids AS text[])) AS id
""")


class Most(int):
    """A limit as a setting: at least one."""

    def __new__(cls, given: str | int) -> Most:
        made = super().__new__(cls, given)
        if made < 1:
            raise ValueError("must be at least 1")
        return made


def lock(tx: sa.Connection, *user_ids: object) -> None:
    """Until the transaction ends nobody else of this schema passes here for one of these users."""
    # In one order, so that two who want several of them cannot wait for each other in a circle.
    tx.execute(_LOCK, {"ids": sorted({str(each).lower() for each in user_ids})})


def check(count: int, most: int, things: str, reason: str, retry_after_s: float | None = None) -> None:
    """Fails with ResourceExhausted (`reason`, and `most` in its metadata) when `count`, with the new one, is too many.

    things: what they are, in the plural. retry_after_s: when there is room again by itself; not above 0 where that is
    late, and the caller is told to wait a second.
    """
    if count > most:
        said = f"there may be no more than {most} {things}"
        soonest_s = None if retry_after_s is None else max(1.0, retry_after_s)
        raise ResourceExhausted(said, reason=reason, retry_after_s=soonest_s, most=most)
