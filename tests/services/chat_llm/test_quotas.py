"""How much one user may keep."""

from __future__ import annotations

import uuid

import grpc
import pytest
import sqlalchemy as sa
from eco2.chat_llm.v1 import chat_llm_pb2 as pb

from services.kit import errors
from tests.conftest import as_user, together
from tests.services.chat_llm.conftest import LIMITS


def test_conversations_have_a_limit_however_many_are_opened_at_once(chat):
    user_id, request_id = uuid.uuid4(), str(uuid.uuid4())
    first = chat.open(user_id, request_id=request_id)
    refused = together(LIMITS.conversations + 4, lambda: chat.open(user_id))
    assert [(type(fault), fault.reason, fault.metadata) for fault in refused] == [
        (errors.ResourceExhausted, "TOO_MANY_CONVERSATIONS", {"most": str(LIMITS.conversations)})
    ] * 5
    # What was answered before is no new one.
    assert chat.open(user_id, request_id=request_id) == first
    chat.open(uuid.uuid4())
    chat.public.DeleteConversation(pb.DeleteConversationRequest(conversation_id=first), metadata=as_user(user_id))
    chat.open(user_id)


@pytest.mark.parametrize("room", [2, 1])
def test_a_conversation_takes_a_message_only_with_its_answer(chat, room):
    user_id = uuid.uuid4()
    conversation_id = chat.open(user_id)
    with chat.database.writing() as tx:
        tx.execute(
            sa.text(
                "INSERT INTO messages (id, conversation_id, number, role, content, state, created_at, completed_at)"
                " VALUES (gen_random_uuid(), :id, :number, 'user', '안녕', 'SUCCEEDED', now(), now())"
            ),
            {"id": conversation_id, "number": LIMITS.messages - room},
        )
    if room == 2:
        assert chat.ask(user_id, "우유팩은 어떻게 버려요?", conversation_id).content
    with pytest.raises(grpc.RpcError) as caught:
        chat.ask(user_id, "유리병은 어떻게 버려요?", conversation_id)
    fault = errors.from_rpc_error(caught.value)
    assert (type(fault), fault.reason, fault.metadata) == (
        errors.ResourceExhausted,
        "TOO_MANY_MESSAGES",
        {"most": str(LIMITS.messages)},
    )
    assert len(chat.messages(user_id, conversation_id)) == (3 if room == 2 else 1)
    chat.ask(user_id, "유리병은 어떻게 버려요?")
