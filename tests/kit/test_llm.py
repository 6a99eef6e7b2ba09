"""The client of models on a real Redis and against a server that fails in every way that a real one does."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from services.kit import cache, llm
from services.kit.errors import DeadlineExceeded, Fault, ResourceExhausted, Unavailable
from services.kit.llm import budget, upstream
from services.kit.llm.client import Client, Patience, Shape
from tests import openai_api as api_of
from tests.conftest import eventually

MESSAGES = [{"role": "system", "content": "Name a colour."}, {"role": "user", "content": "The sky's."}]
PATIENCE = Patience(timeout_s=5, deadline_s=10, tries=2, max_tokens=50)
HASTY = Patience(timeout_s=0.2, deadline_s=0.3, tries=2, max_tokens=50)
ONCE = Patience(timeout_s=5, deadline_s=10, tries=1, max_tokens=50)


class Colour(Shape):
    colour: Literal["red", "blue"]


@pytest.fixture
def redis(servers):
    client = cache.connect(servers.redis_url, budget.DB, timeout_s=10)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def user_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def spending(redis) -> llm.Budget:
    return llm.Budget(redis, llm.Limits(100_000, 1_000_000))


@pytest.fixture
def connect(openai_api, spending):
    """Makes clients of the server."""
    clients = []

    def make(**options) -> Client:
        options = {"base_url": openai_api.url, "budget": spending} | options
        clients.append(Client("test-key", options.pop("base_url"), "m1", options.pop("budget"), **options))
        return clients[-1]

    openai_api.answers["colour"] = {"colour": "blue"}
    yield make
    for client in clients:
        client.close()


def reason(call, *args) -> str:
    with pytest.raises(Fault) as raised:
        call(*args)
    return raised.value.reason


def test_an_answer_has_the_shape_that_was_asked_for_and_is_paid_for(connect, openai_api, spending, redis, user_id):
    client = connect(reasoning_effort="low")
    assert client.ask(MESSAGES, Colour, user_id, PATIENCE) == Colour(colour="blue")
    [asked] = openai_api.requests
    assert asked["model"] == "m1"
    assert asked["messages"] == MESSAGES
    assert (asked["max_completion_tokens"], asked["reasoning_effort"]) == (50, "low")
    form = asked["response_format"]["json_schema"]
    assert form["strict"]
    assert form["schema"]["additionalProperties"] is False
    assert form["schema"]["properties"]["colour"]["enum"] == ["red", "blue"]
    assert spending.used(user_id) == openai_api.tokens
    assert redis.hget(budget.ALL_KEY, "used") == str(openai_api.tokens)
    assert redis.hget(budget.user_key(user_id), "held") == "0"


INVALID = "MODEL_ANSWER_INVALID"


@pytest.mark.parametrize(
    ("fault", "expected", "calls"),
    [
        (api_of.status(500), "MODEL_UNAVAILABLE", 2),
        (api_of.status(503, retry_after="3600"), "MODEL_UNAVAILABLE", 1),
        (api_of.cut, "MODEL_UNAVAILABLE", 2),
        (api_of.status(429), "MODEL_RATE_LIMITED", 2),
        (api_of.status(429, retry_after="3600"), "MODEL_RATE_LIMITED", 1),
        (api_of.status(429, "insufficient_quota"), "MODEL_QUOTA_SPENT", 1),
        (api_of.status(400, "content_policy_violation"), "MODEL_REFUSED", 1),
        (api_of.refusing, "MODEL_REFUSED", 1),
        (api_of.filtered, "MODEL_REFUSED", 1),
        (api_of.status(400), "MODEL_MISCONFIGURED", 1),
        (api_of.status(401, "invalid_api_key"), "MODEL_MISCONFIGURED", 1),
        (api_of.status(404, "model_not_found"), "MODEL_MISCONFIGURED", 1),
        (api_of.content('{"colour": "green"}'), INVALID, 2),
        (api_of.content('{"colour": "red", "more": 1}'), INVALID, 2),
        (api_of.content("the sky is blue"), INVALID, 2),
        (api_of.content(""), INVALID, 2),
        (api_of.truncated, INVALID, 2),
        (api_of.raw('{"choices": [{"mess'), INVALID, 2),
        (api_of.raw("{}"), INVALID, 2),
        (api_of.raw('{"choices": []}'), INVALID, 2),
        (api_of.raw('{"choices": [{"message": null}]}'), INVALID, 2),
        (api_of.raw("[]"), INVALID, 2),
        (api_of.raw("<html>", "text/html"), INVALID, 2),
    ],
)
def test_each_fault_has_its_reason(connect, openai_api, user_id, fault, expected, calls):
    openai_api.always = fault
    assert reason(connect().ask, MESSAGES, Colour, user_id, PATIENCE) == expected
    assert len(openai_api.requests) == calls


@pytest.mark.parametrize("fault", [api_of.status(500), api_of.status(429, retry_after_ms="20"), api_of.cut])
def test_trouble_that_passes_is_tried_again(connect, openai_api, user_id, fault):
    openai_api.faults.append(fault)
    assert connect().ask(MESSAGES, Colour, user_id, PATIENCE).colour == "blue"
    assert len(openai_api.requests) == 2


@pytest.mark.parametrize("fault", [api_of.silent, api_of.dripping])
def test_a_slow_answer_ends_at_the_timeout_and_is_paid_for(connect, openai_api, spending, user_id, fault):
    openai_api.always = fault
    with pytest.raises(DeadlineExceeded) as raised:
        connect().ask(MESSAGES, Colour, user_id, HASTY)
    assert raised.value.reason == "MODEL_SLOW"
    # Upstream may have worked on it: all that was held counts.
    assert spending.used(user_id) > HASTY.max_tokens


def test_what_certainly_cost_nothing_is_not_counted(connect, openai_api, spending, redis, user_id):
    openai_api.always = api_of.status(500)
    reason(connect().ask, MESSAGES, Colour, user_id, ONCE)
    assert reason(connect(base_url="http://127.0.0.1:1").ask, MESSAGES, Colour, user_id, ONCE) == "MODEL_UNAVAILABLE"
    assert spending.used(user_id) == 0
    assert redis.hget(budget.user_key(user_id), "held") == "0"


def test_who_is_asked_to_wait_longer_than_he_can_is_told_when_and_others_do_not_even_ask(connect, openai_api, user_id):
    openai_api.always = api_of.status(429, retry_after="3600")
    client = connect()
    with pytest.raises(ResourceExhausted) as raised:
        client.ask(MESSAGES, Colour, user_id, PATIENCE)
    assert raised.value.retry_after_s == 3600
    with pytest.raises(ResourceExhausted) as raised:
        client.ask(MESSAGES, Colour, str(uuid.uuid4()), PATIENCE)
    assert (raised.value.reason, len(openai_api.requests)) == ("MODEL_RATE_LIMITED", 1)
    # However long the server asks one to wait, the others look again after a minute.
    assert 50 < raised.value.retry_after_s <= 60


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "1e300"}, upstream.MAX_HINT_S),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2115 07:28:00 GMT"}, upstream.MAX_HINT_S),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_a_hint_comes_in_several_forms(headers, seconds):
    assert upstream.retry_after_s(headers) == seconds


def test_closing_ends_a_pause(connect, openai_api, user_id):
    openai_api.faults.append(api_of.status(503, retry_after="30"))
    client = connect()
    with ThreadPoolExecutor(1) as pool:
        patience = Patience(timeout_s=5, deadline_s=60, tries=2, max_tokens=50)
        waiting = pool.submit(client.ask, MESSAGES, Colour, user_id, patience)
        eventually(lambda: openai_api.requests)
        client.close()
        assert isinstance(waiting.exception(10), Unavailable)
    assert len(openai_api.requests) == 1


# The breaker.


def test_a_server_that_is_down_is_left_alone_and_then_asked_by_one(connect, openai_api, user_id):
    now = [0.0]
    client = connect(breaker=llm.Breaker(failures=3, rest_s=10, clock=lambda: now[0]))
    openai_api.always = api_of.status(500)
    for _ in range(3):
        assert reason(client.ask, MESSAGES, Colour, user_id, ONCE) == "MODEL_UNAVAILABLE"
    with pytest.raises(Unavailable) as raised:
        client.ask(MESSAGES, Colour, user_id, ONCE)
    assert (raised.value.reason, len(openai_api.requests)) == ("MODEL_RESTING", 3)
    assert 8 <= raised.value.retry_after_s <= 12
    now[0] = 13
    # It is still down: one call finds out, and the rest begins anew.
    assert reason(client.ask, MESSAGES, Colour, user_id, ONCE) == "MODEL_UNAVAILABLE"
    assert reason(client.ask, MESSAGES, Colour, user_id, ONCE) == "MODEL_RESTING"
    now[0], openai_api.always = 26, None
    assert client.ask(MESSAGES, Colour, user_id, ONCE).colour == "blue"
    assert client.ask(MESSAGES, Colour, user_id, ONCE).colour == "blue"
    assert len(openai_api.requests) == 6


def test_only_one_probe_at_a_time():
    now = [0.0]
    breaker = llm.Breaker(failures=1, rest_s=10, clock=lambda: now[0])
    with pytest.raises(Unavailable), breaker.guard():
        raise Unavailable("down")
    now[0] = 13
    with breaker.guard(), pytest.raises(Unavailable, match="left alone"), breaker.guard():
        raise AssertionError("a second probe")
    with breaker.guard():
        pass


def test_refusals_are_no_failures_and_successes_reset_the_count():
    breaker = llm.Breaker(failures=2, rest_s=10)
    for kind in (Unavailable, ResourceExhausted, Unavailable, Fault, DeadlineExceeded):
        with pytest.raises(kind), breaker.guard():
            raise kind("x")
    with breaker.guard():
        pass


# The budget.


def test_the_budget_is_exact_under_200_concurrent_calls(redis, user_id):
    spending = llm.Budget(redis, llm.Limits(user_tokens=6_000, all_tokens=1_000_000))
    tried, refusals = threading.Barrier(200), []

    def call(_) -> bool:
        try:
            with spending.hold(user_id, 100) as hold:
                tried.wait(30)
                hold.spent = 70
                return True
        except ResourceExhausted as fault:
            refusals.append((fault.reason, fault.metadata["budget"]))
            tried.wait(30)
            return False

    with ThreadPoolExecutor(200) as pool:
        admitted = sum(pool.map(call, range(200)))
    # All 200 were in at once: exactly as many as the limit holds were let in.
    assert admitted == 60
    assert set(refusals) == {("MODEL_BUDGET_HELD", "user")}
    assert spending.used(user_id) == 60 * 70
    assert redis.hgetall(budget.ALL_KEY)["used"] == str(60 * 70)
    assert redis.hgetall(budget.ALL_KEY)["held"] == redis.hgetall(budget.user_key(user_id))["held"] == "0"


def test_all_200_spend_what_there_is_to_the_last_call(connect, openai_api, redis):
    """Through HTTP, by twenty users, with the budget of all as the narrower one."""
    spending = llm.Budget(redis, llm.Limits(user_tokens=100_000, all_tokens=20_000))
    client, users = connect(budget=spending), [str(uuid.uuid4()) for _ in range(20)]
    patience = Patience(timeout_s=20, deadline_s=60, tries=60, max_tokens=50)
    openai_api.tokens = 130

    def call(number: int) -> str:
        try:
            return client.ask(MESSAGES, Colour, users[number % 20], patience).colour
        except ResourceExhausted as fault:
            return fault.reason

    with ThreadPoolExecutor(200) as pool:
        said = list(pool.map(call, range(200)))
    answered = said.count("blue")
    assert answered == len(openai_api.requests)
    assert set(said) == {"blue", "MODEL_BUDGET_SPENT"}
    used = int(redis.hget(budget.ALL_KEY, "used"))
    assert used == answered * 130 == sum(spending.used(user) for user in users)
    # What is left is less than what one call may cost, which every call had to set aside.
    assert used <= 20_000 < used + 600


def test_a_spent_budget_says_when_it_is_new_and_keys_go_by_themselves(connect, openai_api, redis, user_id):
    spending = llm.Budget(redis, llm.Limits(user_tokens=500, all_tokens=1_000_000, window_s=3600))
    client, openai_api.tokens = connect(budget=spending), 450
    client.ask(MESSAGES, Colour, user_id, PATIENCE)
    with pytest.raises(ResourceExhausted) as raised:
        client.ask(MESSAGES, Colour, user_id, PATIENCE)
    assert (raised.value.reason, raised.value.metadata["budget"]) == ("MODEL_BUDGET_SPENT", "user")
    assert 3500 < raised.value.retry_after_s <= 3600
    assert len(openai_api.requests) == 1
    # Another user has a budget of his own.
    client.ask(MESSAGES, Colour, str(uuid.uuid4()), PATIENCE)
    assert all(0 < redis.ttl(key) <= 3600 for key in redis.keys("*"))
    assert {key.rpartition(":")[0] for key in redis.keys("*")} == {"llm:budget", "llm:budget:user"}
    # Nobody who has been erased is named by what a call leaves that was under way.
    assert not any(user_id in f"{key} {redis.hgetall(key)}" for key in redis.keys("*"))


def test_a_window_ends_and_what_was_held_before_does_not_count_after(redis, user_id):
    spending = llm.Budget(redis, llm.Limits(user_tokens=100, all_tokens=100, window_s=0.05))
    with spending.hold(user_id, 100):
        eventually(lambda: not redis.exists(budget.user_key(user_id)))
        with spending.hold(user_id, 100) as second:
            second.spent = 1
    assert spending.used(user_id) in (0, 1)


def test_nothing_is_spent_that_nobody_counts(connect, openai_api, user_id):
    nowhere = cache.connect("redis://127.0.0.1:1", budget.DB)
    client = connect(budget=llm.Budget(nowhere, llm.Limits(1000, 1000)))
    assert reason(client.ask, MESSAGES, Colour, user_id, PATIENCE) == "CACHE_UNAVAILABLE"
    assert not openai_api.requests


def test_no_key_names_a_user(connect, redis, user_id):
    connect().ask(MESSAGES, Colour, user_id, PATIENCE)
    keys = redis.keys("llm:*")
    assert keys
    assert not [key for key in keys if user_id in key]


# Streams.


def test_a_text_comes_in_pieces(connect, openai_api, spending, user_id):
    assert list(connect().stream(MESSAGES, user_id, PATIENCE)) == openai_api.pieces
    assert openai_api.requests[0]["stream_options"] == {"include_usage": True}
    assert spending.used(user_id) == openai_api.tokens


@pytest.mark.parametrize("fault", [api_of.status(429, retry_after_ms="20"), api_of.status(500)])
def test_a_stream_is_tried_again_before_its_first_piece(connect, openai_api, user_id, fault):
    openai_api.faults.append(fault)
    assert list(connect().stream(MESSAGES, user_id, PATIENCE)) == openai_api.pieces


def test_a_stream_that_breaks_off_is_not_taken_for_the_whole(connect, openai_api, spending, user_id):
    openai_api.always = api_of.broken_stream
    got = []
    with pytest.raises(Unavailable) as raised:
        got.extend(connect().stream(MESSAGES, user_id, PATIENCE))
    assert raised.value.reason == "MODEL_UNAVAILABLE"
    assert len(openai_api.requests) == 1
    assert spending.used(user_id) > PATIENCE.max_tokens


def test_a_reader_may_leave_and_the_next_stream_is_none_the_worse(connect, openai_api, user_id):
    client = connect(breaker=llm.Breaker(failures=1))
    stream = client.stream(MESSAGES, user_id, PATIENCE)
    assert next(stream) == openai_api.pieces[0]
    stream.close()
    assert list(client.stream(MESSAGES, user_id, PATIENCE)) == openai_api.pieces


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda handler, body: handler.stream(body, ["가"], finish="content_filter"), "MODEL_REFUSED"),
        (api_of.silent, "MODEL_SLOW"),
        (api_of.raw("data: {oops\n\n", "text/event-stream"), INVALID),
        (api_of.raw('data: {"choices": [1]}\n\n', "text/event-stream"), INVALID),
    ],
)
def test_each_fault_of_a_stream_has_its_reason(connect, openai_api, user_id, fault, expected):
    openai_api.always = fault
    assert reason(lambda: list(connect().stream(MESSAGES, user_id, HASTY))) == expected


def test_the_time_of_a_whole_stream_is_bounded(connect, openai_api, user_id):
    def endless(handler, body):
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        while not openai_api.closing.wait(0.01):
            handler.wfile.write(b": still here\n\n")
            handler.wfile.flush()

    openai_api.always = endless
    patience = Patience(timeout_s=5, deadline_s=0.3, tries=1, max_tokens=50)
    assert reason(lambda: list(connect().stream(MESSAGES, user_id, patience))) == "MODEL_SLOW"


def test_a_process_with_the_embedded_provider_does_not_pay_for_the_library():
    code = "import sys, services.chat_llm.__main__, workers.ai.__main__; sys.exit('openai' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 0
