"""How a question is read: folded, freed of what people say around the thing, cut into words, spelled in jamo. Pure."""

import re
import unicodedata
from collections import Counter

from services.recycle_info.situations import FIXED_BATTERY

# What people say around the thing.
_CHATTER = re.compile(
    r"(?:라벨|뚜껑|테이프|송장)\S*\s+(?:안\s?)?[떼뗴뜯닫붙떨빼]\S*|(?<=\S\s)\S+\s안\s?[떼뗐뜯빼뺀빠떨]\S*|"
    r"기름\S*\s?(?:\S+\s)?묻\S*|(?<!\S)\S*(?:먹은|마신)(?:거|것|건)(?!\S)|으?로\s?(?:된|만든)(?:거|것)?|(?<=\S\s)스티커(?=\s?(?:어디|얼마|값|비용|사|붙|$))|"
    r"(?:어떻게|어떡|어디|버[려리릴림린]|분리\s?(?:수거|배출)|재활용|배출|처리|수거|방법|신청|폐기|[0-9]+\s?[개장벌켤병](?!\S))\S*|"
    r"(?<!\S)한\s?(?:봉지|박스|상자|바구니|뭉치|묶음|보따리|무더기|가득)(?!\S)|"
    r"(?<!\S)(?:다|안|못|잘|좀|또|더|그냥|전부|통째로|따로|막|안쓰는|쓴|쓰고|남은|남긴|먹고|먹은|먹다|마신|쓰던|쓰다|쓰는|오래된|새로|"
    r"같이|함께|무료|무상|비용|얼마\S*|돈|내야|된|하는|해요?|돼(?:요|나요?|죠|\?)?|되(?!지)\S*|하[나고면죠는]\S*|해야|고장\S*|망가\S*|버전|거|것|건|게|거는|거예요|"
    r"이거|그거|저거|집에|집에서|나온|생긴|들어온|받은|산|뺀|뗀|있는|있던|있는데|있어\S*|없\S*|싶\S*|담[긴겨겼았]\S*|들[어었]\S*|교체\S*|"
    r"너무|많이|잔뜩|조금|혹시|근데|그럼|그리고|제가|저는|나는|우리|남았\S*|하려\S*|말고|중에|때|부어\S*|부으\S*|흘려\S*|넣어도|넣으면|넣나\S*|어느|무슨|쪽)(?!\S)|"
    r"['’]\w{1,2}\b|\b(?:how|what|where|which|when|who|is|are|was|it|this|that|these|those|do|does|doesn|isn|don|"
    r"i|my|me|we|our|you|your|to|the|a|an|of|on|for|and|or|go|goes|put|throw|toss|away|out|get|rid|take|off|still|dispose\w*|"
    r"disposal|discard\w*|recycl\w*|should|must|have|has|old|used|empty|bin|bins|working|best|way|proper|properly|safely|anymore|leftover|some|any|work|works|"
    r"can(?=\s+(?:i|we|you)\b))\b"
)
# The state it is in, which tells nothing of what it is.
_STATE = re.compile(
    r"(?:기름|국물|양념|커피|김치\S?|음식물?|소스|핏?물|색|때)\S{0,2}\s?(?:자국|때|범벅|안\s?[지빠닦]|[배밴뱀뱄](?![달추])|[든듦]|물\s?들|튀)\S*|"
    r"(?:유통|유효)\s?기[한간]\S*(?:\s지[난나남]\S*)?|(?<!\S)(?:고장|망가|부러|부서|깨[진졌먹져]|금\s?간|찢어|찢긴|낡|헌|오래|묵은|더[러럽]|"
    r"코팅된|기름기|얼룩|착색|변색|찌든|썩[은었어]|상한|곰팡이|녹슨|녹슬|작아|안\s?쓰|못\s?쓰|안\s?입|안\s?신|굳[은었어])\S*|"
    r"\b(?:broken|cracked|chipped|shattered|smashed|torn|ripped|worn(?: out)?|expired|outdated|old|dirty|greasy|oily|"
    r"rusty|mou?ldy|spoiled|rotten|damaged|coated|dead|half[- ](?:eaten|empty|full))\b"
)
# The rest of a word, unless it tells what a container is for: in 식용유 담긴 병 the oil tells which bottle it is.
_NOT_OF = r"\S*+(?!\s(?:페트병?|통|용기|병)(?!\S))"
# Where the thing is, what is in it, what it goes with, or the bin that the asker supposes: 화분에, 건전지가 들어있는,
# 책상이랑, 종이로, 비닐인가요.
_CIRCUMSTANCE = re.compile(
    r"(?P<kept>(?:스타|버너|레인지)\S*\s(?:(?:쓰던|\S{1,3}는)\s)?가스\S*)(?:\s(?:\S+\s)?[남들있]\S*)?|"
    rf"(?:충전식\s?)?(?:{FIXED_BATTERY})|"
    r"충전식\s?(?!건?전지|배터리)|\brechargeable\s(?!batter)|"
    rf"\S+\s(?:담[긴겨겼았]|들어\s?있|들었|묻|싸){_NOT_OF}|"
    rf"(?<!\S)(?:기름|음료|국물|물|건전지|배터리|가스)\S?\s(?:\S+\s)?(?:묻|남|들|있|없|뺀|빠지){_NOT_OF}|"
    r"\S+(?:에|에서|에도|으?로(?!\s(?:된|만든))|이?랑|인가\S*|[이기]야|인지|이나|처럼)(?=[\s?!.,]|$)|"
    r"\b(?:as|with|from|in|into|inside|without|near)\s+(?:(?:a|an|the|my|good)\s+)?\w+|\b\w+\sinside\b|"
    r"\b(?:has|have|had|some|any|still|little)\s\w+\sleft\b"
)
_MATERIALS = (
    "유리|플라스틱|나무|원목|스텐|스테인리스|철제?|쇠|금속|고무|실리콘|종이|비닐|도자기|사기|가죽|알루미늄|"
    "glass|plastic|paper|metal|wood|wooden|steel|rubber|silicone|ceramic"
)
_MADE = rf"({_MATERIALS})(?:임|류|재질\S*|이?[에예]요|입니다|인\S*|이?야|[은는이가도요])?"
_PARTS = "뚜껑|라벨|테이프|송장|스티커|마개"
_PARTS_EN = "lid|cap|cork|stopper|handle|pump|leg|label|sleeve"
# What a thing has on it, where both are named: 유리병에 플라스틱 뚜껑, paper cup plastic lid. A brand, too, tells less
# of the material than the material.
_ATTACHED = re.compile(
    rf"(?<!\S)(?:starbucks|스타벅스|스벅|이디야|투썸\S*|메가커피|빽다방)\s(?=(?:\S+\s){{0,2}}(?:{_MATERIALS}))|"
    rf"(?<=[^\s위])에\s(?:(?!\S*[은는던린인]\s)\S{{1,5}}\s)?(?:{_MATERIALS})?(?:{_PARTS}|펌프|손잡이)(?!만)\S*(?:\s[달붙있끼]\S*)?|"
    rf"\bwith\s(?:(?:an?|the|its)\s)?(?:\w+\s)?(?:{_PARTS_EN})s?\b(?:\son\b)?|"
    rf"(?P<whole>(?<!\S)(?:\S+\s)?(?:{_MATERIALS})(?!\s(?:{_PARTS}))(?:\s?[가-힣]+?|\s[a-z]+))에?\s"
    rf"(?:{_MATERIALS})\s?(?:{_PARTS}|(?:{_PARTS_EN})s?\b)(?!만)\S*"
)
# One package of something is that, unless it was emptied: 된장 한통.
_COUNTER = re.compile(
    r"(?<!\S)(?:한|두|세|반)\s?(?:통|병|캔|봉|팩|포대?|단지)(?:째로?|[을를이가은는도])?(?!\S)"
    r"(?!.*(?:(?<!\S)빈\s|빈[통병]|비[우운웠]|먹은|마신|씻|헹))"
)
# Where it comes from tells building waste: 욕실 리모델링 타일.
_WORKS = re.compile(r"(?:리모델링|인테리어|집\s?수리|공사|철거)\S*|\b(?:from\s)?(?:remodel|renovat|demoli)\w+")
# A part of a thing, or the bin that the asker supposes: beside the name of a thing it is not what is meant,
# unless its material is told too: 프라이팬 유리 뚜껑.
_BESIDE = re.compile(
    rf"(?P<kept>(?<!\S)(?:{_MATERIALS})\s(?:{_PARTS}))|"
    rf"(?<!\S)(?:{_PARTS})(?:[은는이가을를도만]|까지|채로)?(?:\s{_MADE})?(?!\S)|"
    r"(?<!\S)(?:(?:음식물?|일반|종량제|재활용|생활|대형|공사장?|유해|불연성)\s?(?:쓰레기|폐기물)(?:\s?봉투)?|음쓰|일쓰|쓰레기|"
    r"소형\s?가전|대형\s?가전|\S{1,3}\s?수거함|음식물|일반)(?:[은는이가을를도에로]|인가|이?[죠지]|아[닌니]|맞|으로)?"
    r"(?:요|가요?|데|죠)?(?=[\s?!.,]|$)|"
    r"(?:하수구|배수구|싱크대|개수대|변기)에다?(?=\s)|\bdown the (?:\w+ )?(?:drain|sink|toilet)\b|"
    r"\b(?:lids?|caps?|labels?|tape|stickers?)\b|\b(?:general|food|bulky|large|construction|hazardous|household|regular|"
    r"normal|organic|kitchen)\s(?:waste|trash|garbage|rubbish)(?:\s(?:bags?|bins?))?\b|"
    r"\b(?:trash|garbage|rubbish|small electronics?)\b|"
    r"\b(?:clothes|clothing|paper|plastics?|glass|metal|battery|film)\sbins?\b"
)
_CONTAINERS = ("통", "용기", "페트병", "페트")
# A container of plastic and what is in it, which is no material.
_CONTAINER = re.compile(rf"(?!.*(?:p[pes]|페트|{_MATERIALS})(?:통|용기)$)(.{{2,}})(?:통|용기)")
_MATERIAL = re.compile(_MADE)
# The contract keeps a question below this; what is longer is cut, so that the work for one is bounded.
MAX_LETTERS = 1000
_WORD = re.compile(r"[^\W_]+")
_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_PARTICLE = re.compile(r"(?:에서|으로|이랑|이나|이요|인데|은|는|이|가|을|를|도|의|에|로|랑|과|와|들|만|요)$")
_PLURAL = re.compile(r"(?<=[a-z]{2})(?:(?<=[sxz])es|(?<=[cs]h)es|(?<![su])s)$")
# Initial ㄲㄸㅃㅆㅉ as ㄱㄷㅂㅅㅈ, ㅐ as ㅔ, ㅒ as ㅖ, ㅙ and ㅞ as ㅚ.
_SOUND_ALIKE = str.maketrans(
    "\u1101\u1104\u1108\u110a\u110d\u1162\u1164\u116b\u1170", "\u1100\u1103\u1107\u1109\u110c\u1166\u1168\u116c\u116c"
)


