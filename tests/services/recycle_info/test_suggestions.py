import pytest

from services.recycle_info import corpus
from services.recycle_info.suggestions import Suggestions, strike

ITEMS = corpus.load()


@pytest.fixture(scope="module")
def suggestions() -> Suggestions:
    return Suggestions(ITEMS)


# What an input method shows, key by key: in 우유 the second ㅇ is at first the last of 웅.
@pytest.mark.parametrize(
    ("word", "states"), [("우유팩", "ㅇ 우 웅 우유 우윺 우유패 우유팩"), ("닭뼈", "ㄷ 다 달 닭 닭ㅃ")]
)
def test_each_state_of_the_input_method_begins_the_word(word, states):
    for state in states.split():
        assert strike(word).startswith(strike(state)), state


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("우유패", "milk_carton"),
        ("우 유 팩", "milk_carton"),
        ("패트", "pet_bottle_clear"),
        ("milk c", "milk_carton"),
        ("Milk Carton", "milk_carton"),
        ("ㅇㅇㅍ", "milk_carton"),
        ("부탄까", "butane_can"),
        ("carton", "milk_carton"),
    ],
)
def test_what_is_begun_is_found(suggestions, prefix, key):
    assert key in [found for found, _ in suggestions.find(prefix, 8)]


def test_every_name_leads_to_its_item_and_whole_names_come_first(suggestions):
    for key, item in ITEMS.items():
        for name in corpus.surfaces(item):
            assert suggestions.find(name, 1)[0][0] == key, name


def test_each_item_comes_once_and_no_more_than_asked_for(suggestions):
    for prefix in ("ㅂ", "p", "ㄱㄱ", "ㅈ"):
        found = suggestions.find(prefix, 20)
        assert len(found) == len({key for key, _ in found}) <= 20
        assert all(name in corpus.surfaces(ITEMS[key]) for key, name in found)


@pytest.mark.parametrize("prefix", ["?!", " ", "\0", "zzzz", "🥛"])
def test_what_begins_no_name_finds_nothing(suggestions, prefix):
    assert suggestions.find(prefix, 8) == []
