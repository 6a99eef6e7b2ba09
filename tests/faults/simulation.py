"""A world in one thread: real workers, journals and syncs among model peers, and a seed that chooses what comes next.

Nothing here waits or races. Each step of the world is one thing that could happen next: the broker hands messages
over, a journal commits some of what was asked of it, a stage's thread takes a task, the courier publishes, the reporter
and sync send, acknowledgements leave, a connection breaks, a clock jumps, a delay is over, a process dies. Inside a
step the process may die at any call of a peer and at any write to its disk; while a handler runs, other steps of its
process go on.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import random
from concurrent.futures import Future
from pathlib import Path

import apsw
from eco2.pipeline.v1.messages_pb2 import STAGE_RESPONSE_GENERATION, STAGE_RULE_RETRIEVAL, AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber
from eco2.waste.v1 import internal_pb2
from eco2.waste.v1.internal_pb2 import Outcome

from services.kit.broker import Delivery, Message, Topology, headers
from services.kit.errors import DeadlineExceeded, Unavailable
from services.tasks import messages, states
from tests.faults.disk import Disk
from workers import journal_file
from workers.journal import Journal
from workers.runtime import Worker
from workers.stages import Cancelled, Permanent, Stage

TOPOLOGY = Topology.of(StageNumber.DESCRIPTOR)
STAGES = (STAGE_RULE_RETRIEVAL, STAGE_RESPONSE_GENERATION)
QUEUES = tuple(TOPOLOGY.queues[number - 1] for number in STAGES)
MAX_ATTEMPTS = 3
HOUR_S, DAY_S = 3600.0, 86_400.0
WORDS = {"ko": "안 돼요.", "en": "It cannot be done."}


class Crash(BaseException):
    """The process is no more; nothing in it may catch this."""


class _Driven(Future):
    """Whoever waits for it has the journal do its work, since no thread does."""

    def __init__(self, journal: SteppedJournal):
        super().__init__()
        self._journal = journal

    def result(self, timeout=None):
        while not self.done():
            self._journal.step(500)
        return super().result(0)


class SteppedJournal(Journal):
    """The journal without its thread: `step` is one commit."""

    def _run(self, opened: Future) -> None:
        try:
            self._db = journal_file.open_database(self.path, self._vfs)
            self._seq = self._db.execute("SELECT coalesce(max(seq), 0) FROM local_tasks").get
        except Exception as error:  # noqa: BLE001 - raised again by whoever opens the journal
            opened.set_exception(error)
            return
        opened.set_result(None)

    def _ask(self, work, later=False) -> Future:
        future = _Driven(self)
        self._requests.put((work, future))
        return future

    @property
    def waiting(self) -> int:
        return self._requests.qsize()

    def step(self, most: int) -> None:
        """Commit the oldest requests, at most that many, and tell those who asked."""
        self._commit([self._requests.get_nowait() for _ in range(min(most, self._requests.qsize()))])

    def abandon(self) -> None:
        """As the kernel does it for a process that died."""
        with contextlib.suppress(apsw.Error):
            self._db.close()
        self.close()


@dataclasses.dataclass(eq=False)
class Letter:
    body: bytes
    headers: dict
    redelivered: bool = False
    returns: int = 0


class Publishing:
    """What a worker's Publisher is, to the world."""

    def __init__(self, process: Process, *_, **__):
        self._process = process

    def publish(self, messages) -> list[Future]:
        return [self._publish(message) for message in messages]

    def _publish(self, message: Message) -> Future:
        world, future = self._process.world, Future()
        self._process.boundary()
        fate = world.fate()
        if fate != "lost":
            world.route(message)
        self._process.boundary()
        if fate == "done":
            future.set_result(None)
        else:
            future.set_exception(Unavailable("not confirmed"))
        return future


class Consuming:
    """What a worker's Consumer is, to the world: acknowledgements leave later, those of an old channel mean nothing."""

    def __init__(self, process: Process, _url, _topology, prefetch, on_deliveries, **__):
        self._process, self._prefetch, self._on_deliveries = process, prefetch, on_deliveries
        self._tags, self._channel = itertools.count(1), object()
        self.unsettled: dict[int, tuple[str, Letter]] = {}
        self._settled: list[tuple[Delivery, bool]] = []
        self.paused = False

    def ack(self, deliveries) -> None:
        self._settled += [(delivery, True) for delivery in deliveries]

    def requeue(self, deliveries) -> None:
        self._settled += [(delivery, False) for delivery in deliveries]

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    @property
    def settling(self) -> int:
        return len(self._settled)

    def settle(self, most: int) -> None:
        settled, self._settled = self._settled[:most], self._settled[most:]
        for delivery, done in settled:
            self._process.boundary()
            if delivery.channel is not self._channel:
                continue
            queue, letter = self.unsettled.pop(delivery.tag)
            if not done:
                self._process.world.put_back(queue, letter)

    def lose_connection(self) -> None:
        for queue, letter in self.unsettled.values():
            self._process.world.put_back(queue, letter)
        self.unsettled.clear()
        self._channel = object()

    def room(self, queue: str) -> int:
        return self._prefetch[queue] - sum(each == queue for each, _ in self.unsettled.values())

    def hand_over(self, queue: str, letters: list[Letter]) -> None:
        arrived = []
        for letter in letters:
            tag = next(self._tags)
            self.unsettled[tag] = (queue, letter)
            arrived.append(Delivery(queue, letter.body, letter.headers, letter.redelivered, tag, self._channel))
        self._on_deliveries(arrived)


