import copy
import json
from pathlib import Path

import pytest

from services.recycle_info import corpus, linter

ITEMS = corpus.load()


def test_the_corpus_is_sound():
    assert linter.find_problems(ITEMS) == []


def test_it_is_broad():
    assert len(ITEMS) >= 250
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
        ({"steps_en": []}, "steps_en: is empty"),
        ({"steps_en": ["Only one"]}, "steps_ko, steps_en: differ in length"),
        ({"bin_ko": " "}, "bin_ko: is empty"),
        ({"colour": "red"}, "has unknown colour"),
        ({"aliases_en": ["Power Bank"]}, "already means"),
        ({"situations": [{"tag": "sad", "steps_ko": ["a"], "steps_en": ["a"]}]}, "its tag sad is not in the list"),
        ({"situations": [{"tag": "wet", "steps_ko": [], "steps_en": []}]}, "wet: changes nothing"),
        ({"situations": [{"tag": "wet", "steps_ko": [], "steps_en": [], "move_to": "moon"}]}, "moves to moon"),
        (
            {"situations": [{"tag": "wet", "steps_ko": [], "steps_en": [], "move_to": "glass_bottle"}]},
            "moves to itself",
        ),
        ({"steps_ko": ["멀쩡하면 나누세요"], "steps_en": ["If it is sound, give it away"]}, "move it to if_sound_ko"),
        ({"if_sound_ko": ["나누세요"]}, "if_sound_ko, if_sound_en: differ in length"),
        ({"source_url": "https://"}, "has no source"),
        ({"aliases_ko": [f"병 {at}" for at in range(81)]}, "it is several items"),
        ({"name_ko": 7}, "name_ko: is not a text"),
        ({"steps_ko": "one"}, "steps_ko: is not a list"),
        ({"steps_ko": ["하나", None]}, "steps_ko[2]: is not a text"),
        ({"regional": "yes"}, "regional: is neither"),
        ({"name_en": "a\0b"}, "name_en: has a character"),
        ({"bin_en": "\ud800"}, "bin_en: has a character"),
        ({"description_ko": "가" * 1001}, "description_ko: has more than 1000"),
        ({"situations": [{"tag": "wet", "steps_ko": ["a"], "colour": 1}]}, "situations[1].steps_en: is missing"),
        ({"situations": ["wet"]}, "situations[1]: is not an object"),
        ({"source_url": "https://[1"}, "has no source"),
    ],
)
def test_a_fault_is_named(change, problem):
    items = copy.deepcopy(ITEMS)
    items["glass_bottle"] |= change
    assert any(problem in found for found in linter.find_problems(items))


def test_a_missing_field_is_named():
    items = copy.deepcopy(ITEMS)
    del items["glass_bottle"]["bin_en"]
    assert "glass_bottle: lacks bin_en" in linter.find_problems(items)


def test_a_missing_item_a_dead_category_and_a_dead_tag_are_named():
    items = {key: item for key, item in ITEMS.items() if item["category_middle"] not in ("전지", "비닐류")}
    items = {key: item | {"situations": []} for key, item in items.items()}
    problems = linter.find_problems(items)
    assert "DEFAULTS: no item dry_battery" in problems
    assert "no item in 비닐류" in problems
    assert "no rule knows the situation swollen" in problems


ENTRY = {"key": "thing", "way": "bin", "first_ko": ["먼저"], "never_ko": ["금지"]}
WAY = {
    "steps_ko": ["그다음"],
    "do_not_ko": ["주의"],
    "situations": [{"tag": "wet"}, {"tag": "dirty", "steps_ko": ["공통"]}],
}


def test_an_item_adds_to_its_way_and_replaces_what_it_says_itself():
    entry = ENTRY | {"situations": [{"tag": "dirty", "steps_ko": ["자기"]}]}
    item = corpus.expand({"a.json": {"category_major": "종이", "items": [entry]}}, {"bin": WAY})["thing"]
    assert item["steps_ko"] == ["먼저", "그다음"]
    assert item["do_not_ko"] == ["금지", "주의"]
    assert item["situations"] == [{"tag": "dirty", "steps_ko": ["자기"]}, {"tag": "wet"}]
    assert (item["rule_id"], item["category_major"]) == ("rule:thing", "종이")
    assert WAY["steps_ko"] == ["그다음"]


def test_a_key_taken_twice_and_an_unknown_way_are_refused():
    with pytest.raises(ValueError, match="the key thing is taken"):
        corpus.expand({"a.json": {"items": [ENTRY, ENTRY]}}, {"bin": WAY})
    with pytest.raises(ValueError, match="the way bin, which does not exist"):
        corpus.expand({"a.json": {"items": [ENTRY]}}, {})


def test_every_way_is_gone_by_an_item():
    ways = json.loads(Path(corpus.__file__).with_name("ways.json").read_text(encoding="utf-8"))
    assert ways.keys() == {item["way"] for item in ITEMS.values() if "way" in item}
