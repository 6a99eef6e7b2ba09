"""SignInInternalService: signing in with Google, Kakao or Naver. The gateway brings people to us and takes them on."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from eco2.auth.v1 import internal_pb2 as pb
from eco2.auth.v1 import internal_pb2_grpc as pb_grpc

from services.auth import identity_store, store
from services.auth.journeys import Journeys
from services.auth.providers import Identity
from services.auth.sessions import Device, Sessions
from services.auth.states import States
from services.kit import telemetry
from services.kit.database import Database
from services.kit.errors import AlreadyExists, NotFound
from services.kit.server import Pool

# Each waits for a provider, for nine seconds at most.
SIGN_INS = Pool(frozenset({"/eco2.auth.v1.SignInInternalService/FinishSignIn"}), limit=32, reason="TOO_MANY_SIGN_INS")
# Of two first sign-ins of one person at once the second finds what the first has made; and who was found may be erased
# before they are linked.
ATTEMPTS = 3


class SignIn(pb_grpc.SignInInternalServiceServicer):
    """clock: the present time, aware."""

    def __init__(
        self, db: Database, sessions: Sessions, states: States, journeys: Journeys, clock: Callable[[], datetime]
    ):
        self._db, self._sessions, self._states, self._journeys, self._clock = db, sessions, states, journeys, clock

    def StartSignIn(self, request, context):
        url = self._journeys.begin(
            request.provider,
            request.redirect_uri,
            request.address,
            challenge=request.code_challenge,
            browser=request.browser,
        )
        return pb.StartSignInResponse(authorization_url=url)

    def FinishSignIn(self, request, context):
        arrival = self._journeys.end(request.provider, request.state, request.code, request.browser)
        answer = pb.FinishSignInResponse(redirect_uri=arrival.page)
        identity = arrival.identity
        if identity is None:
            answer.failure = arrival.failure
            return answer
        # Not the user's id, which must be nowhere once the user has been erased.
        kept = {"provider": identity.provider, "subject": identity.subject, "challenge": arrival.challenge}
        if arrival.session:
            # Linked when the session that began says so (AccountService.ConfirmIdentity): whoever was led here by
            # somebody else's link has linked nothing.
            answer.code = self._states.put("link", kept, arrival.session)
            return answer
        try:
            user_id = self._user_of(identity)
            if arrival.challenge:
                answer.code = self._states.put("code", kept)
                return answer
            with self._db.writing() as tx:
                device = Device(request.user_agent, request.address)
                answer.tokens.CopyFrom(self._sessions.begin(tx, user_id, device, self._clock()))
        except NotFound as fault:
            answer.failure = fault.reason
        return answer

    def _user_of(self, identity: Identity) -> UUID:
        """Fails with NotFound (ACCOUNT_ERASED)."""
        for attempt in range(ATTEMPTS):
            with self._db.reading() as tx:
                known = identity_store.find_user(tx, identity.provider, identity.subject)
            if known is not None:
                return known
            try:
                return self._create(identity)
            except (AlreadyExists, NotFound):
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _create(self, identity: Identity) -> UUID:
        now = self._clock()
        with self._db.writing() as tx:
            owner = identity_store.find_owner(tx, identity.email) if identity.email else None
            # Here both sides have shown that the address is theirs. An account whose address nobody has verified may
            # have been made by someone else, to lie in wait for this person; it keeps it, and this one goes without.
            # So does one whose owner has unlinked something: what they took away does not come back by itself.
            if owner and owner.email_verified_at and owner.links_by_email:
                user_id = owner.id
            else:
                email = None if owner else identity.email
                name = f"{identity.provider}-{secrets.token_hex(5)}"
                user_id = store.create_user(
                    tx, name, email, None, now, telemetry.request_id(), verified=email is not None
                )
            identity_store.create_account(tx, user_id, identity.provider, identity.subject, now)
        return user_id