class Waste:
    """WasteInternalService, which keeps all that it is told."""

    def __init__(self, process: Process):
        self._process = process

    def RecordOutcomes(self, request, timeout):
        process = self._process
        process.boundary()
        fate = process.world.fate()
        if fate != "lost":
            for outcome in request.outcomes:
                process.world.told[outcome.analysis_id].append(Outcome.FromString(outcome.SerializeToString()))
        process.boundary()
        if fate != "done":
            raise DeadlineExceeded("no answer")
        return internal_pb2.RecordOutcomesResponse()


class Tasks:
    """TasksInternalService, which one journal never tells anything older than what it told before."""

    def __init__(self, process: Process):
        self._process = process

    def SyncTasks(self, request, timeout):
        process, rows = self._process, self._process.world.rows
        process.boundary()
        fate = process.world.fate()
        if fate != "lost":
            for task in request.tasks:
                record = messages.record(task, "task")
                known = rows.get(task.task_id)
                assert known is None or states._standing(record) >= states._standing(known), f"{task} goes back"
                rows[task.task_id] = record
        process.boundary()
        if fate != "done":
            raise Unavailable("no answer")


class Announcer:
    """Tells nobody, and knows at once what has been cancelled."""

    def __init__(self, world: World):
        self._world = world

    def progress(self, job, stage, deadline):
        def progress(percent):
            if self.cancelled(job):
                raise Cancelled

        return progress

    def cancelled(self, job):
        return job.analysis_id in self._world.cancelled

    def withdraw(self, job):
        pass

    def close(self):
        pass


