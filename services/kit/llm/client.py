"""One model behind an OpenAI-compatible API, asked for an answer of a given shape, or for a text as it comes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx2
import openai
import pydantic

from services.kit.errors import DeadlineExceeded, FailedPrecondition, Fault, ResourceExhausted, Unavailable
from services.kit.llm import upstream
from services.kit.llm.breaker import Breaker
from services.kit.llm.budget import Budget, Hold
from services.kit.llm.tokens import Message, count_message_tokens, count_tokens

log = logging.getLogger(__name__)

# Worth another try within the same call.
PASSING = frozenset(
    {"MODEL_BUDGET_HELD", "MODEL_RATE_LIMITED", "MODEL_UNAVAILABLE", "MODEL_SLOW", "MODEL_ANSWER_INVALID"}
)
CONNECT_S = 3.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
# However long the server asks one call to wait, others look again after this.
LONGEST_REST_S = 60.0


class Shape(pydantic.BaseModel):
    """What an answer must look like: every field is required and no other allowed, here and upstream."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


Answer = TypeVar("Answer", bound=Shape)


@dataclasses.dataclass(frozen=True)
class Patience:
    """timeout_s: of one try; of a stream, of silence in it. deadline_s: of all tries with the pauses between them; of a
    stream, of the whole. max_tokens: of the answer, thoughts included."""

    timeout_s: float
    deadline_s: float
    tries: int
    max_tokens: int


class Client:
    """Threads share one. reasoning_effort: as the API knows it; empty for models that take none. The package's
    docstring has the Faults."""

    def __init__(
        self,
        api_key: str,
        base_url: str,
        model: str,
        budget: Budget,
        *,
        reasoning_effort: str = "",
        breaker: Breaker | None = None,
    ):
        self.model = model
        self._budget, self._breaker = budget, breaker or Breaker()
        self._options = {"model": model} | ({"reasoning_effort": reasoning_effort} if reasoning_effort else {})
        http = openai.DefaultHttpxClient(transport=upstream.Transport())
        self._api = openai.OpenAI(api_key=api_key, base_url=base_url, max_retries=0, http_client=http)
        self._closing = threading.Event()
        # The server may ask all of us to wait until then.
        self._resume_at = 0.0

    def ask(
        self,
        messages: Sequence[Message],
        shape: type[Answer],
        user_id: str,
        patience: Patience,
        check: Callable[[Answer], None] = lambda answer: None,
    ) -> Answer:
        """An answer of that shape, paid from the user's tokens. check: raises ValueError for one that is invalid all
        the same. Keep what differs from call to call there: upstream takes seconds over each new shape."""
        schema = {"name": shape.__name__.lower(), "strict": True, "schema": shape.model_json_schema()}
        # Held, and more than it is likely to cost; what it did cost is counted afterwards.
        tokens = count_message_tokens(messages) + count_tokens(json.dumps(schema)) + patience.max_tokens

        def call(timeout_s: float) -> Answer:
            with self._exchange(user_id, tokens) as hold:
                form = {"type": "json_schema", "json_schema": schema}
                completion = self._create(messages, patience, timeout_s, timeout_s, response_format=form)
                hold.spent = _spent(completion, tokens)
            return _read(completion, shape, check)

        return self._trying(call, patience)

    def stream(self, messages: Sequence[Message], user_id: str, patience: Patience) -> Iterator[str]:
        """A text in pieces as they come, paid from the user's tokens; close the iterator to break it off.

        Tried again only before the first piece: a later fault means that what has come is not the whole.
        """
        tokens = count_message_tokens(messages) + patience.max_tokens

        def call(timeout_s: float) -> tuple[str, Iterator[str]]:
            pieces = self._pieces(messages, user_id, tokens, patience, timeout_s)
            return next(pieces, ""), pieces

        first, rest = self._trying(call, patience)
        with contextlib.closing(rest):
            if first:
                yield first
            yield from rest

    def close(self) -> None:
        """End pauses, and take no more calls."""
        self._closing.set()
        self._api.close()

    def _trying(self, call: Callable[[float], Any], patience: Patience) -> Any:
        until, pause_s, left = time.monotonic() + patience.deadline_s, FIRST_PAUSE_S, patience.tries
        while True:
            self._await_turn(until)
            try:
                return call(min(patience.timeout_s, _left(until)))
            except Fault as fault:
                left -= 1
                asked_s = fault.retry_after_s
                if asked_s and fault.reason == "MODEL_RATE_LIMITED":
                    self._resume_at = time.monotonic() + min(asked_s, LONGEST_REST_S)
                if not left or fault.reason not in PASSING or time.monotonic() + (asked_s or pause_s) >= until:
                    raise
                log.info("the model is tried again: %s", fault.reason)
                # By chance not all at once, but never earlier than the server asked for.
                self._pause(asked_s * random.uniform(1, 1.25) if asked_s else pause_s * random.uniform(0.5, 1))
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _await_turn(self, until: float) -> None:
        wait_s = self._resume_at - time.monotonic()
        if wait_s > _left(until):
            raise ResourceExhausted("the model is busy", reason="MODEL_RATE_LIMITED", retry_after_s=wait_s)
        if wait_s > 0:
            self._pause(wait_s * random.uniform(1, 1.25))

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise Unavailable("this process is stopping", reason="MODEL_UNAVAILABLE")

    @contextlib.contextmanager
    def _exchange(self, user_id: str, tokens: int) -> Iterator[Hold]:
        """One call upstream: within the budget, watched by the breaker, its errors in our words."""
        with self._budget.hold(user_id, tokens) as hold:
            hold.spent = 0
            with self._breaker.guard():
                # From here on only the answer, or a clear refusal, tells what it cost.
                hold.spent = tokens
                try:
                    yield hold
                except openai.APIError as error:
                    if upstream.is_free(error):
                        hold.spent = 0
                    fault = upstream.to_fault(error)
                    fields = {"reason": fault.reason, "code": error.code, "request": getattr(error, "request_id", None)}
                    log.warning("the model gave no answer: %s", type(error).__name__, extra={"fields": fields})
                    raise fault from error
                except httpx2.TimeoutException as error:
                    raise DeadlineExceeded("the model did not answer in time", reason="MODEL_SLOW") from error
                except httpx2.HTTPError as error:
                    # While an answer streams the library lets these through as they are.
                    raise Unavailable("the answer broke off", reason="MODEL_UNAVAILABLE") from error
                except ValueError as error:
                    raise _invalid("no JSON") from error

    def _create(
        self, messages: Sequence[Message], patience: Patience, silence_s: float, whole_s: float, **options: Any
    ) -> Any:
        started = time.monotonic()
        completion = self._api.chat.completions.create(
            messages=messages,
            max_completion_tokens=patience.max_tokens,
            # What is written is short, so upstream.Transport takes the time to write for that of the whole.
            timeout=openai.Timeout(CONNECT_S, read=silence_s, write=whole_s),
            **self._options,
            **options,
        )
        fields = {"model": getattr(completion, "model", self.model), "seconds": round(time.monotonic() - started, 3)}
        log.info("the model answers", extra={"fields": fields})
        return completion

    def _pieces(
        self, messages: Sequence[Message], user_id: str, tokens: int, patience: Patience, timeout_s: float
    ) -> Iterator[str]:
        end = None
        with self._exchange(user_id, tokens) as hold:
            options = {"stream": True, "stream_options": {"include_usage": True}}
            with self._create(messages, patience, timeout_s, patience.deadline_s, **options) as chunks:
                for chunk in chunks:
                    hold.spent = _spent(chunk, hold.spent)
                    piece, reason = _read_chunk(chunk)
                    end = reason or end
                    if piece:
                        yield piece
            if end is None:
                raise Unavailable("the answer broke off", reason="MODEL_UNAVAILABLE")
        if end == "content_filter":
            raise _refused()


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("no time is left to ask the model", reason="MODEL_SLOW")
    return left


