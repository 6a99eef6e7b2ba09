"""What a message asks for beside a rule, from its words. Pure; words are evidence here and never orders."""

from __future__ import annotations

import re
from collections.abc import Iterable

# More words than this name their subject themselves.
_SHORT = 12

_PLACES = re.compile(
    r"가까운|근처|주변|어디(?!에\s*버)|수거함|수거소|배출함|장소|위치|센터|매장"
    r"|\bnear(?:by|est)?\b|\bclos(?:e|est)\b|\baround (?:me|here)\b|\bdrop(?:[- ]?off)?\b|\bcent(?:er|re)s?\b"
    r"|\bcollection (?:point|box|bin)s?\b|\bwhere (?:can|do) i (?:take|bring|drop)\b",
    re.IGNORECASE,
)
_ANALYSES = re.compile(
    r"사진|아까|방금|분석|찍은|찍었|\bphotos?\b|\bpictures?\b|\banaly[sz]\w+|\bscan(?:ned|s)?\b", re.IGNORECASE
)
_BACK = re.compile(
    r"^(?:그럼|그러면|그런데|근데|그리고|그건|그거|그게|그것|이건|이거|이게|이것|저건|저거|왜|꼭|만약)"
    r"|그대로|뚜껑|라벨|스티커|테이프|헹[구궈]|씻|말[려리]|안에|속에|같이|깨[졌진지]|찌그러|더러[우워]|묻[었은어]|기름"
    r"|^(?:and|so|then|but|why|what about|what if|how about|do i|should i|must i|does it|is it|can it)\b"
    r"|\b(?:it|its|that|this|them|those|these|lid|cap|label|rinse|wash|dry|broken|dirty|greasy)\b",
    re.IGNORECASE,
)
_PHOTO = re.compile(
    r"(?:\b(?:이|그|저|위|아래|보낸|올린)\s)?사진(?:은|는|이|을|에|의|들)?(?:\s?[속안]에?)?"
    r"|\b(?:(?:this|that|the|my)\s)?(?:photo|picture)s?\b",
    re.IGNORECASE,
)
# Possessive, so that nothing is read twice however a message is made: no repetition gives back what it took.
_GREETING = re.compile(
    r"\W*+(?:안녕\S*+|하이|헬로\S*+|반가\S*+|hi|hello|hey|good (?:morning|afternoon|evening))(?:\s++there)?+\W*+\Z",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"\W*+(?:고마\S*+|감사\S*+|thanks?+|thank you|ty)(?:\s++(?:so much|a lot|you|합니다|해요))?+\W*+\Z", re.IGNORECASE
)
# Several things in one message, of which all white space is single blanks: no repetition at all.
_AND = re.compile(r" ?[,、&] ?|(?<=\S)(?:이랑|랑|하고|와|과) | (?:및|그리고|또는|and|or) ", re.IGNORECASE)
_MOST_THINGS = 4
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")

# What a question names → the kind of centre that takes it.
_KINDS = (
    ("CENTER_KIND_BATTERY", re.compile(r"전지|배터리|\bbatter(?:y|ies)\b", re.IGNORECASE)),
    ("CENTER_KIND_LAMP", re.compile(r"형광등|전구|조명|\b(?:lamps?|bulbs?|fluorescent)\b", re.IGNORECASE)),
    (
        "CENTER_KIND_MEDICINE",
        re.compile(r"의약품|알약|물약|약국|\b(?:medicines?|pills?|drugs?|pharmacy)\b", re.IGNORECASE),
    ),
    ("CENTER_KIND_ELECTRONICS", re.compile(r"가전|전자제품|\b(?:electronics?|appliances?)\b", re.IGNORECASE)),
    ("CENTER_KIND_CLOTHING", re.compile(r"의류|헌\s?옷|\b(?:cloth(?:es|ing)|textiles?)\b", re.IGNORECASE)),
    ("CENTER_KIND_PAPER_PACK", re.compile(r"종이팩|우유팩|\bcartons?\b", re.IGNORECASE)),
    ("CENTER_KIND_ZERO_WASTE_SHOP", re.compile(r"제로\s?웨이스트|리필|\bzero[- ]waste\b|\brefill\b", re.IGNORECASE)),
    ("CENTER_KIND_RECYCLING_CENTER", re.compile(r"재활용\s?센터|\brecycling cent(?:er|re)s?\b", re.IGNORECASE)),
)
# A rule's middle category → the kind of centre that takes what it is about.
_KIND_OF_CATEGORY = {
    "전지": "CENTER_KIND_BATTERY",
    "조명제품": "CENTER_KIND_LAMP",
    "전기전자제품": "CENTER_KIND_ELECTRONICS",
    "의류및원단": "CENTER_KIND_CLOTHING",
    "종이팩": "CENTER_KIND_PAPER_PACK",
}


