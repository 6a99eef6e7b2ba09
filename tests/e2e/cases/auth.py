"""Cases of accounts and log-ins."""

import hashlib
import re
import secrets
from urllib.parse import parse_qs, urlsplit

import jwt

from services.auth import tokens
from tests.conftest import eventually
from tests.e2e.cases.case import APART, Case, Person
from tests.e2e.conftest import APP_PAGE

OPEN = {"headers": {"authorization": ""}}


def newcomer() -> dict[str, str]:
    name = f"user-{secrets.token_hex(6)}"
    return {"username": name, "email": f"{name}@example.com", "password": secrets.token_hex(8)}


def log_in(person: Person) -> dict:
    """Tokens of one more session."""
    body = {"username": person.name, "password": person.password}
    return person.http.post("/api/v1/auth/login", json=body).json()["tokens"]


def session_id(person: Person) -> str:
    return jwt.decode(log_in(person)["access_token"], options={"verify_signature": False})["sid"]


def reset_token(person: Person) -> str:
    """From the mail to an account of its own, since a reset ends every session."""
    somebody, auth = newcomer(), "/api/v1/auth"
    assert person.http.post(f"{auth}/register", json=somebody, **OPEN).status_code == 200
    asked = person.http.post(f"{auth}/password:requestReset", json={"email": somebody["email"]}, **OPEN)
    assert asked.status_code == 200, asked.text

    def mails() -> list:
        return [mail for to, mail in list(person.outside.relay.mails) if somebody["email"] in to]

    eventually(mails)
    return re.search(r"#token=(\S+)", mails()[0].get_content())[1]


def signed_in(person: Person) -> dict[str, str]:
    """A code of a sign-in at the provider, and its verifier."""
    verifier, start = secrets.token_urlsafe(48), "/api/v1/auth/oauth/kakao"
    asked = {"redirect_uri": APP_PAGE, "code_challenge": tokens.challenge(verifier)}
    began = person.http.get(start, params=asked, headers={"accept": "application/json"})
    assert began.status_code == 200, began.text
    brought = person.outside.provider.say_yes(began.json()["authorization_url"])
    back = urlsplit(person.http.get(f"{start}/callback", params=brought).headers["location"])
    return {"code": parse_qs(back.query)["code"][0], "code_verifier": verifier}


VERIFIER = secrets.token_urlsafe(48)


def link(_: Person) -> dict[str, str]:
    return {"provider": "kakao", "redirect_uri": APP_PAGE, "code_challenge": tokens.challenge(VERIFIER)}


def came_back(person: Person) -> dict[str, str]:
    """A code to link with, from somebody at the provider whom nobody knows yet."""
    provider, auth = person.outside.provider, "/api/v1/auth"
    began = person.http.post(f"{auth}/identities:link", json=link(person))
    assert began.status_code == 200, began.text
    somebody = provider.person
    provider.person = somebody | {"sub": secrets.token_hex(8)}
    try:
        brought = provider.say_yes(began.json()["authorization_url"])
        back = urlsplit(person.http.get(f"{auth}/oauth/kakao/callback", params=brought).headers["location"])
    finally:
        provider.person = somebody
    return {"code": parse_qs(back.query)["code"][0], "code_verifier": VERIFIER}


def linked(person: Person) -> dict[str, str]:
    made = person.http.post("/api/v1/auth/identities:confirm", json=came_back(person))
    assert made.status_code == 200, made.text
    return {"provider": made.json()["identity"]["provider"]}


CASES = {
    "AuthService.Register": Case(lambda _: newcomer(), ("email", "nobody")),
    "AuthService.Login": Case(
        lambda me: {"username": me.name, "password": me.password},
        ("username", ""),
        refused=("password", "not the password", "UNAUTHENTICATED"),
    ),
    "AuthService.Refresh": Case(
        lambda me: {"refresh_token": log_in(me)["refresh_token"]},
        ("refresh_token", ""),
        refused=("refresh_token", "unknown", "UNAUTHENTICATED"),
    ),
    "AuthService.Logout": Case(lambda me: {"refresh_token": log_in(me)["refresh_token"]}, ("refresh_token", "")),
    "AuthService.RequestPasswordReset": Case(lambda _: {"email": newcomer()["email"]}, ("email", "nobody")),
    "AuthService.ResetPassword": Case(
        lambda me: {"token": reset_token(me), "new_password": "correct horse"},
        ("new_password", "short"),
        refused=("token", "unknown", "FAILED_PRECONDITION"),
    ),
    "AuthService.ExchangeSignIn": Case(
        signed_in, ("code_verifier", "short"), refused=("code", hashlib.sha256().hexdigest(), "UNAUTHENTICATED")
    ),
    "AuthService.GetJwks": Case(lambda _: {}, None),
    "AccountService.ListSessions": Case(lambda _: {"page_size": 5}, ("page_size", -1), others=APART),
    "AccountService.RevokeSession": Case(lambda me: {"session_id": session_id(me)}, ("session_id", "7")),
    "AccountService.RevokeOtherSessions": Case(lambda _: {}, None, others="OK"),
    "AccountService.ChangePassword": Case(
        lambda me: {"current_password": me.password, "new_password": me.password},
        ("new_password", "short"),
        others="INVALID_ARGUMENT",
    ),
    "AccountService.ListIdentities": Case(lambda _: {}, None, others="OK"),
    # Alone, since the log-in must be a new one.
    "AccountService.LinkIdentity": Case(link, ("code_challenge", "short"), others="OK", alone=True),
    "AccountService.ConfirmIdentity": Case(
        came_back, ("code_verifier", "short"), others="FAILED_PRECONDITION", alone=True
    ),
    "AccountService.UnlinkIdentity": Case(linked, ("provider", "x" * 21), alone=True),
}