def detect_language(text: str) -> str:
    """The language to answer in: "ko" when there is Hangul in the text, else "en"."""
    return "ko" if is_hangul(unicodedata.normalize("NFC", text)) else "en"


def is_hangul(text: str) -> bool:
    """Whether there is a Hangul letter in composed text."""
    return bool(_HANGUL.search(text))


def fold(text: str) -> str:
    """The text as it is compared: one form for each letter, small letters, and no null."""
    return unicodedata.normalize("NFKC", text[:MAX_LETTERS]).casefold().replace("\0", " ")


def strip_circumstances(folded: str) -> str:
    return _CIRCUMSTANCE.sub(lambda found: found["kept"] or " ", folded)


def strip_attached(folded: str) -> str:
    """Without what is said to be on the thing."""
    return _ATTACHED.sub(lambda found: found["whole"] or " ", folded)


def strip_counter(folded: str) -> str:
    """Without the package that a full amount is counted in."""
    return _COUNTER.sub(" ", folded)


def of_works(folded: str) -> list[str]:
    """Where building work is named, how building waste would be called for each word beside it."""
    bare = _WORKS.sub(" ", folded)
    works = "공사" if is_hangul(folded) else "renovation"
    return [f"{works} {word}" for word in content_words(bare)] if bare != folded else []


