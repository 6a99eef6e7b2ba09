"""Takes rules without a release: all of them or none.

Usage: python -m services.recycle_info.import_rules FILE… [--dry-run]    a few rules, new or in place of others
       python -m services.recycle_info.import_rules FOLDER [--dry-run]   all rules
       python -m services.recycle_info.import_rules --shipped [FILE…] [--dry-run]   those that ship, and a few over them
       python -m services.recycle_info.import_rules --status             what is in force beside those that ship

A FILE is a shelf as in corpus/, with the ways that ship. FOLDER has the files of this package: corpus/*.json,
ways.json and regions.json. All rules together must be as sound as `make check` asks of those that ship; otherwise every
problem is printed, by file, item and field, and nothing changes. What is imported holds, through later releases too,
until the next import or --shipped. A release whose own rules are others than those below the import says so in the log
of recycle_info and in --status; to have its rules and one's own, import one's own again with --shipped. Running
processes follow within seconds. Reads API_RECYCLE_DB_URL (or API_RECYCLE_DB_URL_FILE); a dry run without it compares
with the rules that ship.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.kit import config
from services.kit.database import Database
from services.kit.errors import Fault
from services.recycle_info import corpus, linter, regions, rules, shapes, store
from services.recycle_info.corpus import Item
from services.recycle_info.regions import Override


@dataclass(frozen=True)
class Config:
    api_recycle_db_url: str = config.secret(default="")


class Unsound(Exception):
    """problems: what is wrong, each with its file, item and field."""

    def __init__(self, problems: Sequence[str]):
        super().__init__(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
        self.problems = problems


@dataclass(frozen=True)
class Given:
    """What is to be imported. overrides: None when only a few rules are given. origin: the file of each item."""

    items: dict[str, Item]
    overrides: list[Override] | None
    origin: dict[str, str]

    def over(self, items: Mapping[str, Item], overrides: list[Override]) -> tuple[dict[str, Item], list[Override]]:
        """All rules after the import, over those before. Fails with Unsound."""
        if self.overrides is not None:
            after = self.items, self.overrides
        else:
            # What is given comes last, so that it is blamed for a name that is taken.
            kept = {key: item for key, item in items.items() if key not in self.items}
            after = {**kept, **self.items}, overrides
        if problems := linter.find_all_problems(*after):
            raise Unsound([self._placed(problem) for problem in problems])
        return after

    def _placed(self, problem: str) -> str:
        """With the file of the item that it is about, which is the first or, of a region, the second thing named."""
        file = next((self.origin[part] for part in problem.split(": ")[:2] if part in self.origin), "all together")
        return f"{file}: {problem}"


def read(paths: Sequence[Path]) -> Given:
    """One folder, or shelves. Fails with Unsound."""
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        ways, overrides = _read_json(folder / "ways.json"), _read_json(folder / "regions.json")
        problems = [f"{folder / 'ways.json'}: {problem}" for problem in _find_way_problems(ways)]
        if problems:
            raise Unsound(problems)
        shelves = sorted((folder / "corpus").glob("*.json"))
        if not shelves:
            raise Unsound([f"{folder / 'corpus'}: has no *.json"])
    else:
        shelves, ways, overrides = paths, corpus.load_ways(), None
    items, origin = _read_shelves(shelves, ways)
    return Given(items, overrides, origin)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise Unsound([f"{path}: cannot be read: {error}"]) from error


def _read_shelves(paths: Sequence[Path], ways: Mapping[str, Any]) -> tuple[dict[str, Item], dict[str, str]]:
    shelves, problems, origin = {}, [], {}
    for path in paths:
        try:
            shelf = _read_json(path)
        except Unsound as unsound:
            problems += unsound.problems
            continue
        if found := _find_shelf_problems(shelf, ways):
            problems += [f"{path}: {problem}" for problem in found]
            continue
        for entry in shelf["items"]:
            if entry["key"] in origin:
                problems.append(f"{path}: {entry['key']}: key: is also in {origin[entry['key']]}")
            origin[entry["key"]] = str(path)
        shelves[str(path)] = shelf
    if problems:
        raise Unsound(problems)
    return corpus.expand(shelves, ways), origin


def _find_way_problems(ways: Any) -> list[str]:
    if not isinstance(ways, dict):
        return ["is not an object"]
    return [f"{name}: {problem}" for name, way in ways.items() for problem in shapes.find_problems(way, shapes.ENTRY)]


def _find_shelf_problems(shelf: Any, ways: Mapping[str, Any]) -> list[str]:
    """What keeps a shelf from being read as items."""
    if not isinstance(shelf, dict) or not isinstance(shelf.get("items"), list):
        return ["is no shelf: an object with category_major, category_middle and items"]
    shared = {field: value for field, value in shelf.items() if field != "items"}
    problems = list(shapes.find_problems(shared, ("category_major", "category_middle")))
    for at, entry in enumerate(shelf["items"], 1):
        key = entry.get("key") if isinstance(entry, dict) else None
        named = isinstance(key, str) and key.isprintable() and key
        found = list(shapes.find_problems(entry, shapes.ENTRY))
        if isinstance(entry, dict):
            found += [] if named else ["key: is missing" if key in (None, "") else "key: is no name"]
            way = entry.get("way", "")
            found += [f"way: {way} does not exist"] if isinstance(way, str) and way and way not in ways else []
        problems += [f"{key if named else f'item {at}'}: {problem}" for problem in found]
    return problems


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    asked = _parse(arguments)
    url = config.load(Config).api_recycle_db_url
    if not url and (asked.status or not asked.dry_run):
        return _refuse("API_RECYCLE_DB_URL (or API_RECYCLE_DB_URL_FILE) is not set")
    try:
        if asked.status:
            with contextlib.closing(Database(url, pool_size=1)) as database:
                _show(database)
            return 0
        given = read(asked.paths) if asked.paths else Given(corpus.load(), regions.load(), {})
        if not url:
            sys.stdout.write("there is no database: compared with the rules that ship\n")
            _tell(before := corpus.load(), given.over(before, regions.load())[0])
            return 0
        with contextlib.closing(Database(url, pool_size=1)) as database:
            written = _save(database, given, asked)
    except Unsound as unsound:
        sys.stdout.write("".join(f"{problem}\n" for problem in unsound.problems))
        return _refuse(str(unsound))
    except Fault as fault:
        return _refuse(fault.message)
    sys.stdout.write(f"done; running processes follow within {rules.FOLLOW_S:.0f} s or so\n" if written else "")
    sys.stdout.write("" if written else "nothing was changed\n")
    return 0


def _save(database: Database, given: Given, asked: argparse.Namespace) -> bool:
    """Whether anything was written. Fails with Unsound and Unavailable."""
    with database.writing() as tx:
        store.lock_rules(tx)
        before, imported = {item["key"]: item for _, _, item in store.list_all(tx)}, store.find_import(tx)
        in_force = imported.overrides if imported else regions.load()
        below = (corpus.load(), regions.load()) if asked.shipped else (before, in_force)
        items, overrides = given.over(*below)
        _tell(before, items)
        back = asked.shipped and not asked.paths
        shipped = _find_base(given, below[0], imported, asked)
        same = imported is None or (not back and imported.shipped == shipped)
        if asked.dry_run or (same and (items, overrides) == (before, in_force)):
            return False
        store.sync_items(tx, rules.rows(items))
        store.sync_import(tx, None if back else overrides, asked.operator, shipped)
    return True


def _find_base(given: Given, below: dict[str, Item], imported: Any, asked: argparse.Namespace) -> str:
    """Version of the shipped rules that the new ones replace or lie over; empty where these are of another release."""
    if imported and given.overrides is None and not asked.shipped:
        return imported.shipped
    return rules.shipped_version() if given.overrides is not None or below == corpus.load() else ""


def _show(database: Database) -> None:
    with database.reading() as connection:
        imported = store.find_import(connection)
        items = {item["key"]: item for _, _, item in store.list_all(connection)}
    if imported is None:
        sys.stdout.write("no rules were imported: those that ship are in force\n")
    else:
        since = "have not changed" if imported.shipped == rules.shipped_version() else "HAVE CHANGED, or may have,"
        at = imported.imported_at.isoformat(timespec="seconds")
        sys.stdout.write(f"imported by {imported.imported_by} at {at}\n")
        sys.stdout.write(f"the rules that ship {since} since then; against them, those in force have\n")
    _tell(corpus.load(), items)
    if imported and imported.overrides != regions.load():
        sys.stdout.write("and others of municipalities\n")


def _tell(before: Mapping[str, Item], after: Mapping[str, Item]) -> None:
    for what, keys in (
        ("added", after.keys() - before.keys()),
        ("removed", before.keys() - after.keys()),
        ("changed", {key for key in after.keys() & before.keys() if after[key] != before[key]}),
    ):
        sys.stdout.write(f"{what} {len(keys)}{': ' if keys else ''}{', '.join(sorted(keys))}\n")


def _refuse(why: str) -> int:
    sys.stderr.write(f"nothing is imported: {why}\n")
    return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m services.recycle_info.import_rules", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE", help="shelves, or one folder with all rules")
    parser.add_argument("--shipped", action="store_true", help="go back to the rules that ship, under the files named")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    parser.add_argument("--operator", help="whom the import is put down to; you, when left out")
    parser.add_argument("--status", action="store_true", help="say what is in force, and change nothing")
    asked = parser.parse_args(arguments)
    if asked.status == bool(asked.paths or asked.shipped):
        parser.error("name files or a folder, or --shipped, or --status alone")
    asked.operator = asked.operator or getpass.getuser()
    return asked


if __name__ == "__main__":
    sys.exit(main())
