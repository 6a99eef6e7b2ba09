"""What is the matter with the thing, as far as a person's words say. Pure; the tags are corpus.TAGS."""

import re
import unicodedata

# A battery that is part of the thing.
FIXED_BATTERY = (
    r"(?:건전지|배터리|전지)\S?\s?(?:(?:\S+\s)?[안못]\s?(?:빠|빼|떼|분리)|(?:분리|제거|교체)\S*\s?(?:안|못|불가|어려)|내장|일체|"
    r"(?:빠지|빼지|떼지|분리되지|분리하지)\S{0,2}\s?[않못]|(?:뺄|뗄|분리할)\s?수\S?\s?없)\S*|(?:내장|일체)형?\s?(?:배터리|전지)\S*|"
    r"\bbatter(?:y|ies)\s(?:(?:is|are|that)\s)?(?:stuck|not removable|sealed|glued|built[- ]in|"
    r"(?:won't|can't|cannot|doesn't)\s(?:come|be))(?:\s(?:out|off|inside|in|removed|replaced|taken|the|a|my))*\b|"
    r"\b(?:with\s)?(?:an?\s|the\s)?(?:built[- ]in|sealed|non[- ]removable)\s(?:\w+\s)?batter(?:y|ies)\b|"
    r"\b(?:can't|cannot|can not|couldn't)\s(?:remove|take out|get)\s(?:the\s|its\s)?batter(?:y|ies)\b"
    r"(?:\s(?:out|from|of))*"
)
# For each tag the signs of it, Korean and English, already folded to lower case.
_SIGNS = {
    "dirty": r"더[러럽]|지저분|오염|얼룩|범벅|묻[은어었음]|물\s?(?:이\s)?들[었은음]|물든|물\s?듦|눌[어러]\s?붙|"
    r"(?<!이프)(?<!이프 )(?<!티커)(?<!티커 )(?<!라벨)(?<!라벨 )자국|기름\s?(?:[기때]|찌꺼기)|"
    r"[변착]색|찌든|찌꺼기\S?\s?(?:남|붙|묻)|"
    r"(?:기름|양념|국물|김치\S?|음식|소스|핏?물|색|냄새)\S{0,3}\s?(?:배[었인임어]|[밴뱀뱄])|"
    r"(?:핏물|흙탕물)\S?\s?(?:든|들|튀)|(?:물|색|기름|냄새)\S?\s?안\s?빠|(?:안|못)\s?(?:씻|닦|헹|빨|지워)|"
    r"(?:씻|닦|헹구|빨|깨끗하)지\s?(?:않|못)|곰팡이|"
    r"\b(?:dirty|greasy|grease|oily|residue|(?<!sticker )(?<!label )stuck on|discolou?red|"
    r"stain\w*|soiled|unwashed|mou?ldy|covered in)\b|"
    r"끈적|(?:씻|닦|헹[구궈]|빨아?|세척해)\S{0,2}도\s?(?:\S{1,4}\s)?(?:냄새|미끌|미끈|그대로|안(?!\s?[되돼])|못|남)|"
    r"\bnot (?:been )?(?:clean|washed|rinsed)|\bfood on\b|"
    r"\b(?:can't|cannot|won't|doesn't) (?:be )?(?:wash|rinse|scrub|clean)|\bstill (?:smell|stink)|"
    r"\b(?:food|sauce|cheese|rice|jam|soup|oil|gum|bits|paste)\s(?:(?:is|are|still|all)\s)*stuck\b|"
    r"\bsticky\b(?! (?:tape|note|label|paper|pad))|\b(?:smell|stink)\w* (?:even )?after (?:wash|rins)",
    "clean": r"깨끗(?!하게|이)|씻[은었]|씻어\s?[둔놨놓]|헹[군궜]|닦[은았]|세척[한했]|"
    r"\b(?:(?<!be )(?:cleaned|washed|rinsed)|clean(?! (?:it|the|them|up)\b))\b",
    "wet": r"젖[은었어]|축축|물기|\b(?:wet|damp|soaked|soggy)\b",
    "contents_left": r"내용물|덜\s?(?:먹|쓴|마신|비운)|"
    r"(?:음료|국물|우유|음식|소스|기름|페인트|물)\S?\s?(?:남[은아았]|들어)|"
    r"남은\s?(?:음료|국물|우유|음식|소스|기름|페인트)|반\s?남|"
    r"\b(?:half[- ](?:full|a)|not empty|still full|contents|leftovers? in|(?:left|remaining) (?:in|inside))\b",
    "label_on": r"라벨|스티커|상표|\b(?:label|sticker)s?\b",
    "cap_on": r"뚜껑|마개|\b(?:cap|lid)s?\b",
    "tape_on": r"테이프|송장|\b(?:tape|address label)s?\b",
    "broken": r"깨[진졌지짐져]|금\s?[간갔]|박살|파손|부서|부러|파편|\b(?:broken?|shattered|cracked|smashed|chipped)\b",
    "swollen": r"부[풀푼]|빵빵|\b(?:swollen|swelling|bloated|bulging|puffed)\b",
    "worn_out": r"낡|[해헤][진졌]|구멍|닳|찢어|\b(?:worn|ripped|torn|holes?|threadbare)\b",
    "mixed_material": r"(?:복합|혼합|여러)\s?재질|재질\S?\s?섞|\b(?:mixed|different|several) materials?\b|"
    r"\b(?:can't|cannot) be (?:separated|taken apart)\b",
    "coated": r"코팅(?!\S*\s?벗)|비닐\s?(?:을\s)?입|\b(?:coated|laminated)\b",
    "shredded": r"파쇄|세단|\bshredded\b",
    "battery_inside": r"(?:건전지|배터리|전지)\S?\s?(?:들|있|포함)|"
    r"\bbatter(?:y|ies) (?:inside|in it|included)\b|\bwith (?:a |the )?batter(?:y|ies)\b",
    "battery_fixed": FIXED_BATTERY,
    "gas_left": r"가스\S?\s?(?:(?![안못]\s)\S{1,3}\s){0,2}(?:남|있|들)|"
    r"\b(?:gas (?:still )?(?:left|inside|in it)|(?:has|have|with|a little|some) gas)\b",
    "incomplete": r"(?:한|외)\s?짝|짝\S?\s?(?:잃|없)|한쪽만\s?(?:남|있|버|$)|"
    r"\b(?:(?:one|single|odd) (?:shoe|sneaker|sock|boot|glove|sandal|slipper)s?|"
    r"(?:lost|missing|without) (?:the other|its pair|one))\b",
    "oversized": r"너무\s?[큰커]|크기\S?\s?[큰커]|커서|(?:봉투|수거함)에\s?안\s?들|안\s?들어가|"
    r"\b(?:oversized|huge|too (?:big|large)|(?:doesn't|does not|won't) fit)\b",
}
_PATTERNS = {tag: re.compile(signs) for tag, signs in _SIGNS.items()}
# 안 깨진, not broken, without a label.
_DENIED_BEFORE = re.compile(
    r"(?:(?<!\S)[안못]\s?|(?:\b(?:not|never|no|without|removed|peeled off)|n't)\s(?:(?:a|an|any|the)\s)?)$"
)
# 깨지지 않은, 라벨이 없는, 뚜껑을 뗀, the label is removed.
_DENIED_AFTER = re.compile(
    r"\S{0,2}?지[는도]?\s?(?:않|못)|[은는이가을를도]?\s?(?:(?:다|이미)\s)?(?:없|[뗀뗐]|떼고|떼서|뜯[은었]|제거[한했하]|벗[긴겼])|"
    r"\S{0,2}\s?(?:건|게|것은)\s?아니|\s(?:is |are |was |already |all )*(?:removed|gone|peeled)"
)


def find_situations(text: str) -> set[str]:
    """The tags that the text states, in Korean or English; what it denies is left out ("깨지지 않은", "not broken")."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    found = {
        tag
        for tag, pattern in _PATTERNS.items()
        if any(not _is_denied(folded, sign) for sign in pattern.finditer(folded))
    }
    # Washed and still stained is dirty; what does not come out is not told to be taken out.
    found -= {"clean"} if "dirty" in found else set()
    return found - {"battery_inside"} if "battery_fixed" in found else found


def without_situations(text: str) -> str:
    """The text less its words about the state, so that what is left may name the thing: its label is none."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    for pattern in _PATTERNS.values():
        folded = pattern.sub(" ", folded)
    return folded


def _is_denied(text: str, sign: re.Match[str]) -> bool:
    return bool(_DENIED_BEFORE.search(text[: sign.start()]) or _DENIED_AFTER.match(text, sign.end()))
