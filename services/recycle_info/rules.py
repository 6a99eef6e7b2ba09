"""The rules in force, in a process that runs: those that ship, or those that were imported."""

from __future__ import annotations

import hashlib
import json
import logging

from services.kit.database import Database
from services.recycle_info import corpus, regions, store
from services.recycle_info.catalogue import Catalogue, documents, item_id, rule_id
from services.recycle_info.corpus import Item
from services.recycle_info.meanings import Embedder, Meanings

log = logging.getLogger(__name__)

# A server looks for imports so often.
FOLLOW_S = 2.0


class Rules:
    """`current` is the catalogue in force; it is replaced as a whole, so take it once for each call."""

    def __init__(self, database: Database, embedder: Embedder):
        """Brings the tables up to date with what ships, unless rules were imported."""
        self._database, self._embedder = database, embedder
        with database.writing() as tx:
            store.lock_rules(tx)
            if store.find_import_time(tx) is None:
                store.sync_items(tx, rows(corpus.load()))
        self.current = self._read()

    def refresh(self) -> bool:
        """Follow imports, without a restart; there is never more to do."""
        with self._database.reading() as connection:
            imported_at = store.find_import_time(connection)
        if imported_at != self._imported_at:
            self.current = self._read()
            log.info("%d rules are in force", len(self.current.items))
        return False

    def _read(self) -> Catalogue:
        with self._database.reading() as connection:
            # First, so that what is imported meanwhile is only read again.
            self._imported_at = store.find_import_time(connection)
            imported = store.find_import(connection)
            items = {item["key"]: item for _, _, item in store.list_all(connection)}
        if imported and imported.shipped != shipped_version():
            log.warning("imported rules are in force, and those that ship have changed: see import_rules --status")
        overrides = imported.overrides if imported else regions.load()
        return Catalogue(items, Meanings.load(documents(items), self._embedder), overrides)


def shipped_version() -> str:
    """Of the rules that ship with this release: another as soon as one of them says something else."""
    content = json.dumps([corpus.load(), regions.load()], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def rows(items: dict[str, Item]) -> list[store.Row]:
    return [(item_id(key), rule_id(key), item) for key, item in items.items()]
