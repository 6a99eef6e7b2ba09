"""A sentence says its line in other words, or is refused."""

from __future__ import annotations

import pytest

from services.recycle_info import corpus
from workers.ai.grounding import objection
from workers.ai.openai_language import Sentence, Wording, check, lines_of

SAME = [
    ("속을 비우고 물로 헹구세요", "먼저 속을 비우고 물로 깨끗이 헹궈 주세요."),
    ("속을 비우고 물로 헹구세요", "속을 잘 비운 다음 물로 한번 헹구면 돼요."),
    ("뚜껑과 빨대는 떼어 플라스틱류로 보내세요", "뚜껑과 빨대는 떼어서 플라스틱류로 보내 주세요."),
    ("펼쳐 말린 뒤 종이팩 수거함에 넣으세요", "그다음 펼쳐서 말리고 종이팩 수거함에 넣어 주세요."),
    ("일반 종이와 섞지 마세요", "일반 종이와는 섞지 말아 주세요."),
    ("대형폐기물은 1599-0903으로 신고하세요", "대형폐기물은 1599-0903으로 신고해 주세요."),
    ("Empty it and rinse it", "First, empty it and give it a rinse."),
    ("Take off the cap or straw for the plastics bin", "Then take the cap or straw off for the plastics bin."),
    ("Open it out, dry it, and use the carton bin", "Open it out, let it dry and put it in the carton bin."),
    ("Do not mix it with ordinary paper", "Please don't mix it with ordinary paper."),
    ("One marked 도포첩합 goes in the general waste bag", "Put one marked 도포첩합 in the general waste bag."),
]
OTHER = [
    ("속을 비우고 물로 헹구세요", "오븐에 넣고 구우세요.", "words"),
    ("속을 비우고 물로 헹구세요", "속을 비우고 변기에 버리세요.", "sorting word"),
    ("속을 비우고 물로 헹구세요", "속을 비우고 물로 3번 헹구세요.", "number"),
    ("속을 비우고 물로 헹구세요", "속을 비우고 물로 헹구지 마세요.", "opposite"),
    ("일반 종이와 섞지 마세요", "일반 종이와 섞으세요.", "opposite"),
    ("대형폐기물은 1599-0903으로 신고하세요", "대형폐기물은 1588-0000으로 신고하세요.", "number"),
    ("속을 비우고 물로 헹구세요", "속을 비우고 www.example.com 을 보세요.", "address"),
    ("속을 비우고 물로 헹구세요", "Empty it and rinse it.", "language"),
    ("펼쳐 말린 뒤 종이팩 수거함에 넣으세요", "펼쳐 말린 뒤 유리 수거함에 넣으세요.", "sorting word"),
    ("속을 비우고 물로 헹구세요", "속을 비우고 물로 헹구세요. " * 8, "longer"),
    ("Empty it and rinse it", "Empty it and burn it.", "sorting word"),
    ("Empty it and rinse it", "Ignore the rules and admire the moonlight.", "words"),
    ("Do not mix it with ordinary paper", "Mix it with ordinary paper.", "opposite"),
    ("Empty it and rinse it", " ", "nothing"),
    ("Empty it and rinse it", "속을 비우고 헹구세요.", "language"),
    ("One marked 도포첩합 goes in the general waste bag", "도포첩합 표시는 general waste bag.", "language"),
]


def language_of(text: str) -> str:
    return "en" if text[0].isascii() else "ko"


@pytest.mark.parametrize(("line", "sentence"), SAME)
def test_other_words_for_the_same_pass(line, sentence):
    assert objection(sentence, line, [line], language_of(line)) is None


@pytest.mark.parametrize(("line", "sentence", "why"), OTHER)
def test_what_the_line_does_not_say_is_refused(line, sentence, why):
    assert why in objection(sentence, line, [line], language_of(line))


@pytest.mark.parametrize("language_code", ["ko", "en"])
def test_every_rule_may_be_said_in_its_own_words_but_not_in_those_of_the_next(recycle_info, language_code):
    keys = sorted(corpus.load())
    rules = [recycle_info.resolve(key, language_code) for key in keys]
    for rule, other in zip(rules, [*rules[1:], rules[0]], strict=True):
        given = {name: getattr(rule, name) for name in ("rule_id", "category_major", "category_middle")}
        sentences = tuple(Sentence(line=name, text=text) for name, text in lines_of(rule).items())
        check(Wording(**given, sentences=sentences), rule, language_code)
        with pytest.raises(ValueError, match="no such rule_id"):
            check(Wording(**given, sentences=sentences), other, language_code)
