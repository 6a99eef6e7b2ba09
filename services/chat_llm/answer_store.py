"""Statements of the schema `chat_llm` about writing answers.

    QUEUED ──► RUNNING ──► SUCCEEDED, STOPPED or FAILED      final
      ▲           │  └──► RUNNING    the next attempt, once the lease of the first has passed
      └───────────┘ given back by a process that stops, as if it had not begun

An attempt is known by its claim. Whatever writes the end of an answer names the claim, so that an attempt which was
overtaken, or whose answer was stopped or deleted, changes nothing. All times are the database's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

MOST_ATTEMPTS = 2

_DUE = """
    SELECT id FROM messages
    WHERE state = 'QUEUED' OR (state = 'RUNNING' AND lease_until < now() AND attempts < :most)
    ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_GIVE_UP = sa.text("""
    WITH lost AS (
        SELECT id FROM messages WHERE state = 'RUNNING' AND lease_until < now() AND attempts = :most
        FOR UPDATE SKIP LOCKED
    )
    UPDATE messages SET state = 'FAILED', failure_reason = :reason, failure_message = :message, claim = NULL,
        lease_until = NULL, completed_at = now(), asked = asked - 'near'
    FROM lost WHERE messages.id = lost.id RETURNING messages.id, claim_count
""")
_CLAIM = sa.text(f"""
    WITH due AS ({_DUE})
    UPDATE messages SET state = 'RUNNING', attempts = attempts + 1, claim = gen_random_uuid(),
        claim_count = claim_count + 1,
        lease_until = now() + make_interval(secs => :lease_s)
    FROM due, conversations WHERE messages.id = due.id AND conversations.id = conversation_id
    RETURNING messages.id, conversation_id, number, attempts, claim, claim_count, asked, user_id,
        summary, summarized_number
""")
# In the order of ids, so that whoever deletes several answers and this cannot wait for each other in a circle.
_HELD = "SELECT id FROM messages WHERE claim = ANY(:claims) ORDER BY id FOR UPDATE"
_RENEW = sa.text(f"""
    WITH held AS ({_HELD})
    UPDATE messages SET lease_until = now() + make_interval(secs => :lease_s) FROM held WHERE messages.id = held.id
    RETURNING claim
""")
_RELEASE = sa.text(f"""
    WITH held AS ({_HELD})
    UPDATE messages SET state = 'QUEUED', attempts = attempts - 1, claim = NULL, lease_until = NULL
    FROM held WHERE messages.id = held.id
""")
_END = sa.text("""
    UPDATE messages SET state = :state, content = :content, citations = :citations, provider = :provider,
        fallback_reason = :fallback_reason, prompt_id = :prompt_id, failure_reason = :failure_reason,
        failure_message = :failure_message, claim = NULL, lease_until = NULL, completed_at = now(),
        asked = asked - 'near'
    WHERE claim = :claim
""").bindparams(sa.bindparam("citations", type_=JSONB))
_STOP = sa.text("""
    UPDATE messages SET state = 'STOPPED', content = :content, citations = :citations, provider = :provider,
        claim = NULL, lease_until = NULL, completed_at = now(), asked = asked - 'near'
    WHERE id = :message_id AND state IN ('QUEUED', 'RUNNING')
""").bindparams(sa.bindparam("citations", type_=JSONB))
_TURNS = sa.text("""
    SELECT number, role, content, citations FROM messages
    WHERE conversation_id = :conversation_id AND number > :after AND number <= :number AND content <> ''
    ORDER BY number DESC LIMIT :limit
""")
_SUMMARIZE = sa.text("""
    UPDATE conversations SET summary = :summary, summarized_number = :number
    WHERE id = :conversation_id AND summarized_number < :number
""")
# Two processes that begin together write it once.
_SYNC_PROMPT = sa.text("""
    INSERT INTO llm_prompts (name, version, content)
    SELECT CAST(:name AS varchar), coalesce(max(version), 0) + 1, CAST(:content AS text) FROM llm_prompts
    WHERE name = CAST(:name AS varchar) HAVING bool_and(content <> CAST(:content AS text)) IS NOT FALSE
    ON CONFLICT ON CONSTRAINT llm_prompts_version_unique DO NOTHING
""")
_GET_PROMPT = sa.text("""
    SELECT id, content FROM llm_prompts WHERE name = :name AND retired_at IS NULL ORDER BY version DESC LIMIT 1
""")


