"""Questions find their item, and what is not our subject is declined. The development set taught the weights; the test
set was written apart from names and weights, and is only measured. `make eval-rules` prints the figures.
"""

import json
from pathlib import Path

import pytest

from services.recycle_info import corpus, finder, words
from services.recycle_info.catalogue import documents
from services.recycle_info.embedder import Embedder
from services.recycle_info.meanings import Meanings


def read(name: str) -> list[dict]:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


DEV, TEST = read("questions_dev.json"), read("questions_test.json")


@pytest.fixture(scope="module")
def found():
    names = documents(corpus.load())
    return finder.Finder(names, Meanings.load(names, Embedder()))


def test_the_sets_are_apart_and_name_items_that_exist():
    asked = [each["question"] for each in DEV + TEST]
    assert len(asked) == len(set(asked))
    assert {key for each in DEV + TEST for key in each["keys"]} <= corpus.load().keys()


@pytest.mark.parametrize(
    ("asked", "language", "first", "three"),
    [(DEV, "ko", 0.92, 0.97), (DEV, "en", 0.94, 0.96), (TEST, "ko", 0.9, 0.95), (TEST, "en", 0.93, 0.95)],
    ids=["dev-ko", "dev-en", "test-ko", "test-en"],
)
def test_people_find_what_they_ask_for(found, asked, language, first, three):
    asked = [each for each in asked if each["keys"] and words.detect_language(each["question"]) == language]
    keys = [[key for key, _ in found.find(each["question"], 3)] for each in asked]
    at_first = sum(bool(got) and got[0] in each["keys"] for each, got in zip(asked, keys, strict=True))
    among_three = sum(not set(got).isdisjoint(each["keys"]) for each, got in zip(asked, keys, strict=True))
    assert at_first >= first * len(asked), f"{at_first} of {len(asked)}"
    assert among_three >= three * len(asked), f"{among_three} of {len(asked)}"


@pytest.mark.parametrize("asked", [DEV, TEST], ids=["dev", "test"])
def test_what_is_not_about_throwing_away_is_declined(found, asked):
    outside = [each["question"] for each in asked if not each["keys"]]
    answered = [question for question in outside if found.find(question, 1)]
    assert len(answered) <= 0.1 * len(outside), answered


@pytest.mark.parametrize("question", ["", "   ", "?!", "어떻게 버려요?", "🗑️", "\x00", "How do I throw this away?"])
def test_a_question_that_names_nothing_is_declined(found, question):
    assert found.find(question, 3) == []


@pytest.mark.parametrize(
    ("question", "key"),
    [
        ("머리 말릴 때 뜨거운 바람 나오는 기계", "hair_dryer"),
        ("something to sit on for my baby in the car", "car_seat"),
    ],
)
def test_a_thing_that_is_only_described_is_found_by_its_meaning(found, question, key):
    assert found.view(question).weighed is not None
    assert key in [name for name, _ in found.view(question).weighed[:5]]


def test_letters_alone_decide_where_they_leave_no_doubt(found):
    for question in ("페트병", "pizza box", "다 쓴 건전지 어떻게 버려요?"):
        assert found.view(question).weighed is None


def test_scores_fall_and_stay_in_range(found):
    for question in ("스티로폼 상자에 송장", "와인 마시고 남은 병이랑 코르크", "fridge"):
        scores = [score for _, score in found.find(question, 10)]
        assert scores == sorted(scores, reverse=True)
        assert all(finder.MIN_SCORE <= score <= 1 for score in scores)


def test_a_long_question_is_answered_too(found):
    question = "택배 상자에 붙은 테이프를 떼고 접어서 내놓으려고 합니다. " * 1000
    assert found.find(question, 1)[0][0] == "cardboard_box"
