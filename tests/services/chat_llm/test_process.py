"""chat_llm as it runs in production: a process of its own, killed in the middle of an answer."""

from __future__ import annotations

import signal
import subprocess
import sys

import grpc
import pytest
from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from eco2.chat_llm.v1 import chat_llm_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chat_llm.__main__ import Config
from services.chat_llm.answering import LEASE_S
from services.kit import config
from services.kit.channel import connect
from services.kit.errors import Fault
from tests import openai_api as faults
from tests.conftest import as_user, eventually
from tests.gateway.edge import free_ports
from tests.services.chat_llm.conftest import leaving, shown, whole

QUESTION = "우유팩은 어떻게 버려요?"
WAIT_S = 60


class Running:
    """A process, and a stub to it."""

    def __init__(self, environment: dict[str, str], log):
        port = free_ports("chat_llm")["chat_llm"]
        own = environment | {"LISTEN": f"127.0.0.1:{port}"}
        self.process = subprocess.Popen([sys.executable, "-m", "services.chat_llm"], env=own, stdout=log, stderr=log)
        self.channel = connect(f"127.0.0.1:{port}", timeout_s=20)
        self.public = pb_grpc.ChatLlmServiceStub(self.channel)
        self._health = health_pb2_grpc.HealthStub(self.channel)

    def ready(self) -> Running:
        eventually(self._serving)
        return self

    def _serving(self) -> bool:
        assert self.process.poll() is None
        try:
            return self._health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        except Fault:
            return False

    def say(self, user_id, content: str):
        opened = self.public.CreateConversation(pb.CreateConversationRequest(), metadata=as_user(user_id))
        conversation_id = opened.conversation.conversation_id
        request = pb.CreateMessageRequest(conversation_id=conversation_id, content=content)
        return self.public.CreateMessage(request, metadata=as_user(user_id), timeout=60)

    def messages(self, user_id, conversation_id: str) -> list[pb.Message]:
        request = pb.ListMessagesRequest(conversation_id=conversation_id)
        return list(self.public.ListMessages(request, metadata=as_user(user_id)).messages)

    def watch(self, user_id, message: pb.Message):
        request = pb.WatchMessageRequest(conversation_id=message.conversation_id, message_id=message.message_id)
        return self.public.WatchMessage(request, metadata=as_user(user_id), timeout=60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)
        self.channel.close()


@pytest.fixture
def run(servers, postgres, database_name, siblings, tmp_path):
    """Starts processes on one database; `run(WORDS_PER_S="2")`."""
    environment = {
        "PYTHONPATH": ":".join(path for path in sys.path if path),
        "API_CHAT_DB_URL": postgres.url(database_name, "chat_llm"),
        "REDIS_URL": servers.redis_url,
        "MODEL_PROVIDER": "embedded",
        "ANSWER_LEASE_S": "3",
        **{f"{name.upper()}_TARGET": siblings.target(name) for name in ("recycle_info", "locations", "waste")},
    }
    started: list[Running] = []

    def make(**own: str) -> Running:
        with (tmp_path / "log").open("ab") as log:
            started.append(Running(environment | own, log))
        return started[-1].ready()

    yield make
    for each in started:
        each.close()


def begun(stream) -> list:
    events = [next(stream)]
    while not shown(events):
        events.append(next(stream))
    return events


def test_kill_nine_mid_stream_loses_no_message_and_the_answer_is_tried_once_more(run, user_id):
    # Its lease outlasts the start of the second, which is asked what the first has left behind.
    first = run(WORDS_PER_S="2", ANSWER_LEASE_S="9")
    stream = first.say(user_id, QUESTION)
    events = begun(stream)
    said, answer = events[0].message, events[0].answer
    first.process.kill()
    first.process.wait(WAIT_S)
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    second = run(WORDS_PER_S="2")
    left, kept = second.messages(user_id, said.conversation_id)
    assert kept == said
    assert (left.message_id, left.state, left.attempt) == (answer.message_id, pb.MESSAGE_STATE_RUNNING, 1)
    # Who watches sees the second attempt begin where the first one had; then this process dies too.
    with leaving(second.watch(user_id, answer)) as again:
        eventually(lambda: second.messages(user_id, said.conversation_id)[0].attempt == 2)
        begun(again)
        second.process.kill()
        second.process.wait(WAIT_S)
    third = run()
    lost = whole(list(third.watch(user_id, answer)))
    assert (lost.state, lost.attempt, lost.failure.reason) == (pb.MESSAGE_STATE_FAILED, 2, "INTERRUPTED")
    assert kept in third.messages(user_id, said.conversation_id)


def test_after_kill_nine_the_second_attempt_brings_the_answer(run, user_id):
    first = run(WORDS_PER_S="2")
    events = begun(stream := first.say(user_id, QUESTION))
    first.process.kill()
    first.process.wait(WAIT_S)
    stream.cancel()
    second = run()
    done = whole(list(second.watch(user_id, events[0].answer)))
    assert (done.state, done.attempt) == (pb.MESSAGE_STATE_SUCCEEDED, 2)
    assert [each.rule.item_name for each in done.citations] == ["우유팩"]


def test_sigterm_ends_streams_in_words_and_no_answer(run, user_id):
    first = run(WORDS_PER_S="1")
    stream = first.say(user_id, QUESTION)
    events = begun(stream)
    first.process.send_signal(signal.SIGTERM)
    events += stream
    assert (events[-1].done, events[-1].answer.state) == (True, pb.MESSAGE_STATE_RUNNING)
    assert first.process.wait(WAIT_S) == 0
    done = whole(list(run().watch(user_id, events[0].answer)))
    assert (done.state, done.attempt) == (pb.MESSAGE_STATE_SUCCEEDED, 1)


def test_one_switch_makes_it_ask_the_api(run, user_id, openai_api):
    chat = run(MODEL_PROVIDER="auto", OPENAI_API_KEY="test-key", OPENAI_BASE_URL=openai_api.url)
    answer = whole(list(chat.say(user_id, QUESTION)))
    assert (answer.provider, answer.content) == ("openai", "안녕하세요")
    openai_api.always = faults.status(503)
    answer = whole(list(chat.say(user_id, QUESTION)))
    assert (answer.provider, answer.fallback_reason) == ("embedded", "MODEL_UNAVAILABLE")


def test_openai_without_a_key_is_refused_at_the_start(run):
    with pytest.raises(AssertionError):
        run(MODEL_PROVIDER="openai")


def test_a_lease_that_no_heartbeat_could_hold_and_a_provider_without_its_key_are_refused_by_name():
    names = ("LISTEN", "RECYCLE_INFO_TARGET", "LOCATIONS_TARGET", "WASTE_TARGET", "API_CHAT_DB_URL", "REDIS_URL")
    given = dict.fromkeys(names, "x")
    assert config.load(Config, given).answer_lease_s == LEASE_S
    for wrong, problem in (
        ({"ANSWER_LEASE_S": "0"}, "ANSWER_LEASE_S"),
        ({"MODEL_PROVIDER": "openai"}, "OPENAI_API_KEY"),
    ):
        with pytest.raises(SystemExit, match=problem):
            config.load(Config, given | wrong)
