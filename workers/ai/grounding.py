"""Whether a sentence says no more than the lines of a rule that it is taken from. Pure.

Not a proof, but a fence with a low gate: a sentence is refused that names a number, an address or a sorting word which
the rule does not have, that turns a do into a do-not, that is in another language, or whose words are mostly not the
rule's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# The share of a sentence's words that must be the rule's.
KNOWN = 0.5
# How much longer than its line a sentence may be, in characters.
ROOM = 60

_NUMBER = re.compile(r"\d[\d,.:-]*\d|\d")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+|\b[\w-]+\.(?:com|net|org|kr|io)\b")
_WORD = re.compile(r"[a-z']+|[가-힣]+")
_NOT = re.compile(
    r"마세요|마십시오|말아|말고|말 것|않|금지|안 [돼되]|못 |아니|\b(?:not?|never|avoid|cannot)\b|n't\b",
)
# Where things go and what they are made of: naming another one is another rule.
_SORTING = re.compile(
    r"종이팩|골판지|유리|금속|플라스틱|비닐|스티로폼|의류|섬유|전지|배터리|형광등|조명|전자제품|음식물|나무|도자기|종량제"
    r"|일반 ?쓰레기|재활용|불연성|대형 ?폐기물|유해|캔|페트|태우|소각|변기|하수|주민센터|약국|스티커"
    r"|\b(?:cardboard|paper|carton|glass|metal|plastic|vinyl|film|styrofoam|foam|textile|clothes|batter|lamp|electronic"
    r"|food|wood|ceramic|general|recycl|combustible|bulky|hazardous|burn|toilet|drain|pharmac|sticker)"
)
_KOREAN = re.compile(r"[가-힣]+")
# Words that claim nothing by themselves.
_PLAIN = re.compile(
    r"먼저|다음|그리고|그다음|이제|꼭|잘|모두|또|또는|및|한번|때|후|뒤|것|수|있어요|됩니다|돼요|해요|하세요|"
    r"주세요|주시고|the|and|then|first|next|before|after|please|a|an|it|its|is|are|be|to|of|in|into|on|for|with|"
    r"that|this|so|all|any|you|your|do|can|should|make|sure|once|finally|also|as|them|they|put|when|by|not|don't"
)
_ENDINGS = re.compile(r"(?:해|하여|하고|한|할|합니다|하세요|해요|주세요|으세요|세요|어요|아요|니다)$")


def objection(sentence: str, line: str, rule: Iterable[str], language_code: str) -> str | None:
    """What is wrong with a sentence that says `line` in other words; None when nothing is. rule: all that the rule
    says, the line included."""
    said, source, known = _fold(sentence), _fold(line), _fold(" ".join(rule))
    if not said:
        return "it says nothing"
    korean = _KOREAN.findall(said)
    # A mark that is printed on the thing stays as it is: a tube marked 도포첩합.
    if not korean if language_code == "ko" else any(word not in source for word in korean):
        return "it is in another language"
    if len(said) > 2 * len(source) + ROOM:
        return "it is much longer than its line"
    for pattern, what in ((_ADDRESS, "address"), (_NUMBER, "number"), (_SORTING, "sorting word")):
        for found in pattern.findall(said):
            if found not in known:
                return f"its {what} {found!r} is not in the rule"
    if bool(_NOT.search(f"{said} ")) != bool(_NOT.search(f"{source} ")):
        return "it says the opposite of its line"
    words = [word for word in _WORD.findall(said) if not _PLAIN.fullmatch(word)]
    if sum(_is_known(word, known) for word in words) < KNOWN * len(words):
        return "most of its words are not the rule's"
    return None


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _is_known(word: str, known: str) -> bool:
    """By the beginning of the word: what is behind it is a particle or an ending."""
    if "가" <= word[0] <= "힣":
        stem = _ENDINGS.sub("", word) or word
        return stem[:2] in known
    return re.search(rf"\b{re.escape(word[:4])}", known) is not None
