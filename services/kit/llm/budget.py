"""Tokens that may be spent on models, by one user and by all, counted in Redis.

Each budget is one hash, `llm:budget:user:<SHA-256 of the user id>`, so that no call under way names a user who has been
erased, and `llm:budget:all`: `window` names its window, which begins with the first call and ends with the key's TTL,
`used` are the tokens spent in it, `held` those of calls under way. A call holds the most it may cost before it is made
and settles for what it did cost, in one script each, so that however many run at once used + held never passes the
limit. What a process held that died stays held until the window ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Iterator

import redis

from services.kit import cache
from services.kit.errors import ResourceExhausted, Unavailable

log = logging.getLogger(__name__)

# Redis database 3: shared limits.
DB = 3
# When to look again for tokens that calls under way may give back.
HELD_S = 1.0

# KEYS: the budgets. ARGV: tokens, then limit and window in ms for each.
# Gives {0, window, window, …}, or which budget refused, why, and in how many ms to come again.
_HOLD = """
local tokens, now = tonumber(ARGV[1]), redis.call('TIME')
for i, key in ipairs(KEYS) do
  local limit, window_ms = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local used = tonumber(redis.call('HGET', key, 'used') or '0')
  local held = tonumber(redis.call('HGET', key, 'held') or '0')
  if used + tokens > limit then
    local left = redis.call('PTTL', key)
    return {i, 'spent', left >= 0 and left or window_ms}
  end
  if used + held + tokens > limit then return {i, 'held', 0} end
end
local windows = {0}
for i, key in ipairs(KEYS) do
  if redis.call('HSETNX', key, 'window', now[1] .. '.' .. now[2]) == 1 then
    redis.call('PEXPIRE', key, ARGV[2 * i + 1])
  end
  redis.call('HINCRBY', key, 'held', tokens)
  windows[i + 1] = redis.call('HGET', key, 'window')
end
return windows
"""
# KEYS: the budgets. ARGV: tokens held, tokens spent, then the window of each. A window that has ended counts no more.
_SETTLE = """
for i, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'window') == ARGV[i + 2] then
    redis.call('HINCRBY', key, 'held', -tonumber(ARGV[1]))
    redis.call('HINCRBY', key, 'used', ARGV[2])
  end
end
"""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Tokens in a window of window_s seconds."""

    user_tokens: int
    all_tokens: int
    window_s: float = 86_400.0


@dataclasses.dataclass
class Hold:
    """Tokens set aside for one call. `spent` is what they become; unless the call says otherwise, all of them: of a
    call that broke off nobody knows here what it cost."""

    tokens: int
    spent: int


class Budget:
    """client: of Redis database 3."""

    def __init__(self, client: redis.Redis, limits: Limits):
        self._client, self._limits = client, limits
        self._take, self._settle = client.register_script(_HOLD), client.register_script(_SETTLE)

    @contextlib.contextmanager
    def hold(self, user_id: str, tokens: int) -> Iterator[Hold]:
        """Set tokens aside for a block, and count what it spent.

        Fails with ResourceExhausted (MODEL_BUDGET_SPENT, with the time until the window ends, or MODEL_BUDGET_HELD),
        and with Unavailable (CACHE_UNAVAILABLE) when nobody can count: money is not spent uncounted.
        """
        limits, window_ms = self._limits, round(self._limits.window_s * 1000)
        keys = [user_key(user_id), ALL_KEY]
        with cache.reaching():
            refused, *windows = self._take(
                keys=keys, args=[tokens, limits.user_tokens, window_ms, limits.all_tokens, window_ms]
            )
        if refused:
            raise _refusal("user" if refused == 1 else "all", *windows)
        hold = Hold(tokens, tokens)
        try:
            yield hold
        finally:
            self._give_back(keys, hold, windows)

    def used(self, user_id: str) -> int:
        """What the user has spent in the present window."""
        with cache.reaching():
            return int(self._client.hget(user_key(user_id), "used") or 0)

    def _give_back(self, keys: list[str], hold: Hold, windows: list[str]) -> None:
        try:
            with cache.reaching():
                self._settle(keys=keys, args=[hold.tokens, hold.spent, *windows])
        except Unavailable as fault:
            # They stay held until the window ends: too much is counted, never too little.
            log.warning("%d tokens are not settled: %s", hold.tokens, fault.message)


ALL_KEY = "llm:budget:all"


def user_key(user_id: str) -> str:
    return f"llm:budget:user:{hashlib.sha256(user_id.encode()).hexdigest()}"


def _refusal(whose: str, why: str, left_ms: int) -> ResourceExhausted:
    if why == "held":
        message = "the token budget is held by calls under way"
        return ResourceExhausted(message, reason="MODEL_BUDGET_HELD", retry_after_s=HELD_S, budget=whose)
    message = "the token budget is spent"
    return ResourceExhausted(message, reason="MODEL_BUDGET_SPENT", retry_after_s=left_ms / 1000, budget=whose)
