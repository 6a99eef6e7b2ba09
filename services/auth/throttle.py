"""How often somebody may try: counters in Redis database 3, exact however many servers ask at once.

A try is counted before it is made and given back when it was right, so that no number of parallel guesses gets past the
limit. Redis away means no log-in until it is back: without it the guesses would have no limit, and who is logged in
goes on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re

import redis

from services.kit.cache import reaching
from services.kit.errors import ResourceExhausted

# Redis database 3: shared.
DB = 3

# KEYS: counters. ARGV: for each, how many it allows and for how many ms it lives after its first.
# Counts one on each and returns 0; or counts nothing and returns the ms until all allow one more.
_TAKE = """
local wait = 0
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[2 * i - 1]) then
        wait = math.max(wait, redis.call('PTTL', key))
    end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
    if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, ARGV[2 * i]) end
end
return 0
"""
# KEYS: counters. Takes one off each that is still there.
_GIVE_BACK = """
for _, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then redis.call('DECR', key) end
end
"""


class Limit:
    """How many within so many seconds of the first: `10/900` are ten in a quarter of an hour."""

    def __init__(self, text: str):
        """Fails with ValueError."""
        found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
        if not found:
            raise ValueError("must be a count and a number of seconds, like 10/900")
        self.count, self.window_s = int(found[1]), int(found[2])


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of wrong passwords, of mails asked for, of sign-ins begun, of registrations. An address may be shared by all the
    phones of a mobile network, so it is allowed many more."""

    login_account: Limit
    login_address: Limit
    reset_account: Limit
    reset_address: Limit
    sign_in_address: Limit
    register_address: Limit


@dataclasses.dataclass(frozen=True)
class Counter:
    key: str
    limit: Limit


class Throttle:
    """client: Redis database 3, of `cache.connect`."""

    def __init__(self, client: redis.Redis, limits: Limits):
        self._limits = limits
        self._client = client
        self._take = client.register_script(_TAKE)
        self._give_back = client.register_script(_GIVE_BACK)

    def login(self, account: object, address: str) -> tuple[Counter, Counter]:
        """account: a user's id, or a name that nobody has, which is counted alike."""
        return (
            Counter(f"attempts:login:account:{_digest(account)}", self._limits.login_account),
            Counter(f"attempts:login:address:{_network(address)}", self._limits.login_address),
        )

    def reset(self, email: str, address: str) -> tuple[Counter, Counter]:
        return (
            Counter(f"attempts:reset:account:{_digest(email.lower())}", self._limits.reset_account),
            self.reset_address(address),
        )

    def reset_address(self, address: str) -> Counter:
        return Counter(f"attempts:reset:address:{_network(address)}", self._limits.reset_address)

    def sign_in(self, address: str) -> Counter:
        """Of sign-ins begun at a provider, each of which is kept for minutes."""
        return Counter(f"attempts:sign-in:address:{_network(address)}", self._limits.sign_in_address)

    def register(self, address: str) -> Counter:
        return Counter(f"attempts:register:address:{_network(address)}", self._limits.register_address)

    def take(self, *counters: Counter) -> None:
        """Count one try. Fails with ResourceExhausted (TOO_MANY_ATTEMPTS) when one of the counters allows no more."""
        limits = [number for each in counters for number in (each.limit.count, each.limit.window_s * 1000)]
        with reaching():
            wait_ms = self._take(keys=[each.key for each in counters], args=limits)
        if wait_ms:
            raise ResourceExhausted(
                "too many attempts; wait before the next one",
                reason="TOO_MANY_ATTEMPTS",
                retry_after_s=wait_ms / 1000,
            )

    def give_back(self, *counters: Counter) -> None:
        """The try was right."""
        with reaching():
            self._give_back(keys=[each.key for each in counters])

    def forget(self, *counters: Counter) -> None:
        """Start from nothing."""
        with reaching():
            self._client.delete(*(each.key for each in counters))


def _digest(account: object) -> str:
    # No key holds a name, an address or the id of a user.
    return hashlib.sha256(str(account).encode()).hexdigest()[:32]


def _network(address: str) -> str:
    """What one person can have of addresses: one of IPv4, a /64 of IPv6. `unknown` stands for all that have none."""
    if not address:
        return "unknown"
    ip = ipaddress.ip_address(address)
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False).network_address)
