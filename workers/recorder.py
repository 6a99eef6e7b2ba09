"""Takes the states of runs to the journal, together those that change together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from workers.intake import Run
from workers.journal import Journal
from workers.journal_file import Task


class Recorder:
    """One request for all runs added until its transaction begins.

    status: what is recorded only while it still is a run's state; any when empty. later: as Journal.record has it.
    on_recorded gets the runs and the future of their records, on the journal's thread.
    """

    def __init__(
        self,
        journal: Journal,
        on_recorded: Callable[[list[Run], Future], None],
        *,
        status: str = "",
        later: bool = False,
    ):
        self._journal, self._on_recorded, self._status, self._later = journal, on_recorded, status, later
        self._lock = threading.Lock()
        self._open: list[Run] = []

    def add(self, run: Run) -> None:
        """Record the state that it has then; returns at once."""
        with self._lock:
            runs = self._open
            runs.append(run)
            if len(runs) > 1:
                return
        recorded = self._journal.record(lambda: self._read(runs), later=self._later)
        recorded.add_done_callback(lambda future: self._on_recorded(runs, future))

    def _read(self, runs: list[Run]) -> Iterator[Task]:
        """The states of these, which take in no other from now on."""
        with self._lock:
            if self._open is runs:
                self._open = []
        return (run.task for run in runs if not self._status or run.task.status == self._status)
