"""What the parts below us reach by themselves, with the same batches and the same durability, and no code of ours."""

from __future__ import annotations

import contextlib
import gc
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import apsw
import psycopg

from workers.journal import PENDING, Journal, Task

PAYLOAD = bytes(400)


@contextlib.contextmanager
def _own_heap() -> Iterator[None]:
    """What the bench itself holds is not looked through by the collector meanwhile."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def journal_appends(folder: Path, count: int, batch: int = 100) -> float:
    """Tasks a second into our journal, in batches, all committed and fsynced at the end."""
    journal = Journal(folder)
    batches = [
        [Task(f"{uuid.uuid4()}:bench", "bench", PENDING, 1, str(uuid.UUID(int=1)), PAYLOAD) for _ in range(batch)]
        for _ in range(count // batch)
    ]
    with _own_heap():
        began = time.perf_counter()
        for future in [journal.append(tasks) for tasks in batches]:
            future.result()
        rate = count / (time.perf_counter() - began)
    journal.close()
    return rate


def raw_sqlite(folder: Path, count: int, rows: int) -> float:
    """Rows a second into a table of the same columns and indexes, `rows` a transaction, WAL, synchronous=FULL."""
    from workers.journal_file import SCHEMA

    folder.mkdir()
    database = apsw.Connection(str(folder / "raw.db"))
    database.execute("PRAGMA locking_mode=exclusive; PRAGMA journal_mode=wal; PRAGMA synchronous=full")
    database.execute(SCHEMA)
    insert = (
        "INSERT OR IGNORE INTO local_tasks (task_id, task_name, status, attempt, user_id, payload, created_at, seq)"
        " VALUES (?, 'bench', 'pending', 1, ?, ?, 0, ?)"
    )
    values = [(f"{uuid.uuid4()}:bench", str(uuid.UUID(int=1)), PAYLOAD, number) for number in range(count)]
    with _own_heap():
        began = time.perf_counter()
        for start in range(0, count, rows):
            database.execute("BEGIN IMMEDIATE")
            database.executemany(insert, values[start : start + rows])
            database.execute("COMMIT")
        rate = count / (time.perf_counter() - began)
    database.close()
    return rate


RAW_TABLE = """
    CREATE TABLE raw_results (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), task_id varchar(255) UNIQUE NOT NULL, task_name varchar(100),
        worker_name varchar(100), status varchar(20), attempt int, user_id uuid, result jsonb, error text,
        created_at timestamptz, started_at timestamptz, completed_at timestamptz, synced_at timestamptz
    );
    CREATE INDEX ON raw_results (worker_name); CREATE INDEX ON raw_results (status);
    CREATE INDEX ON raw_results (completed_at)
"""
RAW_UPSERT = """
    INSERT INTO raw_results (task_id, task_name, worker_name, status, attempt, user_id, result, created_at, started_at,
        completed_at, synced_at)
    SELECT task_id, 'bench', 'bench', 'success', 1, %(user)s, '{}', now(), now(), now(), now()
    FROM unnest(%(ids)s::text[]) AS given (task_id)
    ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, result = excluded.result
    WHERE raw_results.attempt < excluded.attempt
"""


def raw_upsert(url: str, count: int, rows: int) -> float:
    """Rows a second by INSERT … SELECT unnest … ON CONFLICT, `rows` a transaction, from one connection."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS raw_results")
        connection.execute(RAW_TABLE)
        batches = [[f"{uuid.uuid4()}:bench" for _ in range(rows)] for _ in range(count // rows)]
        began = time.perf_counter()
        for ids in batches:
            connection.execute(RAW_UPSERT, {"user": uuid.UUID(int=1), "ids": ids})
        return count / (time.perf_counter() - began)
