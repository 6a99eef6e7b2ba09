"""Google, Kakao and Naver: where to send a person, and who came back (OAuth 2.0 with PKCE, OpenID Connect).

The endpoints are those of the providers' own documents: developers.google.com/identity/openid-connect,
developers.kakao.com/docs (Kakao Login, REST API), developers.naver.com/docs/login/api.
"""

from __future__ import annotations

import dataclasses
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from services.auth import tokens
from services.kit.errors import FailedPrecondition, NotFound, Unauthenticated, Unavailable

# Of each of at most three calls.
TIMEOUT_S = 3.0
# What the clocks of a provider and ours may differ by.
LEEWAY_S = 30


@dataclasses.dataclass(frozen=True)
class Identity:
    """subject: the provider's id of the person, which never changes. email: only one that the provider has verified."""

    provider: str
    subject: str
    email: str | None


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """keys: where the keys of id tokens are; empty where there are no id tokens. userinfo: empty where the id token
    says it all."""

    authorize: str
    token: str
    keys: str
    userinfo: str
    issuers: tuple[str, ...]
    scope: str

    def at(self, base: str) -> Endpoints:
        """The same behind one address."""
        return dataclasses.replace(
            self,
            authorize=f"{base}/authorize",
            token=f"{base}/token",
            keys=self.keys and f"{base}/keys",
            userinfo=self.userinfo and f"{base}/userinfo",
            issuers=(base,),
        )


KNOWN = {
    "google": Endpoints(
        authorize="https://accounts.google.com/o/oauth2/v2/auth",
        token="https://oauth2.googleapis.com/token",
        keys="https://www.googleapis.com/oauth2/v3/certs",
        userinfo="",
        issuers=("https://accounts.google.com", "accounts.google.com"),
        scope="openid email",
    ),
    # Its id token does not say whether the address is verified; userinfo does.
    "kakao": Endpoints(
        authorize="https://kauth.kakao.com/oauth/authorize",
        token="https://kauth.kakao.com/oauth/token",
        keys="https://kauth.kakao.com/.well-known/jwks.json",
        userinfo="https://kapi.kakao.com/v1/oidc/userinfo",
        issuers=("https://kauth.kakao.com",),
        scope="openid account_email",
    ),
    # No id token, so there is no nonce to check; and it vouches for no address.
    "naver": Endpoints(
        authorize="https://nid.naver.com/oauth2.0/authorize",
        token="https://nid.naver.com/oauth2.0/token",
        keys="",
        userinfo="https://openapi.naver.com/v1/nid/me",
        issuers=(),
        scope="",
    ),
}


