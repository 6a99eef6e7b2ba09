"""What auth tells of those who come, and how it forgets those who go."""

from __future__ import annotations

import threading
from concurrent import futures

import psycopg
import pytest
import redis
import uuid_utils.compat as uuids
from eco2.auth.v1 import account_pb2, auth_pb2, events_pb2, internal_pb2

from services.auth import identity_store, reset_store, store
from services.auth.outbox import EVENTS, OUTBOX, REGISTERED
from services.auth.tokens import challenge
from services.kit import errors
from services.kit.broker import Consumer, Publisher, Relay
from tests.conftest import eventually
from tests.services.auth.conftest import WAITING, bearing, claims_of, login, refresh, register
from tests.services.auth.test_sign_in import APP, begin, finish, sign_in
from tests.services.auth.test_sign_in import fakes as fakes
from tests.services.auth.test_sign_in import start_with as start_with


def erase(replica, user_id) -> int:
    return replica.internal.EraseUser(internal_pb2.EraseUserRequest(user_id=str(user_id))).removed_count


def rows(owner) -> str:
    """All that the schema holds, as text."""
    return "".join(
        row[0]
        for [table] in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'auth'").fetchall()
        for row in owner.execute(f"SELECT t::text FROM auth.{table} t")
    )


def test_a_registration_is_told_once_it_is_committed(replica, rabbitmq_url):
    told = []

    def take(deliveries):
        told.extend(events_pb2.UserRegistered.FromString(each.body) for each in deliveries)
        consumer.ack(deliveries)

    consumer = Consumer(rabbitmq_url, EVENTS, {REGISTERED: 10}, take).start()
    publisher = Publisher(rabbitmq_url, EVENTS, timeout_s=20)
    relay = Relay(replica.db, publisher, OUTBOX)
    made = register(replica.auth)
    with pytest.raises(errors.AlreadyExists):
        register(replica.auth)
    assert relay.relay() == 1
    eventually(lambda: told)
    [event] = told
    assert (event.user_id, event.username, event.create_time) == (
        made.user.user_id, "mina", made.user.create_time
    )  # fmt: skip
    assert relay.relay() == 0
    consumer.close()
    publisher.close()


def test_a_registration_can_be_asked_for(replica):
    made = register(replica.auth)
    request = internal_pb2.GetRegistrationRequest(user_id=made.user.user_id)
    asked = replica.internal.GetRegistration(request).registration
    assert (asked.user_id, asked.username, asked.create_time) == (made.user.user_id, "mina", made.user.create_time)
    with pytest.raises(errors.NotFound) as caught:
        replica.internal.GetRegistration(internal_pb2.GetRegistrationRequest(user_id=str(uuids.uuid7())))
    assert caught.value.reason == "USER_NOT_FOUND"
    with pytest.raises(errors.InvalidArgument):
        replica.internal.GetRegistration(internal_pb2.GetRegistrationRequest(user_id="x"))


def test_nothing_of_a_user_is_left_and_the_name_is_free_again(replica, owner, clock, redis_url):
    made = register(replica.auth)
    other = register(replica.auth, "jun", "jun@example.com")
    phone = login(replica.auth)
    until = clock.now.replace(year=clock.now.year + 1)
    with replica.db.writing() as tx:
        identity_store.create_account(tx, uuids.UUID(made.user.user_id), "kakao", "12345", clock.now)
        # One of theirs that is mailed, and one that is not yet.
        for number, email in enumerate(("", "MINA@example.com", "jun@example.com")):
            reset_store.create_reset(tx, uuids.uuid7(), bytes([number]) * 32, email, clock.now, until)
    owner.execute("UPDATE auth.password_resets SET user_id = %s WHERE email = ''", [made.user.user_id])
    # The user, the event, two sessions with a token each, the account at a provider and the resets.
    assert erase(replica, made.user.user_id) == 9
    stored = rows(owner)
    assert made.user.user_id not in stored
    assert "mina" not in stored.lower()
    assert "12345" not in stored
    assert other.user.user_id in stored
    with pytest.raises(errors.Unauthenticated) as caught:
        refresh(replica.auth, made.tokens.refresh_token)
    assert caught.value.reason == "REFRESH_TOKEN_INVALID"
    with pytest.raises(errors.Unauthenticated):
        login(replica.auth)
    # Every access token, of every session, is refused by every process.
    for tokens in (made.tokens, phone.tokens):
        assert replica.revocations.ended(claims_of(tokens.access_token)["sid"])
        with pytest.raises(errors.Unauthenticated) as caught:
            replica.account.ListSessions(listing(), metadata=bearing(tokens))
        assert caught.value.reason == "SESSION_ENDED"
    assert replica.account.ListSessions(listing(), metadata=bearing(other.tokens)).sessions
    assert erase(replica, made.user.user_id) == 9
    assert register(replica.auth).user.user_id != made.user.user_id
    for number in (0, 3):
        with redis.Redis.from_url(redis_url, db=number, decode_responses=True) as client:
            for key in client.scan_iter():
                assert made.user.user_id not in f"{key} {client.get(key) if client.type(key) == 'string' else ''}"


