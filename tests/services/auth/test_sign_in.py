"""Signing in with providers that are real HTTP servers, and that do what real ones do only on a bad day."""

import dataclasses
import json
import secrets
from concurrent import futures
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from eco2.auth.v1 import auth_pb2, events_pb2, internal_pb2

from services.auth import providers, tokens
from services.auth.leave_store import list_registrations
from services.auth.outbox import REGISTERED, pack
from services.auth.providers import Providers
from services.auth.throttle import Limit
from services.kit import errors
from services.kit.cache import connect
from tests.services.auth.conftest import LIMITS, claims_of, from_address, login, refresh, register
from tests.services.auth.fake_provider import CLIENT_ID, FakeProvider

APP = "kr.eco2.app:/signed-in"
BROWSER = "the secret of this browser"
NAMES = ("google", "kakao", "naver")


@pytest.fixture
def fakes():
    made = {name: FakeProvider(name) for name in NAMES}
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def start_with(start, fakes):
    def one(**options):
        config = json.dumps({name: fake.config for name, fake in fakes.items()})
        return start(providers=config, pages=(APP, "https://app.test/in?x=1"), **options)

    return one


@pytest.fixture
def replica(start_with):
    return start_with()


def begin(replica, provider="google", **fields) -> str:
    fields = {"browser": BROWSER} | fields if "code_challenge" not in fields else fields
    return replica.sign_in.StartSignIn(internal_pb2.StartSignInRequest(provider=provider, **fields)).authorization_url


def finish(replica, provider, brought: dict[str, str], browser=BROWSER):
    request = internal_pb2.FinishSignInRequest(
        provider=provider, browser=browser, user_agent="Firefox", address="198.51.100.7", **brought
    )
    return replica.sign_in.FinishSignIn(request)


def sign_in(replica, fake: FakeProvider):
    return finish(replica, fake.name, fake.say_yes(begin(replica, fake.name)))


def user_id(answer) -> str:
    assert answer.WhichOneof("outcome") == "tokens", answer
    return claims_of(answer.tokens.access_token)["sub"]


@pytest.mark.parametrize("name", NAMES)
def test_a_person_signs_in_and_is_the_same_the_next_time(replica, fakes, owner, name):
    fake = fakes[name]
    url = begin(replica, name, redirect_uri="/map?zoom=3")
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(f"{fake.url}/authorize?")
    assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
    assert query["redirect_uri"] == f"https://site.test/api/v1/auth/oauth/{name}/callback"
    assert query["code_challenge_method"] == "S256"
    assert ("nonce" in query) is (name != "naver")
    answer = finish(replica, name, fake.say_yes(url))
    assert answer.redirect_uri == "/map?zoom=3"
    first = user_id(answer)
    assert refresh(replica.auth, answer.tokens.refresh_token)
    [device] = owner.execute("SELECT user_agent, address FROM auth.sessions").fetchall()
    assert device == ("Firefox", "198.51.100.7")
    fake.person["email"] = "moved@example.com"
    assert user_id(sign_in(replica, fake)) == first
    assert owner.execute("SELECT count(*) FROM auth.users").fetchone() == (1,)
    [(username, email)] = owner.execute("SELECT username, email FROM auth.users").fetchall()
    assert username.startswith(f"{name}-")
    # Naver vouches for no address.
    assert email == (None if name == "naver" else "Mina@example.com")


def test_the_first_sign_in_is_told_to_others_and_no_later_one(replica, fakes, owner):
    made = user_id(sign_in(replica, fakes["google"]))
    waiting = "SELECT user_id::text FROM auth.registrations"
    assert owner.execute(waiting).fetchall() == [(made,)]
    with replica.db.writing() as tx:
        [event] = [pack(row) for row in list_registrations(tx, 10)]
    told = events_pb2.UserRegistered.FromString(event.body)
    [username] = owner.execute("SELECT username FROM auth.users").fetchone()
    assert (event.routing_key, told.user_id, told.username) == (REGISTERED, made, username)
    assert user_id(sign_in(replica, fakes["google"])) == made
    assert owner.execute(waiting).fetchall() == [(made,)]


