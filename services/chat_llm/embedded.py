"""The embedded provider: an answer composed from the facts alone, offline, word by word."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from services.chat_llm import context, intents
from services.chat_llm.context import Task, Turn
from services.chat_llm.facts import Fact, Facts

_SEOUL = ZoneInfo("Asia/Seoul")
_WORD = re.compile(r"\S+\s*|\s+")

_SAYS = {
    "ko": {
        "hello": '안녕하세요! 분리배출을 도와드려요. 버리려는 물건을 알려 주세요. 예: "깨진 유리컵은 어떻게 버려요?"',
        "welcome": "도움이 되었다니 기뻐요. 또 궁금한 물건이 있으면 물어보세요.",
        "decline": "죄송하지만 그건 제가 도와드릴 수 없어요. 저는 물건을 어떻게 나누어 버리는지 알려 드려요. "
        "버리려는 물건의 이름을 적어 주시면 규칙을 찾아볼게요.",
        "photo": "{day}에 찍으신 사진은 '{name}'{was}. {text}",
        "centers": "가까운 곳이에요:",
        "NO_PLACE": "가까운 곳이나 지역의 규정을 찾으려면 장소를 저장하거나 위치를 함께 보내 주세요.",
        "NO_CENTERS": "근처 50 km 안에서 받는 곳을 찾지 못했어요.",
        "PLACES_UNAVAILABLE": "지금은 가까운 곳을 찾아볼 수 없어요. 잠시 뒤에 다시 물어봐 주세요.",
        "NO_POLICY": "그 지역의 규정은 아직 모르니 구청이나 시청에 확인해 주세요.",
        "REGION_UNAVAILABLE": "지금은 지역의 규정을 찾아볼 수 없어요. 잠시 뒤에 다시 물어봐 주세요.",
        "NO_ANALYSES": "아직 분석한 사진이 없어요.",
        "ANALYSES_UNAVAILABLE": "지금은 지난 사진을 찾아볼 수 없어요. 잠시 뒤에 다시 물어봐 주세요.",
    },
    "en": {
        "hello": "Hello! I help with sorting waste. Tell me what you want to throw away, for example: "
        '"How do I throw away a broken glass?"',
        "welcome": "Glad to help. Ask me whenever you wonder about another thing.",
        "decline": "Sorry, I cannot help with that. I can tell how things are sorted and thrown away: name the thing, "
        "and I will look up its rule.",
        "photo": "Your photo of {day} showed: {name}. {text}",
        "centers": "Near you:",
        "NO_PLACE": "To find places near you, or what your municipality says, save a place or send your location.",
        "NO_CENTERS": "I found nowhere within 50 km that takes it.",
        "PLACES_UNAVAILABLE": "I cannot look up places just now. Please ask again in a moment.",
        "NO_POLICY": "I do not know what that municipality says of it; please ask its office.",
        "REGION_UNAVAILABLE": "I cannot look up what your municipality says just now. Please ask again in a moment.",
        "NO_ANALYSES": "You have had no photo analysed yet.",
        "ANALYSES_UNAVAILABLE": "I cannot look up your photos just now. Please ask again in a moment.",
    },
}


class Embedded:
    """words_per_s: how fast the words come: about as fast as people read, so that an answer can be stopped."""

    name, prompted = "embedded", False

    def __init__(self, words_per_s: float):
        self._gap_s, self._closing = 1 / words_per_s, threading.Event()

    def answer(self, task: Task, facts: Facts, prompt: str) -> Iterator[str]:
        for word in _WORD.findall(compose(task, facts)):
            yield word
            self._closing.wait(self._gap_s)

    def summarize(self, task: Task, turns: Sequence[Turn], prompt: str) -> str:
        return context.outline(task.summary, turns)

    def close(self) -> None:
        """What is under way comes at once."""
        self._closing.set()


def compose(task: Task, facts: Facts) -> str:
    says = _SAYS[task.language]
    paragraphs = [
        *(_photo(says, task.language, fact) for fact in facts.analyses),
        *(f"{fact.text} [{fact.number}]" for fact in (*facts.rules, *facts.policies)),
    ]
    if facts.centers:
        paragraphs.append("\n".join([says["centers"], *map(_center, facts.centers)]))
    paragraphs += [says[each] for each in sorted(facts.missing)]
    if not paragraphs:
        paragraphs.append(says[_kind_of_chat(task.question)])
    return "\n\n".join(paragraphs)


def _kind_of_chat(question: str) -> str:
    if intents.is_greeting(question):
        return "hello"
    return "welcome" if intents.is_thanks(question) else "decline"


def _photo(says: dict[str, str], language: str, fact: Fact) -> str:
    analysis = fact.citation.analysis
    at = analysis.create_time.ToDatetime(ZoneInfo("UTC")).astimezone(_SEOUL)
    day = f"{at.month}월 {at.day}일" if language == "ko" else f"{at:%B} {at.day}"
    said = {"name": analysis.item_name, "was": _was(analysis.item_name), "text": f"{fact.text} [{fact.number}]"}
    return says["photo"].format(day=day, **said)


def _was(name: str) -> str:
    """The Korean "was" behind a name: with 이 after a final consonant."""
    syllable = ord(name[-1]) - ord("가") if name else 0
    return "이었어요" if 0 <= syllable < 11172 and syllable % 28 else "였어요"


def _center(fact: Fact) -> str:
    return f"- {fact.text} [{fact.number}]"
