"""A person's way to a provider and back, to sign in or to link: what it needs meanwhile is kept, and used once."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import secrets

from services.auth.providers import Identity, Providers
from services.auth.states import States
from services.auth.throttle import Throttle
from services.kit.errors import FailedPrecondition, Unauthenticated, Unavailable, invalid

# A path of this site. To a browser `//host` and `/\host` are other sites, also with a tab in between.
_LOCAL = re.compile(r"/(?![/\\])[!-~]*")


@dataclasses.dataclass(frozen=True)
class Arrival:
    """Who came back from a provider. page: where to take them now. challenge: of the app, empty for a web page that
    signs in. session: of who links. failure: why there is no identity."""

    page: str
    challenge: str
    session: str
    identity: Identity | None = None
    failure: str = ""


class Journeys:
    """callback: the URL that providers send people back to, with {provider} in it. pages: the URLs outside this site
    that people may be taken on to."""

    def __init__(self, throttle: Throttle, states: States, providers: Providers, callback: str, pages: tuple[str, ...]):
        self._throttle, self._states, self._providers = throttle, states, providers
        self._callback, self._pages = callback, pages

    def begin(
        self, name: str, page: str, address: str, *, challenge: str = "", browser: str = "", session: str = ""
    ) -> str:
        """The URL of the provider. browser: the secret of a web page's browser. session: whose account to link.

        Fails with NotFound (PROVIDER_UNKNOWN), FailedPrecondition (PROVIDER_NOT_CONFIGURED), InvalidArgument and
        ResourceExhausted (TOO_MANY_ATTEMPTS).
        """
        provider = self._providers.get(name)
        self._check(page, app=bool(challenge and not session))
        if not challenge and not browser:
            raise invalid("browser", "is needed where there is no code_challenge")
        self._throttle.take(self._throttle.sign_in(address))
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        kept = {
            "provider": name,
            "nonce": nonce,
            "verifier": verifier,
            "page": page or "/",
            "challenge": challenge,
            "browser": "" if challenge else _digest(browser),
            # Not the user's id, which must be nowhere once the user has been erased.
            "session": session,
        }
        state = self._states.put("state", kept)
        return provider.authorization_url(state, nonce, verifier, self._callback.format(provider=name))

    def end(self, name: str, state: str, code: str, browser: str) -> Arrival:
        """What the provider says to the code, or why it does not. Fails with FailedPrecondition
        (SIGN_IN_STATE_INVALID)."""
        provider = self._providers.get(name)
        kept = self._states.take("state", state)
        # Somebody else's sign-in, begun in another browser, must not become this one's.
        if (
            kept is None
            or kept["provider"] != name
            or (kept["browser"] and not hmac.compare_digest(kept["browser"], _digest(browser)))
        ):
            raise FailedPrecondition("this sign-in is not under way; begin again", reason="SIGN_IN_STATE_INVALID")
        # One that was begun before a release with linking names no session.
        arrival = Arrival(kept["page"], kept["challenge"], kept.get("session", ""))
        if not code:
            return dataclasses.replace(arrival, failure="SIGN_IN_DENIED")
        callback = self._callback.format(provider=name)
        try:
            identity = provider.identify(code, state, kept["nonce"], kept["verifier"], callback)
        except (Unauthenticated, Unavailable) as fault:
            # People are taken back to where they came from, and told there.
            return dataclasses.replace(arrival, failure=fault.reason)
        return dataclasses.replace(arrival, identity=identity)

    def _check(self, page: str, *, app: bool) -> None:
        if app and page not in self._pages:
            raise invalid("redirect_uri", "is none of those that apps may be sent to")
        if page and not _LOCAL.fullmatch(page) and page not in self._pages:
            raise invalid("redirect_uri", "is neither a path of this site nor a page that is allowed")


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
