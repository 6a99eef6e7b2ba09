"""Conversations and messages over the wire: success, a refused caller, bad input, another user's object."""

from concurrent import futures

import pytest
import sqlalchemy as sa
import uuid_utils.compat as uuids
from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from eco2.chat_llm.v1 import internal_pb2
from google.protobuf import json_format

from services.kit.errors import (
    AlreadyExists,
    FailedPrecondition,
    Fault,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    from_rpc_error,
)
from tests.conftest import as_user, eventually
from tests.services.chat_llm.conftest import CITY_HALL, leaving, shown, whole

NOBODY = "0193e0a0-0000-7000-8000-000000000000"
# Each rpc and the smallest request that it takes.
RPCS = {
    "ListConversations": pb.ListConversationsRequest(),
    "CreateConversation": pb.CreateConversationRequest(),
    "GetConversation": pb.GetConversationRequest(conversation_id=NOBODY),
    "DeleteConversation": pb.DeleteConversationRequest(conversation_id=NOBODY),
    "ListMessages": pb.ListMessagesRequest(conversation_id=NOBODY),
    "CreateMessage": pb.CreateMessageRequest(conversation_id=NOBODY, content="x"),
    "GetMessage": pb.GetMessageRequest(conversation_id=NOBODY, message_id=NOBODY),
    "WatchMessage": pb.WatchMessageRequest(conversation_id=NOBODY, message_id=NOBODY),
    "StopMessage": pb.StopMessageRequest(conversation_id=NOBODY, message_id=NOBODY),
    "CreateFeedback": pb.CreateFeedbackRequest(conversation_id=NOBODY, message_id=NOBODY, helpful=True),
}
STREAMING = {"CreateMessage", "WatchMessage"}


def call(chat, rpc: str, request, user_id=None):
    """The answer, or the last message of a stream; raises Faults."""
    metadata = as_user(user_id) if user_id else ()
    if rpc not in STREAMING:
        return getattr(chat.public, rpc)(request, metadata=metadata)
    stream = getattr(chat.public, rpc)(request, metadata=metadata, timeout=60)
    try:
        return list(stream)[-1]
    except Exception as error:
        raise from_rpc_error(error) from error


def test_these_are_all_rpcs():
    assert set(RPCS) == set(pb.DESCRIPTOR.services_by_name["ChatLlmService"].methods_by_name)


def test_without_a_caller_each_is_refused(chat):
    for rpc, request in RPCS.items():
        with pytest.raises(Unauthenticated) as caught:
            call(chat, rpc, request)
        assert caught.value.reason == "TOKEN_MISSING", rpc


def test_bad_input_is_refused_by_name(chat, user_id):
    for rpc, wrong, field in (
        ("ListConversations", {"page_size": -1}, "page_size"),
        ("ListConversations", {"page_token": "x"}, "page_token"),
        ("CreateConversation", {"title": "x" * 201}, "title"),
        ("CreateConversation", {"request_id": "7"}, "request_id"),
        ("GetConversation", {"conversation_id": "7"}, "conversation_id"),
        ("DeleteConversation", {"conversation_id": ""}, "conversation_id"),
        ("ListMessages", {"conversation_id": "7"}, "conversation_id"),
        ("ListMessages", {"page_size": -1}, "page_size"),
        ("ListMessages", {"page_token": "x"}, "page_token"),
        ("CreateMessage", {"content": ""}, "content"),
        ("CreateMessage", {"content": " \n"}, "content"),
        ("CreateMessage", {"content": "x" * 2001}, "content"),
        ("CreateMessage", {"content": "a\0b"}, "content"),
        ("CreateMessage", {"conversation_id": "7"}, "conversation_id"),
        ("CreateMessage", {"request_id": "7"}, "request_id"),
        ("CreateMessage", {"analysis_id": "7"}, "analysis_id"),
        ("CreateMessage", {"language_code": "fr"}, "language_code"),
        ("CreateMessage", {"near": {"latitude": 91}}, "near.latitude"),
        ("CreateMessage", {"near": {"longitude": "NaN"}}, "near.longitude"),
        ("GetMessage", {"message_id": "7"}, "message_id"),
        ("WatchMessage", {"message_id": "7"}, "message_id"),
        ("StopMessage", {"conversation_id": "7"}, "conversation_id"),
        ("CreateFeedback", {"comment": "x" * 1001}, "comment"),
    ):
        request = type(RPCS[rpc])()
        request.CopyFrom(RPCS[rpc])
        for name in wrong:
            request.ClearField(name)
        json_format.ParseDict(wrong, request)
        with pytest.raises(InvalidArgument) as caught:
            call(chat, rpc, request, user_id)
        assert field in [violated for violated, _ in caught.value.violations], (rpc, wrong)


