"""The auth service over the wire, on real PostgreSQL, with a clock that the test moves."""

import base64
import hashlib
import json
import logging
import threading
from concurrent import futures
from datetime import UTC

import argon2
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from eco2.auth.v1 import auth_pb2 as pb

from services.auth import passwords
from services.kit import config, errors, telemetry
from services.kit.cache import connect
from tests.services.auth.conftest import (
    AUDIENCE,
    ISSUER,
    PASSWORD,
    claims_of,
    login,
    pem,
    refresh,
    register,
)


def refused(auth, token: str) -> str:
    with pytest.raises(errors.Unauthenticated) as caught:
        refresh(auth, token)
    return caught.value.reason


def test_a_registered_user_is_logged_in_and_can_log_in_again_by_name_or_address(auth, clock):
    made = register(auth)
    assert (made.user.username, made.user.email) == ("mina", "Mina@example.com")
    assert made.user.create_time.ToDatetime(UTC) == clock.now
    assert made.tokens.expires_in == 900
    for name in ("mina", "MINA", "mina@EXAMPLE.com"):
        assert login(auth, name).user == made.user
    # Typed as separate jamo, and as syllables.
    korean = register(auth, "\u1106\u1175\u1102\u1161", "b@example.com")
    assert login(auth, "미나").user.user_id == korean.user.user_id


@pytest.mark.parametrize(
    ("username", "email", "reason"),
    [("mina", "other@example.com", "USERNAME_TAKEN"), ("MINA", "other@example.com", "USERNAME_TAKEN"),
     ("other", "mina@example.COM", "EMAIL_TAKEN")],
)  # fmt: skip
def test_names_and_addresses_are_taken_once(auth, owner, username, email, reason):
    register(auth)
    with pytest.raises(errors.AlreadyExists) as caught:
        register(auth, username, email)
    assert caught.value.reason == reason
    assert owner.execute("SELECT count(*) FROM auth.users").fetchone() == (1,)


def test_a_wrong_password_and_an_unknown_user_fail_alike(auth):
    register(auth)
    with pytest.raises(errors.Unauthenticated) as wrong:
        login(auth, password="incorrect horse")
    with pytest.raises(errors.Unauthenticated) as unknown:
        login(auth, username="nobody")
    assert wrong.value.reason == unknown.value.reason == "BAD_CREDENTIALS"
    assert wrong.value.message == unknown.value.message