class Process:
    """A worker process with its disk; `start` after each death."""

    def __init__(self, world: World, number: int, folder: Path):
        self.world, self.number, self._folder = world, number, folder
        self.disk, self.worker = Disk(), None
        # By how much its clock is wrong.
        self.ahead_s = 0.0

    def start(self) -> None:
        stage = Stage(STAGES[self.number], self._handle, 1, self.world.chance.choice((1, 3, 50)), 10.0)
        self.journal = SteppedJournal(self._folder, vfs=self.disk.name, clock=self._clock)
        # A row that is forgotten early would let a late copy run again: that is what keep_s is for.
        self.worker = Worker(
            [stage], self.journal, "", TOPOLOGY, Waste(self), Tasks(self), Announcer(self.world),
            f"worker{self.number}", max_attempts=MAX_ATTEMPTS, keep_s=1e9,
            publishing=lambda *args, **options: Publishing(self, *args, **options),
            consuming=lambda *args, **options: Consuming(self, *args, **options),
        )  # fmt: skip
        self.line = self.worker._lines[stage.queue]
        self.courier, self.consumer = self.worker._courier, self.worker.consumer
        self.reporter, self.sync = self.worker._reporter, self.worker._sync
        self.sync._settle_s = self.world.chance.choice((0.0, 1.0, 1e9))
        self.parcels, self.queue, self.depth = [], stage.queue, 0
        self.untold = self.stale = True
        self.cramped = False

    def _clock(self) -> float:
        return 1_767_225_600 + self.world.steps * 0.01 + self.ahead_s

    def die(self) -> None:
        """Its memory is gone; its disk has what was written, or after a power cut what survived."""
        self.disk.on, chance = False, self.world.chance
        contents = self.disk.image() if chance.random() < 0.5 else self.disk.survivors(chance)
        if self.worker:
            self.consumer.lose_connection()
            self.journal.abandon()
        self.worker = None
        self.disk.unregister()
        self.disk = Disk(contents)

    def boundary(self) -> None:
        """Between two things that others can see: the process may die here."""
        if self.world.strikes():
            self.disk.on = False
        if not self.disk.on:
            raise Crash

    def choices(self) -> list:
        """What can happen next in this process."""
        if self.worker is None:
            return [self.start]
        found = []
        if self.world.queues[self.queue] and not self.consumer.paused and self.consumer.room(self.queue) > 0:
            found.append(self._receive)
        if self.journal.waiting:
            found.append(self._commit)
        if self.depth == 0 and not self.line.empty():
            found.append(self._work)
        if self.parcels or not self.courier._parcels.empty():
            found.append(self._deliver)
        if self.untold or self.reporter.woken.is_set():
            found.append(self._report)
        if self.stale or self.journal.changed.is_set():
            found.append(self._sync)
        if self.consumer.settling:
            found.append(self._settle)
        if self.consumer.paused or self.cramped:
            found.append(self._make_room)
        return found

    def _receive(self) -> None:
        waiting, most = self.world.queues[self.queue], self.consumer.room(self.queue)
        count = self.world.chance.randint(1, min(most, len(waiting)))
        self.consumer.hand_over(self.queue, [waiting.popleft() for _ in range(count)])

    def _commit(self) -> None:
        self.journal.step(self.world.chance.choice((1, 2, 500)))

    def _work(self) -> None:
        self.depth += 1
        self.worker._work(self.line.get_nowait())
        self.depth -= 1

    def _deliver(self) -> None:
        self.courier._collect(self.parcels)
        self.parcels = self.courier.deliver(self.parcels)

    def _report(self) -> None:
        self.reporter.woken.clear()
        self.untold = self._push(self.reporter.report)

    def _sync(self) -> None:
        self.journal.changed.clear()
        self.stale = self._push(self.sync.sync)

    def _push(self, push) -> bool:
        """As a feed does it: whether to push again."""
        try:
            return push() > 0
        except apsw.FullError:
            self.cramped = True
        except (DeadlineExceeded, Unavailable):
            pass
        return True

    def _settle(self) -> None:
        self.consumer.settle(self.world.chance.choice((1, 100)))

    def _make_room(self) -> None:
        self.disk.capacity, self.cramped = float("inf"), False
        self.consumer.resume()

    def _handle(self, job: AnalysisJob, progress) -> Outcome:
        """The work of both stages: makes something new each time, so that a second making of it can be told."""
        world = self.world
        world.runs[f"{job.analysis_id}:{self.queue}"] += 1
        self.boundary()
        for _ in range(world.chance.choice((0, 0, 1, 4))):
            world.go_on(self)
        progress(50)
        self.boundary()
        if job.question == "poison" or (job.question == "flaky" and world.chance.random() < 0.5):
            raise ConnectionError("the peer is away")
        if job.question == "impossible":
            raise Permanent("IMPOSSIBLE", WORDS)
        outcome, nonce = Outcome(), f"{next(world.numbers)}"
        if self.number == 0:
            outcome.rule.rule_id = nonce
        else:
            outcome.completion.rule.CopyFrom(job.rule)
            outcome.completion.reply.text = nonce
        return outcome


