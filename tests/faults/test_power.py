"""The journal on a disk that loses power, runs full, and comes back."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

from tests.faults.disk import Disk
from workers.journal import Journal
from workers.journal_file import FAILURE, PENDING, RUNNING, SUCCESS, JournalError, Task

WAIT_S = 60
# (status, attempt, delivered, synced_to_pg, payload) by task_id.
Rows = dict[str, tuple[str, int, int, int, bytes]]


class Story:
    """What a worker asks of its journal, one commit at a time, and the rows that must be there after each."""

    def __init__(self, chance: random.Random):
        self._chance, self._numbers = chance, iter(range(10**9))
        self.now = 1_000.0

    def step(self, journal: Journal, rows: Rows) -> Rows:
        """Ask for one thing; the rows when it has been granted. Fails with apsw.Error or JournalError."""
        self.now += 1
        after = dict(rows)
        kind = self._chance.choices((self._append, self._record, self._tell, self._sync, self._forget), (4, 6, 2, 2, 1))
        asked = kind[0](journal, after)
        self.after = after
        if asked is not None:
            asked.result(WAIT_S)
        return after

    def _append(self, journal: Journal, rows: Rows):
        tasks = []
        for _ in range(self._chance.choice((1, 1, 2, 20))):
            payload = self._chance.randbytes(self._chance.choice((10, 300, 3000, 30_000)))
            tasks.append(Task(f"{next(self._numbers)}:vision_analysis", "vision_analysis", PENDING, 1, "", payload))
            rows[tasks[-1].task_id] = (PENDING, 1, 0, 0, payload)
        return journal.append(tasks)

    def _record(self, journal: Journal, rows: Rows):
        open_ = [task_id for task_id, row in rows.items() if row[0] in (PENDING, RUNNING)]
        moved = []
        for task_id in self._chance.sample(open_, min(len(open_), self._chance.choice((1, 3, 20)))):
            status, attempt, _, _, payload = rows[task_id]
            status = RUNNING if status == PENDING else self._chance.choice((SUCCESS, SUCCESS, FAILURE, PENDING))
            attempt += status == PENDING
            ended = self.now if status in (SUCCESS, FAILURE) else None
            result = payload[:1000] if status == SUCCESS else None
            task = Task(task_id, "vision_analysis", status, attempt, "", payload, result, completed_at=ended)
            moved.append(task)
            rows[task_id] = (status, attempt, 0, 0, payload)
        return journal.record(moved)

    def _tell(self, journal: Journal, rows: Rows):
        told = journal.undelivered(self._chance.choice((5, 1000))).result(WAIT_S)
        for row in told:
            rows[row.task_id] = (*rows[row.task_id][:2], 1, *rows[row.task_id][3:])
        return journal.delivered([row.seq for row in told])

    def _sync(self, journal: Journal, rows: Rows):
        sent = journal.unsynced(self._chance.choice((5, 1000))).result(WAIT_S)
        for row in sent:
            rows[row.task_id] = (*rows[row.task_id][:3], 1, rows[row.task_id][4])
        return journal.synced([row.seq for row in sent])

    def _forget(self, journal: Journal, rows: Rows):
        for task_id, row in list(rows.items()):
            if row[2:4] == (1, 1) and row[0] in (SUCCESS, FAILURE):
                del rows[task_id]
        return journal.forget(1e9, limit=10**6)


def rows_of(disk: Disk, path: Path) -> Rows:
    """All rows, read past the journal once it has opened and recovered its file; the file must be whole."""
    Journal(path.parent, vfs=disk.name).close()
    database = apsw.Connection(str(path), vfs=disk.name)
    database.pragma("locking_mode", "exclusive")
    assert database.execute("PRAGMA integrity_check").get == "ok"
    rows = {
        row[0]: row[1:]
        for row in database.execute(
            "SELECT task_id, status, attempt, delivered, synced_to_pg, payload FROM local_tasks"
        )
    }
    database.close()
    return rows


def live(chance: random.Random, disk: Disk, folder: Path, rows: Rows, steps: int) -> tuple[Rows, Rows, int]:
    """Work until the power goes or the steps are done: the rows acknowledged, those that may be there instead because
    the power went before the answer came, and how many commits were acknowledged."""
    story, done = Story(chance), 0
    # Its numbers go on where those of the life before ended.
    story._numbers = iter(range(chance.randrange(10**12), 10**13))
    story.after = rows
    try:
        journal = Journal(folder, vfs=disk.name, clock=lambda: story.now)
    except apsw.Error:
        assert not disk.on
        return rows, rows, 0
    try:
        for done in range(steps):  # noqa: B007 - the last one counts
            rows = story.step(journal, rows)
        story.after = rows
    except apsw.Error:
        assert not disk.on
    finally:
        journal.close()
    return rows, story.after, done


def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(campaign, tmp_path):
    """Each disk lives several lives. Where its first would end by itself is measured, so that cuts fall everywhere."""
    count, cuts, commits, disks = campaign.count(quick=40, long=500), 0, 0, 0
    path = tmp_path / "worker.db"
    while cuts < count:
        disks += 1
        whole = Disk()
        live(campaign.chance(disks, 0), whole, tmp_path, {}, steps=60)
        contents, rows = None, {}
        for life in range(5):
            disk = Disk(contents, cut_at=campaign.chance(disks, life, "cut").randint(1, whole.operations))
            told, perhaps, done = live(campaign.chance(disks, life), disk, tmp_path, rows, steps=60)
            commits += done
            if disk.on:
                # The work ended before the cut came: nothing was lost, and this is no cut.
                break
            cuts += 1
            contents = disk.survivors(campaign.chance(disks, life, "survivors"))
            # A quarter of the time the power goes again while the journal recovers.
            again = campaign.chance(disks, life, "again")
            if again.random() < 0.25:
                disk = Disk(contents, cut_at=again.randint(1, 20))
                live(again, disk, tmp_path, told, steps=0)
                contents = disk.survivors(again)
                cuts += not disk.on
            found = Disk(contents)
            rows = rows_of(found, path)
            assert rows in (told, perhaps), f"disk {disks}, life {life}: {explain(told, perhaps, rows)}"
            contents = found.image()
    campaign.report(f"{cuts} cuts of {disks} disks, {commits} commits acknowledged before them, 0 lost, integrity ok")


def explain(told: Rows, perhaps: Rows, found: Rows) -> str:
    lost = {task_id: row[:4] for task_id, row in told.items() if found.get(task_id) not in (row, perhaps.get(task_id))}
    return f"{len(told)} rows acknowledged, {len(found)} found; not as told: {dict(list(lost.items())[:5])}"


def test_the_test_sees_a_journal_that_does_not_sync(campaign, tmp_path, monkeypatch):
    """Without fsync the same cuts must lose something, or the disk proves nothing."""
    monkeypatch.setattr("tests.faults.disk.Handle.xSync", lambda handle, flags: handle._disk.count())
    with pytest.raises((AssertionError, JournalError)):
        test_a_power_cut_at_any_moment_loses_nothing_acknowledged(campaign, tmp_path)


def test_a_full_disk_takes_nothing_and_loses_nothing(campaign, tmp_path):
    """Past the end of the disk every append fails whole; what was taken in is there and goes on when there is room."""
    disks = campaign.count(quick=5, long=50)
    for number in range(disks):
        chance, disk, rows, refused = campaign.chance(number), Disk(), {}, 0
        story = Story(chance)
        journal = Journal(tmp_path, vfs=disk.name, clock=lambda story=story: story.now)
        for _ in range(20):
            disk.capacity = disk.used() + chance.randrange(300_000)
            for _ in range(10):
                try:
                    rows = story.step(journal, rows)
                except apsw.FullError:
                    refused += 1
            assert {row.task_id for row in journal.unsynced(10**6).result(WAIT_S)} == {
                task_id for task_id, row in rows.items() if not row[3]
            }
        assert refused, f"disk {number} was never full"
        disk.capacity = float("inf")
        for _ in range(10):
            rows = story.step(journal, rows)
        journal.close()
        assert rows_of(disk, journal.path) == rows
    campaign.report(f"{disks} disks ran full, nothing lost")


def test_an_fsync_that_fails_is_no_acknowledgement(campaign, tmp_path):
    """The kernel forgets what it could not write; what is acknowledged afterwards must survive all the same."""
    disks, failed = campaign.count(quick=10, long=100), 0
    for number in range(disks):
        chance, disk, rows = campaign.chance(number), Disk(), {}
        story = Story(chance)
        journal = Journal(tmp_path, vfs=disk.name, clock=lambda story=story: story.now)
        for _ in range(60):
            disk.sync_fails = chance.random() < 0.2
            try:
                rows = story.step(journal, rows)
            except apsw.IOError:
                failed += 1
        disk.on = False
        journal.close()
        assert rows_of(Disk(disk.survivors(chance)), journal.path) == rows, f"disk {number}"
    campaign.report(f"{failed} fsyncs of {disks} disks failed, then the power, 0 lost")


def test_a_clock_that_jumps_harms_no_row(tmp_path):
    now = [1_700_000_000.0]
    journal = Journal(tmp_path, clock=lambda: now[0])
    task = Task("1:vision_analysis", "vision_analysis", PENDING, 1, "", b"job")
    for jump in (3600, -7200, 10 * 365 * 86400, -20 * 365 * 86400):
        now[0] += jump
        [row] = journal.append([task._replace(task_id=f"{jump}:vision_analysis")]).result(WAIT_S)
        for status in (RUNNING, SUCCESS):
            row = row._replace(status=status, completed_at=now[0] if status == SUCCESS else None)
            assert journal.record([row]).result(WAIT_S) == 1
        # Not delivered, not synced: no clock makes it forgettable.
        assert journal.forget(now[0] + 1e9).result(WAIT_S) == 0
    rows = journal.unsynced(10).result(WAIT_S)
    assert [row.seq for row in rows] == sorted(row.seq for row in rows)
    assert len(rows) == 4
    journal.close()
