"""Redis: clients with deadlines, state that only moves forward, and one listener for many waiters."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Iterable, Iterator, Mapping

import redis

from services.kit.errors import Unavailable

log = logging.getLogger(__name__)

# KEYS: the hash. ARGV: seq, TTL in seconds, channel, message, then field, value, field, value, …
_ADVANCE = """
local seq = tonumber(redis.call('HGET', KEYS[1], 'seq') or '-1')
if tonumber(ARGV[1]) <= seq then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[1], unpack(ARGV, 5))
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""

# Of one client. A command takes well below a millisecond, so that few serve many threads.
MAX_CONNECTIONS = 32


def connect(url: str, db: int, timeout_s: float = 1.0) -> redis.Redis:
    """A client of one database number. Answers are str; each command has a deadline and is not retried. When all its
    connections are busy a command waits for one, within the deadline."""
    pool = redis.BlockingConnectionPool.from_url(
        url,
        db=db,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout_s,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        retry=None,
    )
    return redis.Redis.from_pool(pool)


@contextlib.contextmanager
def reaching() -> Iterator[None]:
    """Within the block a Redis that cannot be reached, is full, or is a replica is UNAVAILABLE (CACHE_UNAVAILABLE)."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable("the cache cannot be reached", reason="CACHE_UNAVAILABLE") from error
    except (redis.OutOfMemoryError, redis.ReadOnlyError) as error:
        raise Unavailable("the cache takes nothing at the moment", reason="CACHE_UNAVAILABLE") from error


class Board:
    """Hashes that only move forward, with an announcement of each move.

    channel: the pub/sub channel; a message is the key that moved. ttl_s: seconds a hash lives after its last move.
    """

    def __init__(self, client: redis.Redis, channel: str, ttl_s: int):
        self._client, self._channel, self._ttl_s = client, channel, ttl_s
        self._script = client.register_script(_ADVANCE)

    def advance(self, key: str, seq: int, fields: Mapping[str, str | int]) -> bool:
        """Set `fields` of the hash when `seq` is greater than its last; False when it was not."""
        return self.advance_all([(key, seq, fields)])[0]

    def advance_all(self, moves: Iterable[tuple[str, int, Mapping[str, str | int]]]) -> list[bool]:
        """As `advance` for each (key, seq, fields), in one round trip. When it fails some may have moved."""
        with reaching(), self._client.pipeline(transaction=False) as pipeline:
            for key, seq, fields in moves:
                flat = [part for item in fields.items() for part in item]
                self._script(keys=[key], args=[seq, self._ttl_s, self._channel, key, *flat], client=pipeline)
            return [bool(moved) for moved in pipeline.execute()]

    def read(self, key: str) -> dict[str, str]:
        """The hash with its `seq`; empty when there is none."""
        with reaching():
            return self._client.hgetall(key)

    def remove(self, keys: Iterable[str]) -> int:
        """Remove hashes; how many there were."""
        keys = list(keys)
        with reaching():
            return self._client.unlink(*keys) if keys else 0


class Trail:
    """News in the order of their coming, for any number of readers who each know how far they are.

    key: of the stream in Redis. ttl_s: seconds it lives after its last item. most: about how many are kept, the newest.
    """

    # Before the first item; and how many a reader gets at a time.
    BEGINNING, BATCH = "0-0", 1000

    def __init__(self, client: redis.Redis, key: str, ttl_s: int, most: int):
        self._client, self._key, self._ttl_s, self._most = client, key, ttl_s, most

    def append(self, item: str) -> None:
        with reaching(), self._client.pipeline() as pipeline:
            pipeline.xadd(self._key, {"item": item}, maxlen=self._most, approximate=True)
            pipeline.expire(self._key, self._ttl_s)
            pipeline.execute()

    def read(self, place: str, wait_s: float = 0.0) -> tuple[list[str], str]:
        """The oldest items after a place, and the place after these. Where there is none it waits for so long, which
        must be less than the client's deadline."""
        # Redis takes 0 for ever.
        block_ms = round(wait_s * 1000) or None
        with reaching():
            answer = self._client.xread({self._key: place}, count=self.BATCH, block=block_ms)
        for _, items in answer:
            return [fields["item"] for _, fields in items], items[-1][0]
        return [], place


class Listener:
    """One subscription for a whole process, fanned out to the threads that wait for a key.

    A lost connection is made again, with growing pauses; every waiter is woken then, since a message may have been
    missed.
    """

    def __init__(self, client: redis.Redis, channel: str):
        self._client, self._channel = client, channel
        self._waiters: dict[str, set[threading.Event]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listener-{channel}", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def waiting(self, key: str) -> Iterator[threading.Event]:
        """An event that is set at each message about `key`; the waiter clears it."""
        event = threading.Event()
        with self._lock:
            self._waiters.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            with self._lock:
                self._waiters[key].discard(event)
                if not self._waiters[key]:
                    del self._waiters[key]

    def wake(self, key: str | None = None) -> None:
        """Wake the waiters of one key, or all."""
        with self._lock:
            keys = list(self._waiters) if key is None else [key]
            events = [event for each in keys for event in self._waiters.get(each, ())]
        for event in events:
            event.set()

    def close(self) -> None:
        self._closed.set()
        self.wake()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        pause_s = 0.1
        while not self._closed.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(self._channel)
                    self.wake()
                    while not self._closed.is_set():
                        message = subscription.get_message(timeout=0.5)
                        pause_s = 0.1
                        if message:
                            self.wake(message["data"])
            except redis.RedisError as error:
                log.warning("subscription to %s lost: %s", self._channel, error)
                self._closed.wait(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(pause_s * 2, 5)