# What a question asks of how a municipality collects, by name of the topic.
_WHEN = r"언제\s?(?:내놓|내놔|내다|버리|버려|배출|수거)|\bwhen\b.{0,40}\b(?:collect|put out|pick(?:ed)? up)"
_TOPIC_WORDS = {
    "REGION_TOPIC_HOURS": rf"{_WHEN}|몇\s?시(?!간)|(?:배출|수거)\s?시간|\bwhat time\b|\bcollection (?:time|hour)s?\b",
    "REGION_TOPIC_DAYS": rf"{_WHEN}|요일|배출일|수거일|(?:버리는|내놓는)\s?날|\b(?:which|what|collection) days?\b",
    "REGION_TOPIC_PAID_BAG": r"봉투.{0,5}(?:값|가격|얼마)|\b(?:price|cost|how much)\b.{0,30}\bbags?\b"
    r"|\bbags?\b.{0,15}\b(?:price|cost)",
    "REGION_TOPIC_FOOD_WASTE": r"음식물?\s?쓰레기|\bfood (?:waste|scraps?)\b",
    "REGION_TOPIC_BULKY_WASTE": r"대형\s?(?:폐기물|쓰레기)|\bbulky\b",
}
_TOPICS = {topic: re.compile(pattern, re.IGNORECASE) for topic, pattern in _TOPIC_WORDS.items()}
# Nobody but the municipality can say.
_LOCAL = frozenset({"REGION_TOPIC_HOURS", "REGION_TOPIC_DAYS", "REGION_TOPIC_PAID_BAG"})
_TOPIC_OF_CATEGORY = {"음식물류폐기물": "REGION_TOPIC_FOOD_WASTE", "대형폐기물": "REGION_TOPIC_BULKY_WASTE"}
_REGION = re.compile(
    r"동네|지역|지자체|구청|시청|군청|규정|조례|우리\s?[구시군](?:[는은에의도]|\s|$)"
    r"|\bregion|\bdistrict|\bmunicipal|\bneighbou?rhood\b|\bwhere i live\b|\bmy (?:city|town|area)\b",
    re.IGNORECASE,
)


def detect_language(text: str) -> str:
    """ "ko" when there is Hangul in the text or no letter of another script, else "en"."""
    return "ko" if _HANGUL.search(text) or not any(letter.isalpha() for letter in text) else "en"


def wants_places(question: str) -> bool:
    return _PLACES.search(question) is not None


def wants_analyses(question: str) -> bool:
    return _ANALYSES.search(question) is not None


def find_topics(question: str) -> frozenset[str]:
    """Names of RegionTopic."""
    return frozenset(topic for topic, pattern in _TOPICS.items() if pattern.search(question))


def find_category_topics(categories: Iterable[str]) -> frozenset[str]:
    """What municipalities arrange each in their way, of rules of these middle categories."""
    return frozenset(_TOPIC_OF_CATEGORY[each] for each in categories if each in _TOPIC_OF_CATEGORY)


def wants_region(question: str) -> bool:
    """Whether it asks what a municipality says."""
    return _REGION.search(question) is not None or not _LOCAL.isdisjoint(find_topics(question))


def refers_back(question: str) -> bool:
    """Whether it may be about what was spoken of before: short, and with words that lean on something."""
    return len(question.split()) <= _SHORT and _BACK.search(question.strip()) is not None


def without_photo(question: str) -> str:
    """The question without the words for the photo that it came with: a photo is a thing to throw away too."""
    return _PHOTO.sub(" ", question).strip()


def is_greeting(question: str) -> bool:
    return _GREETING.match(question) is not None


def is_thanks(question: str) -> bool:
    return _THANKS.match(question) is not None


def split_things(question: str) -> list[str]:
    """The parts of a question that may each name a thing of its own; none when it is about one."""
    parts = [part for part in _AND.split(" ".join(question.split())) if part.strip()]
    return parts if 1 < len(parts) <= _MOST_THINGS else []


def find_center_kind(question: str, categories: list[tuple[str, str]]) -> str | None:
    """Name of the kind of centre that takes the thing, for the (middle category, text) of its rules, else for the words
    of the question."""
    for category, text in categories:
        if category in _KIND_OF_CATEGORY:
            return _KIND_OF_CATEGORY[category]
        if category == "생활계유해폐기물" and re.search(r"약국|pharmacy", text):
            return "CENTER_KIND_MEDICINE"
    return next((kind for kind, pattern in _KINDS if pattern.search(question)), None)
