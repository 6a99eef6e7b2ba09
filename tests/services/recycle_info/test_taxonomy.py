"""Every item of the public list of categories leads to a rule of its category."""

import json
from pathlib import Path

import pytest

from services.recycle_info import corpus
from services.recycle_info.catalogue import documents
from services.recycle_info.embedder import Embedder
from services.recycle_info.finder import Finder
from services.recycle_info.meanings import Meanings

TAXONOMY = json.loads(Path(__file__).with_name("taxonomy.json").read_text(encoding="utf-8"))
# The list has these twice or where the official pages have meanwhile put them elsewhere; see the pages of the items.
ELSEWHERE = {
    "펌핑용기": "플라스틱류",
    "파일철": "플라스틱류",
    "천막": "대형폐기물",
    "철삽": "대형폐기물",
    "침구류": "일반종량제폐기물",
    "대형가전": "전기전자제품",
    "대형 베개": "일반종량제폐기물",
    "대형 쿠션": "일반종량제폐기물",
    "인라인스케이트": "일반종량제폐기물",
    "바퀴 달린 신발": "일반종량제폐기물",
    "가죽부츠": "의류및원단",
    "장화": "일반종량제폐기물",
    "전기장판": "전기전자제품",
    "아이스박스": "일반종량제폐기물",
    "메모리폼": "일반종량제폐기물",
}


@pytest.fixture(scope="module")
def items():
    return corpus.load()


@pytest.fixture(scope="module")
def finder(items):
    return Finder(documents(items), Meanings.load(documents(items), Embedder()))


def test_every_category_is_in_the_list():
    assert TAXONOMY.keys() == {middle for _, middle in corpus.CATEGORIES}


@pytest.mark.parametrize(
    ("name", "middle"),
    [(name, middle) for middle, names in TAXONOMY.items() for name in names] + list(ELSEWHERE.items()),
)
def test_it_is_reachable_by_its_name(finder, items, name, middle):
    found = finder.find(name, 1)
    assert found, "nothing found"
    assert items[found[0][0]]["category_middle"] == middle, found