def test_somebody_elses_is_not_found(chat, user_id):
    answer, stranger = chat.ask(user_id, "우유팩은 어떻게 버려요?"), uuids.uuid7()
    for rpc in RPCS.keys() - {"ListConversations", "CreateConversation"}:
        request = type(RPCS[rpc])()
        request.CopyFrom(RPCS[rpc])
        request.conversation_id = answer.conversation_id
        if "message_id" in request.DESCRIPTOR.fields_by_name:
            request.message_id = answer.message_id
        with pytest.raises(NotFound):
            call(chat, rpc, request, stranger)
    # Nothing has changed for whom it belongs to.
    assert chat.messages(user_id, answer.conversation_id)[0] == answer
    assert len(chat.messages(user_id, answer.conversation_id)) == 2


def test_conversations_are_listed_as_they_were_last_spoken_in(chat, user_id):
    first, second, third = (chat.open(user_id, title=title) for title in ("1", "2", "3"))
    chat.open(uuids.uuid7())
    chat.ask(user_id, "병", first)

    def page(token="", size=2):
        request = pb.ListConversationsRequest(page_size=size, page_token=token)
        return chat.public.ListConversations(request, metadata=as_user(user_id))

    one = page()
    assert [each.conversation_id for each in one.conversations] == [first, third]
    two = page(one.next_page_token)
    assert [each.conversation_id for each in two.conversations] == [second]
    assert not two.next_page_token
    assert len(page(size=1000).conversations) == 3


def test_a_conversation_is_called_what_it_began_with(chat, user_id):
    conversation_id = chat.open(user_id)
    chat.ask(user_id, "  우유팩은\n어떻게 버려요?  ", conversation_id)
    chat.ask(user_id, "유리병은?", conversation_id)
    request = pb.GetConversationRequest(conversation_id=conversation_id)
    found = chat.public.GetConversation(request, metadata=as_user(user_id)).conversation
    assert found.title == "우유팩은 어떻게 버려요?"
    assert found.update_time.ToDatetime() > found.create_time.ToDatetime()


def test_a_request_id_makes_one_conversation(chat, user_id):
    request_id = str(uuids.uuid7())
    assert chat.open(user_id, title="a", request_id=request_id) == chat.open(user_id, title="a", request_id=request_id)
    with pytest.raises(AlreadyExists) as caught:
        chat.open(user_id, title="b", request_id=request_id)
    assert (caught.value.reason, caught.value.violations[0][0]) == ("REQUEST_ID_REUSED", "request_id")
    # Another user's id is another id.
    assert chat.open(uuids.uuid7(), title="b", request_id=request_id)


