import pytest

from services.recycle_info import advice, corpus

ITEMS = corpus.load()


def test_without_a_situation_the_rule_is_told_as_it_is():
    told = advice.resolve(ITEMS, "pet_bottle_clear", set(), "ko")
    rule = ITEMS["pet_bottle_clear"]
    assert (told.item, told.steps, told.tags) == (rule, tuple(rule["steps_ko"]), ())
    assert told.bin == "투명 페트병 전용 수거함"
    assert told.warnings == tuple(rule["do_not_ko"])


def test_a_situation_comes_before_the_usual_steps():
    told = advice.resolve(ITEMS, "pet_bottle_clear", {"label_on"}, "en")
    assert told.steps[0] == "Peel the label first and put it with film"
    assert told.steps[1:] == tuple(ITEMS["pet_bottle_clear"]["steps_en"])


def test_a_situation_can_change_the_bin():
    told = advice.resolve(ITEMS, "pizza_box", {"dirty"}, "ko")
    assert told.item["key"] == "general_waste"
    assert told.bin == "종량제봉투"
    assert told.text.startswith("피자 박스: 종량제봉투.")


def test_moves_follow_one_another():
    told = advice.resolve(ITEMS, "glass_bottle", {"broken", "oversized"}, "ko")
    assert (told.item["key"], told.tags) == ("bulky_waste", ("broken", "oversized"))


@pytest.mark.parametrize("key", ["lithium_battery", "power_bank"])
@pytest.mark.parametrize("tag", ["swollen", "broken", "wet"])
def test_a_cell_that_may_catch_fire_never_goes_into_a_bin(key, tag):
    told = advice.resolve(ITEMS, key, {tag}, "ko")
    assert told.item["key"] == "damaged_battery"
    assert "수거함에 넣으세요" not in told.text


@pytest.mark.parametrize("key", ["ceramic_mug", "toy_mixed", "bicycle"])
def test_only_of_a_sound_thing_is_said_that_it_may_be_given_away(key):
    for language in ("ko", "en"):
        sound = ITEMS[key][f"if_sound_{language}"]
        assert advice.resolve(ITEMS, key, set(), language).steps[: len(sound)] == tuple(sound)
        for tag in corpus.UNSOUND:
            told = advice.resolve(ITEMS, key, {tag}, language)
            assert not any(step in told.text for step in sound), tag


def test_tags_that_the_rule_does_not_know_are_ignored():
    assert advice.resolve(ITEMS, "toothbrush", {"swollen"}, "en") == advice.resolve(ITEMS, "toothbrush", set(), "en")


def test_moves_in_a_circle_end():
    def moving(key, target):
        situation = {"tag": "wet", "steps_ko": [f"{key} 먼저"], "steps_en": [f"{key} first"], "move_to": target}
        return ITEMS["bag"] | {"key": key, "situations": [situation]}

    told = advice.resolve({"a": moving("a", "b"), "b": moving("b", "a")}, "a", {"wet"}, "en")
    assert told.item["key"] == "b"
    assert told.steps[:2] == ("a first", "b first")


def test_an_unknown_item_is_a_key_error():
    with pytest.raises(KeyError):
        advice.resolve(ITEMS, "moon", set(), "ko")


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("key", ITEMS)
def test_the_text_says_what_the_rule_says(key, language):
    for tags in [set(), *({situation["tag"]} for situation in ITEMS[key]["situations"])]:
        told = advice.resolve(ITEMS, key, tags, language)
        assert told.bin in told.text
        assert all(step in told.text for step in told.steps)
        assert len(set(told.steps)) == len(told.steps)
        assert told.item.get("contact", "") in told.text
        assert told.text.endswith(".")
