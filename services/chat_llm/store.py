"""Statements of the schema `chat_llm` about what people see: conversations, messages, feedback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.errors import NotFound

_CONVERSATION = "SELECT id, title, request_hash, created_at, updated_at FROM conversations"
_CREATE_CONVERSATION = sa.text("""
    INSERT INTO conversations (id, user_id, title, request_id, request_hash, created_at, updated_at)
    VALUES (:conversation_id, :user_id, :title, :request_id, :request_hash, :now, :now)
    ON CONFLICT ON CONSTRAINT conversations_request_unique DO NOTHING
""")
_GET_CONVERSATION = sa.text(f"{_CONVERSATION} WHERE id = :conversation_id AND user_id = :user_id")
# Whoever writes messages holds this lock, so that their numbers and the answers under way are exact.
_LOCK_CONVERSATION = sa.text(f"{_CONVERSATION} WHERE id = :conversation_id AND user_id = :user_id FOR UPDATE")
_GET_REQUESTED_CONVERSATION = sa.text(f"{_CONVERSATION} WHERE user_id = :user_id AND request_id = :request_id")
_LIST_CONVERSATIONS = sa.text(f"""
    {_CONVERSATION} WHERE user_id = :user_id AND (updated_at, id) < (:updated_at, :conversation_id)
    ORDER BY updated_at DESC, id DESC LIMIT :limit
""")
_TOUCH_CONVERSATION = sa.text("""
    UPDATE conversations SET title = CASE WHEN title = '' THEN :title ELSE title END, updated_at = :now
    WHERE id = :conversation_id
""")
_COUNT_CONVERSATIONS = sa.text("SELECT count(*) FROM conversations WHERE user_id = :user_id")
_DELETE_CONVERSATION = sa.text("DELETE FROM conversations WHERE id = :conversation_id AND user_id = :user_id")

_MESSAGE = """
    SELECT messages.id, conversation_id, number, role, state, messages.content, messages.created_at, completed_at,
        messages.request_hash, citations, provider, fallback_reason, version AS prompt_version, attempts,
        claim_count, failure_reason, failure_message
    FROM messages JOIN conversations ON conversations.id = conversation_id
        LEFT JOIN llm_prompts ON llm_prompts.id = prompt_id
    WHERE conversation_id = :conversation_id AND user_id = :user_id
"""
_GET_MESSAGE = sa.text(f"{_MESSAGE} AND messages.id = :message_id")
_LIST_MESSAGES = sa.text(f"{_MESSAGE} AND number < :before ORDER BY number DESC LIMIT :limit")
_LIST_EXCHANGE = sa.text(f"""
    {_MESSAGE} AND number BETWEEN :number AND :number + 1 ORDER BY number
""")
_FIND_REQUESTED_MESSAGE = sa.text(f"{_MESSAGE} AND messages.request_id = :request_id")
_NEXT_NUMBER = sa.text("SELECT coalesce(max(number), 0) + 1 FROM messages WHERE conversation_id = :conversation_id")
_CREATE_MESSAGES = sa.text("""
    INSERT INTO messages
        (id, conversation_id, number, role, content, created_at, completed_at, request_id, request_hash, state, asked)
    VALUES
        (:message_id, :conversation_id, :number, 'user', :content, :now, :now, :request_id, :request_hash, 'SUCCEEDED',
            '{}'),
        (:answer_id, :conversation_id, :number + 1, 'assistant', '', :now, NULL, NULL, NULL, 'QUEUED', :asked)
""").bindparams(sa.bindparam("asked", type_=JSONB))
_FIND_UNDER_WAY = sa.text("""
    SELECT id, claim_count FROM messages
    WHERE state IN ('QUEUED', 'RUNNING') AND conversation_id = :conversation_id FOR UPDATE
""")
_LIST_UNDER_WAY = sa.text("""
    SELECT messages.id, claim_count FROM messages JOIN conversations ON conversations.id = conversation_id
    WHERE state IN ('QUEUED', 'RUNNING') AND user_id = :user_id ORDER BY messages.id FOR UPDATE OF messages
""")
_UPSERT_FEEDBACK = sa.text("""
    INSERT INTO feedback (message_id, helpful, comment, updated_at) VALUES (:message_id, :helpful, :comment, :now)
    ON CONFLICT (message_id) DO UPDATE
    SET helpful = excluded.helpful, comment = excluded.comment, updated_at = excluded.updated_at
""")
_DELETE_USER = sa.text("""
    WITH gone AS (DELETE FROM conversations WHERE user_id = :user_id RETURNING id)
    SELECT count(*) + (SELECT count(*) FROM messages WHERE conversation_id IN (SELECT id FROM gone)) FROM gone
""")


def create_conversation(tx: sa.Connection, **conversation: Any) -> bool:
    """conversation: conversation_id, user_id, title, request_id, request_hash, now.

    False, and nothing written, when the user has used that request_id before.
    """
    return tx.execute(_CREATE_CONVERSATION, conversation).rowcount == 1


def get_conversation(connection: sa.Connection, user_id: UUID, conversation_id: UUID) -> sa.Row:
    """(id, title, request_hash, created_at, updated_at). Fails with NotFound (CONVERSATION_NOT_FOUND), also for
    somebody else's."""
    found = connection.execute(_GET_CONVERSATION, {"user_id": user_id, "conversation_id": conversation_id})
    return _conversation(found, conversation_id)