def test_an_answer_streams_word_by_word_and_is_stored_with_what_it_rests_on(chat, user_id, siblings):
    conversation_id = chat.open(user_id)
    events = list(chat.say(user_id, conversation_id, "깨진 유리컵은 어떻게 버려요?"))
    said, answer = events[0].message, whole(events)
    assert (said.role, said.state, said.content) == (
        pb.MESSAGE_ROLE_USER,
        pb.MESSAGE_STATE_SUCCEEDED,
        "깨진 유리컵은 어떻게 버려요?",
    )
    assert (answer.role, answer.state, answer.attempt) == (pb.MESSAGE_ROLE_ASSISTANT, pb.MESSAGE_STATE_SUCCEEDED, 1)
    assert (answer.provider, answer.fallback_reason, answer.prompt_version) == ("embedded", "", 0)
    assert events[0].answer.state == pb.MESSAGE_STATE_QUEUED
    [citation] = answer.citations
    assert f"[{citation.number}]" in answer.content
    with siblings.rules.reading() as connection:
        query = sa.text("SELECT source_url FROM recycling_rules WHERE id = :id")
        assert connection.execute(query, {"id": citation.rule.rule_id}).scalar_one() == citation.rule.source_url
    newest, oldest = chat.messages(user_id, conversation_id)
    assert (newest, oldest) == (answer, said)
    assert chat.get(user_id, answer) == answer


def test_words_come_one_after_the_other(start, user_id):
    chat = start(words_per_s=50)
    events = list(chat.say(user_id, chat.open(user_id), "How do I throw away a glass bottle?"))
    assert sum(bool(event.text) for event in events) >= len(whole(events).content.split()) / 3


def test_messages_are_listed_in_pages_newest_first(chat, user_id):
    conversation_id = chat.open(user_id)
    for question in ("우유팩", "유리병", "신문지"):
        chat.ask(user_id, question, conversation_id)

    def page(token=""):
        request = pb.ListMessagesRequest(conversation_id=conversation_id, page_size=4, page_token=token)
        return chat.public.ListMessages(request, metadata=as_user(user_id))

    one = page()
    two = page(one.next_page_token)
    said = [each.content for each in [*one.messages, *two.messages] if each.role == pb.MESSAGE_ROLE_USER]
    assert (len(one.messages), len(two.messages), said) == (4, 2, ["신문지", "유리병", "우유팩"])
    other = chat.open(user_id)
    request = pb.ListMessagesRequest(conversation_id=other, page_token=one.next_page_token)
    with pytest.raises(InvalidArgument):
        chat.public.ListMessages(request, metadata=as_user(user_id))


def test_the_same_request_again_follows_the_same_answer(start, user_id):
    chat = start(words_per_s=20)
    conversation_id, request_id = chat.open(user_id), str(uuids.uuid7())
    with leaving(chat.say(user_id, conversation_id, "우유팩은?", request_id=request_id)) as first:
        begun = next(first)
    again = list(chat.say(user_id, conversation_id, "우유팩은?", request_id=request_id))
    assert (again[0].message, again[0].answer.message_id) == (begun.message, begun.answer.message_id)
    done = whole(again)
    # And once it has ended, at once.
    assert whole(list(chat.say(user_id, conversation_id, "우유팩은?", request_id=request_id))) == done
    assert len(chat.messages(user_id, conversation_id)) == 2
    with pytest.raises(AlreadyExists) as caught:
        call(
            chat,
            "CreateMessage",
            pb.CreateMessageRequest(conversation_id=conversation_id, content="유리병은?", request_id=request_id),
            user_id,
        )
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_one_answer_at_a_time_in_a_conversation_and_few_at_a_time_of_a_user(start, user_id):
    chat = start(words_per_s=2)
    conversations = [chat.open(user_id) for _ in range(6)]
    begun = [next(chat.say(user_id, each, "우유팩은?")) for each in conversations[:5]]
    again = pb.CreateMessageRequest(conversation_id=conversations[0], content="유리병은?")
    with pytest.raises(FailedPrecondition) as caught:
        call(chat, "CreateMessage", again, user_id)
    assert caught.value.reason == "ANSWER_UNDER_WAY"
    with pytest.raises(ResourceExhausted) as caught:
        call(chat, "CreateMessage", pb.CreateMessageRequest(conversation_id=conversations[5], content="x"), user_id)
    assert (caught.value.reason, caught.value.retry_after_s) == ("TOO_MANY_ANSWERS", 2)
    for each in begun:
        chat.stop(user_id, each.answer)
    assert chat.messages(user_id, conversations[5]) == []
    # Once stopped there is room again.
    next(chat.say(user_id, conversations[0], "유리병은?"))


