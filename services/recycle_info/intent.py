"""Do the words ask how to throw something away, or something else? Pure: signs, which finder.py weighs.

What people do with a thing otherwise has no end, so whoever asks how, where or whether to do something asks for
something else unless the verb is one of throwing away.
"""

import re

# Verbs of getting rid of a thing and of readying it for that, as they begin.
_RID_KO = (
    "버[리려릴림]|내[놓다]|분[리해]|배출|처[리분]|재활용|폐기|수거|신[고청]|기부|나[누눔]|제거|해체|떼|뜯|빼|묶|접|비우|헹구|씻|"
    "모으|없애|치우|넣|받|찾|있|가져|보내|구분|갖다|주는|담|싸는|말리|밀봉|압축|자르|뚫|되|알"
)
_RID_EN = (
    "throw|toss|dispos|discard|recycl|get(?:ting)? (?:rid|money|a refund|my deposit)|put|sort|separat|bin|dump|remov|"
    "tak|peel|rins|empty|crush|flatten|do\\b|drop|leav|giv|donat|handl|mix|just|send|return|bring|pour|flush|compost|trash|"
    "wrap|bag|tell|know|find|pay|deal|declutter|bury|burn|(?:i|we|go)\\b"
)
_THROWS_AWAY = re.compile(
    r"버[려리릴림린렸]|분리\s?(?:수거|배출)|분리해|재활용|배출|수거|처리|폐기|쓰레기|종량제|음쓰|내놓|떼야|떼어|헹[구궈]|씻어|"
    r"(?:하수구|배수구|싱크대|개수대|변기)\S*\s(?:\S+\s)?(?:붓|부[어으]|흘[려리]|내[려리]|쏟|넣)|"
    r"\b(?:throw|thrown|dispos\w*|recycl\w*|bins?|trash|garbage|rubbish|discard\w*|toss|get(?:ting)? rid|waste|"
    r"drop off|(?:do|does|should|can)\b.*\b(?:go|put)|goes? in|(?:pour|flush|tip)\w*\b.*\b(?:drain|sink|toilet))\b"
)
# These leave no doubt, whatever else is said.
_DISCARDS = re.compile(
    r"버[려리릴림린렸](?!지\s?(?:말|않))|폐기|내놓|분리\s?(?:수거|배출)|수거|처[리분]|종량제|마대|스티커|"
    r"\b(?:throw\w*|thrown|dispos(?:e|ed|ing|al)|discard\w*|recycled?(?! bin)|recycling|get(?:ting)? rid|trash|"
    r"(?:food|general) waste)\b"
)
_ASKS_ELSE = re.compile(
    r"추천|레시피|끓이|삶아|요리|만드는|만들기|맛있|맛집|사려|살까|구매|주문|가격|시세|칼로리|날씨|사용법|청소하|세탁하|"
    r"빨래\s?(?:하|방법|법)|세일|할인|고치|수리|설치|뭐가\s?좋|어떤\s?[게거걸]|빌[리릴려]|드라이클리닝|어디\s?[꺼것게]|[가이]\s?좋[아을은]|"
    r"어울|사이즈|요금|전기세|키우|고르|골라|먹어야|먹을까|알려줘|누구|언제|몇\s?(?:시|번|살|도|분|인치|년)|브랜드|산책|"
    r"삭제|복[구원]|되살리|해몽|꿈(?:을|\s|$)|바탕화면|휴지통\s?비우|(?:컴퓨터|윈도우|메일함?|드라이브)\S?\s휴지통|"
    r"(?:하수구|배수구|싱크대|변기)\S?\s?(?:막[혀혔히힌]|뚫|냄새)|"
    r"(?:공사|인테리어|리모델링|철거)\S?\s?(?:비용|견적|업체|기간)|"
    r"(?:파일|폴더|메일|통장|데이터|컴퓨터)\S?\s?정리(?!함)|"
    r"꿀팁|배우|선물[하로]|용량|적당|전자레인지\S*\s?[돌데]|"
    r"사는\s?[게곳데]|어디\S?\s?(?:사|팔)(?:[요나지]|$)|(?<!\S)싸게|(?<!\S)싼\s?[곳데게]|[게이가]\s?싸(?:[요다지?]|$)|파는\s?[게곳데]|"
    r"(?:교체|수리|충전|세탁|구입)\s?(?:비용?|값)|(?:교체|청소|세탁|관리)\s?(?:주기|시기|업체|$)|(?:충전|먹|마셔|써|입|발라|데워|얼려|돌려)\S?도\s?[되돼괜]|"
    rf"(?<!\S)(?!{_RID_KO})\S+(?:는\s?(?:법|방법|곳|시간|이유|요령)|\s?방법|고\s?싶)|(?<!\S)(?!{_RID_KO})\S+법(?!\S)|"
    r"\b(?:undelete|deleted?|deleting|restore|recover|(?:empty|clear) (?:the |my )?recycle bin|"
    r"recommend\w*|recipe|cook|bought|buy|price|cost|cheap\w*|best|calor\w+|repair|replacement|near me|weather|"
    r"healthy|bad for|learn|who|when|why|tell me|write|book a|translate|waterproof|brand|last longer|worth it|warranty|"
    r"too (?!big|large|old|dirty|damaged|heavy|small|greasy|many|much|long|wide)\w+|"
    r"(?:what|which) size|i need a|(?:is|are) (?:good|better)|how (?:far|tall|old|many|long)|"
    r"(?:should i|to|do i|i) (?:eat|wear|cook|fix|make|use|change|reset|play|watch|match))\b|"
    r"\b(?:how (?:to|(?:do|can|should) (?:i|you|we))|(?:can|may) (?:i|you|we)|where (?:to|(?:do|can) (?:i|you|we))|"
    rf"(?:want|safe|ok|okay) to)\s(?:(?:properly|safely|best|correctly|even|also|still)\s)?(?!(?:{_RID_EN}))[a-z]"
)
# What came before is no question: 요리하고 남은 기름.
_BEFORE = re.compile(r"(?<!\S)\S+(?:고|다가?)\s(?:남[은긴았]|나온|생긴|망가|찢|깨|부러|고장)\S*")


def throws_away(folded: str) -> bool:
    return bool(_THROWS_AWAY.search(folded))


def asks_else(folded: str) -> bool:
    return bool(_ASKS_ELSE.search(_BEFORE.sub(" ", folded))) and not _DISCARDS.search(folded)
