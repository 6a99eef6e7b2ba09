"""The embedded language says what the rule says, and asks when the photo leaves it open."""

from __future__ import annotations

import pytest
from eco2.pipeline.v1.messages_pb2 import Sight
from eco2.recycle_info.v1.internal_pb2 import ResolvedRule

from workers.ai import evidence
from workers.ai.language import _NAMES, EmbeddedLanguage, ask

RULE = ResolvedRule(
    rule_id="r1",
    item_name="유리병",
    steps=["비우기", "헹구기"],
    warnings=["깨진 병은 따로"],
    text="유리병 수거함에 넣어요.",
)


def sight(*materials: str, unsure: bool = True) -> Sight:
    made = Sight(material=f"MATERIAL_{materials[0]}", unsure=unsure)
    for material in materials[1:]:
        made.alternatives.add(material=f"MATERIAL_{material}", probability=0.2)
    return made


def test_a_clear_photo_gets_the_rule_as_it_is():
    reply = EmbeddedLanguage().word(sight("GLASS", "PLASTIC", unsure=False), RULE, "ko")
    assert list(reply.steps) == list(RULE.steps)
    assert list(reply.warnings) == list(RULE.warnings)
    assert reply.text == RULE.text
    assert reply.follow_up_question == ""
    assert (reply.provider, reply.model, reply.prompt_version) == ("embedded", "templates", "1")


def test_an_unclear_photo_gets_the_likeliest_rule_as_a_condition_and_one_question():
    reply = EmbeddedLanguage().word(sight("GLASS", "PLASTIC", "METAL", "PAPER"), RULE, "ko")
    assert reply.text == "사진만으로는 확실하지 않아요. 유리병이라면 이렇게 버려 주세요. 유리병 수거함에 넣어요."
    assert reply.follow_up_question.startswith("다음 중 무엇인가요: 유리, 플라스틱, 금속?")


@pytest.mark.parametrize(("language_code", "said"), [("ko", "함께 보여요: 유리, 금속."), ("en", "glass, metal.")])
def test_two_things_in_one_photo_are_said_to_be_two(language_code, said):
    two = sight("GLASS", "METAL", "PAPER")
    two.several = True
    assert said in EmbeddedLanguage().word(two, RULE, language_code).follow_up_question


def test_what_the_user_said_settles_an_unclear_photo():
    rule = ResolvedRule(from_question=True)
    rule.MergeFrom(RULE)
    reply = EmbeddedLanguage().word(sight("GLASS", "PLASTIC"), rule, "ko")
    assert (reply.text, reply.follow_up_question) == (RULE.text, "")


@pytest.mark.parametrize("language_code", ["ko", "en"])
def test_without_a_rule_nothing_is_claimed_and_something_is_asked(language_code):
    reply = EmbeddedLanguage().word(sight("UNKNOWN"), ResolvedRule(), language_code)
    assert not reply.steps
    assert not reply.warnings
    assert reply.text
    assert reply.follow_up_question


def test_every_material_that_vision_knows_has_a_name():
    assert {f"MATERIAL_{name}" for name in evidence.MATERIALS} - {"MATERIAL_UNKNOWN"} == set(_NAMES)


def test_questions_follow_the_language():
    assert ask(sight("GLASS", "METAL"), "en") == "Which of these is it: glass, metal? The name of the thing helps too."