def test_a_stream_too_many_is_refused_and_nothing_is_stored(start, user_id):
    chat = start(words_per_s=2, streams=1)
    first, second = chat.open(user_id), chat.open(user_id)
    with leaving(chat.say(user_id, first, "우유팩은?")) as stream:
        next(stream)
        with pytest.raises(ResourceExhausted) as caught:
            call(chat, "CreateMessage", pb.CreateMessageRequest(conversation_id=second, content="x"), user_id)
    assert caught.value.reason == "TOO_MANY_STREAMS"
    assert not chat.messages(user_id, second)


def test_a_stopped_answer_keeps_what_there_was(start, user_id):
    chat = start(words_per_s=20)
    stream = chat.say(user_id, chat.open(user_id), "우유팩은 어떻게 버려요?")
    events = [next(stream)]
    while not shown(events):
        events.append(next(stream))
    stopped = chat.stop(user_id, events[0].answer)
    events += stream
    assert whole(events) == stopped
    assert stopped.state == pb.MESSAGE_STATE_STOPPED
    assert stopped.content
    assert "[1]" not in stopped.content
    assert not stopped.citations
    # To stop it again, or once it has ended, changes nothing.
    assert chat.stop(user_id, stopped) == stopped
    ended = chat.ask(user_id, "유리병은?", stopped.conversation_id)
    assert chat.stop(user_id, ended) == ended


def test_feedback_is_for_answers_that_have_ended_and_the_last_word_counts(start, user_id):
    chat = start(words_per_s=2)
    stream = chat.say(user_id, chat.open(user_id), "우유팩은?")
    begun = next(stream)

    def feedback(message, **fields):
        request = pb.CreateFeedbackRequest(
            conversation_id=message.conversation_id, message_id=message.message_id, **fields
        )
        chat.public.CreateFeedback(request, metadata=as_user(user_id))

    for message, reason in ((begun.message, "NOT_AN_ANSWER"), (begun.answer, "ANSWER_UNDER_WAY")):
        with pytest.raises(FailedPrecondition) as caught:
            feedback(message, helpful=True)
        assert caught.value.reason == reason
    answer = chat.stop(user_id, begun.answer)
    with pytest.raises(InvalidArgument) as refused:
        feedback(answer, comment="what now?")
    assert refused.value.violations[0][0] == "helpful"
    feedback(answer, helpful=True)
    feedback(answer, helpful=False, comment="too slow")
    with chat.database.reading() as connection:
        rows = connection.execute(sa.text("SELECT message_id, helpful, comment FROM feedback")).all()
    assert [(str(row.message_id), row.helpful, row.comment) for row in rows] == [(answer.message_id, False, "too slow")]


def test_feedback_for_what_is_being_deleted_finds_nothing(start, user_id):
    chat = start()
    answer = chat.ask(user_id, "우유팩은?")
    request = pb.CreateFeedbackRequest(
        conversation_id=answer.conversation_id, message_id=answer.message_id, helpful=True
    )
    waiting = sa.text(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pg_blocking_pids(pid) <> '{}'"
    )

    def is_waiting() -> bool:
        with chat.database.reading() as connection:
            return connection.execute(waiting).first() is not None

    with futures.ThreadPoolExecutor(1) as threads:
        with chat.database.writing() as tx:
            tx.execute(sa.text("DELETE FROM conversations WHERE id = :id"), {"id": answer.conversation_id})
            said = threads.submit(chat.public.CreateFeedback, request, metadata=as_user(user_id))
            eventually(is_waiting)
        with pytest.raises(NotFound):
            said.result(10)


