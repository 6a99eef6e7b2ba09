"""The statements on the public halves of the keys that sign."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

_keys = sa.table(
    "signing_keys",
    sa.column("kid"),
    sa.column("jwk", postgresql.JSONB),
    sa.column("created_at"),
    sa.column("seen_at"),
)

_insert = postgresql.insert(_keys)
_SYNC_KEYS = _insert.on_conflict_do_update(
    index_elements=["kid"],
    set_={"seen_at": _insert.excluded.seen_at},
    # Most of the time there is nothing to write.
    where=_keys.c.seen_at < sa.bindparam("stale"),
)
_LIST_KEYS = (
    sa.select(_keys.c.kid, _keys.c.jwk, _keys.c.created_at)
    .where(_keys.c.seen_at > sa.bindparam("since"))
    .order_by(_keys.c.created_at, _keys.c.kid)
)


def sync_keys(tx: sa.Connection, keys: list[tuple[str, dict]], now: datetime, stale: datetime) -> None:
    """Say that these (kid, public JWK) are in use; said again for those last seen before `stale`."""
    for kid, jwk in keys:
        row = {"kid": kid, "jwk": jwk, "created_at": now, "seen_at": now}
        tx.execute(_SYNC_KEYS, row | {"stale": stale})


def list_keys(tx: sa.Connection, since: datetime) -> list[sa.Row]:
    """kid, jwk and created_at of the keys in use since, the oldest first."""
    return list(tx.execute(_LIST_KEYS, {"since": since}))
