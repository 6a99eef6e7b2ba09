import pytest

from services.recycle_info import corpus
from services.recycle_info.situations import _SIGNS, find_situations

STATED = {
    "기름 묻은 피자박스": {"dirty"},
    "안 씻은 플라스틱 용기": {"dirty"},
    "씻지 않은 통": {"dirty"},
    "깨끗하지 않은 비닐": {"dirty"},
    "깨끗한 배달용기": {"clean"},
    "다 씻은 배달용기": {"clean"},
    "씻었는데 얼룩이 있어요": {"dirty"},
    "깨진 유리컵": {"broken"},
    "컵이 깨졌어요": {"broken"},
    "라벨 붙은 페트병": {"label_on"},
    "뚜껑 닫은 페트병": {"cap_on"},
    "테이프가 안 떨어져요": {"tape_on"},
    "부푼 보조배터리": {"swollen"},
    "구멍난 양말": {"worn_out"},
    "가스가 남은 부탄가스": {"gas_left"},
    "건전지가 들어있는 장난감": {"battery_inside"},
    "음료가 남은 캔": {"contents_left"},
    "비에 젖은 박스": {"wet"},
    "코팅된 종이": {"coated"},
    "파쇄한 종이": {"shredded"},
    "너무 큰 인형": {"oversized"},
    "여러 재질이 섞인 통": {"mixed_material"},
    "A DIRTY pizza box": {"dirty"},
    "box not washed": {"dirty"},
    "a broken bottle with the label on": {"broken", "label_on"},
    "my power bank is swollen": {"swollen"},
    "toy with batteries": {"battery_inside"},
    "it doesn’t fit": {"oversized"},
    "rinsed container": {"clean"},
    "컵라면 용기 국물자국": {"dirty"},
    "빨갛게 물듦": {"dirty"},
    "치즈 눌어붙음": {"dirty"},
    "치즈가 눌러붙은 상자": {"dirty"},
    "기름기가 있는 상자": {"dirty"},
    "김치 냄새가 밴 통": {"dirty"},
    "noodle cup with soup residue": {"dirty"},
    "짝 잃은 신발": {"incomplete"},
    "운동화 한짝": {"incomplete"},
    "single sneaker": {"incomplete"},
    "형광등 깨짐": {"broken"},
    "부탄가스통 아직 가스가 좀 남았어요": {"gas_left"},
    "가스 조금 남음": {"gas_left"},
    "a gas can with a little gas": {"gas_left"},
    "배터리 안 빠지는 장난감": {"battery_fixed"},
    "배터리가 내장된 로봇": {"battery_fixed"},
    "건전지를 뺄 수 없어요": {"battery_fixed"},
    "배터리 분리가 안되는 미니카": {"battery_fixed"},
    "battery stuck inside toy": {"battery_fixed"},
    "a toy with a built-in battery": {"battery_fixed"},
    "I can't remove the battery": {"battery_fixed"},
    "씻어도 냄새나는 반찬통": {"dirty"},
    "물로 헹궈도 미끌거려요": {"dirty"},
    "기름이 안닦여요": {"dirty"},
    "세척해도 냄새 나는 병": {"dirty"},
    "끈적한 시럽병": {"dirty"},
    "jar with food stuck": {"dirty"},
    "it still smells of kimchi": {"dirty"},
    "a sticky jar": {"dirty"},
    "rice stuck to the pot": {"dirty"},
}
DENIED = [
    "깨지지 않은 유리병",
    "안 깨진 거울",
    "깨진 건 아니에요",
    "라벨 없는 생수병",
    "라벨을 뗀 페트병",
    "뚜껑 없는 병",
    "기름 안 묻은 상자",
    "더럽지 않은 비닐",
    "가스가 남지 않은 캔",
    "기름기 없는 상자",
    "물 든 병",
    "코르크가 안 빠져요",
    "기름종이",
    "가스 하나도 안 남음",
    "씻어도 되나요",
    "씻어도 안 되는 건가요",
    "sticky notes",
    "운동화 두 짝",
    "not broken",
    "it isn't broken",
    "a bottle without a label",
    "the label is removed",
    "no gas left",
    "페트병 어떻게 버려요?",
    "",
]


@pytest.mark.parametrize(("text", "tags"), STATED.items())
def test_what_the_words_state_is_found(text, tags):
    assert find_situations(text) == tags


@pytest.mark.parametrize("text", DENIED)
def test_what_the_words_deny_is_not(text):
    assert find_situations(text) - {"clean"} == set()


def test_every_tag_of_the_corpus_has_its_words():
    assert _SIGNS.keys() == corpus.TAGS
