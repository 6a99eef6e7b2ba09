"""Signing in through the edge: real Envoy, gateway and auth, a browser with its cookies, providers as HTTP servers."""

from __future__ import annotations

import json
import secrets
import threading
from concurrent import futures
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from services.auth import rpc, tokens
from services.auth.sign_in import SIGN_INS
from services.kit.server import Server
from tests.conftest import eventually
from tests.gateway.edge import AUDIENCE, ISSUER, bearer
from tests.gateway.test_rest import ANALYSIS, fails
from tests.services.auth.conftest import Parts, build
from tests.services.auth.conftest import redis_url as redis_url
from tests.services.auth.fake_provider import FakeProvider

APP = "kr.eco2.app:/signed-in"
START = "/api/v1/auth/oauth"


class RealAuth:
    """Auth itself, served as an Edge serves its own."""

    def __init__(self, parts: Parts):
        self.parts = parts

    def serve(self, port: int) -> Server:
        pools = [rpc.LOGINS, SIGN_INS]
        server = Server(f"127.0.0.1:{port}", self.parts.services, pools=pools, revocations=self.parts.revocations)
        return server.start()


@pytest.fixture
def fakes():
    made = {name: FakeProvider(name) for name in ("google", "kakao", "naver")}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def house(make_edge, database, redis_url, fakes):
    """An edge whose auth is real."""
    edge = make_edge()
    config = json.dumps({name: fake.config for name, fake in fakes.items()})
    site = f"http://127.0.0.1:{edge.ports['edge']}"
    options = {"providers": config, "site": site, "pages": (APP,), "issuer": ISSUER, "audience": AUDIENCE}
    parts = build(database("auth", pool_size=6), redis_url, lambda: datetime.now(UTC), **options)
    edge.auth = RealAuth(parts)
    edge.start("auth", "backends", "gateway", "envoy")
    eventually(edge.healthy)
    yield edge
    parts.revocations.close()


@pytest.fixture
def browser(house):
    with httpx.Client(base_url=str(house.client.base_url), timeout=20) as client:
        yield client


def follow(browser: httpx.Client, url: str, until: str = "\0") -> httpx.Response:
    """Goes where it is sent, to a URL that begins with `until` at most."""
    answer = browser.get(url)
    while answer.status_code == 302 and not answer.headers["location"].startswith(until):
        answer = browser.get(answer.headers["location"])
    return answer


def test_the_cookies_of_a_web_page(house, browser, fakes):
    started = browser.get(f"{START}/kakao?redirect_uri=/map")
    assert started.status_code == 302
    assert started.headers["location"].startswith(fakes["kakao"].url)
    assert started.headers["cache-control"] == "no-store"
    [cookie] = started.headers.get_list("set-cookie")
    assert cookie.startswith("eco2_sign_in=")
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/api/v1/auth/oauth", "Max-Age=600"):
        assert attribute in cookie
    back = follow(browser, started.headers["location"], until="/map")
    assert (back.status_code, back.headers["location"]) == (302, "/map")
    [cookie] = back.headers.get_list("set-cookie")
    assert cookie.startswith("eco2_refresh=")
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/api/v1/auth;", "Max-Age=2592000"):
        assert attribute in f"{cookie};"
    # The page asks for its access token, many times at once, as such pages do.
    with futures.ThreadPoolExecutor(8) as threads:
        cookies = dict(browser.cookies)
        together = threading.Barrier(8)

        def refresh(_: int) -> httpx.Response:
            with httpx.Client(base_url=browser.base_url, cookies=cookies, timeout=20) as tab:
                together.wait(10)
                return tab.post("/api/v1/auth/refresh")

        answers = list(threads.map(refresh, range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.cookies["eco2_refresh"] for answer in answers}) == 1
    browser.cookies.update(answers[0].cookies)
    tokens_ = answers[0].json()["tokens"]
    assert (tokens_["refresh_token"], tokens_["expires_in"]) == ("", 900)
    access = bearer(tokens_["access_token"])
    assert browser.get(ANALYSIS, headers=access).status_code == 200
    [session] = browser.get("/api/v1/auth/sessions", headers=access).json()["sessions"]
    assert (session["user_agent"][:12], session["address"]) == ("python-httpx", "127.0.0.1")
    left = browser.post("/api/v1/auth/logout", json={})
    assert (left.status_code, left.json()) == (200, {})
    assert "eco2_refresh" not in browser.cookies
    fails(browser.get("/api/v1/auth/sessions", headers=access), 401, 16, "SESSION_ENDED")


