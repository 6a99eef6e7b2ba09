"""Who is calling. Envoy verifies the token and passes its claims as metadata; nobody else can reach our ports."""

from __future__ import annotations

import dataclasses
from uuid import UUID

import grpc

from services.kit.errors import Unauthenticated

USER_ID = "x-claim-sub"


@dataclasses.dataclass(frozen=True)
class Caller:
    user_id: UUID


def get_caller(context: grpc.ServicerContext) -> Caller:
    """The user behind this call. Fails with UNAUTHENTICATED (TOKEN_MISSING) when there is none."""
    for key, value in context.invocation_metadata():
        if key == USER_ID:
            try:
                return Caller(user_id=UUID(value))
            except ValueError:
                raise Unauthenticated("the token names no user", reason="TOKEN_INVALID") from None
    raise Unauthenticated("an access token is needed", reason="TOKEN_MISSING")
