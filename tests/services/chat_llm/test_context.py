"""What a model gets to read of a conversation, and what words ask for."""

import re
import uuid

import pytest
from eco2.chat_llm.v1 import chat_llm_pb2 as pb

from services.chat_llm import context, facts, intents
from services.chat_llm.context import Task, Turn
from services.chat_llm.facts import Fact
from services.kit.llm.tokens import count_tokens


def turns(count: int, text: str) -> list[Turn]:
    return [Turn(number, ("user", "assistant")[number % 2], text) for number in range(count)]


def cost(chosen) -> int:
    return sum(count_tokens(turn.text) for turn in chosen)


def test_a_short_conversation_is_kept_as_it_is():
    short = turns(20, "우유팩은 어떻게 버려요?")
    assert context.split(short) == ((), tuple(short))


@pytest.mark.parametrize("text", ["우유팩" * 700, "a" * 2000, "🧃" * 500, "짧은 말"])
@pytest.mark.parametrize("count", [1, 5, 30, 400])
def test_what_is_kept_is_bounded_however_much_was_said(text, count):
    older, kept = context.split(turns(count, text))
    assert cost(kept) <= context.FULL
    assert [turn.number for turn in (*older, *kept)] == list(range(count))
    if older:
        # Not at each message: room is left for those to come.
        assert context.KEPT - context.TURN < cost(kept) <= context.KEPT


def test_an_outline_keeps_the_newest_and_stays_bounded():
    summary = ""
    for number in range(60):
        summary = context.outline(
            summary, [Turn(number, "user", f"{number} " + "우유팩\n은? " * 40, f"thing {number}")]
        )
        assert count_tokens(summary) <= context.SUMMARY
    lines = summary.splitlines()
    assert lines[-1].startswith("user (thing 59): 59 우유팩 은?")
    assert lines[-1].endswith("…")
    assert [line.split()[2] for line in lines] == [f"{n}):" for n in range(60 - len(lines), 60)]


def test_a_summary_of_a_model_is_bounded_too():
    task = context.replace_summary(Task(uuid.uuid4(), "ko", "?"), "말" * 5000)
    assert count_tokens(task.summary) <= context.SUMMARY


@pytest.mark.parametrize("text", ["abc", "가나다", "🧃🧃🧃", "é" * 9])
def test_a_cut_never_splits_a_letter(text):
    for tokens in range(3, 12):
        cut = context.clip(text, tokens)
        assert cut == text or (text.startswith(cut.removesuffix("…")) and count_tokens(cut) <= tokens)


def numbered(*numbers: int) -> facts.Facts:
    return facts.Facts(rules=tuple(Fact(pb.Citation(number=number), "x") for number in numbers))


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["Rinse [1] it."], "Rinse [1] it."),
        (["Rinse [", "1", "] it [2", "]."], "Rinse [1] it [2]."),
        (["Made up [3", "].[99]", " And [12]."], "Made up . And ."),
        (["an [open", " bracket [1"], "an [open bracket [1"),
        (["a line [1\n", "and another"], "a line [1\nand another"),
    ],
)
def test_marks_of_what_does_not_exist_are_dropped_wherever_the_text_is_cut(pieces, text):
    assert "".join(facts.without_strangers(iter(pieces), numbered(1, 2))) == text


@pytest.mark.parametrize(
    ("question", "things"),
    [
        ("건전지랑 형광등 어떻게 버려요?", ["건전지", "형광등 어떻게 버려요?"]),
        ("milk carton and glass bottle", ["milk carton", "glass bottle"]),
        ("우유팩은?", []),
        ("건전지 ,\t 형광등  그리고\n전구", ["건전지", "형광등", "전구"]),
        ("a, b, c, d, e", []),
        (", ", []),
    ],
)
def test_a_message_may_name_several_things(question, things):
    assert intents.split_things(question) == things


