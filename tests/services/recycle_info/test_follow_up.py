"""A photo shows the thing; the words beside it tell its state and must not name another thing."""

import pytest

from services.recycle_info import corpus
from services.recycle_info.catalogue import Catalogue

FOLLOW_UPS = [
    ("pet_bottle_clear", "이거 라벨 떼야 하나요?", "label_on"),
    ("pet_bottle_clear", "뚜껑도 같이 버려?", "cap_on"),
    ("pet_bottle_clear", "안에 물이 남아있어요", "contents_left"),
    ("pet_bottle_clear", "should I remove the label", "label_on"),
    ("pizza_box", "이거 기름이 좀 묻었는데 괜찮아?", "dirty"),
    ("pizza_box", "it has grease on it", "dirty"),
    ("ceramic_mug", "이거 깨졌는데 유리로 버려요?", "broken"),
    ("cardboard_box", "비에 젖었어", "wet"),
    ("toy_mixed", "건전지가 들어있어요", "battery_inside"),
    ("toy_mixed", "has batteries inside", "battery_inside"),
    ("glass_jar", "뚜껑은 금속이에요", "cap_on"),
    ("instant_noodle_cup", "국물자국이 남았어요", "dirty"),
    ("shoes", "한 짝만 있어요", "incomplete"),
    ("glass_bottle", "안에 기름이 남았어요", "contents_left"),
]


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(corpus.load())


@pytest.mark.parametrize(("key", "words", "tag"), FOLLOW_UPS)
def test_words_about_the_state_leave_the_thing(catalogue, key, words, tag):
    choice = catalogue.settle(key, "", words, "ko", unsure=False)
    assert choice.key == key
    assert tag in choice.advice.tags


def test_words_that_name_the_thing_win_over_the_photo(catalogue):
    assert catalogue.settle("aluminium_can", "METAL", "이거 부탄가스예요", "ko", unsure=False).key == "butane_can"
