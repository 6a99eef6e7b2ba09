"""Who is calling. Envoy verifies the token and passes its claims as metadata; nobody else can reach our ports."""

from __future__ import annotations

import dataclasses
from uuid import UUID

import grpc

from services.kit.errors import Unauthenticated

USER_ID, SESSION_ID = "x-claim-sub", "x-claim-sid"
# Whom Envoy speaks to. Not x-forwarded-for, which begins with whatever the client wrote into it.
CLIENT_ADDRESS = "x-client-address"


@dataclasses.dataclass(frozen=True)
class Caller:
    """session_id: the log-in that the token came from; None when the token names none."""

    user_id: UUID
    session_id: UUID | None = None


def get_caller(context: grpc.ServicerContext) -> Caller:
    """The user behind this call. Fails with UNAUTHENTICATED (TOKEN_MISSING) when there is none."""
    metadata = dict(context.invocation_metadata())
    if USER_ID not in metadata:
        raise Unauthenticated("an access token is needed", reason="TOKEN_MISSING")
    try:
        session = metadata.get(SESSION_ID)
        return Caller(UUID(metadata[USER_ID]), UUID(session) if session else None)
    except ValueError:
        raise Unauthenticated("the token names no user", reason="TOKEN_INVALID") from None


def find_caller(context: grpc.ServicerContext) -> Caller | None:
    """As get_caller; None when a sibling calls, which speaks for no user."""
    return get_caller(context) if USER_ID in dict(context.invocation_metadata()) else None


def client_address(context: grpc.ServicerContext) -> str:
    """The IP address from which this call reached the edge; empty when it did not come through it."""
    return dict(context.invocation_metadata()).get(CLIENT_ADDRESS, "")


def user_agent(context: grpc.ServicerContext) -> str:
    """What the client calls itself; may be empty."""
    return dict(context.invocation_metadata()).get("user-agent", "")
