"""What a sign-in at a provider needs until it comes back: kept in Redis database 0, found by a secret, used once."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Literal

import redis

from services.kit.cache import reaching

# `state`: until the provider sends the person back. `code`: until the app fetches its tokens. `link`: until who is
# logged in says that it is theirs.
Kind = Literal["state", "code", "link"]
TTL_S: dict[Kind, int] = {"state": 600, "code": 60, "link": 60}


class States:
    """client: Redis database 0, of `cache.connect`."""

    def __init__(self, client: redis.Redis):
        self._client = client

    def put(self, kind: Kind, kept: dict[str, str], session: str = "") -> str:
        """The secret by which `kept` is found; by this session only, where one is given."""
        secret = secrets.token_urlsafe(32)
        with reaching():
            self._client.set(_key(kind, secret, session), json.dumps(kept), ex=TTL_S[kind])
        return secret

    def take(self, kind: Kind, secret: str, session: str = "") -> dict[str, str] | None:
        """What was kept, once: of concurrent calls one gets it. None when it is unknown, was taken or is too old."""
        with reaching():
            kept = self._client.getdel(_key(kind, secret, session))
        return None if kept is None else json.loads(kept)


def _key(kind: Kind, secret: str, session: str) -> str:
    return f"sign-in:{kind}:{hashlib.sha256(f'{session}{secret}'.encode()).hexdigest()}"
