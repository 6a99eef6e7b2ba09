"""How many tokens a text is taken for, wherever one is bounded or paid for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# More than models make of Korean, English or JSON.
BYTES_PER_TOKEN = 2
# What an image of 1024 pixels costs.
IMAGE_TOKENS = 1500

Message = dict[str, Any]


def count_tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def clip(text: str, tokens: int) -> str:
    """The beginning of a text that has no more than so many tokens, with a sign where it was cut."""
    if count_tokens(text) <= tokens:
        return text
    return text.encode()[: BYTES_PER_TOKEN * tokens - 3].decode(errors="ignore") + "…"


def count_message_tokens(messages: Sequence[Message]) -> int:
    """More than the messages are likely to cost."""
    tokens = 0
    for message in messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            tokens += count_tokens(part["text"]) if part["type"] == "text" else IMAGE_TOKENS
    return tokens