def lock_conversation(tx: sa.Connection, user_id: UUID, conversation_id: UUID) -> sa.Row:
    """As get_conversation; nobody else writes messages in it until the transaction ends."""
    found = tx.execute(_LOCK_CONVERSATION, {"user_id": user_id, "conversation_id": conversation_id})
    return _conversation(found, conversation_id)


def get_requested_conversation(connection: sa.Connection, user_id: UUID, request_id: UUID) -> sa.Row:
    """The conversation that a request_id made; there must be one."""
    return connection.execute(_GET_REQUESTED_CONVERSATION, {"user_id": user_id, "request_id": request_id}).one()


def list_conversations(
    connection: sa.Connection, user_id: UUID, before: tuple[datetime, UUID], limit: int
) -> Sequence[sa.Row]:
    """Up to `limit` conversations, the one that was last spoken in first, after (updated_at, id)."""
    given = {"user_id": user_id, "updated_at": before[0], "conversation_id": before[1], "limit": limit}
    return connection.execute(_LIST_CONVERSATIONS, given).all()


def count_conversations(tx: sa.Connection, user_id: UUID) -> int:
    return tx.execute(_COUNT_CONVERSATIONS, {"user_id": user_id}).scalar_one()


def update_conversation(tx: sa.Connection, conversation_id: UUID, title: str, now: datetime) -> None:
    """It was spoken in; the title is for one that has none."""
    tx.execute(_TOUCH_CONVERSATION, {"conversation_id": conversation_id, "title": title, "now": now})


def delete_conversation(tx: sa.Connection, user_id: UUID, conversation_id: UUID) -> None:
    tx.execute(_DELETE_CONVERSATION, {"user_id": user_id, "conversation_id": conversation_id})


def get_message(connection: sa.Connection, user_id: UUID, conversation_id: UUID, message_id: UUID) -> sa.Row:
    """A row of messages with its prompt_version. Fails with NotFound (MESSAGE_NOT_FOUND), also for somebody else's."""
    given = {"user_id": user_id, "conversation_id": conversation_id, "message_id": message_id}
    row = connection.execute(_GET_MESSAGE, given).one_or_none()
    if row is None:
        raise NotFound("no such message", reason="MESSAGE_NOT_FOUND", message_id=message_id)
    return row


def list_messages(
    connection: sa.Connection, user_id: UUID, conversation_id: UUID, before: int, limit: int
) -> Sequence[sa.Row]:
    """Up to `limit` messages with numbers below `before`, newest first."""
    given = {"user_id": user_id, "conversation_id": conversation_id, "before": before, "limit": limit}
    return connection.execute(_LIST_MESSAGES, given).all()


def list_exchange(connection: sa.Connection, user_id: UUID, conversation_id: UUID, number: int) -> Sequence[sa.Row]:
    """The message of this number and the one after it: what was said, and its answer."""
    given = {"user_id": user_id, "conversation_id": conversation_id, "number": number}
    return connection.execute(_LIST_EXCHANGE, given).all()


def find_requested_message(tx: sa.Connection, user_id: UUID, conversation_id: UUID, request_id: UUID) -> sa.Row | None:
    given = {"user_id": user_id, "conversation_id": conversation_id, "request_id": request_id}
    return tx.execute(_FIND_REQUESTED_MESSAGE, given).one_or_none()


def create_messages(tx: sa.Connection, conversation_id: UUID, **messages: Any) -> int:
    """What was said and the answer to it, which is QUEUED; the number of the former. The conversation is locked.

    messages: message_id, answer_id, content, asked (dict), request_id, request_hash, now.
    """
    number = tx.execute(_NEXT_NUMBER, {"conversation_id": conversation_id}).scalar_one()
    tx.execute(_CREATE_MESSAGES, {"conversation_id": conversation_id, "number": number} | messages)
    return number


def lock_under_way(tx: sa.Connection, user_id: UUID) -> Sequence[sa.Row]:
    """The user's answers (id, claim_count) that have not ended; nobody claims or ends them until the transaction
    ends."""
    return tx.execute(_LIST_UNDER_WAY, {"user_id": user_id}).all()


def find_under_way(tx: sa.Connection, conversation_id: UUID) -> sa.Row | None:
    """The conversation's answer (id, claim_count) that has not ended, if any: there is one at most. Locked as by
    lock_under_way."""
    return tx.execute(_FIND_UNDER_WAY, {"conversation_id": conversation_id}).one_or_none()


def sync_feedback(tx: sa.Connection, **feedback: Any) -> None:
    """feedback: message_id, helpful, comment, now."""
    tx.execute(_UPSERT_FEEDBACK, feedback)


def delete_user(tx: sa.Connection, user_id: UUID) -> int:
    """All of a person's conversations; how many they and their messages were."""
    return tx.execute(_DELETE_USER, {"user_id": user_id}).scalar_one()


def _conversation(found: sa.CursorResult, conversation_id: UUID) -> sa.Row:
    row = found.one_or_none()
    if row is None:
        raise NotFound("no such conversation", reason="CONVERSATION_NOT_FOUND", conversation_id=conversation_id)
    return row
