"""Writes the answers that are waiting, each until it is done, whoever watches.

Any number of processes do so on one database. An answer belongs to the one that claimed it while that one renews its
lease; once it has died, another process, or the same after its restart, makes the second and last attempt.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa

from services.chat_llm import answer_store, context, facts, live, prompts
from services.chat_llm.context import Task, Turn
from services.chat_llm.live import Draft, Overtaken
from services.chat_llm.lookups import Lookups
from services.chat_llm.providers import Provider
from services.kit import telemetry
from services.kit.cache import Board
from services.kit.chores import Chore
from services.kit.database import Database
from services.kit.errors import TRANSIENT, Fault

log = logging.getLogger(__name__)

Read = TypeVar("Read")

# For how long an answer is its writer's, unless it says otherwise; it says so this often in that time.
LEASE_S, BEATS = 9.0, 4.5
# Answers that another process left behind are found after this long.
IDLE_S = 1.0
# How long the database, the rules, and the database at the end are waited for.
READ_S, RULES_S, END_S = 20.0, 20.0, 60.0
MAX_PAUSE_S = 5.0
# How long a process that stops lets answers go on before it gives them back.
FINISH_S = 5.0


class Answerer:
    """providers: the first words the answers; where it fails, the next one does. most: answers written at once.
    lease_s: after so long without a heartbeat another process takes an answer over."""

    def __init__(
        self,
        database: Database,
        board: Board,
        lookups: Lookups,
        providers: Sequence[Provider],
        most: int = 64,
        lease_s: float = LEASE_S,
    ):
        self._database, self._board, self._lookups = database, board, lookups
        self._providers, self._most, self._lease_s = providers, most, lease_s
        # Claim → set once it is no longer held.
        self._running: dict[UUID, threading.Event] = {}
        self._idle = threading.Condition()
        self._claims = Chore("answers", self._claim, IDLE_S)
        beat_s = lease_s / BEATS
        self._beats = Chore("heartbeat", self._beat, beat_s, longest_s=beat_s)
        # An answer has been asked for.
        self.wake = self._claims.wake

    def start(self) -> Answerer:
        self._claims.start()
        self._beats.start()
        return self

    def close(self) -> None:
        """Claim no more, let answers under way end within FINISH_S, give back the others."""
        self._claims.close(FINISH_S)
        with self._idle:
            self._idle.wait_for(lambda: not self._running, FINISH_S)
            left = dict(self._running)
        for lost in left.values():
            lost.set()
        for provider in self._providers:
            provider.close()
        if left:
            try:
                with self._database.writing() as tx:
                    answer_store.release_answers(tx, left)
            except Fault as fault:
                log.warning("%d answers wait for their leases to pass: %s", len(left), fault.message)
        self._beats.close()

    def _claim(self) -> bool:
        """Begin as many answers as there is room for; True when there may be more and room for them."""
        free = self._most - len(self._running)
        if not free:
            return False
        with self._database.writing() as tx:
            lost = answer_store.update_lost(tx, "INTERRUPTED", "This answer was interrupted twice. Please ask again.")
            works = answer_store.claim_answers(tx, free, self._lease_s)
        for row in lost:
            live.end(self._board, row.id, row.claim_count)
        for work in works:
            self._running[work.claim] = threading.Event()
            threading.Thread(target=self._work, args=(work,), name="answer", daemon=True).start()
        return len(works) == free

    def _beat(self) -> bool:
        """Renew the leases. While the database is away nobody else can claim the answers either."""
        if running := dict(self._running):
            with self._database.writing() as tx:
                held = answer_store.update_leases(tx, running, self._lease_s)
            for claim in running.keys() - held:
                running[claim].set()
        return False

    def _work(self, work: sa.Row) -> None:
        with telemetry.bound(work.asked.get("call", "")):
            try:
                self._write(work, Draft(self._board, work.id, work.claim_count, self._running[work.claim]))
            except Overtaken:
                log.info("answer %s was taken over, stopped or deleted", work.id)
            except Fault as fault:
                log.warning("answer %s failed: %s", work.id, fault.message)
                self._end(work, "FAILED", failure=_failure(fault, work.asked["language"]))
            except Exception:
                log.exception("answer %s failed", work.id)
                self._end(work, "FAILED", failure=_failure(None, work.asked["language"]))
            finally:
                with self._idle:
                    del self._running[work.claim]
                    self._idle.notify_all()
                self.wake()

    def _write(self, work: sa.Row, draft: Draft) -> None:
        task, coach = _patiently(lambda: self._read(work), READ_S)
        found = _patiently(lambda: self._lookups.gather(task, work.asked), RULES_S)
        may_cite = facts.to_json([fact.citation for fact in found.all])
        fallback = ""
        for place, provider in enumerate(self._providers, start=1):
            draft.begin(provider.name, may_cite)
            try:
                with contextlib.closing(provider.answer(task, found, coach.content)) as pieces:
                    for piece in pieces:
                        if not draft.add(piece):
                            break
                break
            except Fault as fault:
                if place == len(self._providers):
                    raise
                log.warning("answer %s is worded without %s: %s", work.id, provider.name, fault.message)
                fallback = fault.reason
        self._end(
            work,
            "SUCCEEDED",
            content=draft.text.strip(),
            citations=facts.cited(draft.text, may_cite),
            provider=provider.name,
            fallback_reason=fallback,
            prompt_id=coach.id if provider.prompted else None,
        )

    def _read(self, work: sa.Row) -> tuple[Task, sa.Row]:
        """What is to be answered, and the coach's prompt. No connection is held any longer than to read."""
        with self._database.reading() as connection:
            rows = answer_store.list_turns(
                connection, work.conversation_id, work.summarized_number, work.number, context.MOST_TURNS
            )
            coach = answer_store.get_prompt(connection, prompts.COACH)
            summarizer = answer_store.get_prompt(connection, prompts.SUMMARIZER)
        if not rows:
            raise Overtaken
        *before, question = [Turn(row.number, row.role, row.content, _subject(row.citations)) for row in rows]
        older, kept = context.split(before)
        task = Task(work.user_id, work.asked["language"], question.text, kept, work.summary)
        if older:
            task = context.replace_summary(task, self._summarize(task, older, summarizer.content))
            with self._database.writing() as tx:
                answer_store.update_summary(tx, work.conversation_id, task.summary, older[-1].number)
        return task, coach

    def _summarize(self, task: Task, older: Sequence[Turn], prompt: str) -> str:
        for provider in self._providers[:-1]:
            try:
                return provider.summarize(task, older, prompt)
            except Fault as fault:
                log.warning("older turns are summarized without %s: %s", provider.name, fault.message)
        return self._providers[-1].summarize(task, older, prompt)

    def _end(self, work: sa.Row, state: str, **fields: object) -> None:
        def end() -> bool:
            with self._database.writing() as tx:
                return answer_store.end_answer(tx, work.claim, state, **fields)

        try:
            if not _patiently(end, END_S):
                raise Overtaken
        except Fault as fault:
            # The lease passes, and the next attempt is made.
            log.error("answer %s could not be stored: %s", work.id, fault.message)
            return
        except Overtaken:
            log.info("answer %s was ended by somebody else", work.id)
            return
        live.end(self._board, work.id, work.claim_count)


def _patiently(call: Callable[[], Read], most_s: float) -> Read:
    """What the call returns; tried again while what fails passes by itself, at most for so long."""
    until, pause_s = time.monotonic() + most_s, 0.2
    while True:
        try:
            return call()
        except TRANSIENT as fault:
            if time.monotonic() + pause_s > until:
                raise
            log.warning("trying again: %s", fault.message)
            time.sleep(pause_s * random.uniform(0.5, 1.5))
            pause_s = min(pause_s * 2, MAX_PAUSE_S)


def _subject(citations: Sequence[dict]) -> str:
    """The thing that an answer was about."""
    named = (each.get("rule") or each.get("analysis") or {} for each in citations)
    return next((each["item_name"] for each in named if each.get("item_name")), "")


def _failure(fault: Fault | None, language: str) -> tuple[str, str]:
    """For programs and for people."""
    reason = "INTERNAL"
    if isinstance(fault, TRANSIENT):
        reason = "RULES_UNAVAILABLE" if fault.upstream else fault.reason
    says = {
        "ko": "지금은 답을 드릴 수 없어요. 잠시 뒤에 다시 물어봐 주세요.",
        "en": "I cannot answer just now. Please ask again in a moment.",
    }
    return reason, says[language]