def test_an_unknown_user_costs_a_hash_too(monkeypatch):
    verified = []
    hasher = passwords._HASHER

    class Counting:
        def verify(self, *given):
            verified.append(given)
            return hasher.verify(*given)

    monkeypatch.setattr(passwords, "_HASHER", Counting())
    assert not passwords.verify(None, PASSWORD)
    [(dummy, _)] = verified
    assert dummy.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("request_type", "fields", "field"),
    [
        (pb.RegisterRequest, {"username": "a b", "email": "a@b.kr", "password": PASSWORD}, "username"),
        (pb.RegisterRequest, {"username": "mina", "email": "nowhere", "password": PASSWORD}, "email"),
        (pb.RegisterRequest, {"username": "mina", "email": "a@b.kr", "password": "short"}, "password"),
        (pb.LoginRequest, {"username": "mi\0na", "password": PASSWORD}, "username"),
        (pb.RefreshRequest, {"refresh_token": ""}, "refresh_token"),
        (pb.LogoutRequest, {"refresh_token": "x" * 201}, "refresh_token"),
    ],
)
def test_bad_input_names_its_field(auth, request_type, fields, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        getattr(auth, request_type.__name__.removesuffix("Request"))(request_type(**fields))
    assert [name for name, _ in caught.value.violations] == [field]


def test_too_many_log_ins_at_once_are_refused_and_other_calls_go_on(start, owner):
    auth = start(limit=1).auth
    register(auth)
    with futures.ThreadPoolExecutor(3) as threads:
        with owner.transaction():
            # The one log-in that gets in waits here for its user.
            owner.execute("LOCK TABLE auth.users IN ACCESS EXCLUSIVE MODE")
            calls = {threads.submit(login, auth) for _ in range(3)}
            early = futures.as_completed(calls, timeout=10)
            turned_away = [next(early) for _ in range(2)]
            assert auth.GetJwks(pb.GetJwksRequest()).keys
        reasons = [call.exception().reason for call in turned_away]
        assert reasons == ["TOO_MANY_LOGINS"] * 2
        [let_in] = calls - set(turned_away)
        assert let_in.result(10).user.username == "mina"


def test_the_published_key_verifies_an_access_token(auth):
    made = register(auth)
    answer, call = auth.GetJwks.with_call(pb.GetJwksRequest())
    assert dict(call.initial_metadata())["cache-control"].startswith("public, max-age=")
    [jwk] = answer.keys
    header = jwt.get_unverified_header(made.tokens.access_token)
    assert (header["alg"], header["kid"]) == ("ES256", jwk.kid)
    members = {"crv": jwk.crv, "kty": jwk.kty, "x": jwk.x, "y": jwk.y}
    thumbprint = hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
    assert jwk.kid == base64.urlsafe_b64encode(thumbprint).decode().rstrip("=")
    claims = claims_of(made.tokens.access_token)
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (made.user.user_id, 900)


def test_refresh_tokens_rotate_within_one_session(auth, clock):
    made = register(auth)
    first, seen = made.tokens.refresh_token, {made.tokens.refresh_token}
    session = claims_of(made.tokens.access_token)["sid"]
    for _ in range(5):
        clock.advance(days=29)
        answer = auth.Refresh(pb.RefreshRequest(refresh_token=first)).tokens
        first = answer.refresh_token
        seen.add(first)
        claims = claims_of(answer.access_token)
        assert (claims["sub"], claims["sid"]) == (made.user.user_id, session)
    assert len(seen) == 6


def test_concurrent_exchanges_of_one_token_get_one_successor(start, owner):
    replicas = [start().auth, start().auth]
    token = register(replicas[0]).tokens.refresh_token
    together = threading.Barrier(50)

    def exchange(number: int) -> str:
        together.wait(10)
        return refresh(replicas[number % 2], token)

    with futures.ThreadPoolExecutor(50) as threads:
        successors = set(threads.map(exchange, range(50)))
    assert len(successors) == 1
    assert owner.execute("SELECT count(*) FROM auth.refresh_tokens").fetchone() == (2,)
    # Nobody is logged out: the one successor goes on.
    assert refresh(replicas[0], successors.pop())


def test_a_second_use_after_the_grace_revokes_the_session_and_no_other(auth, clock, owner):
    token, other = register(auth).tokens.refresh_token, login(auth).tokens.refresh_token
    successor = refresh(auth, token)
    clock.advance(seconds=10)
    assert refresh(auth, token) == successor
    clock.advance(seconds=1)
    assert refused(auth, token) == "REFRESH_TOKEN_REUSED"
    # Committed although the call failed.
    assert owner.execute("SELECT count(*) FROM auth.sessions WHERE revoked_at IS NOT NULL").fetchone() == (1,)
    assert refused(auth, successor) == "REFRESH_TOKEN_INVALID"
    assert refresh(auth, other)


def test_an_expired_an_unknown_and_a_logged_out_token_are_invalid(auth, clock):
    token = register(auth).tokens.refresh_token
    assert refused(auth, "unknown") == "REFRESH_TOKEN_INVALID"
    clock.advance(days=30)
    assert refused(auth, token) == "REFRESH_TOKEN_INVALID"
    token = login(auth).tokens.refresh_token
    successor = refresh(auth, token)
    for _ in range(2):
        auth.Logout(pb.LogoutRequest(refresh_token=token))
    auth.Logout(pb.LogoutRequest(refresh_token="unknown"))
    assert refused(auth, successor) == "REFRESH_TOKEN_INVALID"


def test_neither_tables_nor_logs_hold_a_secret(auth, owner, caplog):
    caplog.set_level(logging.DEBUG)
    made = register(auth)
    successor = refresh(auth, made.tokens.refresh_token)
    for reason in (lambda: register(auth), lambda: login(auth, password="incorrect horse")):
        with pytest.raises(errors.Fault):
            reason()
    # An error nobody expects is logged whole.
    owner.execute("ALTER TABLE auth.users ADD CONSTRAINT unexpected CHECK (username <> 'surprise')")
    with pytest.raises(errors.Fault):
        register(auth, "surprise", "surprise@example.com")
    stored = "".join(
        str(row) for table in ("users", "sessions", "refresh_tokens")
        for row in owner.execute(f"SELECT t::text FROM auth.{table} t").fetchall()
    )  # fmt: skip
    logged = telemetry.redact(caplog.text)
    assert "unexpected" in logged
    for secret in (PASSWORD, "incorrect horse", made.tokens.refresh_token, successor, made.tokens.access_token):
        assert secret not in stored + logged
    assert "argon2id" in stored
    assert "argon2id" not in logged


@pytest.mark.parametrize(
    "bad",
    [
        "not a key",
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ec.generate_private_key(ec.SECP384R1())),
    ],
    ids=["text", "rsa", "p384"],
)
def test_bad_keys_are_configuration_errors_that_do_not_repeat_them(bad):
    from services.auth.__main__ import Config

    environ = {
        "LISTEN": "127.0.0.1:0",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "API_AUTH_DB_URL": "postgresql://",
        "REDIS_URL": "redis://",
        "LOGIN_ACCOUNT_LIMIT": "10 in 5 minutes",
        "RABBITMQ_URL": "amqp://",
        "JWT_KEY": bad,
        "REFRESH_TOKEN_KEY": "short",
    }
    with pytest.raises(SystemExit) as caught:
        config.load(Config, environ)
    assert "JWT_KEY: is not a" in str(caught.value)
    assert "REFRESH_TOKEN_KEY: must have" in str(caught.value)
    assert "LOGIN_ACCOUNT_LIMIT: must be a count" in str(caught.value)
    assert bad not in str(caught.value)


def test_the_database_may_be_gone(auth, postgres, database_name):
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api_auth_role'")
    with pytest.raises(errors.Unavailable):
        refresh(auth, "token")


def test_a_hash_with_old_parameters_is_renewed_at_log_in(auth, owner):
    register(auth)
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    owner.execute("UPDATE auth.users SET password_hash = %s", [old])
    login(auth)
    [(renewed,)] = owner.execute("SELECT password_hash FROM auth.users").fetchall()
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    login(auth)
    assert owner.execute("SELECT password_hash FROM auth.users").fetchall() == [(renewed,)]


def test_every_key_in_redis_has_an_end_and_names_nobody(auth, redis_url):
    made = register(auth)
    with pytest.raises(errors.Unauthenticated):
        login(auth, password="incorrect horse")
    auth.Logout(pb.LogoutRequest(refresh_token=made.tokens.refresh_token))
    found = 0
    for db in (0, 3):
        client = connect(redis_url, db)
        for key in client.scan_iter():
            found += 1
            assert client.ttl(key) > 0, key
            assert made.user.user_id not in key
            assert "mina" not in key
    assert found == 4