def test_what_was_not_registered_is_told_to_nobody(replica, fakes, owner):
    """The event goes with the account: a first sign-in that fails at its last statement leaves neither."""
    owner.execute("ALTER TABLE auth.social_accounts ADD CONSTRAINT nobody CHECK (false)")
    with pytest.raises(errors.Fault):
        sign_in(replica, fakes["google"])
    for table in ("users", "registrations"):
        assert owner.execute(f"SELECT count(*) FROM auth.{table}").fetchone() == (0,)


def test_the_same_subject_at_another_provider_is_another_person(replica, fakes):
    for fake in fakes.values():
        fake.person = {"sub": "1", "email": f"{fake.name}@example.com", "email_verified": True}
    assert len({user_id(sign_in(replica, fake)) for fake in fakes.values()}) == 3


def test_an_app_gets_a_code_that_only_its_verifier_turns_into_tokens(replica, fakes):
    verifier = secrets.token_urlsafe(32)

    def come_back() -> str:
        url = begin(replica, code_challenge=tokens.challenge(verifier), redirect_uri=APP)
        # The page may be opened in another browser than the one that an app's own calls come from.
        answer = finish(replica, "google", fakes["google"].say_yes(url), browser="")
        assert (answer.redirect_uri, answer.WhichOneof("outcome")) == (APP, "code")
        return answer.code

    def exchange(code: str, verifier: str = verifier):
        return replica.auth.ExchangeSignIn(auth_pb2.ExchangeSignInRequest(code=code, code_verifier=verifier))

    def refused(code: str, verifier: str = verifier) -> bool:
        with pytest.raises(errors.Unauthenticated) as caught:
            exchange(code, verifier)
        return caught.value.reason == "SIGN_IN_CODE_INVALID"

    code = come_back()
    answer = exchange(code)
    assert answer.user.user_id == claims_of(answer.tokens.access_token)["sub"]
    assert answer.user.email == "Mina@example.com"
    assert refused(code)
    code = come_back()
    assert refused(code, secrets.token_urlsafe(32))
    assert refused(code)
    assert refused("unknown")
    with pytest.raises(errors.InvalidArgument) as caught:
        exchange(code, "short")
    assert caught.value.violations[0][0] == "code_verifier"


def test_a_state_is_used_once_however_many_come_with_it(start_with, fakes):
    replicas = [start_with(), start_with()]
    brought = fakes["google"].say_yes(begin(replicas[0]))

    def attempt(number: int) -> str:
        try:
            return finish(replicas[number % 2], "google", brought).WhichOneof("outcome")
        except errors.FailedPrecondition as fault:
            return fault.reason

    with futures.ThreadPoolExecutor(10) as threads:
        outcomes = sorted(threads.map(attempt, range(10)))
    assert outcomes == ["SIGN_IN_STATE_INVALID"] * 9 + ["tokens"]
    assert fakes["google"].asked.count("/token") == 1


def test_a_state_that_is_not_this_browsers_this_providers_or_known_is_refused(replica, fakes, redis_url):
    google, kakao = fakes["google"], fakes["kakao"]
    for provider, brought, browser in [
        ("google", google.say_yes(begin(replica)), "another browser"),
        ("google", google.say_yes(begin(replica)), ""),
        ("kakao", kakao.say_yes(begin(replica)), BROWSER),
        ("google", {"state": "unknown", "code": "x"}, BROWSER),
    ]:
        for _ in range(2):
            with pytest.raises(errors.FailedPrecondition) as caught:
                finish(replica, provider, brought, browser)
            assert caught.value.reason == "SIGN_IN_STATE_INVALID"
    begin(replica)
    keys = list(connect(redis_url, 0).scan_iter("sign-in:*"))
    assert len(keys) == 1
    assert 0 < connect(redis_url, 0).ttl(keys[0]) <= 600
    assert "/token" not in google.asked + kakao.asked


