"""Password hashes: argon2id with the parameters OWASP recommends, 19 MiB and two passes. About 20 ms each."""

from __future__ import annotations

import secrets
import threading

import argon2

_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Each takes a core and 19 MiB.
AT_ONCE = 4
# To be held around whatever hashes: `with passwords.turn: …`.
turn = threading.BoundedSemaphore(AT_ONCE)
# Nobody knows its password.
_NOBODY = _HASHER.hash(secrets.token_urlsafe())


def hash_password(password: str) -> str:
    """A salted hash that names its own parameters."""
    return _HASHER.hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether `password` is the one behind the hash. None, for an unknown user, costs the same time and is False."""
    try:
        return _HASHER.verify(password_hash or _NOBODY, password) and password_hash is not None
    except argon2.exceptions.VerifyMismatchError:
        return False


def outdated(password_hash: str) -> bool:
    """Whether it was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)
