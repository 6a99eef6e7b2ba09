"""Who words an answer. Each provider is a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from services.chat_llm.context import Task, Turn
from services.chat_llm.facts import Facts


class Provider(Protocol):
    """name: what a message says made it. prompted: whether it goes by the prompts in the database."""

    name: str
    prompted: bool

    def answer(self, task: Task, facts: Facts, prompt: str) -> Iterator[str]:
        """The pieces of an answer that cites facts as [number]; to be closed by who stops early. May raise a Fault
        at any piece: what came before is then not the whole."""

    def summarize(self, task: Task, turns: Sequence[Turn], prompt: str) -> str:
        """task.summary with these turns added."""

    def close(self) -> None:
        """End as soon as possible what is under way."""