def test_a_person_who_says_no_is_taken_back(replica, fakes):
    brought = fakes["google"].say_yes(begin(replica, redirect_uri="/login"))
    answer = finish(replica, "google", {"state": brought["state"]})
    assert (answer.redirect_uri, answer.failure) == ("/login", "SIGN_IN_DENIED")


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"}, {"nonce": None}, {"iss": "https://elsewhere.test"}, {"iss": None}, {"aud": "another-app"},
        {"aud": None}, {"exp": 1}, {"exp": None}, {"sub": None}, {"sub": ""}, {"azp": "another-app"},
        {"iat": 99999999999},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("name", ["google", "kakao"])
def test_an_id_token_that_is_not_as_it_must_be_is_refused(replica, fakes, owner, name, claims):
    fakes[name].claims = claims
    assert sign_in(replica, fakes[name]).failure == "SIGN_IN_REFUSED"
    assert owner.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)


def test_an_id_token_that_somebody_else_signed_or_nobody_is_refused(replica, fakes, monkeypatch):
    fake = fakes["google"]
    fake.signer = rsa.generate_private_key(65537, 2048)
    assert sign_in(replica, fake).failure == "SIGN_IN_REFUSED"
    encode = jwt.encode
    for forged in (
        lambda claims, *_, **options: encode(claims, None, algorithm="none", headers=options["headers"]),
        lambda claims, *_, **options: encode(claims, "x" * 32, algorithm="HS256", headers=options["headers"]),
        lambda *_, **__: "not a token",
    ):
        monkeypatch.setattr(jwt, "encode", forged)
        brought = fake.say_yes(begin(replica))
        request = internal_pb2.FinishSignInRequest(provider="google", browser=BROWSER, **brought)
        assert replica.sign_in.FinishSignIn(request).failure == "SIGN_IN_REFUSED"
        monkeypatch.setattr(jwt, "encode", encode)


def test_a_provider_may_change_its_keys(replica, fakes):
    first = user_id(sign_in(replica, fakes["google"]))
    fakes["google"].rotate()
    assert user_id(sign_in(replica, fakes["google"])) == first


@pytest.mark.parametrize("path", ["/token", "/keys", "/userinfo"])
@pytest.mark.parametrize("how", ["500", "429", "slow"])
def test_a_provider_that_fails_or_does_not_answer_is_unavailable_and_the_next_try_works(
    replica, fakes, monkeypatch, path, how
):
    fake = fakes["kakao"]
    if how == "slow":
        fake.slow = {path}
    else:
        # The key client of the library takes any answer but 200 for a failure.
        fake.broken = {path: int(how)}
    answer = sign_in(replica, fake)
    assert (answer.redirect_uri, answer.failure) == ("/", "PROVIDER_UNAVAILABLE")
    fake.slow, fake.broken = set(), {}
    assert user_id(sign_in(replica, fake))


@pytest.mark.parametrize("name", NAMES)
def test_a_code_that_the_provider_does_not_know_is_refused(replica, fakes, name):
    brought = fakes[name].say_yes(begin(replica, name))
    fakes[name].codes.clear()
    assert finish(replica, name, brought).failure == "SIGN_IN_REFUSED"


@pytest.mark.parametrize("told", [{"sub": "another"}, {"sub": None}], ids=str)
def test_userinfo_about_somebody_else_is_refused(replica, fakes, told):
    fakes["kakao"].userinfo = told
    assert sign_in(replica, fakes["kakao"]).failure == "SIGN_IN_REFUSED"


@pytest.mark.parametrize("told", [{"id": None}, {"id": 7}, {"id": "x" * 300}], ids=["none", "number", "long"])
def test_naver_must_name_somebody(replica, fakes, told):
    fakes["naver"].userinfo = told
    assert sign_in(replica, fakes["naver"]).failure == "SIGN_IN_REFUSED"


@pytest.mark.parametrize("verified", [False, None, "false", 1])
def test_an_unverified_address_links_nothing_and_is_not_kept(replica, fakes, owner, verified):
    made = register(replica.auth)
    owner.execute("UPDATE auth.users SET email_verified_at = now()")
    fakes["google"].person["email_verified"] = verified
    other = user_id(sign_in(replica, fakes["google"]))
    assert other != made.user.user_id
    assert owner.execute("SELECT email FROM auth.users WHERE id = %s", [other]).fetchone() == (None,)


