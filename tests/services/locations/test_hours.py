"""Opening hours: what a text means, and what is open when. Nothing here touches a server."""

from datetime import datetime

import pytest

from services.locations import hours, hours_text
from services.locations.hours import CLOSED, OPEN, SEOUL, UNKNOWN


def each(days, spans: list[list[str]]) -> hours.Days:
    return dict.fromkeys(days, spans)


OFFICE = each(hours.WEEK[:5], [["09:00", "18:00"]]) | {"sat": [], "sun": []}
NIGHT = each(hours.WEEK[:5], [["19:00", "01:00"]]) | {"sat": [], "sun": []}


def at(day: int, clock: str) -> datetime:
    """In November 2026, whose 16th is a Monday; in Seoul."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 11, day, hour, minute, tzinfo=SEOUL)


@pytest.mark.parametrize(
    ("days", "when", "expected"),
    [
        (OFFICE, at(16, "08:59"), CLOSED),
        (OFFICE, at(16, "09:00"), OPEN),
        (OFFICE, at(16, "17:59"), OPEN),
        (OFFICE, at(16, "18:00"), CLOSED),
        (OFFICE, at(21, "12:00"), CLOSED),
        ({}, at(16, "12:00"), UNKNOWN),
        ({"mon": []}, at(17, "12:00"), UNKNOWN),
        # Past midnight belongs to the day on which it began: Friday's night reaches into Saturday, Sunday has none.
        (NIGHT, at(17, "00:30"), OPEN),
        (NIGHT, at(17, "01:00"), CLOSED),
        (NIGHT, at(21, "00:59"), OPEN),
        (NIGHT, at(16, "00:30"), CLOSED),
        ({"fri": [["19:00", "01:00"]]}, at(21, "00:30"), OPEN),
        ({"fri": [["19:00", "01:00"]]}, at(21, "01:30"), UNKNOWN),
        ({"mon": [["00:00", "24:00"]]}, at(16, "23:59"), OPEN),
        ({"mon": [["09:00", "12:00"], ["13:00", "18:00"]]}, at(16, "12:30"), CLOSED),
    ],
)
def test_what_is_open_when(days, when, expected):
    assert hours.state(days, when) == expected


@pytest.mark.parametrize(
    ("holiday", "expected"), [({}, UNKNOWN), ({"holiday": []}, CLOSED), ({"holiday": [["10:00", "14:00"]]}, OPEN)]
)
def test_a_public_holiday_has_hours_of_its_own_or_none_that_are_known(holiday, expected):
    # Friday the 25th of September 2026 is Chuseok, which moves with the moon; the Monday after it is none.
    chuseok = datetime(2026, 9, 25, 11, 0, tzinfo=SEOUL)
    assert hours.state(OFFICE | holiday, chuseok) == expected
    assert hours.state(OFFICE | holiday, datetime(2026, 9, 28, 11, 0, tzinfo=SEOUL)) == OPEN


def test_what_the_database_reads_says_the_same():
    for days in (OFFICE, NIGHT, {}, {"sun": [["22:00", "06:00"]], "holiday": [["00:00", "24:00"]]}):
        ranges = [
            range(*map(int, written.strip("[)").split(",")))
            for written in hours.multirange(days)[1:-1].split(",[")
            if written
        ]
        for day in range(16, 23):
            for clock in ("00:00", "00:30", "05:59", "06:00", "09:00", "18:00", "23:59"):
                known_open = any(moment in known for moment in hours.moments(at(day, clock)) for known in ranges)
                assert known_open == (hours.state(days, at(day, clock)) == OPEN)


WEEKDAYS = each(hours.WEEK[:5], [["09:00", "18:00"]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("월~금 09:00 ~ 18:00, 토,일 휴무", WEEKDAYS | {"sat": [], "sun": []}),
        ("평일 9시~18시\n주말, 공휴일 휴무", WEEKDAYS | {"sat": [], "sun": [], "holiday": []}),
        ("월-금 9:00-18:00", WEEKDAYS),
        ("매일 10:00~19:00 (일요일 휴무)", each(hours.WEEK, [["10:00", "19:00"]]) | {"sun": []}),
        ("수~월 11:00~19:00, 화 휴무", each(hours.WEEK, [["11:00", "19:00"]]) | {"tue": []}),
        ("화목 12시 ~ 18시 30분", each(("tue", "thu"), [["12:00", "18:30"]])),
        ("월: 정기휴무 / 일: 15:00 ~ 19:00", {"mon": [], "sun": [["15:00", "19:00"]]}),
        ("토 19:00-익일 01:00", {"sat": [["19:00", "01:00"]]}),
        ("토 19:00~25:00", {"sat": [["19:00", "01:00"]]}),
        ("연중 24시간 운영", each(hours.DAYS, [["00:00", "24:00"]])),
        # Half a rule would mislead: all of it is unknown.
        ("월~일 10:00~24:00 (2, 4번째 일요일 휴무)", {}),
        ("월~금 08:00~17:00, 예약제", {}),
        ("10:00-20:00 / 월요일 휴무", {}),
        ("월~금 25:00~26:00", {}),
        ("운영시간을 작성하세요", {}),
        ("", {}),
    ],
)
def test_hours_in_words(text, expected):
    assert hours_text.parse(text) == expected


@pytest.mark.parametrize(
    ("holiday", "closed", "rest"),
    [
        (("00:00", "00:00"), "토+일+공휴일", {"sat": [], "sun": [], "holiday": []}),
        (("00:00", "00:00"), "", {}),
        (("", ""), "매주 일요일", {"sun": []}),
        # Whose they are is not said; only where nothing of the week-end is closed can they be Sunday's.
        (("09:00", "13:00"), "일요일", {"sun": []}),
        (("09:00", "13:00"), "연중무휴", {"sun": [["09:00", "13:00"]], "holiday": [["09:00", "13:00"]]}),
        (("09:00", "13:00"), "설 연휴+추석 연휴", {}),
        (("09:00", "13:00"), "격주 토+일", {"sun": []}),
        (("09:00", "13:00"), "명절 전일 및 당일", {}),
    ],
)
def test_hours_in_columns(holiday, closed, rest):
    assert hours_text.standard(("09:00", "18:00"), holiday, closed) == WEEKDAYS | rest
