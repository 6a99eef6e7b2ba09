"""What models said before: each question is put to a model once, however many ask it at the same time.

An answer is kept in Redis database 2, which all workers share, and in the journal, which still has it when Redis is
away or has lost it. Within a process the first who asks is waited for; between processes whoever holds the lease is.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeout
from typing import Generic, TypeVar

import redis
from google.protobuf import json_format
from google.protobuf.message import Message

from services.kit import cache
from services.kit.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from workers.journal import Journal
from workers.stages import Cancelled

log = logging.getLogger(__name__)

DB, KEEP_S = 2, 7 * 24 * 3600
JOURNAL_S = 5.0
# Longer than a model may take to answer; a process that died over it holds the others up no longer than this.
LEASE_S = 45
# After a failure Redis is left alone for so long.
REST_S = 5.0
# KEYS: the lease. ARGV: whose it must be.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

Kind = TypeVar("Kind", bound=Message)


class Answers(Generic[Kind]):
    """Answers of one kind. name: the first word of their keys, `<name>:<model>:<digest>`."""

    def __init__(self, client: redis.Redis, journal: Journal, name: str, kind: type[Kind]):
        self._client, self._journal, self._name, self._kind = client, journal, name, kind
        self._release = client.register_script(_RELEASE)
        self._lock = threading.Lock()
        self._flights: dict[str, Future[Kind]] = {}
        self._asked = self._hits = 0
        self._resting_until = 0.0

    def get(self, digest: bytes, model: str, make: Callable[[], Kind]) -> tuple[Kind, bool]:
        """The answer, and whether it was made before or for somebody else. digest: SHA-256 of all that the answer
        depends on, but for the model. Fails as `make` does, for all who wait for it, save that nobody is refused for
        the budget of another, nor ended because another has cancelled; and with DeadlineExceeded (MODEL_SLOW)."""
        key, until = f"{self._name}:{model}:{digest.hex()}", time.monotonic() + LEASE_S
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if leading := flight is None:
                    flight = self._flights[key] = Future()
            if leading:
                return self._lead(flight, key, digest, model, make, until)
            try:
                found = flight.result(max(0.0, until - time.monotonic()))
            except WaitTimeout:
                raise _slow() from None
            except ResourceExhausted as fault:
                if fault.metadata.get("budget") != "user":
                    raise
                continue
            except Cancelled:
                continue
            self._count("flight")
            return self._copy(found), True

    def _lead(
        self, flight: Future[Kind], key: str, digest: bytes, model: str, make: Callable[[], Kind], until: float
    ) -> tuple[Kind, bool]:
        try:
            answer, cached = self._find(key, digest, model), True
            if answer is None:
                with self._leased(key, until):
                    # Another worker may have made it while we waited.
                    answer = self._find(key, digest, model)
                    if answer is None:
                        answer, cached = make(), False
                        self._journal.cache(digest, model, answer.SerializeToString())
                        self._share(key, answer)
                        self._count("model")
        except BaseException as error:
            self._land(key)
            flight.set_exception(error)
            raise
        self._land(key)
        flight.set_result(self._copy(answer))
        return answer, cached

    def _copy(self, answer: Kind) -> Kind:
        copy = self._kind()
        copy.CopyFrom(answer)
        return copy

    def _land(self, key: str) -> None:
        with self._lock:
            del self._flights[key]

    @contextlib.contextmanager
    def _leased(self, key: str, until: float) -> Iterator[None]:
        """Within the block no other process makes this answer, or it exists. Without Redis everyone makes their own."""
        lease, token = f"lease:{key}", uuid.uuid4().hex
        while not self._reach(
            lambda: self._client.set(lease, token, nx=True, px=round(LEASE_S * 1000)), otherwise=True
        ):
            if self._reach(lambda: self._client.exists(key), otherwise=True):
                break
            if time.monotonic() > until:
                raise _slow()
            time.sleep(random.uniform(0.03, 0.1))
        try:
            yield
        finally:
            self._reach(lambda: self._release(keys=[lease], args=[token]))

    def _find(self, key: str, digest: bytes, model: str) -> Kind | None:
        text = self._reach(lambda: self._client.get(key))
        if text:
            try:
                found = json_format.Parse(text, self._kind())
            except json_format.ParseError as error:
                # Written by another release; the journal or the model has it in ours.
                log.warning("%s cannot be read: %s", key, error)
            else:
                self._count("redis")
                return found
        stored = self._journal.find_cached(digest, model).result(JOURNAL_S)
        if stored is None:
            return None
        found = self._kind.FromString(stored)
        self._share(key, found)
        self._count("journal")
        return found

    def _share(self, key: str, answer: Kind) -> None:
        text = json_format.MessageToJson(answer, indent=None)
        self._reach(lambda: self._client.set(key, text, ex=KEEP_S))

    def _reach(self, command: Callable[[], object], otherwise: object = None) -> object:
        """What Redis answers, or `otherwise` while it is away."""
        if time.monotonic() < self._resting_until:
            return otherwise
        try:
            with cache.reaching():
                return command()
        except Unavailable as fault:
            self._resting_until = time.monotonic() + REST_S
            log.warning("answers are not shared: %s", fault.message)
            return otherwise

    def _count(self, source: str) -> None:
        with self._lock:
            self._asked += 1
            self._hits += source != "model"
            fields = {"cache": self._name, "source": source, "asked": self._asked, "hits": self._hits}
        log.info("an answer from %s", source, extra={"fields": fields})


def _slow() -> DeadlineExceeded:
    return DeadlineExceeded("somebody else's call for this answer takes too long", reason="MODEL_SLOW")
