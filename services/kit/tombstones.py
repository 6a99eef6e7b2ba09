"""Ids that are gone for good, so that nothing written late brings one back.

A schema that uses this has a table `tombstones (hash bytea PRIMARY KEY, buried_at timestamptz, removed_count bigint)`,
which holds no id, only its SHA-256: an id with 74 random bits is not found again from that. Whoever writes rows of an
id calls `find_buried` or `check_alive` first, in the same transaction; whoever removes them calls `bury` before, in a
transaction of its own. The lock between the two makes this exact: when `bury` has committed, every writer that did not
see it has committed too, so what is removed after that stays removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from uuid import UUID

import sqlalchemy as sa

from services.kit.database import Database
from services.kit.errors import Unauthenticated

# The table's own number, which is another one in each schema.
_LOCK = "CAST('tombstones'::regclass::oid AS bigint)"
_SHARE = sa.text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
# As one text: psycopg takes longer for a list of a thousand than PostgreSQL for all the rest.
_FIND = sa.text("""
    SELECT id FROM unnest(CAST(:ids AS text[])) AS id JOIN tombstones ON hash = sha256(convert_to(id, 'UTF8'))
""")
_EXCLUDE = sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})")
_BURY = sa.text("INSERT INTO tombstones (hash, buried_at) VALUES (:hash, now()) ON CONFLICT (hash) DO NOTHING")
_COUNT = sa.text("""
    UPDATE tombstones SET removed_count = removed_count + :count WHERE hash = :hash RETURNING removed_count
""")


def digest(gone: UUID) -> bytes:
    """What stands for an id in the table."""
    return hashlib.sha256(str(gone).encode()).digest()


def find_buried(tx: sa.Connection, ids: Iterable[UUID | str]) -> set[str]:
    """Those of the ids that are gone, in lower case. None of the others can be buried until this transaction ends."""
    tx.execute(_SHARE)
    # A statement of its own, since it must see what was committed while the lock was waited for.
    found = tx.execute(_FIND, {"ids": "{" + ",".join({str(each).lower() for each in ids}) + "}"})
    return set(found.scalars())


def check_alive(tx: sa.Connection, user_id: UUID) -> None:
    """Fails with Unauthenticated (ACCOUNT_ERASED) when the caller is gone, and the token has outlived the account."""
    if find_buried(tx, [user_id]):
        raise erased()


def erased() -> Unauthenticated:
    return Unauthenticated("this account has been erased", reason="ACCOUNT_ERASED")


def bury(tx: sa.Connection, gone: UUID) -> None:
    """From the end of this transaction on the id is gone; nothing changes when it was before. Keep it short: writers
    wait for it."""
    tx.execute(_EXCLUDE)
    tx.execute(_BURY, {"hash": digest(gone)})


def erase(database: Database, user_id: UUID, delete: Callable[[sa.Connection, UUID], int]) -> int:
    """Bury a user and then delete what there is of them; how much that has been in all. delete: returns how many."""
    with database.writing() as tx:
        bury(tx, user_id)
    with database.writing() as tx:
        return count_removed(tx, user_id, delete(tx, user_id))


def count_removed(tx: sa.Connection, gone: UUID, count: int) -> int:
    """Add to what has been removed of a buried id; the sum so far, also over attempts that were cut off."""
    return tx.execute(_COUNT, {"hash": digest(gone), "count": count}).scalar_one()
