"""Opening hours from what people wrote in a cell. What is not understood whole is not known: half a rule misleads."""

from __future__ import annotations

import re
import unicodedata

from services.locations.hours import DAYS, WEEK, Days

_LETTERS = dict(zip("월화수목금토일", WEEK, strict=True))
_GROUPS = {"평일": WEEK[:5], "주말": WEEK[5:], "매일": WEEK}

_DAY = r"(?:평일|주말|매일|(?:법정|국가)?\s?공휴일|[월화수목금토일](?:요일)?)"
_CLOCK = r"(\d{1,2})(?::(\d{2})|시(?:\s?(\d{1,2})분)?)"
_CLAUSE = re.compile(
    rf"(?:매주\s?)?(?P<days>{_DAY}(?:\s?(?:[~,/·&]|및)?\s?{_DAY})*)\s*[:(/,]?\s*"
    rf"(?:{_CLOCK}\s*~\s*(익일\s?)?{_CLOCK}|(?P<shut>정기\s?휴무|휴무|휴관|휴점))"
)
_PUNCTUATION = re.compile(r"[\s,./()'\"]*")
_ALWAYS = re.compile(r"(연중무휴|연중|매일)?\s*24시간(\s*(운영|개방))?")

# What the column of closed days says, once blanks and "every" are taken away.
_CLOSED = {
    **dict.fromkeys(("토", "토요일"), ("sat",)),
    **dict.fromkeys(("일", "일요일", "일요일휴무"), ("sun",)),
    **dict.fromkeys(("토일", "주말"), ("sat", "sun")),
    **dict.fromkeys(("공휴일", "법정공휴일", "국가공휴일"), ("holiday",)),
    "국가공휴일및주말": ("sat", "sun", "holiday"),
}
_SOME_HOLIDAYS = re.compile(r"설|추석|명절|신정|1월1일|근로자|노동절")


def parse(text: str) -> Days:
    """From free text such as "월~금 09:00 ~ 18:00, 토,일 휴무". Empty when it is not understood whole."""
    text = re.sub(r"[∼〜～–—-]", "~", unicodedata.normalize("NFKC", text)).strip()
    if _ALWAYS.fullmatch(text):
        return {day: [["00:00", "24:00"]] for day in DAYS}
    days: Days = {}
    for clause in _CLAUSE.finditer(text):
        span = None if clause["shut"] else _span(clause)
        if span is None and not clause["shut"]:
            return {}
        for day in _days(clause["days"]):
            days[day] = [span] if span else []
    return days if _PUNCTUATION.fullmatch(_CLAUSE.sub("", text).replace("연중무휴", "")) else {}


def standard(weekday: tuple[str, str], holiday: tuple[str, str], closed: str) -> Days:
    """From the columns of the public standard data sets: (open, close) on weekdays and on holidays, and closed days.

    Nothing says whose the holiday hours are. They are taken for those of Sundays and holidays, and only where none of
    these is closed: else they tend to be Saturday's.
    """
    shut: set[str] = set()
    vague = some = False
    for word in re.split(r"[+,·/]", closed):
        word = re.sub(r"\s|매주", "", word)
        if word in _CLOSED:
            shut |= set(_CLOSED[word])
        elif _SOME_HOLIDAYS.search(word):
            some = True
        elif word and word != "연중무휴":
            vague = True
    days: Days = {}
    on_weekdays, on_holidays = _clocks(*weekday), _clocks(*holiday)
    if on_weekdays:
        days |= {day: [on_weekdays] for day in WEEK[:5]}
    if on_holidays and not vague and not some and not shut & {"sun", "holiday"}:
        days |= {"sun": [on_holidays], "holiday": [on_holidays]}
    return days | {day: [] for day in DAYS if day in shut}


def _days(text: str) -> list[str]:
    found: list[str] = []
    reach = False
    for token in re.findall(rf"{_DAY}|~", text):
        if token == "~":
            reach = True
        elif token in _GROUPS:
            found += _GROUPS[token]
        elif token.endswith("공휴일"):
            found.append("holiday")
        else:
            day = _LETTERS[token[0]]
            if reach and found and found[-1] in WEEK:
                start, end = WEEK.index(found[-1]), WEEK.index(day)
                found += [WEEK[number % 7] for number in range(start + 1, end + (8 if end <= start else 1))]
            else:
                found.append(day)
            reach = False
    return found


def _span(clause: re.Match) -> list[str] | None:
    hour, minute, minutes, next_day, to_hour, to_minute, to_minutes = clause.groups()[1:8]
    start = int(hour) * 60 + int(minute or minutes or 0)
    end = int(to_hour) * 60 + int(to_minute or to_minutes or 0)
    # "19:00 to 25:00" and "19:00 to 01:00 of the next day" are both written.
    if end > 1440 or (next_day and end >= 1440):
        end -= 1440
    if start >= 1440 or end > 1440 or int(minute or minutes or 0) > 59 or int(to_minute or to_minutes or 0) > 59:
        return None
    # Neither a place that never closes nor one that never opens is written like this.
    return None if start == end else [f"{start // 60:02}:{start % 60:02}", f"{end // 60:02}:{end % 60:02}"]


def _clocks(opens: str, closes: str) -> list[str] | None:
    """One span, or None when the two are no hours: the data sets write 00:00 to 00:00 for none."""
    clause = _CLAUSE.fullmatch(f"매일 {opens.strip()}~{closes.strip()}")
    return _span(clause) if clause else None