class Provider:
    def __init__(self, name: str, endpoints: Endpoints, client_id: str, client_secret: str):
        self._name, self._at, self._client_id, self._client_secret = name, endpoints, client_id, client_secret
        self._http = httpx.Client(timeout=TIMEOUT_S)
        self._keys = _keys_at(endpoints.keys) if endpoints.keys else None

    def authorization_url(self, state: str, nonce: str, verifier: str, redirect_uri: str) -> str:
        """Where the person says yes. They come back to redirect_uri with `state` and a code."""
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": tokens.challenge(verifier),
            "code_challenge_method": "S256",
        }
        if self._keys:
            query["nonce"] = nonce
        if self._at.scope:
            query["scope"] = self._at.scope
        return f"{self._at.authorize}?{urlencode(query)}"

    def identify(self, code: str, state: str, nonce: str, verifier: str, redirect_uri: str) -> Identity:
        """Who the code is about; the other arguments as for the URL. Fails with Unavailable (PROVIDER_UNAVAILABLE) and,
        when anything is not as it must be, with Unauthenticated (SIGN_IN_REFUSED)."""
        form = {
            "grant_type": "authorization_code",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "redirect_uri": redirect_uri,
            "code": code,
            "code_verifier": verifier,
            # Naver wants it here too.
            "state": state,
        }
        given = self._json("POST", self._at.token, data=form)
        claims = self._claims(_text(given, "id_token"), nonce) if self._keys else {}
        if self._at.userinfo:
            headers = {"authorization": f"Bearer {_text(given, 'access_token')}"}
            told = self._json("GET", self._at.userinfo, headers=headers)
            if self._keys and told.get("sub") != claims["sub"]:
                raise _refused("userinfo is about somebody else")
            claims = told.get("response") if self._name == "naver" else told
        if not isinstance(claims, dict):
            raise _refused("the answer names nobody")
        subject = claims.get("id" if self._name == "naver" else "sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise _refused("the answer names nobody")
        # Google has sent both. Not `in`: to Python, 1 is True.
        verified = claims.get("email_verified") is True or claims.get("email_verified") == "true"
        email = claims.get("email") if verified else None
        return Identity(self._name, subject, email if isinstance(email, str) and len(email) <= 255 else None)

    def _claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                id_token,
                self._keys.get_signing_key_from_jwt(id_token),
                algorithms=["RS256"],
                audience=self._client_id,
                issuer=self._at.issuers,
                leeway=LEEWAY_S,
                options={"require": ["aud", "exp", "iat", "iss", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise _unavailable(self._name) from error
        except (jwt.PyJWTError, ValueError) as error:
            raise _refused(f"the id token is not valid: {type(error).__name__}") from error
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _refused("the id token has another nonce")
        if claims.get("azp", self._client_id) != self._client_id:
            raise _refused("the id token is for somebody else")
        return claims

    def _json(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, url, **request)
        except httpx.HTTPError as error:
            raise _unavailable(self._name) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise _unavailable(self._name)
        try:
            said = answer.json()
        except ValueError:
            said = None
        # Naver says 200 to a code it does not know.
        if answer.status_code != 200 or not isinstance(said, dict) or "error" in said:
            raise _refused(f"{answer.status_code} from the provider")
        return said


class Providers:
    """Those that are configured."""

    def __init__(self, text: str):
        """text: JSON, `{"google": {"client_id": …, "client_secret": …}}`. `base_url` puts /authorize, /token, /userinfo
        and /keys of one provider behind another address, `scope` asks for other things. Fails with ValueError, which
        repeats no secret."""
        self._by_name: dict[str, Provider] = {}
        try:
            given = json.loads(text)
            for name, of in given.items():
                at = KNOWN[name].at(of["base_url"]) if "base_url" in of else KNOWN[name]
                at = dataclasses.replace(at, scope=of.get("scope", at.scope))
                self._by_name[name] = Provider(name, at, of["client_id"], of["client_secret"])
        except (ValueError, AttributeError, TypeError, KeyError, jwt.PyJWTError):
            names = ", ".join(KNOWN)
            raise ValueError(f"is not JSON with a client_id and a client_secret for any of {names}") from None

    def get(self, name: str) -> Provider:
        """Fails with NotFound (PROVIDER_UNKNOWN) and FailedPrecondition (PROVIDER_NOT_CONFIGURED)."""
        if name not in KNOWN:
            raise NotFound("no such provider", reason="PROVIDER_UNKNOWN", provider=name)
        if name not in self._by_name:
            message = "nobody can sign in with this provider here"
            raise FailedPrecondition(message, reason="PROVIDER_NOT_CONFIGURED", provider=name)
        return self._by_name[name]


def _keys_at(url: str) -> jwt.PyJWKClient:
    # No cooldown: tokens come from the provider alone, so one with an unknown key means that there is a new one.
    return jwt.PyJWKClient(url, timeout=TIMEOUT_S, cooldown_duration=0)


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise _refused(f"the answer has no {name}")
    return value


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the sign-in is not accepted: {why}", reason="SIGN_IN_REFUSED")


def _unavailable(provider: str) -> Unavailable:
    return Unavailable("the provider does not answer", reason="PROVIDER_UNAVAILABLE", provider=provider)
