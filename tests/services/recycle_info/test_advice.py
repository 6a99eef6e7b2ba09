import itertools
import math

import pytest

from services.recycle_info import advice, corpus, words

ITEMS = corpus.load()


def test_without_a_situation_the_rule_is_told_as_it_is():
    told = advice.resolve(ITEMS, "pet_bottle_clear", set(), "ko")
    rule = ITEMS["pet_bottle_clear"]
    assert (told.item, told.steps, told.tags) == (rule, tuple(rule["steps_ko"]), ())
    assert told.bin == "투명 페트병 전용 수거함"
    assert told.warnings == tuple(rule["do_not_ko"])


def test_a_situation_comes_before_the_usual_steps():
    told = advice.resolve(ITEMS, "pet_bottle_clear", {"cap_on"}, "en")
    assert told.steps == ("The cap and its ring may stay on", *ITEMS["pet_bottle_clear"]["steps_en"])


def test_a_usual_step_that_fits_the_situation_comes_first_and_once():
    told = advice.resolve(ITEMS, "pet_bottle_clear", {"label_on"}, "en")
    assert told.steps[0] == "Peel off the label for the film bin"
    assert sorted(told.steps) == sorted(ITEMS["pet_bottle_clear"]["steps_en"])


@pytest.mark.parametrize("key", ITEMS)
def test_nothing_is_said_twice_in_nearly_the_same_words(key):
    for tags in [set(), *({situation["tag"]} for situation in ITEMS[key]["situations"])]:
        for one, other in itertools.combinations(advice.resolve(ITEMS, key, tags, "ko").steps, 2):
            assert likeness(one, other) < 0.7, (tags, one, other)


def likeness(one, other):
    """The cosine of their runs of letters."""
    first, second = words.grams(one), words.grams(other)
    return (first & second).total() / math.sqrt(first.total() * second.total())


LAMPS = [item["key"] for item in ITEMS.values() if item["material"] == "LIGHTING" and item["key"] != "broken_lamp"]


@pytest.mark.parametrize("key", LAMPS)
def test_a_broken_lamp_goes_nowhere_but_into_the_sack(key):
    told = advice.resolve(ITEMS, key, {"broken"}, "ko")
    if told.item["key"] != key:
        assert told.item["key"] == "broken_lamp"
        assert told.bin == "불연성 특수규격마대"
        assert not any("종량제봉투에 넣어도" in step for step in told.steps)


@pytest.mark.parametrize("key", ["shoes", "leather_shoes", "sandals", "socks", "scarf_hat"])
def test_one_of_a_pair_is_not_told_to_be_tied_to_the_other(key):
    told = advice.resolve(ITEMS, key, {"incomplete"}, "ko")
    assert told.bin == "종량제봉투"
    assert "묶" not in " ".join(told.steps[:-1])


@pytest.mark.parametrize("key", ["jacket_coat", "shirt", "belt_wallet", "trousers"])
def test_only_of_what_comes_in_pairs_is_said_to_tie_them(key):
    assert "짝" not in advice.resolve(ITEMS, key, set(), "ko").text
    assert "pair" not in advice.resolve(ITEMS, key, set(), "en").text


def test_a_container_that_stays_dirty_is_no_plastic():
    told = advice.resolve(ITEMS, "plastic_container", {"dirty"}, "ko")
    assert (told.item["key"], told.bin) == ("delivery_container_dirty", "종량제봉투")


def test_a_situation_can_change_the_bin():
    told = advice.resolve(ITEMS, "pizza_box", {"dirty"}, "ko")
    assert told.item["key"] == "general_waste"
    assert told.bin == "종량제봉투"
    assert told.text.startswith("피자 박스: 종량제봉투.")


@pytest.mark.parametrize("key", ["toy_mixed", "stuffed_toy", "toothbrush"])
def test_what_holds_a_battery_for_good_is_an_appliance(key):
    told = advice.resolve(ITEMS, key, {"battery_fixed"}, "ko")
    assert told.bin == "소형 전기전자제품 수거함"
    assert all(step not in told.text for step in ITEMS[key]["steps_ko"])


@pytest.mark.parametrize(
    "key", [key for key in ITEMS if "battery_inside" in {s["tag"] for s in ITEMS[key]["situations"]}]
)
def test_nobody_is_told_to_take_out_a_battery_that_is_built_in(key):
    assert "배터리를 빼서" not in advice.resolve(ITEMS, key, {"battery_fixed"}, "ko").text


def test_gas_that_is_left_is_let_out_first():
    assert "바깥에서" in advice.resolve(ITEMS, "butane_can", {"gas_left"}, "ko").steps[0]
    assert "가스가 남은 캔" in advice.resolve(ITEMS, "gas_burner", {"gas_left"}, "ko").text


@pytest.mark.parametrize("key", [key for key, item in ITEMS.items() if item.get("way") == "not_food"])
def test_only_of_what_the_source_calls_unfit_for_feed_is_that_said(key):
    told = advice.resolve(ITEMS, key, set(), "ko")
    unfit = {"shellfish_shell", "fish_bone", "corn_husk_cob", "herbal_residue", "vegetable_skin"}
    assert ("사료" in told.text.replace(told.item["name_ko"], "")) == (key in unfit)
    assert "물기" not in told.text


def test_vitamins_that_are_medicine_go_to_the_medicine_bin():
    told = advice.resolve(ITEMS, "vitamins", set(), "ko")
    assert told.bin == "종량제봉투"
    assert "의약품이면 폐의약품 수거함에 넣으세요" in told.steps


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