def claim_answers(tx: sa.Connection, limit: int, lease_s: float) -> Sequence[sa.Row]:
    """Up to `limit` answers that nobody writes, oldest first; for `lease_s` seconds they are the caller's.

    (id, conversation_id, number, attempts with this one, claim, claim_count, asked, user_id, summary,
    summarized_number)
    """
    return tx.execute(_CLAIM, {"limit": limit, "lease_s": lease_s, "most": MOST_ATTEMPTS}).all()


def update_lost(tx: sa.Connection, reason: str, message: str) -> Sequence[sa.Row]:
    """Answers whose last attempt has died become FAILED; (id, claim_count) of them."""
    return tx.execute(_GIVE_UP, {"most": MOST_ATTEMPTS, "reason": reason, "message": message}).all()


def update_leases(tx: sa.Connection, claims: Iterable[UUID], lease_s: float) -> set[UUID]:
    """Keep these for `lease_s` seconds more; those that are still held."""
    return set(tx.execute(_RENEW, {"claims": list(claims), "lease_s": lease_s}).scalars())


def release_answers(tx: sa.Connection, claims: Iterable[UUID]) -> None:
    """Give them back as if these attempts had not been."""
    tx.execute(_RELEASE, {"claims": list(claims)})


def end_answer(
    tx: sa.Connection,
    claim: UUID,
    state: Literal["SUCCEEDED", "FAILED"],
    *,
    content: str = "",
    citations: Sequence[dict] = (),
    provider: str = "",
    fallback_reason: str = "",
    prompt_id: int | None = None,
    failure: tuple[str, str] | tuple[None, None] = (None, None),
) -> bool:
    """citations: proto JSON. failure: reason and message. False, and nothing written, when the claim is no longer
    held."""
    given: dict[str, Any] = {
        "claim": claim,
        "state": state,
        "content": content,
        "citations": list(citations),
        "provider": provider,
        "fallback_reason": fallback_reason,
        "prompt_id": prompt_id,
        "failure_reason": failure[0],
        "failure_message": failure[1],
    }
    return tx.execute(_END, given).rowcount == 1


def update_stopped(tx: sa.Connection, message_id: UUID, content: str, citations: Sequence[dict], provider: str) -> bool:
    """End an answer under way with what there is of it; False, and nothing written, when it had ended."""
    given = {"message_id": message_id, "content": content, "citations": list(citations), "provider": provider}
    return tx.execute(_STOP, given).rowcount == 1


def list_turns(
    connection: sa.Connection, conversation_id: UUID, after: int, number: int, limit: int
) -> Sequence[sa.Row]:
    """The last `limit` messages (number, role, content, citations) in (after, number], oldest first."""
    given = {"conversation_id": conversation_id, "after": after, "number": number, "limit": limit}
    return connection.execute(_TURNS, given).all()[::-1]


def update_summary(tx: sa.Connection, conversation_id: UUID, summary: str, number: int) -> None:
    """What was said up to the message of this number; an older summary never takes the place of a newer one."""
    tx.execute(_SUMMARIZE, {"conversation_id": conversation_id, "summary": summary, "number": number})


def sync_prompt(tx: sa.Connection, name: str, content: str) -> None:
    """Make it the next version, unless a version has this content already."""
    tx.execute(_SYNC_PROMPT, {"name": name, "content": content})


def get_prompt(connection: sa.Connection, name: str) -> sa.Row:
    """(id, content) of the version in use; there must be one."""
    return connection.execute(_GET_PROMPT, {"name": name}).one()
