"""From the journal to `tasks`: at once when there is something, in batches under load, never later than the period."""

from __future__ import annotations

import logging

from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc, tasks_pb2
from eco2.waste.v1.internal_pb2 import Outcome
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.errors import TRANSIENT, Fault
from workers.feed import Feed
from workers.journal import Journal
from workers.journal_file import FAILURE, PENDING, RUNNING, SUCCESS, Task

log = logging.getLogger(__name__)

_STATES = {
    PENDING: tasks_pb2.TASK_STATE_PENDING,
    RUNNING: tasks_pb2.TASK_STATE_RUNNING,
    SUCCESS: tasks_pb2.TASK_STATE_SUCCESS,
    FAILURE: tasks_pb2.TASK_STATE_FAILURE,
}


class Sync:
    """One thread. batch: rows a call. period_s: the longest pause, whatever happened. keep_s: how long a row that
    everyone knows stays, so that a late second copy of its message is recognised. settle_s: a state that is over
    sooner is not sent, except the end."""

    def __init__(
        self,
        journal: Journal,
        stub: internal_pb2_grpc.TasksInternalServiceStub,
        worker_name: str,
        *,
        batch: int = 1000,
        period_s: float = 300.0,
        keep_s: float = 300.0,
        settle_s: float = 1.0,
        timeout_s: float = 10.0,
    ):
        self._journal, self._stub, self._worker_name = journal, stub, worker_name
        self._batch, self._keep_s, self._settle_s, self._timeout_s = batch, keep_s, settle_s, timeout_s
        # What `tasks` has taken and the journal does not know of yet.
        self._told: list[int] = []
        idle_s = min(period_s, keep_s, settle_s)
        # While `tasks` is away the channel itself looks for it every two seconds.
        self.feed = Feed("sync", self.sync, journal.changed, full=batch, idle_s=idle_s, longest_s=min(period_s, 2.0))

    def sync(self) -> int:
        """Send one batch and return its size; raises the Fault of `tasks` when it did not take it. That it did is noted
        with the next look, in one commit, and nothing is sent before that."""
        self._journal.forget(self._journal.clock() - self._keep_s)
        noted = self._journal.synced(self._told)
        rows = self._journal.unsynced(self._batch, self._settle_s).result()
        noted.result()
        self._told = []
        if rows:
            self._send(rows)
            self._told = [row.seq for row in rows]
        return len(rows)

    def _send(self, rows: list[Task]) -> None:
        request = internal_pb2.SyncTasksRequest(tasks=[to_proto(row, self._worker_name) for row in rows])
        try:
            self._stub.SyncTasks(request, timeout=self._timeout_s)
        except TRANSIENT:
            raise
        except Fault as fault:
            if len(rows) > 1:
                # One row that `tasks` will never take must not hold up the others.
                for row in rows:
                    self._send([row])
                return
            log.exception("tasks refused %s for good", rows[0].task_id)
            self._journal.write_log(rows[0].task_id, "error", f"not synced: {fault.message}")


def to_proto(row: Task, worker_name: str) -> tasks_pb2.Task:
    """A row as `tasks` takes it; its result is the outcome's JSON."""
    task = tasks_pb2.Task(
        task_id=row.task_id,
        task_name=row.task_name,
        worker_name=worker_name,
        state=_STATES[row.status],
        attempt=row.attempt,
        user_id=row.user_id,
        error=(row.error or "")[:10_000],
        create_time=_timestamp(row.created_at),
        start_time=_timestamp(row.started_at),
        complete_time=_timestamp(row.completed_at),
        next_attempt_time=_timestamp(row.next_attempt_at),
    )
    if row.result is not None and row.status == SUCCESS:
        outcome = Outcome.FromString(row.result)
        task.result.update(json_format.MessageToDict(getattr(outcome, outcome.WhichOneof("outcome"))))
    return task


def _timestamp(seconds: float | None) -> Timestamp | None:
    if seconds is None:
        return None
    micros = round(seconds * 1e6)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