def listing() -> account_pb2.ListSessionsRequest:
    return account_pb2.ListSessionsRequest()


def test_an_erasure_whose_log_outs_cannot_be_announced_is_tried_again(replica, owner, servers):
    made = register(replica.auth)
    servers.stop("redis")
    try:
        with pytest.raises(errors.Unavailable):
            erase(replica, made.user.user_id)
        assert owner.execute("SELECT count(*) FROM auth.sessions").fetchone() == (1,)
    finally:
        servers.start("redis")
        servers.wait_ready("redis")
    assert erase(replica, made.user.user_id) == 4
    assert replica.revocations.ended(claims_of(made.tokens.access_token)["sid"])


def test_a_log_in_that_was_under_way_does_not_begin_a_session(replica, owner):
    made, go = register(replica.auth), threading.Event()

    def try_all() -> set[str]:
        reasons = set()
        while not go.is_set():
            try:
                login(replica.auth)
            except errors.Unauthenticated as fault:
                reasons.add(fault.reason)
            except errors.ResourceExhausted:
                return reasons
        return reasons

    with futures.ThreadPoolExecutor(4) as pool:
        trying = [pool.submit(try_all) for _ in range(4)]
        eventually(lambda: owner.execute("SELECT count(*) FROM auth.sessions").fetchone()[0] > 4)
        erase(replica, made.user.user_id)
        assert owner.execute("SELECT count(*) FROM auth.sessions").fetchone() == (0,)
        go.set()
        assert set().union(*(each.result(30) for each in trying)) <= {"BAD_CREDENTIALS"}
    assert owner.execute("SELECT count(*) FROM auth.sessions").fetchone() == (0,)


def test_a_session_cannot_begin_for_who_has_gone(replica, clock):
    made = register(replica.auth)
    user_id = uuids.UUID(made.user.user_id)
    erase(replica, user_id)
    until = clock.now.replace(year=clock.now.year + 1)
    with pytest.raises(errors.NotFound) as caught, replica.db.writing() as tx:
        store.create_session(tx, user_id, clock.now, until, "", "")
    assert caught.value.reason == "ACCOUNT_ERASED"
    with pytest.raises(errors.NotFound) as caught, replica.db.writing() as tx:
        identity_store.create_account(tx, user_id, "kakao", "1", clock.now)
    assert caught.value.reason == "ACCOUNT_ERASED"


@pytest.fixture
def meanwhile(postgres, database_name):
    """meanwhile(user_id, call): what `call` returns or raises as a Fault when the user is erased in the midst of it:
    after it has found the account, and before it has written what needs one."""

    def one(user_id: str, call):
        with psycopg.connect(postgres.url(database_name)) as eraser, futures.ThreadPoolExecutor(1) as thread:
            eraser.execute("SELECT 1 FROM auth.users WHERE id = %s FOR UPDATE", [user_id])
            asked = thread.submit(call)
            eventually(lambda: eraser.execute(WAITING).fetchone() == (1,))
            eraser.execute("DELETE FROM auth.users WHERE id = %s", [user_id])
            eraser.commit()
            return asked.exception(30) or asked.result()

    return one


def test_who_is_erased_while_they_log_in_is_told_so_by_each_way_in(start_with, fakes, meanwhile, owner):
    replica, google = start_with(), fakes["google"]
    made = register(replica.auth)
    assert meanwhile(made.user.user_id, lambda: login(replica.auth)).reason == "BAD_CREDENTIALS"

    mine = claims_of(sign_in(replica, google).tokens.access_token)["sub"]
    answer = meanwhile(mine, lambda: sign_in(replica, google))
    assert (answer.redirect_uri, answer.failure) == ("/", "ACCOUNT_ERASED")

    verifier = "v" * 43
    mine = claims_of(sign_in(replica, google).tokens.access_token)["sub"]
    brought = google.say_yes(begin(replica, code_challenge=challenge(verifier), redirect_uri=APP))
    exchange = auth_pb2.ExchangeSignInRequest(code=finish(replica, "google", brought).code, code_verifier=verifier)
    assert meanwhile(mine, lambda: replica.auth.ExchangeSignIn(exchange)).reason == "SIGN_IN_CODE_INVALID"
    assert owner.execute("SELECT count(*) FROM auth.sessions").fetchone() == (0,)


def test_a_sign_in_that_found_an_account_of_the_same_address_too_late_makes_a_new_one(
    start_with, fakes, meanwhile, owner
):
    replica = start_with()
    made = register(replica.auth)
    owner.execute("UPDATE auth.users SET email_verified_at = now()")
    answer = meanwhile(made.user.user_id, lambda: sign_in(replica, fakes["google"]))
    assert claims_of(answer.tokens.access_token)["sub"] != made.user.user_id
    assert owner.execute("SELECT email FROM auth.users").fetchall() == [("Mina@example.com",)]
