"""How much of a conversation a model gets to read: bounded by tokens, what is older as a summary. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from uuid import UUID

from services.kit.llm.tokens import clip, count_tokens

# Past FULL tokens of turns, the older ones are folded into the summary until KEPT are left: not at each message.
FULL, KEPT = 3000, 1500
TURN, SUMMARY = 600, 500
# More than FULL tokens in any case.
MOST_TURNS = 400


@dataclasses.dataclass(frozen=True)
class Turn:
    """subject: name of the thing it was about, if about one that has a rule."""

    number: int
    role: str
    text: str
    subject: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a provider answers. question: the last message. turns: those before it, oldest first."""

    user_id: UUID
    language: str
    question: str
    turns: tuple[Turn, ...] = ()
    summary: str = ""


def split(turns: Sequence[Turn]) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """(turns to fold into the summary, turns to keep), each at most TURN tokens long."""
    clipped = tuple(dataclasses.replace(turn, text=clip(turn.text, TURN)) for turn in turns)
    if sum(count_tokens(turn.text) for turn in clipped) <= FULL:
        return (), clipped
    kept, place = 0, len(clipped)
    while place and kept + count_tokens(clipped[place - 1].text) <= KEPT:
        place -= 1
        kept += count_tokens(clipped[place].text)
    return clipped[:place], clipped[place:]


def outline(summary: str, turns: Iterable[Turn]) -> str:
    """The summary with the turns added, a line each; the oldest lines go when it gets longer than SUMMARY tokens."""
    lines = summary.splitlines()
    for turn in turns:
        said = " ".join(turn.text.split())
        about = f" ({turn.subject})" if turn.subject else ""
        lines.append(clip(f"{turn.role}{about}: {said}", TURN // 10))
    while lines and count_tokens("\n".join(lines)) > SUMMARY:
        lines.pop(0)
    return "\n".join(lines)


def subject(turns: Sequence[Turn]) -> str:
    """Name of the thing that was spoken of last, or an empty string."""
    return next((turn.subject for turn in reversed(turns) if turn.subject), "")


def replace_summary(task: Task, summary: str) -> Task:
    return dataclasses.replace(task, summary=clip(summary, SUMMARY))