def _spent(answer: Any, otherwise: int) -> int:
    """What the answer says that it cost."""
    tokens = getattr(getattr(answer, "usage", None), "total_tokens", None)
    return tokens if isinstance(tokens, int) and tokens >= 0 else otherwise


def _read_chunk(chunk: Any) -> tuple[str | None, str | None]:
    """A piece of text, and why the text ends here; the last chunk has neither."""
    try:
        for choice in chunk.choices:
            return choice.delta.content, choice.finish_reason
    except (AttributeError, TypeError):
        raise _invalid("no completion") from None
    return None, None


def _read(completion: Any, shape: type[Answer], check: Callable[[Answer], None]) -> Answer:
    try:
        choice = completion.choices[0]
        message, end = choice.message, choice.finish_reason
        refusal, content = message.refusal, message.content
    except (AttributeError, IndexError, TypeError):
        # The library builds its objects from whatever JSON came.
        raise _invalid("no completion") from None
    if refusal or end == "content_filter":
        raise _refused()
    if end == "length":
        raise _invalid("longer than allowed")
    try:
        answer = shape.model_validate_json(content or "")
        check(answer)
    except pydantic.ValidationError as error:
        # Without the input, which is not ours to repeat.
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise _invalid("; ".join(f"{'.'.join(map(str, each['loc']))} {each['type']}" for each in found[:5])) from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    return answer


def _invalid(what: str) -> Fault:
    return Fault(f"the model's answer is not what was asked for: {what}", reason="MODEL_ANSWER_INVALID")


def _refused() -> FailedPrecondition:
    return FailedPrecondition("the model declines this content", reason="MODEL_REFUSED")
