"""What a stage of the pipeline is, and how its work may fail."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.pipeline.v1.messages_pb2 import Stage as StageNumber
from eco2.waste.v1.internal_pb2 import Outcome
from eco2.waste.v1.waste_pb2 import Failure

from services.kit.broker import queue_of, stage_name

# Takes how far the stage is, 0 to 100. Raises TimedOut when the stage has had its time, and Cancelled.
Progress = Callable[[int], None]
# The outcome's analysis_id is filled in by the runtime. Raises Permanent; anything else raised is tried again.
Handler = Callable[[AnalysisJob, Progress], Outcome]

GAVE_UP = {
    "ko": "지금은 분석을 마칠 수 없어요. 잠시 뒤에 다시 시도해 주세요.",
    "en": "The analysis could not be finished. Please try again in a little while.",
}


class Permanent(Exception):
    """Trying again now cannot help. reason: for programs. words: for the person who waits, by language code.
    retry_after_s: seconds after which a new analysis may do better; None when it will not."""

    def __init__(self, reason: str, words: Mapping[str, str], retry_after_s: float | None = None):
        super().__init__(f"{reason}: {words['en']}")
        self.reason, self.words, self.retry_after_s = reason, words, retry_after_s

    def failure(self, language_code: str, now: float) -> Failure:
        """As the person is told. now: seconds since 1970."""
        told = Failure(reason=self.reason, message=self.words[language_code])
        if self.retry_after_s is not None:
            told.retry_time.FromSeconds(math.ceil(now + self.retry_after_s))
        return told


class Cancelled(Permanent):
    """The person wants no answer any more. It ends the task as a failure, of which there is no dead letter."""

    REASON = "CANCELLED"

    def __init__(self):
        super().__init__(self.REASON, {"ko": "분석을 취소했어요.", "en": "The analysis was cancelled."})


class TimedOut(Exception):
    """The stage has had its time."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """number: which one. concurrency: its own threads. prefetch: how many messages may wait here, those at work
    included. timeout_s: after that `Progress` raises; after twice that the process ends, since a thread cannot be
    made to, and a new one finds the message again."""

    number: int
    run: Handler
    concurrency: int
    prefetch: int
    timeout_s: float

    @functools.cached_property
    def name(self) -> str:
        return stage_name(StageNumber.DESCRIPTOR, self.number)

    @functools.cached_property
    def queue(self) -> str:
        return queue_of(StageNumber.DESCRIPTOR, self.number)
