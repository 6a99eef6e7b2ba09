"""Sessions that have ended while their access tokens have not: whoever logs out is refused everywhere, at once.

Envoy verifies a token without asking anybody, so each server asks here whether the token's session has ended. The
truth is a key in Redis database 0; each process keeps a copy in memory, so that a call costs a look into a set and no
trip. `announce` returns when every process that listens has confirmed, so what a client calls after its log-out was
answered finds all copies up to date. A process whose subscription is lost asks Redis itself; when Redis cannot be
reached at all it goes by what it knows. That lets the tokens of a session in which nobody could log out just then live
on, for a quarter of an hour at most; to refuse instead would end the service for everybody whenever Redis is away.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Iterable

import redis

from services.kit.cache import reaching

log = logging.getLogger(__name__)

# Redis database 0: sessions and revocations.
DB = 0
CHANNEL = "eco2.revoked"
# Longer than an access token lives, with what Envoy allows for clocks that differ.
TTL_S = 20 * 60
# How long to wait for the confirmations of other processes, which take a millisecond or two.
CONFIRM_S = 0.5
# A subscription that says nothing for so long is pinged, and one that does not answer is given up.
PING_S, SILENT_S = 1.0, 3.0
# After Redis could not be reached: how long not to try again for a single call.
PAUSE_S = 0.5


class Revocations:
    """client: Redis database 0, of `cache.connect`. Close it at the end."""

    def __init__(self, client: redis.Redis):
        self._client = client
        # Session → when it may be forgotten, in the order of these times.
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()
        self._current, self._closed = threading.Event(), threading.Event()
        self._ask_after = 0.0
        self._thread = threading.Thread(target=self._run, name="revocations", daemon=True)
        self._thread.start()

    def ended(self, session_id: str) -> bool:
        """Whether the tokens of this session are to be refused."""
        return session_id in self._ended or (not self._current.is_set() and self._asked(session_id))

    def announce(self, session_ids: Iterable[object], repeated: bool = False) -> None:
        """Have every process refuse these sessions from now on.

        repeated: this is only in case that the first announcement was lost; what Redis has already is left out. Fails
        with Unavailable (CACHE_UNAVAILABLE).
        """
        ids = [str(each) for each in session_ids]
        if not ids:
            return
        with reaching():
            with self._client.pipeline() as batch:
                for each in ids:
                    batch.set(_key(each), 1, ex=TTL_S, nx=repeated)
                made = batch.execute()
            news = [each for each, new in zip(ids, made, strict=True) if new]
            self._keep(news)
            if news:
                self._tell(news)

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=5)

    def _tell(self, ids: list[str]) -> None:
        confirmations = f"confirmed:{uuid.uuid4()}"
        listeners = self._client.publish(CHANNEL, " ".join((confirmations, *ids)))
        until = time.monotonic() + CONFIRM_S
        for heard in range(listeners):
            # At least something: 0 would wait for ever.
            if self._client.blpop(confirmations, timeout=max(until - time.monotonic(), 0.001)) is None:
                log.warning("%d of %d processes have confirmed an ended session", heard, listeners)
                return

    def _keep(self, ids: Iterable[str]) -> None:
        now = time.monotonic()
        with self._lock:
            for each in ids:
                self._ended.pop(each, None)
                self._ended[each] = now + TTL_S
            while self._ended and self._ended[oldest := next(iter(self._ended))] < now:
                del self._ended[oldest]

    def _asked(self, session_id: str) -> bool:
        if time.monotonic() < self._ask_after:
            return False
        try:
            return bool(self._client.exists(_key(session_id)))
        except redis.RedisError as error:
            self._ask_after = time.monotonic() + PAUSE_S
            log.warning("whether sessions have ended cannot be asked: %s", error)
            return False

    def _run(self) -> None:
        pause_s = 0.05
        while not self._closed.is_set():
            try:
                with self._client.pubsub() as subscription:
                    subscription.subscribe(CHANNEL)
                    self._follow(subscription)
                pause_s = 0.05
            except redis.RedisError as error:
                log.warning("subscription to %s lost: %s", CHANNEL, error)
                self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, 1)
            finally:
                self._current.clear()

    def _follow(self, subscription: redis.client.PubSub) -> None:
        heard = time.monotonic()
        while not self._closed.is_set():
            message = subscription.get_message(timeout=0.25)
            if message is None:
                silent_s = time.monotonic() - heard
                if silent_s > SILENT_S:
                    raise redis.TimeoutError("no answer to a ping")
                if silent_s > PING_S:
                    subscription.ping()
                continue
            heard = time.monotonic()
            if message["type"] == "subscribe":
                # From here on nothing is missed; what there was before is read now.
                keys = self._client.scan_iter(match=_key("*"), count=1000)
                self._keep(key.removeprefix(_key("")) for key in keys)
                self._current.set()
            elif message["type"] == "message":
                confirmations, *ids = message["data"].split()
                self._keep(ids)
                with self._client.pipeline() as batch:
                    batch.rpush(confirmations, 1)
                    batch.expire(confirmations, 10)
                    batch.execute()


def _key(session_id: str) -> str:
    return f"revoked:{session_id}"