def test_a_deleted_conversation_is_gone_and_its_answer_ends(start, user_id, redis):
    chat = start(words_per_s=20)
    stream = chat.say(user_id, chat.open(user_id), "우유팩은 어떻게 버려요?")
    events = [next(stream)]
    while not shown(events):
        events.append(next(stream))
    answer = events[0].answer
    request = pb.DeleteConversationRequest(conversation_id=answer.conversation_id)
    chat.public.DeleteConversation(request, metadata=as_user(user_id))
    last = list(stream)[-1]
    assert (last.done, last.answer.failure.reason) == (True, "MESSAGE_DELETED")
    with pytest.raises(NotFound):
        chat.get(user_id, answer)
    with pytest.raises(NotFound):
        chat.public.DeleteConversation(request, metadata=as_user(user_id))
    assert redis.hget(f"answer:{answer.message_id}", "text") == ""


def test_an_erased_user_is_nowhere_and_erasing_again_changes_nothing(start, user_id, redis):
    chat, other = start(words_per_s=20), uuids.uuid7()
    kept = chat.ask(other, "우유팩은?")
    chat.ask(user_id, "우유팩은?")
    stream = chat.say(user_id, chat.open(user_id), "유리병은 어떻게 버려요?", near=CITY_HALL)
    next(stream)
    next(stream)
    request = internal_pb2.EraseUserRequest(user_id=str(user_id))
    assert chat.internal.EraseUser(request).removed_count == 6
    assert list(stream)[-1].answer.failure.reason == "MESSAGE_DELETED"
    assert chat.internal.EraseUser(request).removed_count == 6
    eventually(lambda: not chat.answerer._running)
    with chat.database.reading() as connection:
        for table in ("conversations", "messages", "feedback", "llm_prompts"):
            rows = connection.execute(sa.text(f"SELECT CAST(t AS text) FROM {table} t")).scalars()
            assert not [row for row in rows if str(user_id) in row]
        assert connection.execute(sa.text("SELECT count(*) FROM messages")).scalar_one() == 2
    for key in redis.scan_iter("answer:*"):
        assert str(user_id) not in json_of(redis, key)
        assert redis.pttl(key) != -1  # It has an end; those of other tests may have come to theirs meanwhile.
    assert chat.get(other, kept) == kept
    with pytest.raises(InvalidArgument):
        chat.internal.EraseUser(internal_pb2.EraseUserRequest(user_id="7"))


def json_of(redis, key: str) -> str:
    return repr(redis.hgetall(key))


def test_where_somebody_was_is_forgotten_when_the_answer_has_ended(chat, user_id):
    chat.ask(user_id, "건전지는 어디에 버려요?", near=CITY_HALL)
    with chat.database.reading() as connection:
        [asked] = connection.execute(sa.text("SELECT asked FROM messages WHERE role = 'assistant'")).scalars()
    assert set(asked) == {"call", "language"}


def test_a_new_prompt_is_a_new_version_and_the_same_one_is_not(chat):
    from services.chat_llm import answer_store, prompts

    def versions() -> list[tuple[int, str]]:
        with chat.database.reading() as connection:
            rows = connection.execute(
                sa.text("SELECT version, content FROM llm_prompts WHERE name = 'coach' ORDER BY 1")
            )
            return [tuple(row) for row in rows]

    shipped = prompts.SHIPPED["coach"]
    for content in (shipped, "Be brief.", "Be brief.", shipped):
        with chat.database.writing() as tx:
            answer_store.sync_prompt(tx, "coach", content)
    assert versions() == [(1, shipped), (2, "Be brief.")]
    with chat.database.writing() as tx:
        assert answer_store.get_prompt(tx, "coach").content == "Be brief."
        tx.execute(sa.text("UPDATE llm_prompts SET retired_at = now() WHERE version = 2"))
        assert answer_store.get_prompt(tx, "coach").content == shipped


def test_a_fault_of_a_stream_is_a_fault(chat, user_id):
    with pytest.raises(Fault):
        call(chat, "WatchMessage", RPCS["WatchMessage"], user_id)
