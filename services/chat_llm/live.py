"""Answers while they are written: what there is of each, in Redis, for streams in every process.

A hash `answer:{message_id}` has the whole text so far, so a stream needs to remember only how much it has sent, and one
that is slow holds no buffer. Its `seq` belongs to the claim that writes: whoever comes later, be it the next attempt or
somebody who stops the answer, begins above it, and the writer that was overtaken hears so at its next piece.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from threading import Event
from uuid import UUID

from services.kit.cache import Board
from services.kit.errors import Unavailable

log = logging.getLogger(__name__)

# Redis database 1: progress and the state of jobs.
DB, CHANNEL, TTL_S = 1, "eco2.answer", 900
# The room of one claim.
_CLAIM, _LAST = 1_000_000, 999_999
# Pieces that come faster than this go out together; the first goes out at once.
GAP_S = 0.025
# Longer than any model's answer is meant to be; the rest is cut.
MOST = 8000


class Overtaken(Exception):
    """Somebody else has ended this answer, or writes it now."""


def key(message_id: object) -> str:
    return f"answer:{message_id}"


def end(board: Board, message_id: object, claim_count: int) -> dict[str, str]:
    """Tell writer and streams that it is over; what there was of it, if it is known.

    The text goes from the hash: the database has it, or nobody shall.
    """
    try:
        had = board.read(key(message_id))
        board.advance(key(message_id), claim_count * _CLAIM + _LAST, {"text": "", "ended": 1})
    except Unavailable as fault:
        # The writer hears of it at its next heartbeat, and streams look into the database by themselves.
        log.warning("an end was not announced: %s", fault.message)
        return {}
    return had


class Draft:
    """What one claim has written so far. lost: set when the claim is no longer held."""

    def __init__(self, board: Board, message_id: UUID, claim_count: int, lost: Event):
        self._board, self._key, self._lost = board, key(message_id), lost
        self._seq, self._flushed_at = claim_count * _CLAIM, 0.0
        self.text = ""

    def begin(self, provider: str, citations: Sequence[dict]) -> None:
        """Anew, and so void whatever there was. citations: all that the text may point to."""
        self.text = ""
        self._flush(provider=provider, citations=json.dumps(list(citations)), edition=self._seq, ended=0)
        self._flushed_at = 0.0

    def add(self, piece: str) -> bool:
        """False once there is no room for more. Fails with Overtaken."""
        self.text += piece[: MOST - len(self.text)]
        if time.monotonic() - self._flushed_at >= GAP_S:
            self._flush()
        return len(self.text) < MOST

    def _flush(self, **fields: str | int) -> None:
        if self._lost.is_set():
            raise Overtaken
        self._flushed_at, self._seq = time.monotonic(), self._seq + 1
        try:
            if not self._board.advance(self._key, self._seq, {"text": self.text} | fields):
                raise Overtaken
        except Unavailable as fault:
            # Streams fall silent; the answer goes on, and is stored.
            log.warning("a piece was not shown: %s", fault.message)