class World:
    """faults: how likely things go wrong, from 0, where only the work itself fails, to 1."""

    def __init__(self, chance: random.Random, folder: Path, *, jobs: int, faults: float):
        self.chance, self.faults, self.numbers = chance, faults, itertools.count(1)
        self.queues: dict[str, collections.deque[Letter]] = {queue: collections.deque() for queue in TOPOLOGY.queues}
        self.delayed: list[tuple[str, Letter]] = []
        self.dead: list[tuple[str, Letter]] = []
        self.told: dict[str, list[Outcome]] = collections.defaultdict(list)
        self.rows: dict[str, states.Record] = {}
        self.runs: collections.Counter[str] = collections.Counter()
        self.cancelled: set[str] = set()
        self.steps = self.crashes = self.setbacks = 0
        self.jobs = []
        for number in range(1, jobs + 1):
            analysis_id = f"00000000-0000-7000-8000-{number:012}"
            luck = chance.choices(("well", "flaky", "poison", "impossible"), (6, 3, 1, 1))[0]
            job = AnalysisJob(
                analysis_id=analysis_id, user_id=analysis_id, image_id=analysis_id, image_key="uploads/x",
                language_code="ko", question=luck,
            )  # fmt: skip
            self.jobs.append(job)
            # The outbox may publish a message twice.
            for _ in range(1 + (chance.random() < faults)):
                self.route(Message(QUEUES[0], job.SerializeToString()))
        self.processes = [Process(self, number, folder / str(number)) for number in range(len(STAGES))]

    def strikes(self) -> bool:
        return self.chance.random() < self.faults * 0.03

    def fate(self) -> str:
        """Of a call or a message: done, lost on the way there, or answered into the void."""
        return self.chance.choices(("done", "lost", "unanswered"), (1, self.faults / 2, self.faults / 2))[0]

    def route(self, message: Message) -> None:
        letter = Letter(message.body, dict(message.headers))
        if message.exchange == TOPOLOGY.dead:
            self.dead.append((message.routing_key, letter))
        elif message.exchange:
            self.delayed.append((message.routing_key, letter))
        else:
            self.queues[message.routing_key].append(letter)

    def put_back(self, queue: str, letter: Letter) -> None:
        letter.redelivered, letter.returns = True, letter.returns + 1
        letter.headers = letter.headers | {headers.RETURNS: letter.returns}
        assert letter.returns <= TOPOLOGY.delivery_limit, "the broker gives the message up, and nobody hears of it"
        self.queues[queue].appendleft(letter)

    def _release(self) -> None:
        queue, letter = self.delayed.pop(self.chance.randrange(len(self.delayed)))
        self.queues[queue].append(letter)

    def go_on(self, process: Process | None = None) -> bool:
        """One step, of this process only where it is named. False when there is nothing left to do."""
        self.steps += 1
        choices = [(each, choice) for each in ([process] if process else self.processes) for choice in each.choices()]
        if not process and self.delayed:
            choices.append((None, self._release))
        if not choices:
            return False
        owner, choice = self.chance.choice(choices)
        if process:
            # A death inside a handler unwinds the whole process.
            choice()
            return True
        if owner and self.chance.random() < self.faults * 0.1:
            self._disturb(owner)
        if self.chance.random() < 0.005:
            # By its user, before or after it has ended.
            self.cancelled.add(self.chance.choice(self.jobs).analysis_id)
        try:
            choice()
        except (Crash, apsw.Error, journal_file.JournalError):
            # Only death stops a process, or a full disk its start; any other failure is a bug.
            if owner.disk.on and owner.worker:
                raise
            owner.disk.on = False
        if owner and not owner.disk.on:
            self.crashes += 1
            owner.die()
        return True

    def _disturb(self, process: Process) -> None:
        kind = self.chance.randrange(4)
        if kind == 0:
            process.disk.cut_at = process.disk.operations + self.chance.randint(1, 30)
        elif kind == 1:
            # The end of a run may find no place, so that it is run once more.
            self.setbacks += 1
            process.disk.capacity = process.disk.used() + self.chance.randrange(20_000)
        elif kind == 2:
            process.ahead_s = self.chance.choice((-DAY_S, -HOUR_S, 0.0, HOUR_S, DAY_S))
        elif process.worker:
            process.consumer.lose_connection()

    def run(self, most: int) -> None:
        """Go on until nothing is left to do; from half-way on without faults, and to the end with new processes, since
        what a full disk kept a journal from noting is told again by the next one."""
        last = False
        for number in range(most):
            if number == most // 2:
                self._calm()
            if self.go_on():
                continue
            if last:
                return
            self._calm()
            last = True
            for process in self.processes:
                process.die()
        raise AssertionError(f"it does not come to an end in {most} steps")

    def _calm(self) -> None:
        self.faults = 0.0
        for process in self.processes:
            process.disk.capacity, process.disk.cut_at = float("inf"), float("inf")

    def check(self) -> None:
        """Everything was told, once in effect, in all the places that want to know. Raises AssertionError."""
        for job in self.jobs:
            by_kind = collections.defaultdict(set)
            for outcome in self.told[job.analysis_id]:
                by_kind[outcome.WhichOneof("outcome")].add(outcome.SerializeToString())
            kinds = set(by_kind)
            assert kinds in ({"failure"}, {"rule", "failure"}, {"rule", "completion"}), f"{job.question}: {kinds}"
            assert all(len(each) == 1 for each in by_kind.values()), f"{job.question}: an effect was doubled"
            reached = [f"{job.analysis_id}:rule_retrieval", f"{job.analysis_id}:response_generation"][
                : 1 + ("rule" in kinds)
            ]
            ended = ["success"] * len(reached)
            if "failure" in kinds:
                ended[-1] = "failure"
                queue = QUEUES[len(reached) - 1]
                dead = {AnalysisJob.FromString(letter.body).analysis_id for key, letter in self.dead if key == queue}
                # What its user has cancelled is no dead letter, unless it failed for good before.
                dropped = Outcome.FromString(*by_kind["failure"]).failure.reason == Cancelled.REASON
                assert (job.analysis_id in dead) != dropped
                assert job.analysis_id in self.cancelled or not dropped
            assert [self.rows.pop(task_id).status for task_id in reached] == ended
        assert self.rows == {}
        for task_id, runs in self.runs.items():
            assert runs <= MAX_ATTEMPTS + self.crashes + self.setbacks, f"{task_id} was run {runs} times"
        for process in self.processes:
            assert not process.worker._active
            assert not process.consumer.unsettled
            for row in process.journal._select("1", ()):
                assert (row.status in states.ENDED, row.delivered, row.synced_to_pg) == (True, 1, 1), row
            process.journal.forget(1e18, 10**6).result()
            assert process.journal._select("1", ()) == []

    def close(self) -> None:
        for process in self.processes:
            process.die()
            process.disk.unregister()
