"""A worker: takes messages of its stages, does the work, and tells how it went, losing and doubling nothing.

    deliver → append to the journal → commit → work, on the stage's own threads → record the outcome
            → publish the next stage → acknowledge → tell `waste` and `tasks`, from the journal → forget

A message that comes back finds its row and is only handed on again. The same task never runs twice at once here.
However long `waste` and `tasks` are away, work goes on until the journal's quota is used up. A transient error is tried
again after a growing delay, which the broker keeps; after `max_attempts`, or a permanent error, the task is a FAILURE,
the user is told why, and the message goes to the dead-letter queue. What the user has cancelled ends as a FAILURE where
it would begin, says how far it is, or fails for good, and is no dead letter.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

from services.kit import telemetry
from services.kit.broker import Consumer, Delivery, Publisher, Topology
from services.kit.errors import TRANSIENT
from workers.courier import Courier, pack
from workers.intake import Malformed, Run, pack_malformed, read
from workers.journal import Journal
from workers.journal_file import ENDED, FAILURE, PENDING, RUNNING, SUCCESS, JournalFull
from workers.progress import Announcer
from workers.recorder import Recorder
from workers.reporter import Reporter
from workers.stages import GAVE_UP, Cancelled, Permanent, Stage, TimedOut
from workers.sync import Sync

log = logging.getLogger(__name__)

# sysexits.h calls it EX_SOFTWARE.
STUCK_EXIT = 70


class Worker:
    """Stages at work. `start` and `close` once each. max_attempts: how often a task is tried at most in one round;
    a replay begins another. publishing and consuming: who speaks to the broker."""

    def __init__(
        self,
        stages: Sequence[Stage],
        journal: Journal,
        rabbitmq_url: str,
        topology: Topology,
        waste,
        tasks,
        announcer: Announcer,
        name: str,
        *,
        max_attempts: int = 5,
        keep_s: float = 300.0,
        publishing: Callable[..., Publisher] = Publisher,
        consuming: Callable[..., Consumer] = Consumer,
    ):
        self._stages = {stage.queue: stage for stage in stages}
        self._journal, self._topology, self._announcer = journal, topology, announcer
        self._max_attempts, self._now = max_attempts, journal.clock
        self._active: dict[str, Run] = {}
        self._begun = Recorder(journal, self._noted, status=RUNNING, later=True)
        self._moved = Recorder(journal, self._recorded)
        self._changed = threading.Condition()
        # While the journal takes nothing: when to try again, and how long to wait the time after.
        self._resume_at, self._rest_s = float("inf"), 1.0
        self._closing = threading.Event()
        self._lines = {queue_name: queue.SimpleQueue() for queue_name in self._stages}
        self._publisher = publishing(rabbitmq_url, topology, name=f"worker-{name}-publisher")
        self._courier = Courier(self._publisher, self._settle)
        self._reporter = Reporter(journal, waste)
        self._sync = Sync(journal, tasks, name, keep_s=keep_s)
        prefetch = {stage.queue: stage.prefetch for stage in stages}
        self.consumer = consuming(
            rabbitmq_url, topology, prefetch, self._receive, name=f"worker-{name}", canary=self._publisher.publish
        )

    def start(self) -> Worker:
        for stage in self._stages.values():
            for number in range(stage.concurrency):
                name = f"{stage.name}-{number}"
                threading.Thread(target=self._work_line, args=(stage,), name=name, daemon=True).start()
        self._courier.start()
        self._reporter.feed.start()
        self._sync.feed.start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        self.consumer.start()
        return self

    def close(self, grace_s: float = 6.0) -> None:
        """Take nothing more, give back what has not begun, finish what has within the grace, tell, and stop."""
        until = time.monotonic() + grace_s
        self._closing.set()
        self.consumer.pause()
        for stage in self._stages.values():
            line = self._lines[stage.queue]
            with contextlib.suppress(queue.Empty):
                while True:
                    self._give_back([line.get_nowait()])
            for _ in range(stage.concurrency):
                line.put(None)
        with self._changed:
            self._changed.wait_for(lambda: not self._active, max(0.0, until - time.monotonic()))
            if self._active:
                log.warning("%d tasks go on elsewhere", len(self._active))
        self._courier.close(max(0.1, until - time.monotonic()))
        self.consumer.close()
        self._publisher.close(1)
        feeds = self._reporter.feed, self._sync.feed
        for feed in feeds:
            feed.finish(1)
        for feed in feeds:
            feed.join(3)
        self._announcer.close()
        self._journal.close()

    # On the consumer's thread.

    def _receive(self, deliveries: Sequence[Delivery]) -> None:
        taken: dict[bool, list[Run]] = {False: [], True: []}
        with self._changed:
            for delivery in deliveries:
                run = self._read(delivery)
                if run is None:
                    continue
                known = self._active.setdefault(run.task.task_id, run)
                if known is run:
                    taken[delivery.redelivered].append(run)
                else:
                    known.deliveries.append(delivery)
        for redelivered, runs in taken.items():
            if runs:
                # Append before the work: a crash may repeat it but must not lose it.
                appended = self._journal.append([run.task for run in runs], crashed=redelivered)
                appended.add_done_callback(lambda future, runs=runs: self._appended(runs, future))

    def _read(self, delivery: Delivery) -> Run | None:
        try:
            return read(delivery, self._stages[delivery.queue])
        except Malformed as error:
            log.error("a message in %s is no job: %s", delivery.queue, error)
            dead = pack_malformed(delivery, error, self._topology)
            [published] = self._publisher.publish([dead])
            published.add_done_callback(
                lambda future: (self.consumer.requeue if future.exception() else self.consumer.ack)([delivery])
            )
            return None

    # On the journal's thread.

    def _appended(self, runs: list[Run], future: Future) -> None:
        error = future.exception()
        if error is not None:
            self._rest(error)
            self._give_back(runs)
            return
        told = []
        for run, row in zip(runs, future.result(), strict=True):
            asked, run.task = run.task.attempt, row
            if row.status in ENDED or (row.status == PENDING and row.attempt > asked):
                told.append(run)
            elif run.failed >= self._max_attempts:
                self._end(run, Permanent("WORKER_DIED", GAVE_UP), f"given up: {row.error}")
            elif self._closing.is_set():
                self._give_back([run])
            else:
                self._lines[run.stage.queue].put(run)
        self._hand_on(told)

    def _recorded(self, runs: list[Run], future: Future) -> None:
        if future.exception() is not None:
            # They are worked on again, which must not go on until the broker gives the messages up.
            self._rest(future.exception())
            self._give_back(runs)
            return
        self._rest_s = 1.0
        self._reporter.woken.set()
        self._hand_on(runs)

    def _noted(self, runs: list[Run], future: Future) -> None:
        if future.exception() is not None:
            # Only the count of deaths suffers; the end has a record of its own.
            log.warning("the journal did not take that %d tasks run: %s", len(runs), future.exception())

    def _rest(self, error: BaseException) -> None:
        # Pauses grow, since each return counts towards the delivery limit; once for all that was on its way here.
        if self._resume_at == float("inf"):
            log.error("taking no more work: %s", error, exc_info=None if isinstance(error, JournalFull) else error)
            self._resume_at, self._rest_s = time.monotonic() + self._rest_s, min(self._rest_s * 2, 60.0)
        self.consumer.pause()

    # On a stage's threads.

    def _work_line(self, stage: Stage) -> None:
        line = self._lines[stage.queue]
        while (run := line.get()) is not None:
            if self._closing.is_set():
                self._give_back([run])
                continue
            with telemetry.bound(run.request_id) as run.request_id:
                self._work(run)

    def _work(self, run: Run) -> None:
        run.started = time.monotonic()
        untouched = run.task.status == PENDING and run.task.attempt == 1
        if run.task.status == PENDING:
            run.task = run.task._replace(status=RUNNING, started_at=self._now())
            # Not waited for: a message that comes back a second time is RUNNING from its append on.
            self._begun.add(run)
        progress = self._announcer.progress(run.job, run.stage, run.started + run.stage.timeout_s)
        try:
            # What others may have begun, and left something of, is for the handler to look at first.
            if untouched and self._announcer.cancelled(run.job):
                raise Cancelled
            outcome = run.stage.run(run.job, progress)
            if outcome.WhichOneof("outcome") is None:
                raise ValueError(f"stage {run.stage.name} found nothing out")
            outcome.analysis_id = run.job.analysis_id
            run.outcome = outcome
        except Permanent as error:
            run.stack = "".join(traceback.format_exception(error))
            self._end(run, error, str(error))
        except Exception as error:
            # A sibling that is away is expected, and its stack says nothing.
            stack = None if isinstance(error, TRANSIENT) else error
            log.warning("%s failed at attempt %d: %s", run.task.task_id, run.task.attempt, error, exc_info=stack)
            self._try_again(run, error)
        else:
            self._move(run, status=SUCCESS, result=outcome.SerializeToString(), error=None, completed_at=self._now())

    def _try_again(self, run: Run, error: Exception) -> None:
        cause = "TIMED_OUT" if isinstance(error, TimedOut) else f"{type(error).__name__}: {error}"
        run.stack = "".join(traceback.format_exception(error))
        self._journal.write_log(run.task.task_id, "error", run.stack)
        if run.failed + 1 >= self._max_attempts:
            self._end(run, Permanent("GAVE_UP", GAVE_UP), f"{cause} (attempt {run.task.attempt}, the last)")
            return
        due = self._now() + self._topology.delay_s(run.failed)
        attempt = run.task.attempt + 1
        self._move(run, status=PENDING, attempt=attempt, error=cause, started_at=None, next_attempt_at=due)

    def _end(self, run: Run, error: Permanent, text: str) -> None:
        now = self._now()
        if self._announcer.cancelled(run.job) and not isinstance(error, Cancelled):
            error, text = Cancelled(), f"{Cancelled()} ({text})"
        run.fail(error, now)
        self._move(run, status=FAILURE, result=run.outcome.SerializeToString(), error=text, completed_at=now)

    def _move(self, run: Run, **values) -> None:
        run.task, run.started = run.task._replace(**values), None
        self._announcer.withdraw(run.job)
        self._moved.add(run)

    # Handing on and settling, on any thread.

    def _hand_on(self, runs: Iterable[Run]) -> None:
        last = []
        for run in runs:
            message = pack(run, self._topology)
            if message is None:
                last.append(run)
            else:
                self._courier.send(run, message)
        if last:
            self._settle(last)

    def _settle(self, runs: Sequence[Run]) -> None:
        with self._changed:
            for run in runs:
                del self._active[run.task.task_id]
            self._changed.notify_all()
        later = [each for run in runs for each in run.deliveries if run.precedes(each)]
        self.consumer.ack(each for run in runs for each in run.deliveries if not run.precedes(each))
        if later:
            self._receive(later)

    def _give_back(self, runs: Iterable[Run]) -> None:
        for run in runs:
            with self._changed:
                self._active.pop(run.task.task_id, None)
                self._changed.notify_all()
            self.consumer.requeue(run.deliveries)

    def _watch(self) -> None:
        while not self._closing.wait(1):
            now = time.monotonic()
            for run in list(self._active.values()):
                started = run.started
                if started is not None and now > started + 2 * run.stage.timeout_s:
                    log.critical("%s ignores its deadline; starting over in a new process", run.task.task_id)
                    os._exit(STUCK_EXIT)
            if now > self._resume_at and self._journal.has_room().result():
                self._resume_at = float("inf")
                self.consumer.resume()
