"""Opening hours as data, and whether a place is open now.

Hours are a dict: "days" has for each day that is known (mon … sun, and holiday for any public holiday of Korea) a list
of [open, close] in "HH:MM", empty when it is closed; a close that is not after the open is on the next day. A day that
is absent is not known. "note" has the hours in the words of the source.

For the database, known open minutes are counted through a week of eight days, Monday to Sunday and the holiday, each
with room for 2880 minutes, so that what runs past midnight stays with the day on which it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays

SEOUL = ZoneInfo("Asia/Seoul")
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS = (*WEEK, "holiday")
OPEN, CLOSED, UNKNOWN = "OPEN", "CLOSED", "UNKNOWN"

_DAY, _ROOM = 1440, 2880
# Made at once, since the calendar would otherwise grow as it is asked, in several threads. Days that are declared
# holidays later than the library's release count as ordinary ones.
_HOLIDAYS = frozenset(holidays.country_holidays("KR", years=range(2020, 2051)))

Days = dict[str, list[list[str]]]


def state(days: Days, at: datetime) -> str:
    """OPEN, CLOSED or UNKNOWN at that instant. at: with its zone."""
    minutes = _open_minutes(days)
    if any(start <= moment < end for moment in moments(at) for start, end in minutes):
        return OPEN
    return CLOSED if _key(at.astimezone(SEOUL).date()) in days else UNKNOWN


def moments(at: datetime) -> tuple[int, int]:
    """That instant as a minute of its own day, and as one of the night after the day before."""
    local = at.astimezone(SEOUL)
    minute = local.hour * 60 + local.minute
    today, before = local.date(), local.date() - timedelta(days=1)
    return DAYS.index(_key(today)) * _ROOM + minute, DAYS.index(_key(before)) * _ROOM + _DAY + minute


def moments_multirange(at: datetime) -> str:
    """`moments`, as PostgreSQL reads an int4multirange: what meets it is open then."""
    return _written((moment, moment + 1) for moment in moments(at))


def multirange(days: Days) -> str:
    """When it is known to be open, as PostgreSQL reads an int4multirange."""
    return _written(_open_minutes(days))


def _open_minutes(days: Days) -> list[tuple[int, int]]:
    found = []
    for number, day in enumerate(DAYS):
        for opens, closes in days.get(day, ()):
            start, end = _minute(opens), _minute(closes)
            found.append((number * _ROOM + start, number * _ROOM + end + (_DAY if end <= start else 0)))
    return found


def _written(ranges: Iterable[tuple[int, int]]) -> str:
    return "{" + ",".join(f"[{start},{end})" for start, end in ranges) + "}"


def _key(day: date) -> str:
    return "holiday" if day in _HOLIDAYS else WEEK[day.weekday()]


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)
