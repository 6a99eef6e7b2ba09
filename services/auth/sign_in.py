"""SignInInternalService: signing in with Google, Kakao or Naver. The gateway brings people to us and takes them on."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from eco2.auth.v1 import internal_pb2 as pb
from eco2.auth.v1 import internal_pb2_grpc as pb_grpc

from services.auth import identity_store, store
from services.auth.providers import Identity, Providers
from services.auth.sessions import Device, Sessions
from services.auth.states import States
from services.auth.throttle import Throttle
from services.kit import telemetry
from services.kit.database import Database
from services.kit.errors import AlreadyExists, FailedPrecondition, Unauthenticated, Unavailable, invalid
from services.kit.server import Pool

# Each waits for a provider, for nine seconds at most.
SIGN_INS = Pool(frozenset({"/eco2.auth.v1.SignInInternalService/FinishSignIn"}), limit=32, reason="TOO_MANY_SIGN_INS")
# Of two first sign-ins of one person at once the second finds what the first has made.
ATTEMPTS = 3
# A path of this site. To a browser `//host` and `/\host` are other sites, also with a tab in between.
_LOCAL = re.compile(r"/(?![/\\])[!-~]*")


class SignIn(pb_grpc.SignInInternalServiceServicer):
    """callback: the URL that providers send people back to, with {provider} in it. pages: the URLs outside this site
    that people may be taken on to. clock: the present time, aware."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        throttle: Throttle,
        states: States,
        providers: Providers,
        callback: str,
        pages: tuple[str, ...],
        clock: Callable[[], datetime],
    ):
        self._db, self._sessions, self._throttle, self._states = db, sessions, throttle, states
        self._providers, self._callback, self._pages, self._clock = providers, callback, pages, clock

    def StartSignIn(self, request, context):
        provider = self._providers.get(request.provider)
        self._check(request)
        self._throttle.take(self._throttle.sign_in(request.address))
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        kept = {
            "provider": request.provider,
            "nonce": nonce,
            "verifier": verifier,
            "page": request.redirect_uri or "/",
            "challenge": request.code_challenge,
            "browser": "" if request.code_challenge else _digest(request.browser),
        }
        state = self._states.put("state", kept)
        url = provider.authorization_url(state, nonce, verifier, self._callback.format(provider=request.provider))
        return pb.StartSignInResponse(authorization_url=url)

    def FinishSignIn(self, request, context):
        provider = self._providers.get(request.provider)
        kept = self._states.take("state", request.state)
        # Somebody else's sign-in, begun in another browser, must not become this one's.
        if (
            kept is None
            or kept["provider"] != request.provider
            or (kept["browser"] and not hmac.compare_digest(kept["browser"], _digest(request.browser)))
        ):
            raise FailedPrecondition("this sign-in is not under way; begin again", reason="SIGN_IN_STATE_INVALID")
        answer = pb.FinishSignInResponse(redirect_uri=kept["page"])
        if not request.code:
            answer.failure = "SIGN_IN_DENIED"
            return answer
        callback = self._callback.format(provider=request.provider)
        try:
            identity = provider.identify(request.code, request.state, kept["nonce"], kept["verifier"], callback)
        except (Unauthenticated, Unavailable) as fault:
            # People are taken back to where they came from, and told there.
            answer.failure = fault.reason
            return answer
        user_id = self._user_of(identity)
        if kept["challenge"]:
            # Not the user's id, which must be nowhere once the user has been erased.
            whose = {"provider": identity.provider, "subject": identity.subject}
            answer.code = self._states.put("code", whose | {"challenge": kept["challenge"]})
        else:
            with self._db.writing() as tx:
                device = Device(request.user_agent, request.address)
                answer.tokens.CopyFrom(self._sessions.begin(tx, user_id, device, self._clock()))
        return answer

    def _check(self, request) -> None:
        page = request.redirect_uri
        local = _LOCAL.fullmatch(page)
        if request.code_challenge and page not in self._pages:
            raise invalid("redirect_uri", "is none of those that apps may be sent to")
        if page and not local and page not in self._pages:
            raise invalid("redirect_uri", "is neither a path of this site nor a page that is allowed")
        if not request.code_challenge and not request.browser:
            raise invalid("browser", "is needed where there is no code_challenge")

    def _user_of(self, identity: Identity) -> UUID:
        for attempt in range(ATTEMPTS):
            with self._db.reading() as tx:
                known = identity_store.find_user(tx, identity.provider, identity.subject)
            if known is not None:
                return known
            try:
                return self._create(identity)
            except AlreadyExists:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _create(self, identity: Identity) -> UUID:
        now = self._clock()
        with self._db.writing() as tx:
            owner = identity_store.find_owner(tx, identity.email) if identity.email else None
            # Here both sides have shown that the address is theirs. An account whose address nobody has verified may
            # have been made by someone else, to lie in wait for this person; it keeps it, and this one goes without.
            if owner and owner.email_verified_at:
                user_id = owner.id
            else:
                email = None if owner else identity.email
                name = f"{identity.provider}-{secrets.token_hex(5)}"
                user_id = store.create_user(
                    tx, name, email, None, now, telemetry.request_id(), verified=email is not None
                )
            identity_store.create_account(tx, user_id, identity.provider, identity.subject, now)
        return user_id


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