def strip_beside(folded: str) -> str:
    """Without the bins and the parts of a thing that it speaks of."""
    return _BESIDE.sub(lambda found: found["kept"] or " ", folded)


def material_first(folded: str) -> str:
    """The words that may name the thing, with a material at their end put before them: 도마 플라스틱 is 플라스틱 도마.
    Empty where there is none."""
    found = content_words(folded)
    if len(found) < 2 or not _MATERIAL.fullmatch(found[-1]):
        return ""
    return " ".join([_MATERIAL.fullmatch(found[-1])[1], *found[:-1]])


def strip_state(folded: str) -> str:
    """Without the words for its state; as it was when nothing else is in it."""
    bare = _STATE.sub(" ", folded)
    return bare if content_words(bare) else folded


def content_words(folded: str) -> list[str]:
    """The words that may name the thing."""
    return words(_CHATTER.sub(" ", folded))


def words(folded: str) -> list[str]:
    """Words without punctuation, English ones in the singular."""
    return [
        _PLURAL.sub("", word.removesuffix("ies") + "y" if word.endswith("ies") else word)
        for word in _WORD.findall(folded)
    ]


def identity(name: str) -> str:
    """What makes two names the same: letters alone, without spaces, case and plural."""
    return "".join(words(fold(name)))


def other_containers(name: str) -> list[str]:
    """An identity that ends in a plastic container, with the others that it may be called."""
    held = _CONTAINER.fullmatch(name)
    return [f"{held[1]}{other}" for other in _CONTAINERS] if held else []


def strip_particle(word: str) -> str:
    return _PARTICLE.sub("", word)


def length(word: str) -> int:
    """In jamo or letters, so that Hangul and Latin weigh alike."""
    return len(unicodedata.normalize("NFD", word))


def spell(word: str) -> str:
    """Letter by letter, with the jamo that sound alike written alike: 패트병 is 페트병, 부탄까스 is 부탄가스."""
    return unicodedata.normalize("NFD", word).translate(_SOUND_ALIKE)


def grams(word: str) -> Counter[str]:
    """The runs of two and three letters, with the ends marked."""
    letters = f"^{spell(word)}$"
    return Counter(letters[at : at + size] for size in (2, 3) for at in range(len(letters) - size + 1))