def test_a_cookie_that_is_not_valid_any_more_is_taken_away(browser):
    browser.cookies.set("eco2_refresh", "gone", domain="127.0.0.1", path="/api/v1/auth")
    answer = browser.post("/api/v1/auth/refresh")
    fails(answer, 401, 16, "REFRESH_TOKEN_INVALID")
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_a_client_with_a_body_is_not_held_to_its_cookie(house, browser):
    body = {"username": "mina", "email": "mina@example.com", "password": "correct horse battery"}
    made = browser.post("/api/v1/auth/register", json=body).json()["tokens"]
    headers = {"cookie": "eco2_refresh=gone"}
    answer = browser.post("/api/v1/auth/refresh", json={"refresh_token": made["refresh_token"]}, headers=headers)
    assert answer.status_code == 200
    for bad in (b"{", b"[]", b"\xff", b'{"refresh_token": 7}'):
        answer = browser.post("/api/v1/auth/refresh", content=bad, headers=headers)
        fails(answer, 400, 3, "MALFORMED_REQUEST")
    answer = browser.post("/api/v1/auth/refresh", json={"unknown": 1}, headers=headers)
    fails(answer, 401, 16, "REFRESH_TOKEN_INVALID")


def test_an_app_comes_back_with_a_code_and_no_cookie(house, browser, fakes):
    verifier = secrets.token_urlsafe(32)
    query = {"redirect_uri": APP, "code_challenge": tokens.challenge(verifier), "code_challenge_method": "S256"}
    started = browser.get(f"{START}/naver", params=query, headers={"accept": "application/json"})
    assert started.status_code == 200
    assert "set-cookie" not in started.headers
    back = follow(browser, started.json()["authorization_url"], until=APP)
    page, _, said = back.headers["location"].partition("?")
    assert page == APP
    assert "set-cookie" not in back.headers
    body = {"code": dict(parse_qsl(said))["code"], "code_verifier": verifier}
    answer = browser.post("/api/v1/auth/oauth:exchange", json=body)
    assert answer.json()["user"]["username"].startswith("naver-")
    access = answer.json()["tokens"]["access_token"]
    assert browser.get(ANALYSIS, headers=bearer(access)).status_code == 200
    fails(browser.post("/api/v1/auth/oauth:exchange", json=body), 401, 16, "SIGN_IN_CODE_INVALID")


def test_an_old_page_that_fetches_the_address_gets_json_and_the_cookie(browser, fakes):
    answer = browser.get(f"{START}/google", headers={"accept": "application/json, text/plain, */*"})
    assert answer.json()["authorization_url"].startswith(fakes["google"].url)
    assert "eco2_sign_in" in answer.cookies
    assert follow(browser, answer.json()["authorization_url"], until="/").headers["location"] == "/"


def test_another_browser_cannot_finish_what_this_one_began(house, browser, fakes):
    started = browser.get(f"{START}/google")
    callback = httpx.get(started.headers["location"]).headers["location"]
    assert urlsplit(callback).path == f"{START}/google/callback"
    answer = httpx.get(callback)
    fails(answer, 400, 9, "SIGN_IN_STATE_INVALID")
    assert "set-cookie" not in answer.headers
    # And it is used up now.
    fails(browser.get(callback), 400, 9, "SIGN_IN_STATE_INVALID")


def test_what_goes_wrong_at_the_provider_is_told_where_the_person_came_from(browser, fakes):
    def end(query: str = "?redirect_uri=/map%3Fzoom=3") -> str:
        return follow(browser, f"{START}/google{query}", until="/map").headers["location"]

    fakes["google"].broken = {"/token": 500}
    assert end() == "/map?zoom=3&error=PROVIDER_UNAVAILABLE"
    fakes["google"].broken = {}
    fakes["google"].claims = {"nonce": "another"}
    assert end() == "/map?zoom=3&error=SIGN_IN_REFUSED"
    started = browser.get(f"{START}/google?redirect_uri=/map")
    state = dict(parse_qsl(urlsplit(started.headers["location"]).query))["state"]
    denied = browser.get(f"{START}/google/callback", params={"state": state, "error": "access_denied"})
    assert denied.headers["location"] == "/map?error=SIGN_IN_DENIED"


@pytest.mark.parametrize(
    ("path", "status", "code", "reason"),
    [
        ("/myspace", 404, 5, "PROVIDER_UNKNOWN"),
        ("/google?redirect_uri=https://evil.test", 400, 3, "INVALID_FIELD"),
        ("/google?code_challenge_method=plain", 400, 3, "INVALID_FIELD"),
        ("/google/callback", 400, 3, "INVALID_FIELD"),
        ("/google/callback?state=unknown&code=x", 400, 9, "SIGN_IN_STATE_INVALID"),
    ],
)
def test_what_cannot_begin_or_end_is_an_error_like_any_other(browser, path, status, code, reason):
    fails(browser.get(f"{START}{path}"), status, code, reason)


def test_what_is_not_there_is_404_and_without_auth_it_is_503(house, browser):
    fails(browser.post(f"{START}/google"), 404, 5, "PATH_NOT_FOUND")
    house.kill("auth")
    fails(browser.get(f"{START}/google"), 503, 14, "UNAVAILABLE")
