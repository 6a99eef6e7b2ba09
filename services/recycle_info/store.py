"""Statements of the schema `recycle_info`. A row of an item is (item_id, rule_id, item), item as in corpus.Item."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.errors import NotFound
from services.recycle_info.corpus import Item
from services.recycle_info.regions import Override

Row = tuple[UUID, UUID, Item]

_COLUMNS = (
    "SELECT items.id, rules.id AS rule_id, rules.rule FROM items JOIN recycling_rules rules ON rules.item_id = items.id"
)
_GET = sa.text(f"{_COLUMNS} WHERE items.id = :item_id")
_ALL = sa.text(f"{_COLUMNS} ORDER BY items.name, items.id")
_BY_KEY = sa.text(f"{_COLUMNS} WHERE items.key = ANY(:keys) ORDER BY array_position(:keys, items.key::text)")
_PAGE = sa.text(f"""
    {_COLUMNS}
    WHERE (items.name, items.id) > (:name, :item_id) AND (CAST(:keys AS text[]) IS NULL OR items.key = ANY(:keys))
    ORDER BY items.name, items.id LIMIT :limit
""")
_SYNC = sa.text("""
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(:rows) AS (id uuid, rule_id uuid, item jsonb)
    ), gone AS (
        DELETE FROM items WHERE id NOT IN (SELECT id FROM given)
    ), kept AS (
        INSERT INTO items (id, key, name, material, category, category_middle, description, how_to_recycle, do_not_do)
        SELECT id, item ->> 'key', item ->> 'name_ko', item ->> 'material', item ->> 'category_major',
            item ->> 'category_middle', item ->> 'description_ko', item -> 'steps_ko', item -> 'do_not_ko'
        FROM given ORDER BY id
        ON CONFLICT (id) DO UPDATE SET key = excluded.key, name = excluded.name, material = excluded.material,
            category = excluded.category, category_middle = excluded.category_middle,
            description = excluded.description, how_to_recycle = excluded.how_to_recycle,
            do_not_do = excluded.do_not_do
    )
    INSERT INTO recycling_rules (id, item_id, rule, source_url, regional)
    SELECT rule_id, id, item, item ->> 'source_url', (item ->> 'regional')::boolean FROM given ORDER BY id
    ON CONFLICT (id) DO UPDATE SET item_id = excluded.item_id, rule = excluded.rule,
        source_url = excluded.source_url, regional = excluded.regional
""").bindparams(sa.bindparam("rows", type_=JSONB))
_SYNC_IMPORT = sa.text("""
    WITH gone AS (DELETE FROM rule_imports WHERE CAST(:overrides AS jsonb) IS NULL)
    INSERT INTO rule_imports (overrides, imported_by, shipped) SELECT CAST(:overrides AS jsonb), :imported_by, :shipped
    WHERE CAST(:overrides AS jsonb) IS NOT NULL
    ON CONFLICT (only_one) DO UPDATE
    SET overrides = excluded.overrides, imported_by = excluded.imported_by, imported_at = excluded.imported_at,
        shipped = excluded.shipped
""").bindparams(sa.bindparam("overrides", type_=JSONB(none_as_null=True)))
_FIND_IMPORT = sa.text("SELECT overrides, imported_by, imported_at, shipped FROM rule_imports")
_FIND_IMPORT_TIME = sa.text("SELECT imported_at FROM rule_imports")
# The table's own number.
_LOCK_RULES = sa.text("SELECT pg_advisory_xact_lock(CAST('rule_imports'::regclass::oid AS bigint))")


def sync_items(tx: sa.Connection, rows: Iterable[Row]) -> None:
    """Make the tables hold exactly these items. Idempotent."""
    given = [{"id": str(item_id), "rule_id": str(rule_id), "item": item} for item_id, rule_id, item in rows]
    tx.execute(_SYNC, {"rows": given})


def sync_import(tx: sa.Connection, overrides: list[Override] | None, imported_by: str, shipped: str) -> None:
    """The items in the tables are imported ones, with these overrides; or the shipped ones when None. shipped: version
    of the shipped rules below them, or empty."""
    tx.execute(_SYNC_IMPORT, {"overrides": overrides, "imported_by": imported_by, "shipped": shipped})


def find_import(connection: sa.Connection) -> sa.Row | None:
    """Of imported rules (overrides, imported_by, imported_at, shipped); None when the rules are those that ship."""
    return connection.execute(_FIND_IMPORT).one_or_none()


def find_import_time(connection: sa.Connection) -> datetime | None:
    """When the rules were imported that hold; None when they are those that ship."""
    return connection.execute(_FIND_IMPORT_TIME).scalar_one_or_none()


def lock_rules(tx: sa.Connection) -> None:
    """Until the end of the transaction nobody else changes the rules."""
    tx.execute(_LOCK_RULES)


def get_item(connection: sa.Connection, item_id: UUID) -> Row:
    """Fails with NotFound (ITEM_NOT_FOUND)."""
    row = connection.execute(_GET, {"item_id": item_id}).one_or_none()
    if row is None:
        raise NotFound("no such item", reason="ITEM_NOT_FOUND", item_id=item_id)
    return row


def list_all(connection: sa.Connection) -> list[Row]:
    return connection.execute(_ALL).all()


def list_by_key(connection: sa.Connection, keys: list[str]) -> list[Row]:
    """The items of these keys, in their order; keys without an item are left out."""
    return connection.execute(_BY_KEY, {"keys": keys}).all()


def list_page(connection: sa.Connection, keys: Iterable[str] | None, after: list, limit: int) -> list[Row]:
    """Up to `limit` items after [name, item_id], by name; of these keys, or of all for None."""
    name, item_id = after
    given = None if keys is None else list(keys)
    return connection.execute(_PAGE, {"keys": given, "name": name, "item_id": item_id, "limit": limit}).all()
