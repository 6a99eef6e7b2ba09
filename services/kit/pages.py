"""Page sizes and page tokens (AIP-158)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any

from services.kit.errors import invalid

DEFAULT, MOST = 20, 100


def size(page_size: int) -> int:
    """How many rows to give: 0 means the default, and too many are capped."""
    return min(page_size or DEFAULT, MOST)


def token(cursor: list[Any], *filters: object) -> str:
    """An opaque token that goes on after `cursor` (JSON values) for a request with the same `filters`."""
    return base64.urlsafe_b64encode(json.dumps([_mark(filters), cursor]).encode()).decode()


def cursor(page_token: str, kinds: tuple[Callable[[Any], Any], ...], *filters: object) -> list[Any] | None:
    """The cursor inside a token, each value made by its kind (`int`, `UUID`, `datetime.fromisoformat`); None for the
    first page.

    Fails with INVALID_ARGUMENT when the token is not ours or belongs to a request with other filters.
    """
    if not page_token:
        return None
    try:
        mark, values = json.loads(base64.b64decode(page_token, altchars=b"-_", validate=True))
        made = [kind(value) for kind, value in zip(kinds, values, strict=True)]
        if any(isinstance(value, str) and b"\0" in value.encode() for value in made):
            raise ValueError("PostgreSQL takes no NUL, nor half of a surrogate pair, which encode() refuses")
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error):
        raise invalid("page_token", "is not a token of this service") from None
    if mark != _mark(filters):
        raise invalid("page_token", "belongs to a request with other filters")
    return made


def _mark(filters: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(filters).encode()).hexdigest()[:16]
