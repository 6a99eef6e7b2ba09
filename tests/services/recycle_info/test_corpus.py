import copy

import pytest

from services.recycle_info import corpus

ITEMS = corpus.load()


def test_the_corpus_is_sound():
    assert corpus.find_problems(ITEMS) == []


def test_it_is_broad():
    assert len(ITEMS) >= 70
    assert {item["category_middle"] for item in ITEMS.values()} == {middle for _, middle in corpus.CATEGORIES}


def test_every_material_has_a_usual_item_made_of_it():
    assert {ITEMS[key]["material"] for key in corpus.DEFAULTS.values()} == corpus.MATERIALS


def test_a_rule_id_follows_from_the_key():
    assert all(item["rule_id"] == f"rule:{key}" for key, item in ITEMS.items())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"category_middle": "고철"}, "its category is not in the list"),
        ({"material": "STONE"}, "its material STONE is not in the list"),
        ({"source_url": ""}, "has no source"),
        ({"steps_en": []}, "steps_en is empty"),
        ({"steps_en": ["Only one"]}, "steps differs in length"),
        ({"bin_ko": " "}, "bin_ko is empty"),
        ({"colour": "red"}, "has unknown colour"),
        ({"aliases_en": ["Power Bank"]}, "already means"),
        ({"situations": [{"tag": "sad", "steps_ko": ["a"], "steps_en": ["a"]}]}, "its tag sad is not in the list"),
        ({"situations": [{"tag": "wet", "steps_ko": [], "steps_en": []}]}, "wet: changes nothing"),
        ({"situations": [{"tag": "wet", "steps_ko": [], "steps_en": [], "move_to": "moon"}]}, "moves to moon"),
    ],
)
def test_a_fault_is_named(change, problem):
    items = copy.deepcopy(ITEMS)
    items["glass_bottle"] |= change
    assert any(problem in found for found in corpus.find_problems(items))


def test_a_missing_field_and_a_missing_item_are_named():
    items = copy.deepcopy(ITEMS)
    del items["glass_bottle"]["bin_en"], items["clothes"]
    problems = corpus.find_problems(items)
    assert "glass_bottle: lacks bin_en" in problems
    assert "DEFAULTS: no item clothes" in problems
