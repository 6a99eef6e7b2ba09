import pytest

from services.recycle_info import corpus, words
from services.recycle_info.catalogue import documents
from services.recycle_info.retrieval import MIN_SCORE, Index


@pytest.fixture(scope="module")
def index():
    return Index.build(documents(corpus.load()))


@pytest.mark.parametrize("question", ["", "   ", "?!", "어떻게 버려요?", "🗑️", "\x00", "는 은 이 가"])
def test_a_question_that_names_nothing_finds_nothing(index, question):
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
        ("고장난 헤어 드라이기", "hair_dryer"),
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


def test_only_the_beginning_of_a_long_question_is_read(index):
    question = "페트병 " + "가나다라마바사 " * 10_000
    assert index.rank(question) == index.rank(question[: words.MAX_LETTERS])
    assert index.search("가" * 100_000, 1) == []


def test_the_language_is_that_of_the_letters():
    assert words.detect_language("캔 where?") == "ko"
    assert words.detect_language("ㅋㅋ") == "ko"
    assert words.detect_language("where do cans go?") == "en"