def test_an_account_whose_address_nobody_verified_is_not_linked_either(replica, fakes, owner):
    # Somebody registers with Mina's address before she comes, and knows the password.
    made = register(replica.auth)
    mina = user_id(sign_in(replica, fakes["google"]))
    assert mina != made.user.user_id
    assert user_id(sign_in(replica, fakes["google"])) == mina


def test_an_address_that_both_sides_have_verified_links(replica, fakes, owner):
    made = register(replica.auth)
    owner.execute("UPDATE auth.users SET email_verified_at = now()")
    fakes["google"].person["email"] = "mina@EXAMPLE.com"
    assert user_id(sign_in(replica, fakes["google"])) == made.user.user_id
    assert user_id(sign_in(replica, fakes["kakao"])) == made.user.user_id
    assert login(replica.auth).user == made.user
    assert owner.execute("SELECT count(*) FROM auth.social_accounts").fetchone() == (2,)


def test_two_first_sign_ins_at_once_make_one_account(start_with, fakes, owner):
    replicas = [start_with(), start_with()]
    brought = [fakes["google"].say_yes(begin(replicas[0])) for _ in range(8)]
    with futures.ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda n: user_id(finish(replicas[n % 2], "google", brought[n])), range(8)))
    assert len(made) == 1
    assert owner.execute("SELECT count(*) FROM auth.users").fetchone() == (1,)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"redirect_uri": "https://evil.test/"}, "redirect_uri"),
        ({"redirect_uri": "//evil.test/"}, "redirect_uri"),
        ({"redirect_uri": "/\\evil.test/"}, "redirect_uri"),
        ({"redirect_uri": "/\t/evil.test/"}, "redirect_uri"),
        ({"redirect_uri": "/x\r\nset-cookie: a=b"}, "redirect_uri"),
        ({"redirect_uri": "https://app.test/in?x=1&y=2"}, "redirect_uri"),
        ({"redirect_uri": "/map", "code_challenge": "x" * 43}, "redirect_uri"),
        ({"code_challenge": "x" * 43}, "redirect_uri"),
        ({"redirect_uri": APP, "code_challenge": "plain"}, "code_challenge"),
        ({"browser": ""}, "browser"),
        ({"provider": ""}, "provider"),
    ],
    ids=str,
)
def test_where_a_sign_in_may_end_is_checked_before_it_begins(replica, fields, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        begin(replica, **fields)
    assert [name for name, _ in caught.value.violations] == [field]


def test_unknown_and_unconfigured_providers(start):
    replica = start()
    with pytest.raises(errors.NotFound) as caught:
        begin(replica, "myspace")
    assert caught.value.reason == "PROVIDER_UNKNOWN"
    with pytest.raises(errors.FailedPrecondition) as caught:
        begin(replica, "google")
    assert caught.value.reason == "PROVIDER_NOT_CONFIGURED"


def test_nobody_begins_sign_ins_without_end(start_with):
    limits = dataclasses.replace(LIMITS, sign_in_address=Limit("3/900"))
    replica = start_with(limits=limits)
    for _ in range(3):
        begin(replica, address="198.51.100.7")
    with pytest.raises(errors.ResourceExhausted):
        begin(replica, address="198.51.100.7")
    assert begin(replica, address=from_address("198.51.100.8")[0][1])


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        '{"myspace": {"client_id": "a", "client_secret": "the-secret"}}',
        '{"google": {"client_secret": "the-secret"}}',
        '{"google": {"client_id": "a", "client_secret": "the-secret", "base_url": "file:///etc"}}',
    ],
)
def test_a_bad_configuration_says_so_and_no_secret(text):
    with pytest.raises(ValueError, match="is not JSON with a client_id") as caught:
        Providers(text)
    assert "the-secret" not in str(caught.value)


def test_the_real_providers_are_asked_over_https():
    for at in providers.KNOWN.values():
        assert all(url.startswith("https://") for url in (at.authorize, at.token, at.keys, at.userinfo) if url)
