"""Import drop-off points from public data sets.

Usage: python -m services.locations.import_centers FILE… [--kind KIND] [--source NAME] [--source-url URL] [--dry-run]
[--json]        Environment: API_LOCATIONS_DB_URL (or API_LOCATIONS_DB_URL_FILE).

Reads CSV, JSON, JSON lines and GeoJSON in UTF-8, CP949 or a mixture, and says for each file what was accepted, and of
what was refused the row and why. Importing the same file again changes nothing. Exits with 1 when a file could not be
read at all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from services.kit import config, telemetry
from services.kit.database import Database
from services.locations import centers, cleaning, reading, store
from services.locations.centers import Center

BATCH = 500


@dataclasses.dataclass(frozen=True)
class Config:
    api_locations_db_url: str = config.secret()


@dataclasses.dataclass
class Report:
    """Of one file. refused: (row, reason, what was found). error: why nothing of it could be read."""

    file: str
    format: str = ""
    encoding: str = ""
    rows: int = 0
    accepted: int = 0
    new: int = 0
    changed: int = 0
    refused: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)
    error: str = ""


class Import:
    """One run over several files; places are told apart across all of them."""

    def __init__(self, kind: str = "", source: str = "", source_url: str = ""):
        self._kind, self._source, self._source_url = kind, source, source_url
        # What has been seen, and where: by identity, and by name and point, since one place's address has many forms.
        self._seen: dict[tuple, str] = {}

    def read(self, path: Path) -> tuple[Report, list[Center]]:
        """The report, without what the database will say, and the accepted centres, each once."""
        report = Report(path.name)
        try:
            table = reading.read(path.read_bytes())
        except (OSError, reading.Unreadable) as error:
            report.error = str(error)
            return report, []
        report.format, report.encoding, report.rows = table.format, table.encoding, len(table.rows)
        source, url = (self._source or path.stem)[:100], self._source_url or table.url
        accepted: dict = {}
        for row in table.rows:
            try:
                if row.problem:
                    raise cleaning.Refused("NOT_A_ROW", row.problem)
                center = cleaning.center(row.cells, f"{path.stem} {table.about}", self._kind, source, url)
                center = self._unseen(center, f"row {row.number} of {path.name}")
            except cleaning.Refused as refusal:
                report.refused.append((row.number, refusal.reason, str(refusal)))
                continue
            report.accepted += 1
            earlier = accepted.get(center.id)
            if earlier:
                center = dataclasses.replace(earlier, collections=earlier.collections + center.collections)
            accepted[center.id] = center
        return report, list(accepted.values())

    def _unseen(self, center: Center, here: str) -> Center:
        """The centre with what has not been seen of it. Fails with Refused when that is nothing."""
        point = (centers.plain(center.name), round(center.latitude, 5), round(center.longitude, 5))
        new = []
        for collection in center.collections:
            keys = [(each, collection["kind"]) for each in (center.id, point)]
            before = next((self._seen[key] for key in keys if key in self._seen), "")
            if not before:
                self._seen |= dict.fromkeys(keys, here)
                new.append(collection)
        if not new:
            raise cleaning.Refused("DUPLICATE", f"is the same place as {before}")
        return dataclasses.replace(center, collections=new)


def save(database: Database, report: Report, found: Iterable[Center], now: datetime) -> None:
    """Write a file's centres in batches and count what changed."""
    rest = iter(found)
    while batch := list(islice(rest, BATCH)):
        with database.writing() as tx:
            changes = store.sync_centers(tx, batch, now)
        report.new, report.changed = report.new + changes.new, report.changed + changes.changed


def lines(report: Report, written: bool = True) -> Iterator[str]:
    """A report for people. Which places are new only the database knows, which a dry run does not ask."""
    if report.error:
        yield f"{report.file}: not read: {report.error}"
        return
    changes = f"{report.new} new places, {report.changed} changed" if written else "nothing written"
    yield (
        f"{report.file}: {report.format} in {report.encoding}, {report.rows} rows: {report.accepted} accepted"
        f" ({changes}), {len(report.refused)} refused"
    )
    for reason, count in sorted(Counter(reason for _, reason, _ in report.refused).items()):
        yield f"  {reason}: {count}"
    for number, reason, text in report.refused:
        yield f"    row {number} {text} [{reason}]"


def main(arguments: list[str] | None = None) -> None:
    asked = _parse(arguments)
    telemetry.setup("import_centers")
    database = None if asked.dry_run else Database(config.load(Config).api_locations_db_url, pool_size=1)
    run, reports = Import(asked.kind, asked.source, asked.source_url), []
    for path in asked.files:
        report, found = run.read(path)
        if database:
            save(database, report, found, datetime.now(UTC))
        reports.append(report)
        if not asked.json:
            sys.stdout.write("\n".join(lines(report, database is not None)) + "\n")
    if asked.json:
        sys.stdout.write(json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False) + "\n")
    if database:
        database.close()
    sys.exit(any(report.error for report in reports))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m services.locations.import_centers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path)
    parser.add_argument("--kind", choices=centers.KINDS, default="", help="what all rows collect; else it is found out")
    parser.add_argument("--source", default="", help="name of the data set; else the file's name")
    parser.add_argument("--source-url", default="", help="where it was published; else what the file says")
    parser.add_argument("--dry-run", action="store_true", help="read and report, write nothing")
    parser.add_argument("--json", action="store_true", help="the reports as one JSON list")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
