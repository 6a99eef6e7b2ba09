"""eco2.chat_llm.v1: conversations, messages, and answers that stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import uuid_utils.compat as uuids
from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from eco2.chat_llm.v1 import chat_llm_pb2_grpc as pb_grpc
from eco2.chat_llm.v1 import internal_pb2, internal_pb2_grpc

from services.chat_llm import answer_store, facts, intents, live, results, store
from services.chat_llm.following import Follower
from services.chat_llm.lookups import Lookups
from services.kit import pages, quotas, telemetry, tombstones
from services.kit.cache import Board
from services.kit.caller import get_caller
from services.kit.database import Database
from services.kit.errors import FailedPrecondition, ResourceExhausted, request_id_reused

# Of one user, at once.
MOST_UNDER_WAY = 5
_LAST = (datetime.max.replace(tzinfo=UTC), UUID(int=(1 << 128) - 1))
_LAST_NUMBER = (1 << 31) - 1

Now = Callable[[], datetime]


class Limits(NamedTuple):
    """How many conversations a user may have, and how many messages a conversation."""

    conversations: int
    messages: int


class ChatLlm(pb_grpc.ChatLlmServiceServicer):
    """wake: called after a commit that left an answer to be written. now: the time, with its zone."""

    def __init__(
        self,
        database: Database,
        board: Board,
        follower: Follower,
        lookups: Lookups,
        wake: Callable[[], None],
        limits: Limits,
        now: Now,
    ):
        self._database, self._board, self._follower, self._lookups = database, board, follower, lookups
        self._wake, self._limits, self._now = wake, limits, now

    def ListConversations(self, request, context):
        user_id, limit = get_caller(context).user_id, pages.size(request.page_size)
        before = pages.cursor(request.page_token, (datetime.fromisoformat, UUID)) or _LAST
        with self._database.reading() as connection:
            rows = store.list_conversations(connection, user_id, before, limit + 1)
        more = ""
        if len(rows) > limit:
            last = rows[limit - 1]
            more = pages.token([last.updated_at.isoformat(), str(last.id)])
        return pb.ListConversationsResponse(conversations=map(results.conversation, rows[:limit]), next_page_token=more)

    def CreateConversation(self, request, context):
        user_id, conversation_id = get_caller(context).user_id, uuids.uuid7()
        request_id, digest = _request_id(request), results.request_hash(request)
        with self._database.writing() as tx:
            tombstones.check_alive(tx, user_id)
            quotas.lock(tx, user_id)
            created = store.create_conversation(
                tx,
                conversation_id=conversation_id,
                user_id=user_id,
                title=request.title.strip(),
                request_id=request_id,
                request_hash=digest,
                now=self._now(),
            )
            if created:
                count = store.count_conversations(tx, user_id)
                quotas.check(count, self._limits.conversations, "conversations", "TOO_MANY_CONVERSATIONS")
                row = store.get_conversation(tx, user_id, conversation_id)
            else:
                row = store.get_requested_conversation(tx, user_id, request_id)
        _check_same(row, digest)
        return pb.CreateConversationResponse(conversation=results.conversation(row))

    def GetConversation(self, request, context):
        with self._database.reading() as connection:
            row = store.get_conversation(connection, get_caller(context).user_id, UUID(request.conversation_id))
        return pb.GetConversationResponse(conversation=results.conversation(row))

    def DeleteConversation(self, request, context):
        user_id, conversation_id = get_caller(context).user_id, UUID(request.conversation_id)
        with self._database.writing() as tx:
            # Locks in the order of EraseUser.
            quotas.lock(tx, user_id)
            store.lock_conversation(tx, user_id, conversation_id)
            under_way = store.find_under_way(tx, conversation_id)
            store.delete_conversation(tx, user_id, conversation_id)
        if under_way:
            live.end(self._board, under_way.id, under_way.claim_count)
        return pb.DeleteConversationResponse()

    def ListMessages(self, request, context):
        user_id, limit = get_caller(context).user_id, pages.size(request.page_size)
        conversation_id = UUID(request.conversation_id)
        (before,) = pages.cursor(request.page_token, (int,), request.conversation_id) or [_LAST_NUMBER]
        with self._database.reading() as connection:
            store.get_conversation(connection, user_id, conversation_id)
            rows = store.list_messages(connection, user_id, conversation_id, before, limit + 1)
        more = pages.token([rows[limit - 1].number], request.conversation_id) if len(rows) > limit else ""
        return pb.ListMessagesResponse(messages=map(results.message, rows[:limit]), next_page_token=more)

    def CreateMessage(self, request, context):
        user_id = get_caller(context).user_id
        message, answer = self._accept(user_id, request)
        steps = self._follow(context, user_id, answer)
        yield pb.CreateMessageResponse(message=results.message(message), answer=next(steps).answer)
        for step in steps:
            yield pb.CreateMessageResponse(**step._asdict())

    def GetMessage(self, request, context):
        return pb.GetMessageResponse(message=results.message(self._get(get_caller(context).user_id, request)))

    def WatchMessage(self, request, context):
        user_id = get_caller(context).user_id
        for step in self._follow(context, user_id, self._get(user_id, request)):
            yield pb.WatchMessageResponse(**step._asdict())

    def StopMessage(self, request, context):
        user_id = get_caller(context).user_id
        row = self._get(user_id, request)
        if row.state not in results.ENDED:
            # First the writer, so that what it has written is all that there will be.
            had = live.end(self._board, row.id, row.claim_count)
            content = had.get("text", "")
            citations = facts.cited(content, json.loads(had.get("citations", "[]")))
            with self._database.writing() as tx:
                answer_store.update_stopped(tx, row.id, content.strip(), citations, had.get("provider", ""))
                row = self._get(user_id, request, tx)
        return pb.StopMessageResponse(message=results.message(row))

    def CreateFeedback(self, request, context):
        user_id = get_caller(context).user_id
        row = self._get(user_id, request)
        if row.role != "assistant":
            raise FailedPrecondition("this message is not an answer", reason="NOT_AN_ANSWER")
        if row.state not in results.ENDED:
            raise FailedPrecondition("the answer has not ended yet", reason="ANSWER_UNDER_WAY")
        with self._database.writing() as tx:
            # Or it could be deleted meanwhile.
            store.lock_conversation(tx, user_id, row.conversation_id)
            store.sync_feedback(
                tx, message_id=row.id, helpful=request.helpful, comment=request.comment, now=self._now()
            )
        return pb.CreateFeedbackResponse()

    def _accept(self, user_id: UUID, request: pb.CreateMessageRequest):
        """(what was said, its answer), stored; those of the first time when the request came before."""
        conversation_id, request_id = UUID(request.conversation_id), _request_id(request)
        digest = results.request_hash(request)
        with self._database.reading() as connection:
            store.get_conversation(connection, user_id, conversation_id)
        if request.analysis_id:
            self._lookups.get_analysis(user_id, request.analysis_id)
        with self._database.writing() as tx:
            tombstones.check_alive(tx, user_id)
            quotas.lock(tx, user_id)
            store.lock_conversation(tx, user_id, conversation_id)
            found = request_id and store.find_requested_message(tx, user_id, conversation_id, request_id)
            if found:
                _check_same(found, digest)
                number = found.number
            else:
                self._check_room(tx, user_id, conversation_id)
                now = self._now()
                number = store.create_messages(
                    tx,
                    conversation_id,
                    message_id=uuids.uuid7(),
                    answer_id=uuids.uuid7(),
                    content=request.content,
                    asked=_asked(request),
                    request_id=request_id,
                    request_hash=digest,
                    now=now,
                )
                # With the answer; none is deleted alone, so its number counts them.
                things = "messages in a conversation"
                quotas.check(number + 1, self._limits.messages, things, "TOO_MANY_MESSAGES")
                store.update_conversation(tx, conversation_id, results.title(request.content), now)
            message, answer = store.list_exchange(tx, user_id, conversation_id, number)
        if not found:
            self._wake()
        return message, answer

    def _check_room(self, tx, user_id: UUID, conversation_id: UUID) -> None:
        if store.find_under_way(tx, conversation_id):
            raise FailedPrecondition("the last answer here has not ended yet", reason="ANSWER_UNDER_WAY")
        if len(store.lock_under_way(tx, user_id)) >= MOST_UNDER_WAY:
            raise ResourceExhausted(
                f"{MOST_UNDER_WAY} answers are under way", reason="TOO_MANY_ANSWERS", retry_after_s=2.0
            )

    def _follow(self, context, user_id: UUID, answer) -> Iterator:
        def again():
            with self._database.reading() as connection:
                return store.get_message(connection, user_id, answer.conversation_id, answer.id)

        return self._follower.follow(context, answer, again)

    def _get(self, user_id: UUID, request, tx=None):
        """The message that a request names. Fails with NotFound (MESSAGE_NOT_FOUND)."""
        asked = user_id, UUID(request.conversation_id), UUID(request.message_id)
        if tx is not None:
            return store.get_message(tx, *asked)
        with self._database.reading() as connection:
            return store.get_message(connection, *asked)


class ChatLlmInternal(internal_pb2_grpc.ChatLlmInternalServiceServicer):
    def __init__(self, database: Database, board: Board):
        self._database, self._board = database, board

    def EraseUser(self, request, context):
        user_id = UUID(request.user_id)
        with self._database.writing() as tx:
            tombstones.bury(tx, user_id)
        with self._database.writing() as tx:
            quotas.lock(tx, user_id)
            under_way = store.lock_under_way(tx, user_id)
            removed = tombstones.count_removed(tx, user_id, store.delete_user(tx, user_id))
        for answer in under_way:
            live.end(self._board, answer.id, answer.claim_count)
        return internal_pb2.EraseUserResponse(removed_count=removed)


def _request_id(request) -> UUID | None:
    return UUID(request.request_id) if request.request_id else None


def _check_same(row, digest: bytes) -> None:
    if bytes(row.request_hash) != digest:
        raise request_id_reused()


def _asked(request: pb.CreateMessageRequest) -> dict:
    """What is kept of a request to answer it with."""
    asked = {
        "call": telemetry.request_id(),
        "language": request.language_code or intents.detect_language(request.content),
    }
    if request.analysis_id:
        asked["analysis_id"] = request.analysis_id
    if request.HasField("near"):
        asked["near"] = [request.near.latitude, request.near.longitude]
    return asked
