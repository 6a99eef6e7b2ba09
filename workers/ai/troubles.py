"""When a model gives no answer: what the person who waits is told, and when it is worth trying again. Pure."""

from __future__ import annotations

import math

from services.kit.errors import Fault
from workers.stages import Permanent

# An analysis younger than this is tried again later, through the broker; who has waited longer is told.
YOUNG_S = 20.0
# When to come again where nobody knows better.
LATER_S = 60.0

_LATER = {
    "ko": "사진을 분석하는 모델이 지금 답하지 않아요. {wait} 뒤에 다시 시도해 주세요.",
    "en": "The model that looks at photos does not answer just now. Please try again in {wait}.",
}
_BUSY = {
    "ko": "지금 이용이 몰려 사진을 분석하지 못했어요. {wait} 뒤에 다시 시도해 주세요.",
    "en": "Too many photos are being looked at just now. Please try again in {wait}.",
}
_SPENT = {
    "ko": "분석할 수 있는 양을 다 썼어요. {wait} 뒤에 다시 시도해 주세요.",
    "en": "You have used up the analyses you may ask for. Please try again in {wait}.",
}
_PASSING = {
    "MODEL_UNAVAILABLE": _LATER,
    "MODEL_RESTING": _LATER,
    "MODEL_SLOW": _LATER,
    "MODEL_RATE_LIMITED": _BUSY,
    "MODEL_BUDGET_HELD": _BUSY,
}
_FINAL = {
    "MODEL_BUDGET_SPENT": _SPENT,
    "MODEL_QUOTA_SPENT": _BUSY,
    "MODEL_ANSWER_INVALID": {
        "ko": "모델의 답이 맞지 않아 쓰지 않았어요. {wait} 뒤에 다시 시도해 주세요.",
        "en": "The model's answer was not fit to use. Please try again in {wait}.",
    },
    "MODEL_MISCONFIGURED": _LATER,
}
_REFUSED = {
    "ko": "이 사진은 분석할 수 없어요. 버릴 물건만 나오게 다시 찍어 주세요.",
    "en": "This photo cannot be looked at. Please take one of just the thing to throw away.",
}
_UNITS = (("일", "day", 86_400), ("시간", "hour", 3600), ("분", "minute", 60), ("초", "second", 1))


def to_end(fault: Fault, age_s: float) -> Exception:
    """What to raise for a fault: itself, where trying again may help and the analysis is young, else the end of the
    analysis with the fault's reason, words and a time to come again."""
    if fault.reason == "MODEL_REFUSED":
        return Permanent(fault.reason, _REFUSED)
    words = _FINAL.get(fault.reason) or (_PASSING.get(fault.reason) if age_s >= YOUNG_S else None)
    if words is None:
        return fault
    # The budget of all is nothing that one person has used up.
    words = _BUSY if fault.metadata.get("budget") == "all" else words
    wait_s = fault.retry_after_s or LATER_S
    told = {language: text.format(wait=_wait(wait_s, language)) for language, text in words.items()}
    return Permanent(fault.reason, told, wait_s)


def _wait(seconds: float, language: str) -> str:
    """Rounded up to what a person would say: 3시간, 1 minute."""
    for korean, english, unit in _UNITS:
        if seconds > unit or unit == 1:
            count = max(1, math.ceil(seconds / unit))
            return f"{count}{korean}" if language == "ko" else f"{count} {english}{'s' if count > 1 else ''}"
    raise AssertionError("a second is the least")
