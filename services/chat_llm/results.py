"""From rows to what the user is shown, and what makes two requests equal. Pure."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from google.protobuf import json_format
from google.protobuf.message import Message

TITLE = 60
# Of rows.
ENDED = frozenset({"SUCCEEDED", "STOPPED", "FAILED"})


def request_hash(request: Message) -> bytes:
    """Equal for requests that ask for the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def title(content: str) -> str:
    """What a conversation is called that begins with this message."""
    line = " ".join(content.split())
    return line if len(line) <= TITLE else f"{line[: TITLE - 1]}…"


def conversation(row: sa.Row) -> pb.Conversation:
    return pb.Conversation(
        conversation_id=str(row.id), title=row.title, create_time=row.created_at, update_time=row.updated_at
    )


def message(row: sa.Row) -> pb.Message:
    made = pb.Message(
        message_id=str(row.id),
        conversation_id=str(row.conversation_id),
        role=f"MESSAGE_ROLE_{row.role.upper()}",
        state=f"MESSAGE_STATE_{row.state}",
        content=row.content,
        create_time=row.created_at,
        citations=[json_format.ParseDict(each, pb.Citation(), ignore_unknown_fields=True) for each in row.citations],
        provider=row.provider,
        fallback_reason=row.fallback_reason,
        prompt_version=row.prompt_version,
        attempt=row.attempts,
    )
    if row.completed_at:
        made.complete_time.FromDatetime(row.completed_at)
    if row.failure_reason:
        made.failure.reason, made.failure.message = row.failure_reason, row.failure_message
    return made
