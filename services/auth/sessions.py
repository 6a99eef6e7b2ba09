"""Log-ins: how one begins, the tokens it gives, and how it ends everywhere at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import grpc
from eco2.auth.v1 import auth_pb2 as pb

from services.auth import store, tokens
from services.kit.caller import client_address, user_agent
from services.kit.revocations import Revocations


@dataclasses.dataclass(frozen=True)
class Device:
    """What a log-in comes from: what it calls itself, and its IP address. Both may be empty."""

    user_agent: str
    address: str

    @classmethod
    def of(cls, context: grpc.ServicerContext) -> Device:
        return cls(user_agent(context), client_address(context))


class Sessions:
    def __init__(self, issuer: tokens.Issuer, key: tokens.TokenKey, revocations: Revocations):
        self._issuer, self._key, self._revocations = issuer, key, revocations

    def begin(self, tx, user_id: UUID, device: Device, now: datetime) -> pb.Tokens:
        """Log a user in."""
        first, until = tokens.new_refresh_token(), now + tokens.REFRESH_LIFETIME
        session_id = store.create_session(tx, user_id, now, until, device.user_agent, device.address)
        store.create_refresh_token(tx, session_id, user_id, tokens.digest(first), until)
        return self._tokens(user_id, session_id, first, now)

    def go_on(self, tx, token: str, used, now: datetime) -> pb.Tokens:
        """The tokens that follow an exchanged refresh token."""
        successor, until = self._key.successor(token), now + tokens.REFRESH_LIFETIME
        store.create_refresh_token(tx, used.session_id, used.user_id, tokens.digest(successor), until)
        store.extend_session(tx, used.session_id, now, until)
        return self._tokens(used.user_id, used.session_id, successor, now)

    def ended(self, session_ids: Iterable[UUID | None]) -> None:
        """Have these sessions, whose end is committed, refused everywhere before this returns; of None nothing comes.

        Fails with Unavailable (CACHE_UNAVAILABLE); they are refused then as soon as Redis is back (chores.Herald).
        """
        self._revocations.announce(each for each in session_ids if each)

    def _tokens(self, user_id: UUID, session_id: UUID, refresh_token: str, now: datetime) -> pb.Tokens:
        return pb.Tokens(
            access_token=self._issuer.access_token(user_id, session_id, now),
            refresh_token=refresh_token,
            expires_in=int(tokens.ACCESS_LIFETIME.total_seconds()),
        )
