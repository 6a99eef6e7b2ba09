"""Which analyses their users have cancelled, or deleted under way: a copy in memory, so that looking costs nothing.

`waste` appends each to a stream in Redis, which is followed here. While Redis is away the copy stays as it is: work on
what is cancelled meanwhile is done in vain, since `waste` makes no answer of it.
"""

from __future__ import annotations

import logging
import threading

import redis

from services.kit.cache import Trail
from services.kit.errors import Unavailable
from workers.feed import Feed

log = logging.getLogger(__name__)

# As in services/waste, which appends: keys.py, __main__.py. In the Redis database of progress.
KEY, TTL_S, MOST = "cancelled", 86_400, 20_000
# How long one look waits for news; the end of the process waits for it.
WAIT_S = 0.25


class Cancellations:
    """The ids of analyses; `in` never waits. Knows all that Redis had before it was made. client: of cache.connect."""

    def __init__(self, client: redis.Redis):
        self._trail = Trail(client, KEY, TTL_S, MOST)
        # In the order of their coming.
        self._known: dict[str, None] = {}
        self._place = Trail.BEGINNING
        try:
            while self._follow(0) == Trail.BATCH:
                pass
        except Unavailable as fault:
            log.warning("what has been cancelled is not known yet: %s", fault.message)
        # The look itself waits, so that there is no pause between two.
        self._feed = Feed(
            "cancellations", lambda: self._follow(WAIT_S), threading.Event(), full=1, idle_s=0.0, longest_s=5.0
        )
        self._feed.start()

    def __contains__(self, analysis_id: object) -> bool:
        return analysis_id in self._known

    def close(self) -> None:
        self._feed.finish(0)
        self._feed.join(5)

    def _follow(self, wait_s: float) -> int:
        """How many news there were."""
        try:
            news, self._place = self._trail.read(self._place, wait_s)
        except Unavailable:
            # It may come back without what it had, and count from the beginning.
            self._place = Trail.BEGINNING
            raise
        self._known |= dict.fromkeys(news)
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        return len(news)
