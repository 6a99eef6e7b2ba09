"""`python -m workers.journal` on the folder of a worker that is gone."""

from __future__ import annotations

import json
import subprocess
import sys

import apsw
import pytest
from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.tasks.v1 import tasks_pb2
from eco2.waste.v1.internal_pb2 import Outcome

from tests.workers.conftest import new_job
from workers.journal import Journal
from workers.journal_file import FAILURE, PENDING, RUNNING, SUCCESS, Task

WAIT_S = 60


@pytest.fixture
def run(tmp_path):
    """Runs the command on the folder; gives its exit code and what it wrote."""

    def call(command: str, *options: str, **environment: str) -> tuple[int, list[dict], str]:
        done = subprocess.run(
            [sys.executable, "-m", "workers.journal", command, str(tmp_path), *options],
            env={"PYTHONPATH": ":".join(path for path in sys.path if path), **environment},
            capture_output=True,
            text=True,
            timeout=2 * WAIT_S,
            check=False,
        )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return call


def record(journal: Journal, status: str, job: AnalysisJob | None = None) -> str:
    """A task of the first stage in that state; its analysis_id."""
    job, outcome = job or new_job(question="병"), Outcome()
    outcome.analysis_id = job.analysis_id
    if status == SUCCESS:
        outcome.image.object_key = "clean/1"
    else:
        outcome.failure.reason, outcome.failure.message = "GAVE_UP", "sorry"
    ended = status in (SUCCESS, FAILURE)
    task_id = f"{job.analysis_id}:user_input"
    task = Task(task_id, "user_input", PENDING, 1, job.user_id, job.SerializeToString())
    journal.append([task]).result(WAIT_S)
    if status != PENDING:
        result = outcome.SerializeToString() if ended else None
        row = Task(
            task_id, "user_input", status, 1, job.user_id, task.payload, result, completed_at=2.0 if ended else None
        )
        journal.record([row]).result(WAIT_S)
    return job.analysis_id


@pytest.fixture
def left(tmp_path) -> dict[str, str]:
    """What a dead worker left: one analysis in each state."""
    journal = Journal(tmp_path)
    ids = {status: record(journal, status) for status in (PENDING, RUNNING, SUCCESS, FAILURE)}
    journal.write_log(f"{ids[FAILURE]}:user_input", "error", "it broke").result(WAIT_S)
    journal.close()
    return ids


def test_inspect_counts(run, left):
    code, [found], _ = run("inspect")
    assert code == 0
    assert found["tasks"] == {"pending": 1, "running": 1, "success": 1, "failure": 1}
    assert (found["undelivered"], found["unsynced"], found["log_lines"]) == (2, 4, 1)


def test_export_gives_each_task_in_words(run, left):
    code, rows, _ = run("export")
    assert code == 0
    assert [row["status"] for row in rows] == ["pending", "running", "success", "failure"]
    assert {row["payload"]["question"] for row in rows} == {"병"}
    assert rows[2]["result"]["image"]["object_key"] == "clean/1"
    assert [line["message"] for line in rows[3]["logs"]] == ["it broke"]


def test_verify_finds_what_is_wrong(run, left, tmp_path):
    assert run("verify")[:2] == (0, [{"ok": True, "problems": []}])
    database = apsw.Connection(str(tmp_path / "worker.db"))
    database.execute("UPDATE local_tasks SET payload = x'ffff' WHERE status = 'pending'")
    database.close()
    code, [found], _ = run("verify")
    assert code == 1
    assert found["problems"] == [f"{left[PENDING]}:user_input: its AnalysisJob cannot be read"]
    file = tmp_path / "worker.db"
    data = bytearray(file.read_bytes())
    data[4096:8192] = b"\xaa" * 4096
    file.write_bytes(data)
    code, found, error = run("verify")
    assert code == 1
    assert error or found[0]["problems"]


def test_a_running_workers_journal_and_an_empty_folder_are_refused(run, tmp_path):
    assert run("inspect")[0] == 1
    assert "no journal" in run("drain", "--worker", "storage")[2]
    journal = Journal(tmp_path)
    for command in ("inspect", "verify", "export"):
        code, rows, error = run(command)
        assert (code, rows) == (1, [])
        assert "running process" in error
    journal.close()


def test_drain_tells_everybody_what_the_dead_worker_had_not(run, left, waste, tasks):
    told = {"WASTE_TARGET": waste.target, "TASKS_TARGET": tasks.target}
    tasks.stop()
    code, [first], _ = run("drain", "--worker", "storage", "--timeout", "2", **told)
    assert (code, first["outcomes_told"], first["states_left"]) == (1, 2, 4)
    tasks.start()
    code, [second], _ = run("drain", "--worker", "storage", **told)
    assert (code, second) == (0, {"outcomes_told": 0, "outcomes_left": 0, "states_told": 4, "states_left": 0})
    assert waste.kinds(left[SUCCESS]) == ["image"]
    assert waste.kinds(left[FAILURE]) == ["failure"]
    assert waste.kinds(left[PENDING]) == waste.kinds(left[RUNNING]) == []
    assert tasks.in_state(tasks_pb2.TASK_STATE_FAILURE) == [f"{left[FAILURE]}:user_input"]
    assert {tasks.last(task_id).worker_name for task_id in tasks.told} == {"storage"}
