"""What a sign-in at a provider needs until it comes back: kept in Redis database 0, found by a secret, used once."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Literal

import redis

from services.kit.cache import reaching

# `state`: until the provider sends the person back. `code`: until the app fetches its tokens.
Kind = Literal["state", "code"]
TTL_S: dict[Kind, int] = {"state": 600, "code": 60}


class States:
    """client: Redis database 0, of `cache.connect`."""

    def __init__(self, client: redis.Redis):
        self._client = client

    def put(self, kind: Kind, kept: dict[str, str]) -> str:
        """The secret by which `kept` is found."""
        secret = secrets.token_urlsafe(32)
        with reaching():
            self._client.set(_key(kind, secret), json.dumps(kept), ex=TTL_S[kind])
        return secret

    def take(self, kind: Kind, secret: str) -> dict[str, str] | None:
        """What was kept, once: of concurrent calls one gets it. None when it is unknown, was taken or is too old."""
        with reaching():
            kept = self._client.getdel(_key(kind, secret))
        return None if kept is None else json.loads(kept)


def _key(kind: Kind, secret: str) -> str:
    return f"sign-in:{kind}:{hashlib.sha256(secret.encode()).hexdigest()}"
