"""What to do with a worker's journal while the worker is not running.

    python -m workers.journal inspect FOLDER    how many tasks in each state, and what nobody has been told yet
    python -m workers.journal verify FOLDER     is the file whole? exits with 1 when it is not
    python -m workers.journal export FOLDER     every task with its log, one JSON object a line
    python -m workers.journal drain FOLDER --worker storage [--timeout S]
                                                tell what the worker had not told: outcomes to waste, states to tasks;
                                                exits with 1 when something is left

A folder whose worker runs is refused. drain needs WASTE_TARGET and TASKS_TARGET, changes no outcome, and may be
repeated. What had only begun, or was not handed on to the next stage, is not its business: the broker still has the
message, and gives it to another worker.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from eco2.pipeline.v1.messages_pb2 import AnalysisJob, Stage
from eco2.tasks.v1.internal_pb2_grpc import TasksInternalServiceStub
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.internal_pb2_grpc import WasteInternalServiceStub
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from services.kit import config, telemetry
from services.kit.broker import stage_name
from services.kit.channel import connect
from services.kit.errors import Fault
from workers import journal_file
from workers.journal import Journal, JournalError
from workers.journal_file import ENDED
from workers.reporter import Reporter
from workers.sync import Sync

_STAGES = {stage_name(Stage.DESCRIPTOR, value.number): value.number for value in Stage.DESCRIPTOR.values}


@dataclass(frozen=True)
class Config:
    waste_target: str
    tasks_target: str


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.journal", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("inspect", "verify", "export", "drain"):
        commands.add_parser(name).add_argument("folder", type=Path)
    commands.choices["drain"].add_argument("--worker", required=True, help="whose journal it is, such as storage")
    commands.choices["drain"].add_argument("--timeout", type=float, default=60.0, help="seconds to try")
    asked = parser.parse_args(arguments)
    if not (asked.folder / "worker.db").is_file():
        return _refuse(f"{asked.folder} holds no journal")
    try:
        if asked.command == "drain":
            telemetry.setup("journal")
            told = drain(asked.folder, asked.worker, config.load(Config), asked.timeout)
            _write(told)
            return int(told["outcomes_left"] + told["states_left"] > 0)
        with _opened(asked.folder) as database:
            if asked.command == "export":
                for row in export(database):
                    _write(row)
                return 0
            found = inspect(database) if asked.command == "inspect" else verify(database)
            _write(found)
            return int(bool(found.get("problems")))
    except (JournalError, apsw.CorruptError, apsw.NotADBError) as error:
        return _refuse(str(error))


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[apsw.Connection]:
    """The database as it is, locked. Fails with JournalError when a worker has it."""
    lock = journal_file.claim(folder)
    database = apsw.Connection(str(folder / "worker.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        database.pragma("locking_mode", "exclusive")
        yield database
    finally:
        database.close()
        os.close(lock)


def inspect(database: apsw.Connection) -> dict[str, Any]:
    count = "SELECT count(*) FROM local_tasks WHERE "
    return {
        "tasks": dict(database.execute("SELECT status, count(*) FROM local_tasks GROUP BY status").fetchall()),
        "undelivered": database.execute(count + "completed_at IS NOT NULL AND delivered = 0").get,
        "unsynced": database.execute(count + "synced_to_pg = 0").get,
        "oldest_unsynced_created_at": database.execute(
            "SELECT min(created_at) FROM local_tasks WHERE synced_to_pg = 0"
        ).get,
        "log_lines": database.execute("SELECT count(*) FROM task_logs").get,
        "cached_answers": database.execute("SELECT count(*) FROM gpt_cache").get,
        "bytes": database.pragma("page_count") * database.pragma("page_size"),
    }


def verify(database: apsw.Connection) -> dict[str, Any]:
    """What SQLite finds wrong with the file, and what no worker could have written."""
    found = [text for (text,) in database.execute("PRAGMA integrity_check(100)") if text != "ok"]
    if not found:
        for task_id, task_name, payload, status, result in database.execute(
            "SELECT task_id, task_name, payload, status, result FROM local_tasks"
        ):
            if task_name not in _STAGES or not task_id.endswith(f":{task_name}"):
                found.append(f"{task_id}: {task_name} is no stage of it")
            if (status in ENDED) != (result is not None):
                found.append(f"{task_id}: {status}, with{'out' if result is None else ''} a result")
            for kind, data in ((AnalysisJob, payload), (Outcome, result)):
                if data is not None and isinstance(_json(kind, data), str):
                    found.append(f"{task_id}: its {kind.__name__} cannot be read")
    return {"ok": not found, "problems": found}


def export(database: apsw.Connection) -> Iterator[dict[str, Any]]:
    """Every row in the order it last changed. Personal data: it holds what people asked."""
    rows = database.execute("SELECT * FROM local_tasks ORDER BY seq")
    for row in rows:
        task = dict(zip([column for column, _ in rows.get_description()], row, strict=True))
        logs = database.execute(
            "SELECT timestamp, level, message FROM task_logs WHERE task_id = ? ORDER BY timestamp", (task["task_id"],)
        )
        task["payload"] = _json(AnalysisJob, task["payload"])
        task["result"] = None if task["result"] is None else _json(Outcome, task["result"])
        task["logs"] = [dict(zip(("timestamp", "level", "message"), line, strict=True)) for line in logs]
        yield task


def drain(folder: Path, worker: str, settings: Config, timeout_s: float) -> dict[str, int]:
    """Tell all that the journal holds and nobody was told. How much was told, and how much is left."""
    with _opened(folder) as database:
        before = inspect(database)
    until, pause, pause_s = time.monotonic() + timeout_s, threading.Event(), 0.2
    with contextlib.ExitStack() as stack:
        journal = Journal(folder)
        stack.callback(journal.close)
        waste = WasteInternalServiceStub(stack.enter_context(connect(settings.waste_target, timeout_s=5)))
        tasks = TasksInternalServiceStub(stack.enter_context(connect(settings.tasks_target, timeout_s=10)))
        pushes = {"waste": Reporter(journal, waste).report, "tasks": Sync(journal, tasks, worker).sync}
        while True:
            for name, push in pushes.items():
                try:
                    while push():
                        continue
                except Fault as fault:
                    sys.stderr.write(f"{name} does not take all yet: {fault.message}\n")
            left = journal.undelivered(1).result() or journal.unsynced(1).result()
            if not left or time.monotonic() > until:
                break
            pause.wait(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(pause_s * 2, 5.0)
    with _opened(folder) as database:
        after = inspect(database)
    return {
        "outcomes_told": before["undelivered"] - after["undelivered"],
        "outcomes_left": after["undelivered"],
        "states_told": before["unsynced"] - after["unsynced"],
        "states_left": after["unsynced"],
    }


def _json(kind: type[Message], data: bytes) -> dict[str, Any] | str:
    """The message as JSON, or in base64 when it cannot be read."""
    try:
        return json_format.MessageToDict(kind.FromString(data), preserving_proto_field_name=True)
    except DecodeError:
        return base64.b64encode(data).decode()


def _write(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def _refuse(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1
