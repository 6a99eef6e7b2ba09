import copy

import pytest

from services.recycle_info import advice, corpus, linter, regions

ITEMS = corpus.load()
OVERRIDES = regions.load()


@pytest.fixture(scope="module")
def laid():
    return regions.lay_over(ITEMS, OVERRIDES)


def test_the_overrides_are_sound():
    assert regions.find_problems(ITEMS, OVERRIDES) == []


def test_what_they_make_of_the_items_is_sound(laid):
    for code, items in laid.items():
        assert linter.find_problems(dict(items)) == [], code


def test_a_region_changes_what_it_names_and_nothing_else(laid):
    gangnam = laid["11680"]
    assert gangnam["rubber_gloves"]["category_middle"] == "비닐류"
    assert gangnam["rubber_gloves"]["source_url"] == "https://clean.gangnam.go.kr/"
    assert {key for key in ITEMS if gangnam[key] != ITEMS[key]} == {"rubber_gloves"}


def test_all_food_of_a_city_is_changed_by_its_category(laid):
    for key, item in ITEMS.items():
        changed = laid["41110"][key]["bin_ko"] != item["bin_ko"]
        assert changed == (item["category_middle"] == "음식물류폐기물"), key


def test_what_comes_first_is_told_first(laid):
    told = advice.resolve(laid["11350"], "butane_can", set(), "ko")
    assert "구멍을 뚫어" in told.steps[0]
    assert told.steps[1:] == tuple(ITEMS["butane_can"]["steps_ko"])


def test_the_items_of_the_country_stay_as_they_are(laid):
    before = copy.deepcopy(ITEMS)
    regions.lay_over(ITEMS, OVERRIDES)
    assert before == ITEMS


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"colour": 1}, "has unknown colour"),
        ({"set": {"material": "GLASS"}}, "may not set material"),
        ({"category": "종이"}, "either items or a category"),
        ({"items": ["moon"]}, "changes ['moon']"),
        ({"regions": {"seoul": "서울"}}, "has a region without code or name"),
    ],
)
def test_a_fault_is_named(change, problem):
    assert any(problem in found for found in regions.find_problems(ITEMS, [OVERRIDES[0] | change]))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("41110", "경기도 수원시"),
        ("41111", "경기도 수원시"),
        ("41281", "경기도 고양시 덕양구"),
        ("11680", "서울특별시 강남구"),
        # A district of Seoul is nobody's part, and a county is none of its neighbour.
        ("11685", ""),
        ("41830", ""),
        ("41", ""),
        ("", ""),
    ],
)
def test_a_district_of_a_city_does_as_the_city(laid, code, name):
    found = regions.find(laid, code)
    assert {item["region"] for item in (found or {}).values() if "region" in item} == ({name} if name else set())


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("gangnam", "override 1: is not an object"),
        ({"items": ["rubber_gloves"]}, "override 1: lacks regions, source_url"),
        (OVERRIDES[0] | {"regions": ["11680"]}, "override 1: regions: is not an object"),
        (OVERRIDES[0] | {"regions": {"11680": 7}}, "override 1: regions: names[1]: is not a text"),
        (OVERRIDES[0] | {"items": "rubber_gloves"}, "override 1: items: is not a list"),
        (OVERRIDES[0] | {"set": {"steps_ko": "one"}}, "override 1: set: steps_ko: is not a list"),
    ],
)
def test_an_override_that_cannot_be_read_is_named(override, problem):
    assert problem in regions.find_problems(ITEMS, [override])