@pytest.mark.parametrize(
    ("question", "places", "analyses", "back"),
    [
        ("가까운 수거함이 어디예요?", True, False, False),
        ("건전지는 어디에 버려요?", False, False, False),
        ("Where is the nearest drop-off?", True, False, False),
        ("아까 찍은 사진 다시 알려줘", False, True, False),
        ("my last photo", False, True, False),
        ("뚜껑은요?", False, False, True),
        ("and if it is dirty?", False, False, True),
        ("우유팩은 어떻게 버려요?", False, False, False),
    ],
)
def test_what_words_ask_for(question, places, analyses, back):
    found = intents.wants_places(question), intents.wants_analyses(question), intents.refers_back(question)
    assert found == (places, analyses, back)


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("이 사진 뭐예요?", "뭐예요?"),
        ("사진 속 컵은 어떻게 버려요?", "컵은 어떻게 버려요?"),
        ("사진들", ""),
        ("What is in this picture?", "What is in  ?"),
        ("휴양지에서 산 컵", "휴양지에서 산 컵"),
    ],
)
def test_the_words_for_the_photo_itself_go(question, left):
    assert intents.without_photo(question) == left


@pytest.mark.parametrize(
    ("question", "topics", "region"),
    [
        ("우리 동네는 무슨 요일에 버려요?", {"DAYS"}, True),
        ("쓰레기는 언제 내놓아요?", {"DAYS", "HOURS"}, True),
        ("When is recycling collected?", {"DAYS", "HOURS"}, True),
        ("몇 시간 말려야 해요?", set(), False),
        ("20리터 봉투는 얼마예요?", {"PAID_BAG"}, True),
        ("How much is a paid bag?", {"PAID_BAG"}, True),
        ("종량제봉투에 버려도 돼요?", set(), False),
        ("음식물 쓰레기는요?", {"FOOD_WASTE"}, False),
        ("How do I get rid of bulky things?", {"BULKY_WASTE"}, False),
        ("우리 구는 어떻게 해요?", set(), True),
        ("우리 구두는 어떻게 버려요?", set(), False),
        ("What are the rules of my district?", set(), True),
        ("우유팩은 어떻게 버려요?", set(), False),
        ("How do I throw away a milk carton when it is wet?", set(), False),
    ],
)
def test_what_is_asked_of_a_municipality(question, topics, region):
    found = {topic.removeprefix("REGION_TOPIC_") for topic in intents.find_topics(question)}
    assert (found, intents.wants_region(question)) == (topics, region)


@pytest.mark.parametrize(
    ("text", "language"), [("안녕", "ko"), ("Hello", "en"), ("PET병", "ko"), ("123?", "ko"), ("ボトル", "en")]
)
def test_the_language_of_a_message(text, language):
    assert intents.detect_language(text) == language


@pytest.mark.parametrize(
    ("text", "greeting", "thanks"),
    [
        ("안녕하세요!", True, False),
        ("  안녕, 하이", False, False),
        ("…hello there :)", True, False),
        ("Hi   there", True, False),
        ("good morning\n", True, False),
        ("hi, where do batteries go?", False, False),
        ("thereabouts", False, False),
        ("고마워요~ !!", False, True),
        ("감사 합니다", False, True),
        ("Thank you so much!", False, True),
        ("thanks a lot", False, True),
        ("ty", False, True),
        ("type", False, False),
        ("감사합니다, 우유팩은요?", False, False),
    ],
)
def test_a_greeting_and_thanks_are_told_from_questions(text, greeting, thanks):
    assert (intents.is_greeting(text), intents.is_thanks(text)) == (greeting, thanks)


@pytest.mark.parametrize("pattern", [intents._GREETING, intents._THANKS, intents._AND])
def test_no_pattern_goes_back_over_a_message_again_and_again(pattern):
    # After `x*` and `x+` it may; not after the possessive `x*+` and `x++`, and after `x?` only by one.
    assert not re.search(r"[*+](?!\+)(?<![*+?]\+)", pattern.pattern)
