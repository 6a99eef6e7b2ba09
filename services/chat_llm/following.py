"""An answer as a stream: what there is of it, each piece that comes, and an end that is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import NamedTuple

import grpc
import sqlalchemy as sa
from eco2.chat_llm.v1 import chat_llm_pb2 as pb

from services.chat_llm import live, results
from services.kit.cache import Board, Listener
from services.kit.errors import TRANSIENT, NotFound, Unavailable

log = logging.getLogger(__name__)

# The database is asked again after this long even when nothing is announced: an announcement may be lost.
RECHECK_S, SLICE_S = 2.0, 0.5
WATCH_S, SILENCE_S = 300.0, 15.0


class Step(NamedTuple):
    """As the fields of CreateMessageResponse."""

    text: str = ""
    reset: bool = False
    answer: pb.Message | None = None
    done: bool = False


class Follower:
    """draining: set when the server goes away; streams end then."""

    def __init__(self, board: Board, listener: Listener, draining: Event):
        self._board, self._listener, self._draining = board, listener, draining

    def follow(self, context: grpc.ServicerContext, row: sa.Row, get: Callable[[], sa.Row]) -> Iterator[Step]:
        """From what `row`, the answer, was when it was read. get: reads it again.

        Nothing is held between two steps but how far they have come, so that a client may take its time.
        """
        yield Step(answer=results.message(row))
        sent, edition = "", ""
        until = time.monotonic() + WATCH_S
        checked = spoken = time.monotonic()
        with self._listener.waiting(live.key(row.id)) as moved:
            while row.state not in results.ENDED:
                if not context.is_active():
                    return
                if time.monotonic() > until or self._draining.is_set():
                    row, gone = self._again(row, get)
                    yield Step(answer=gone or results.message(row), done=True)
                    return
                moved.clear()
                draft = self._read(row)
                text = draft.get("text", "")
                if text and draft["edition"] != edition:
                    yield Step(text, reset=bool(sent))
                    sent, edition, spoken = text, draft["edition"], time.monotonic()
                elif len(text) > len(sent):
                    yield Step(text[len(sent) :])
                    sent, spoken = text, time.monotonic()
                elif time.monotonic() - spoken > SILENCE_S:
                    yield Step()
                    spoken = time.monotonic()
                if draft.get("ended") == "1" or time.monotonic() - checked > RECHECK_S:
                    checked = time.monotonic()
                    row, gone = self._again(row, get)
                    if gone:
                        yield Step(answer=gone, done=True)
                        return
                if row.state not in results.ENDED:
                    moved.wait(SLICE_S)
        same = row.content.startswith(sent)
        yield Step(
            row.content.removeprefix(sent) if same else row.content,
            reset=not same,
            answer=results.message(row),
            done=True,
        )

    def _read(self, row: sa.Row) -> dict[str, str]:
        try:
            return self._board.read(live.key(row.id))
        except Unavailable as fault:
            # Over HTTP/1.1 an error in the middle of a stream cannot be told from its end.
            log.warning("answer %s cannot be followed just now: %s", row.id, fault.message)
            return {}

    def _again(self, row: sa.Row, get: Callable[[], sa.Row]) -> tuple[sa.Row, pb.Message | None]:
        """The row as it is now; and, when it is no more, what to say of it."""
        try:
            return get(), None
        except TRANSIENT as fault:
            log.warning("answer %s is not known just now: %s", row.id, fault.message)
            return row, None
        except NotFound:
            gone = results.message(row)
            gone.state = pb.MESSAGE_STATE_FAILED
            gone.failure.reason, gone.failure.message = "MESSAGE_DELETED", "This conversation has been deleted."
            return row, gone
