import json
import sys
import time
from pathlib import Path

import pytest

from services.recycle_info import corpus
from services.recycle_info.retrieval import MIN_SCORE, Index, detect_language

QUESTIONS = json.loads(Path(__file__).with_name("questions.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def index():
    return Index.build({key: corpus.surfaces(item) for key, item in corpus.load().items()})


def test_people_find_what_they_ask_for(index, capsys):
    asked = [question for question in QUESTIONS if question["key"]]
    found = [[key for key, _ in index.search(question["question"], 3)] for question in asked]
    hits = {
        top: sum(question["key"] in keys[:top] for question, keys in zip(asked, found, strict=True)) for top in (1, 3)
    }
    figures = f"top-1 {hits[1]}/{len(asked)}, top-3 {hits[3]}/{len(asked)}"
    with capsys.disabled():
        sys.stdout.write(f"\nretrieval: {figures}\n")
    assert hits[1] >= 0.9 * len(asked), figures
    assert hits[3] >= 0.97 * len(asked), figures


@pytest.mark.parametrize("question", [q["question"] for q in QUESTIONS if q["key"] is None])
def test_what_is_not_about_sorting_is_declined(index, question):
    assert index.search(question, 3) == []


@pytest.mark.parametrize("question", ["", "   ", "?!", "어떻게 버려요?", "🗑️", "\x00", "는 은 이 가"])
def test_a_question_that_names_nothing_is_declined(index, question):
    assert index.search(question, 3) == []


@pytest.mark.parametrize(
    ("question", "key"),
    [
        ("페트병", "pet_bottle_clear"),
        ("페트병은요", "pet_bottle_clear"),
        ("패트병", "pet_bottle_clear"),
        ("스치로폼박스어떻게버려요", "styrofoam_box"),
        ("PIZZA BOXES", "pizza_box"),
        ("batteries", "dry_battery"),
        ("옷은 어디에?", "clothes"),
        ("종이로 된 우유팩", "milk_carton"),
        ("피자 박스", "pizza_box"),
    ],
)
def test_particles_spacing_typos_case_and_plurals(index, question, key):
    assert index.search(question, 1)[0][0] == key


def test_every_name_leads_to_its_item(index):
    for key, item in corpus.load().items():
        for name in corpus.surfaces(item):
            assert index.search(name, 1)[0][0] == key, name


def test_scores_fall_and_stay_in_range(index):
    scores = [score for _, score in index.search("기름 묻은 피자 박스", 10)]
    assert scores == sorted(scores, reverse=True)
    assert all(MIN_SCORE <= score <= 1 for score in scores)
    assert len(index.search("기름 묻은 피자 박스", 1)) == 1


def test_a_long_question_is_bounded_work(index):
    started = time.perf_counter()
    index.search("페트병 " + "가나다라마바사 " * 10_000, 3)
    index.search("가" * 1000, 3)
    assert time.perf_counter() - started < 1


def test_the_language_is_that_of_the_letters():
    assert detect_language("캔 where?") == "ko"
    assert detect_language("ㅋㅋ") == "ko"
    assert detect_language("where do cans go?") == "en"
