"""The embedded language provider: an answer composed from the rule, and nothing but the rule. Pure."""

from __future__ import annotations

from eco2.pipeline.v1.messages_pb2 import Reply, Sight
from eco2.recycle_info.v1.internal_pb2 import ResolvedRule
from eco2.recycle_info.v1.recycle_info_pb2 import Material

MAX_CHOICES = 3

_NAMES = {
    "MATERIAL_CARDBOARD": ("골판지", "cardboard"),
    "MATERIAL_PAPER": ("종이", "paper"),
    "MATERIAL_PAPER_PACK": ("종이팩", "a drink carton"),
    "MATERIAL_GLASS": ("유리", "glass"),
    "MATERIAL_METAL": ("금속", "metal"),
    "MATERIAL_PLASTIC": ("플라스틱", "plastic"),
    "MATERIAL_VINYL": ("비닐", "plastic film"),
    "MATERIAL_STYROFOAM": ("스티로폼", "polystyrene foam"),
    "MATERIAL_TEXTILE": ("천", "textile"),
    "MATERIAL_BATTERY": ("전지", "a battery"),
    "MATERIAL_LIGHTING": ("조명", "a lamp"),
    "MATERIAL_ELECTRONICS": ("전자제품", "an electronic device"),
    "MATERIAL_FOOD": ("음식물", "food"),
    "MATERIAL_WOOD": ("나무", "wood"),
    "MATERIAL_CERAMIC": ("도자기", "ceramic"),
    "MATERIAL_GENERAL": ("그 밖의 일반 쓰레기", "other general waste"),
}

_NOT_SURE = {
    "ko": "사진만으로는 확실하지 않아요. {item}{particle} 이렇게 버려 주세요. {text}",
    "en": "The photo alone does not settle it. If it is {item}, do this. {text}",
}
_NO_RULE = {
    "ko": "사진으로는 무엇인지 알아보지 못해서, 버리는 방법을 말씀드릴 수 없어요.",
    "en": "The photo does not show what this is, so there is no advice yet.",
}
_WHICH = {
    "ko": "다음 중 무엇인가요: {choices}? 물건 이름으로 알려 주셔도 좋아요.",
    "en": "Which of these is it: {choices}? The name of the thing helps too.",
}
_SEVERAL = {
    "ko": "사진에 서로 다른 것이 함께 보여요: {choices}. 어느 것을 버리시나요?",
    "en": "The photo shows different things together: {choices}. Which one do you mean?",
}
_WHAT = {
    "ko": "무엇을 버리시나요? 물건 이름이나 재질을 알려 주세요.",
    "en": "What are you throwing away? Please tell its name or what it is made of.",
}


class EmbeddedLanguage:
    # The version is of the templates above.
    provider, model, prompt_version = "embedded", "templates", "1"

    def word(self, sight: Sight, rule: ResolvedRule, language_code: str, user_id: str = "") -> Reply:
        reply = compose(sight, rule, language_code, rule.text)
        reply.provider, reply.model, reply.prompt_version = self.provider, self.model, self.prompt_version
        return reply


def compose(sight: Sight, rule: ResolvedRule, language_code: str, text: str) -> Reply:
    """The rule's steps and warnings as they are, with `text` for the rest: as a condition, and with a question, where
    neither the photo nor the user's words settle what the thing is. Without a rule nothing is claimed."""
    if not rule.rule_id:
        return Reply(text=_NO_RULE[language_code], follow_up_question=ask(sight, language_code))
    reply = Reply(steps=rule.steps, warnings=rule.warnings, text=text)
    # The user's own words settle what the photo left open.
    if sight.unsure and not rule.from_question:
        condition = {"item": rule.item_name, "particle": _if(rule.item_name), "text": text}
        reply.text = _NOT_SURE[language_code].format(**condition)
        reply.follow_up_question = ask(sight, language_code)
    return reply


def _if(name: str) -> str:
    """The Korean "if it is" behind a name: with 이 after a final consonant."""
    syllable = ord(name[-1]) - ord("가") if name else 0
    return "이라면" if 0 <= syllable < 11172 and syllable % 28 else "라면"


def ask(sight: Sight, language_code: str) -> str:
    """One question that names what the thing may be, likeliest first; an open one where there are not two."""
    guesses = [sight.material, *(guess.material for guess in sight.alternatives)]
    named = [_NAMES[Material.Name(guess)] for guess in guesses if Material.Name(guess) in _NAMES]
    choices = [names[language_code == "en"] for names in dict.fromkeys(named)][:MAX_CHOICES]
    if len(choices) < 2:
        return _WHAT[language_code]
    if sight.several:
        return _SEVERAL[language_code].format(choices=", ".join(choices[:2]))
    return _WHICH[language_code].format(choices=", ".join(choices))
