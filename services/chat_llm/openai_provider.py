"""The openai provider: a model words the answer, from the facts and the bounded context alone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence

from services.chat_llm.context import Task, Turn
from services.chat_llm.facts import Facts, without_strangers
from services.kit.errors import Unavailable
from services.kit.llm.client import Client, Patience

# timeout_s: of silence within a stream.
PATIENCE = Patience(timeout_s=15, deadline_s=60, tries=2, max_tokens=1500)


class OpenAI:
    name, prompted = "openai", True

    def __init__(self, client: Client):
        self._client = client

    def answer(self, task: Task, facts: Facts, prompt: str) -> Iterator[str]:
        data = {
            "language": {"ko": "Korean", "en": "English"}[task.language],
            "facts": [{"number": fact.number, "text": fact.text} for fact in facts.all],
            "missing": sorted(facts.missing),
            "question": task.question,
        }
        earlier = [_turn(turn) for turn in task.turns]
        if task.summary:
            earlier.insert(0, {"role": "user", "content": _json({"notes on what we spoke of before": task.summary})})
        yield from without_strangers(
            self._words(prompt, [*earlier, {"role": "user", "content": _json(data)}], task), facts
        )

    def summarize(self, task: Task, turns: Sequence[Turn], prompt: str) -> str:
        data = {"notes": task.summary, "turns": [{"role": turn.role, "text": turn.text} for turn in turns]}
        return "".join(self._words(prompt, [{"role": "user", "content": _json(data)}], task))

    def close(self) -> None:
        self._client.close()

    def _words(self, prompt: str, messages: list[dict], task: Task) -> Iterator[str]:
        said = False
        messages = [{"role": "system", "content": prompt}, *messages]
        with contextlib.closing(self._client.stream(messages, str(task.user_id), PATIENCE)) as pieces:
            for piece in pieces:
                said = said or not piece.isspace()
                yield piece
        if not said:
            raise Unavailable("the model said nothing", reason="MODEL_ANSWER_INVALID")


def _turn(turn: Turn) -> dict:
    # As JSON, so that nothing a person writes can pass for facts of ours.
    content = _json({"question": turn.text}) if turn.role == "user" else turn.text
    return {"role": turn.role, "content": content}


def _json(data: dict) -> str:
    return json.dumps(data, ensure_ascii=False)
