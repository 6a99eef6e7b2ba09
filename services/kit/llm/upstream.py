"""What can go wrong between us and the API: an end to every answer, and the API's errors in our words."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Iterator, Mapping

import httpx2
import openai

from services.kit.errors import DeadlineExceeded, FailedPrecondition, Fault, ResourceExhausted, Unavailable

MAX_BYTES = 4 << 20
MAX_HINT_S = 86_400.0
# What a refusal for reasons of content is called in a 400.
_CONTENT = ("content_policy_violation", "content_filter", "moderation_blocked", "image_content_policy_violation")
# The request never left, so nobody can have answered it for money.
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Transport(httpx2.HTTPTransport):
    """Ends an answer that is too long, or takes longer in all than the call allows (as its time to write), however
    steadily it drips: the library's own timeouts are between two pieces."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        until = time.monotonic() + request.extensions["timeout"]["write"]
        response = super().handle_request(request)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream, until, request),
            extensions=response.extensions,
        )


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, until: float, request: httpx2.Request):
        self._stream, self._until, self._request = stream, until, request

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BYTES:
                raise httpx2.ReadError(f"the answer has more than {MAX_BYTES} bytes", request=self._request)
            if time.monotonic() > self._until:
                raise httpx2.ReadTimeout("the answer takes too long", request=self._request)
            yield chunk

    def close(self) -> None:
        self._stream.close()


def is_free(error: openai.APIError) -> bool:
    """Whether it is certain that this call cost nothing."""
    return isinstance(error, openai.APIStatusError) or isinstance(error.__cause__, _UNSENT)


def to_fault(error: openai.APIError) -> Fault:
    """The Fault that says it; its cause is what the API said, which may repeat a key or a text and is not passed on."""
    if isinstance(error, openai.APITimeoutError):
        return DeadlineExceeded("the model did not answer in time", reason="MODEL_SLOW")
    if not isinstance(error, openai.APIStatusError):
        return Unavailable("the model cannot be reached", reason="MODEL_UNAVAILABLE")
    status, hint_s = error.status_code, retry_after_s(error.response.headers)
    if status == 429 and error.code == "insufficient_quota":
        return ResourceExhausted("the account has no tokens left", reason="MODEL_QUOTA_SPENT", retry_after_s=hint_s)
    if status == 429:
        return ResourceExhausted("the model is busy", reason="MODEL_RATE_LIMITED", retry_after_s=hint_s)
    if status >= 500 or status in (408, 409):
        return Unavailable("the model is not available", reason="MODEL_UNAVAILABLE", retry_after_s=hint_s)
    if status == 400 and (error.code in _CONTENT or error.type in _CONTENT):
        return FailedPrecondition("the model declines this content", reason="MODEL_REFUSED")
    return FailedPrecondition("the model declines our request", reason="MODEL_MISCONFIGURED", status=status)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The server's hint: milliseconds, seconds or an HTTP date; None without one that can be read."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return min(seconds, MAX_HINT_S)
    try:
        due = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(0.0, due.timestamp() - time.time()), MAX_HINT_S)
