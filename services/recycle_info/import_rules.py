"""Takes other rules than those that ship, without a release: all of them or none.

Usage: python -m services.recycle_info.import_rules FOLDER [--dry-run]
       python -m services.recycle_info.import_rules --shipped [--dry-run]

FOLDER has the files of this package: corpus/*.json, ways.json and regions.json. They must be as sound as `make check`
asks of those that ship; otherwise every problem is printed, by file or by item and field, and nothing changes. What is
imported holds, through later releases too, until the next import or --shipped. A running process goes on with the rules
that it has read; it takes the new ones at its next start. Reads API_RECYCLE_DB_URL.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from dataclasses import dataclass
from pathlib import Path

from services.kit import config
from services.kit.database import Database
from services.recycle_info import corpus, linter, regions, store
from services.recycle_info.catalogue import item_id, rule_id


@dataclass(frozen=True)
class Config:
    api_recycle_db_url: str = config.secret()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m services.recycle_info.import_rules", description=__doc__.partition("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", type=Path)
    what.add_argument("--shipped", action="store_true", help="go back to the rules that ship")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    asked = parser.parse_args(arguments)
    folder = corpus.SHIPPED if asked.shipped else asked.folder
    try:
        items, overrides = corpus.load(folder), regions.load(folder)
    except (OSError, ValueError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    problems = linter.find_all_problems(items, overrides)
    if problems:
        sys.stdout.write("".join(f"{problem}\n" for problem in problems))
        return 1
    database = Database(config.load(Config).api_recycle_db_url)
    try:
        with database.writing() as tx:
            before = {item["key"]: item for _, _, item in store.list_all(tx)}
            if not asked.dry_run:
                store.sync_items(tx, [(item_id(key), rule_id(key), item) for key, item in items.items()])
                store.sync_import(tx, None if asked.shipped else overrides, getpass.getuser())
    finally:
        database.close()
    for what, keys in (
        ("added", items.keys() - before.keys()),
        ("removed", before.keys() - items.keys()),
        ("changed", {key for key in items.keys() & before.keys() if items[key] != before[key]}),
    ):
        sys.stdout.write(f"{what} {len(keys)}{': ' if keys else ''}{', '.join(sorted(keys))}\n")
    sys.stdout.write("nothing was changed\n" if asked.dry_run else "done; processes take it at their next start\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
