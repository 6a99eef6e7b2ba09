"""Guessing passwords: by account, by address, by many at once."""

from concurrent import futures

import pytest

from services.auth.throttle import Limit, Limits
from services.kit import errors
from services.kit.cache import connect
from tests.services.auth.conftest import from_address, login, register

TIGHT = Limits(Limit("5/900"), Limit("8/900"), Limit("3/3600"), Limit("60/3600"), Limit("9/900"), Limit("4/3600"))
HERE, THERE = from_address("198.51.100.1"), from_address("198.51.100.2")


def outcome(auth, username="mina", password="incorrect horse", metadata=HERE) -> str:
    try:
        login(auth, username, password, metadata=metadata)
    except (errors.Unauthenticated, errors.ResourceExhausted) as error:
        return error.reason
    return "OK"


@pytest.fixture
def replicas(start):
    both = [start(limits=TIGHT).auth, start(limits=TIGHT).auth]
    register(both[0])
    return both


def test_of_many_guesses_at_once_exactly_the_limit_is_tried(replicas):
    def guess(number: int) -> str:
        # From as many addresses.
        return outcome(replicas[number % 2], metadata=from_address(f"203.0.113.{number}"))

    with futures.ThreadPoolExecutor(40) as threads:
        outcomes = list(threads.map(guess, range(40)))
    assert sorted(outcomes) == ["BAD_CREDENTIALS"] * 5 + ["TOO_MANY_ATTEMPTS"] * 35


def test_a_locked_account_says_when_and_the_right_password_waits_too(replicas, redis_url):
    for _ in range(5):
        assert outcome(replicas[0]) == "BAD_CREDENTIALS"
    with pytest.raises(errors.ResourceExhausted) as caught:
        login(replicas[1], "MINA@example.com", metadata=THERE)
    assert 890 < caught.value.retry_after_s <= 900
    register(replicas[0], "other", "other@example.com")
    assert outcome(replicas[0], "other", "correct horse battery", THERE) == "OK"
    redis = connect(redis_url, 3)
    [key] = redis.scan_iter("attempts:login:account:*")
    redis.pexpire(key, 1)
    while redis.exists(key):
        pass
    assert outcome(replicas[0], password="correct horse battery") == "OK"


def test_an_unknown_name_is_locked_like_a_known_one(replicas):
    known = [outcome(replicas[0], "mina", metadata=from_address("203.0.113.1")) for _ in range(7)]
    unknown = [outcome(replicas[0], "nobody", metadata=from_address("203.0.113.2")) for _ in range(7)]
    assert known == unknown == ["BAD_CREDENTIALS"] * 5 + ["TOO_MANY_ATTEMPTS"] * 2


def test_an_address_that_tries_many_names_is_locked_and_no_other(replicas):
    outcomes = [outcome(replicas[number % 2], f"name-{number}") for number in range(10)]
    assert outcomes == ["BAD_CREDENTIALS"] * 8 + ["TOO_MANY_ATTEMPTS"] * 2
    assert outcome(replicas[0], password="correct horse battery") == "TOO_MANY_ATTEMPTS"
    assert outcome(replicas[0], password="correct horse battery", metadata=THERE) == "OK"


@pytest.mark.parametrize(
    ("addresses", "together"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"], True),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["198.51.100.9", "::ffff:198.51.100.9"], True),
        (["198.51.100.9", "198.51.100.10"], False),
        (["", ""], True),
    ],
)
def test_what_one_person_can_have_of_addresses_counts_as_one(replicas, addresses, together):
    for number in range(8):
        address = addresses[number % len(addresses)]
        assert outcome(replicas[0], f"name-{number}", metadata=from_address(address)) == "BAD_CREDENTIALS"
    locked = outcome(replicas[0], "one-more", metadata=from_address(addresses[0])) == "TOO_MANY_ATTEMPTS"
    assert locked is together


def test_who_knows_the_password_is_never_locked_out_by_logging_in(replicas):
    for _ in range(3):
        assert [outcome(replicas[0]) for _ in range(2)] == ["BAD_CREDENTIALS"] * 2
        assert outcome(replicas[1], password="correct horse battery") == "OK"
    # Six wrong ones from this address are left of those.
    with futures.ThreadPoolExecutor(20) as threads:
        right = [
            threads.submit(outcome, replicas[n % 2], "mina", "correct horse battery", from_address(f"203.0.113.{n}"))
            for n in range(20)
        ]
    assert {each.result() for each in right} <= {"OK", "TOO_MANY_ATTEMPTS"}
    assert outcome(replicas[0], password="correct horse battery", metadata=THERE) == "OK"


def test_of_many_registrations_at_once_from_one_address_exactly_the_limit_is_made(replicas, owner):
    def try_one(number: int, metadata=HERE) -> tuple[str, float | None]:
        try:
            register(replicas[number % 2], f"user-{number}", f"user-{number}@example.com", metadata=metadata)
        except errors.ResourceExhausted as fault:
            return fault.reason, fault.retry_after_s
        return "OK", None

    with futures.ThreadPoolExecutor(12) as threads:
        outcomes = list(threads.map(try_one, range(12)))
    assert sorted(reason for reason, _ in outcomes) == ["OK"] * 4 + ["TOO_MANY_ATTEMPTS"] * 8
    assert all(3500 < wait <= 3600 for reason, wait in outcomes if reason != "OK")
    # And Mina, from nowhere.
    assert owner.execute("SELECT count(*) FROM auth.users").fetchone() == (5,)
    assert try_one(99, THERE) == ("OK", None)
    # Who has an account logs in all the same.
    assert outcome(replicas[0], password="correct horse battery") == "OK"


def test_a_registration_that_fails_counts_too_since_it_tells_who_is_there(replicas):
    for _ in range(4):
        with pytest.raises(errors.AlreadyExists):
            register(replicas[0], metadata=HERE)
    with pytest.raises(errors.ResourceExhausted) as caught:
        register(replicas[1], metadata=HERE)
    assert caught.value.reason == "TOO_MANY_ATTEMPTS"
