"""The journal's file: its schema, and who may open it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

import apsw

PENDING, RUNNING, SUCCESS, FAILURE = "pending", "running", "success", "failure"
ENDED = (SUCCESS, FAILURE)


class Task(NamedTuple):
    """A row of local_tasks: the states are drawn in journal.py, the units are the schema's."""

    task_id: str
    task_name: str
    status: str
    attempt: int
    user_id: str
    payload: bytes
    result: bytes | None = None
    error: str | None = None
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    next_attempt_at: float | None = None
    delivered: int = 0
    synced_to_pg: int = 0
    seq: int = 0


# payload is the message as it came and result the outcome as it goes to waste, both protobuf: as JSON each would cost
# more than all else that happens to a short task. seq grows with every change, and with it the order of sync.
# Times are seconds since 1970.
SCHEMA = """
CREATE TABLE IF NOT EXISTS local_tasks (
  id INTEGER PRIMARY KEY,
  task_id TEXT NOT NULL UNIQUE,
  task_name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'success', 'failure')),
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  user_id TEXT NOT NULL,
  payload BLOB NOT NULL,
  result BLOB,
  error TEXT,
  created_at REAL NOT NULL,
  started_at REAL,
  completed_at REAL,
  next_attempt_at REAL,
  delivered INTEGER NOT NULL DEFAULT 0 CHECK (delivered IN (0, 1)),
  synced_to_pg INTEGER NOT NULL DEFAULT 0 CHECK (synced_to_pg IN (0, 1)),
  seq INTEGER NOT NULL,
  CHECK ((status IN ('success', 'failure')) = (completed_at IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS local_tasks_status ON local_tasks (status, created_at);
CREATE INDEX IF NOT EXISTS local_tasks_unsynced ON local_tasks (seq) WHERE synced_to_pg = 0;
CREATE INDEX IF NOT EXISTS local_tasks_undelivered ON local_tasks (seq)
  WHERE completed_at IS NOT NULL AND delivered = 0;
CREATE INDEX IF NOT EXISTS local_tasks_told ON local_tasks (completed_at) WHERE delivered = 1 AND synced_to_pg = 1;
CREATE TABLE IF NOT EXISTS task_logs (
  task_id TEXT NOT NULL, timestamp REAL NOT NULL, message TEXT NOT NULL, level TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS task_logs_task ON task_logs (task_id);
CREATE TABLE IF NOT EXISTS gpt_cache (
  prompt_hash BLOB NOT NULL, response BLOB NOT NULL, model TEXT NOT NULL, timestamp REAL NOT NULL,
  PRIMARY KEY (prompt_hash, model)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gpt_cache_timestamp ON gpt_cache (timestamp);
"""
# Starts of names in mountinfo.
_NETWORK = (
    *("nfs", "cifs", "smb", "afs", "ceph", "gluster", "lustre", "beegfs", "gpfs", "ocfs2", "9p"),
    *("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.ceph", "fuse.gluster", "fuse.rclone", "fuse.weed"),
)


class JournalError(Exception):
    """This journal cannot be used; the text says why."""


class JournalFull(Exception):
    """The quota is used up: stop taking work until rows have been synced and forgotten."""


def claim(folder: Path) -> int:
    """Make the folder and lock it for this process; the descriptor holds the lock until it is closed.

    Fails with JournalError when another process has it or when it is on a network file system.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mounts = Path("/proc/self/mountinfo")
    # Other systems than Linux have no such list; there the operator has to know.
    kind = find_filesystem(folder.resolve(), mounts.read_text()) if mounts.exists() else ""
    if kind.startswith(_NETWORK):
        raise JournalError(f"{folder} is on a network file system ({kind}), where SQLite loses data; use a local disk")
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        raise JournalError(
            f"{folder} belongs to a running process (pid {owner}): end it first, or name another folder"
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def find_filesystem(folder: Path, mountinfo: str) -> str:
    """The type of the file system that a folder is on, from the text of /proc/self/mountinfo; empty if unknown."""
    best, found = -1, ""
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        # The kernel writes a blank in a path as \040.
        point = Path(fields[4].replace(r"\040", " "))
        # A later mount on the same point hides the earlier one.
        if (point == folder or point in folder.parents) and len(point.parts) >= best:
            best, found = len(point.parts), fields[fields.index("-") + 1]
    return found


def open_database(path: Path, vfs: str | None = None) -> apsw.Connection:
    """The checked database, for use by this thread alone. Fails with JournalError when it is damaged."""
    database = apsw.Connection(str(path), vfs=vfs)
    try:
        # No other process has the lock, so locking once for good saves calls and forbids a second connection.
        database.pragma("locking_mode", "exclusive")
        database.pragma("journal_mode", "wal")
        database.pragma("synchronous", "full")
        database.pragma("mmap_size", 0)
        # KiB, negative as SQLite has it: task ids are random, so that each row touches another page of their index.
        database.pragma("cache_size", -16 << 10)
        # Pages. A checkpoint holds up every commit for two more fsyncs, and of many pages most have changed often.
        database.pragma("wal_autocheckpoint", 8000)
        database.pragma("journal_size_limit", 64 << 20)
        problem = database.execute("PRAGMA integrity_check(1)").get
        if problem != "ok":
            raise JournalError(f"{path} is damaged ({problem}); keep a copy for repair and start with an empty folder")
        database.execute(SCHEMA)
    except (apsw.NotADBError, apsw.CorruptError) as error:
        database.close()
        raise JournalError(
            f"{path} is damaged ({error}); keep a copy for repair and start with an empty folder"
        ) from None
    except Exception:
        database.close()
        raise
    return database
