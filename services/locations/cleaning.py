"""From a row of a public data set to a centre, or the reason why not."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from services.locations import columns, hours_text, regions
from services.locations.centers import Center, identity

# A box around South Korea with its islands.
_LATITUDES, _LONGITUDES = (32.5, 39.0), (124.0, 132.5)

_NUMBER = r"[-+]?\d+(?:[.,]\d+)?"
_DMS = re.compile(
    r"(?P<degrees>\d{1,3})\s*(?:°|도|º|:|d)\s*(?P<minutes>\d{1,2})\s*(?:['′’분:m])\s*(?P<seconds>\d{1,2}(?:\.\d+)?)"
    r"\s*(?:\"|″|”|초|s|'')?"
)
# The last is what a form says before it is filled in.
_EMPTY = re.compile(r"[-.·]*|없음|해당\s?없음|null|none|nan|n/a|.*작성하세요.*", re.IGNORECASE)
_GONE = re.compile(r"운영\s?중단|운영\s?종료|폐업|폐점|폐쇄")


class Refused(Exception):
    """A row that is no centre. reason: upper case, for counting; the text says what was found."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


def center(cells: dict[str, Any], data_set: str, kind: str, source: str, source_url: str) -> Center:
    """data_set: what the file says of itself. kind: of all its rows, or empty to find out. Fails with Refused."""
    picked = columns.pick(cells)
    if any("�" in _text(value) for value in picked.values()):
        raise Refused("UNREADABLE_TEXT", "has bytes that are neither UTF-8 nor CP949")
    name, address = _text(picked.get("name")), _text(picked.get("address"))
    if not name:
        raise Refused("NO_NAME", "has no name")
    if len(name) > 200:
        raise Refused("NAME_TOO_LONG", f"has a name of {len(name)} letters")
    if _GONE.search(name):
        raise Refused("CLOSED_DOWN", f"says that it is no more: {name}")
    latitude, longitude = _coordinates(picked)
    region = regions.locate(latitude, longitude)
    if region is None:
        raise Refused("OUTSIDE_KOREA", f"lies at {latitude}, {longitude}, which is not in South Korea")
    items = _text(picked.get("items"))
    named = [kind] if kind else columns.kinds(f"{data_set} {' '.join(map(str, cells))}", items)
    if not named:
        raise Refused("KIND_UNKNOWN", "does not say what is collected; say it with --kind")
    collection = {"items": items, "note": _text(picked.get("detail")), "confirmed": True, "source_url": source_url}
    return Center(
        id=identity(name, address or f"{latitude:.4f} {longitude:.4f}"),
        name=name,
        address=address,
        latitude=latitude,
        longitude=longitude,
        phone=_phone(_text(picked.get("phone"))),
        website_url=_website(_text(picked.get("website"))),
        hours=_hours(picked),
        region_code=region.code,
        source=source,
        source_url=source_url,
        collections=[{"kind": each, **collection} for each in named],
    )


def _coordinates(picked: dict[str, Any]) -> tuple[float, float]:
    """Latitude and longitude, put right where they are swapped or written into one cell. Fails with Refused."""
    written = [picked[each] for each in ("latitude", "longitude") if each in picked] or [picked.get("pair", "")]
    if all(_text(each) in ("", "0", "0.0") for each in written):
        raise Refused("NO_COORDINATES", "has no coordinates")
    numbers = [number for each in written for number in _degrees(each)]
    if len(numbers) < 2 and "pair" in picked:
        numbers = _degrees(picked["pair"])
    shown = ", ".join(map(_text, written))
    if len(numbers) != 2:
        raise Refused("COORDINATES_UNREADABLE", f"has coordinates that cannot be read: {shown}")
    for latitude, longitude in (numbers, reversed(numbers)):
        if _LATITUDES[0] <= latitude <= _LATITUDES[1] and _LONGITUDES[0] <= longitude <= _LONGITUDES[1]:
            return round(latitude, 8), round(longitude, 8)
    if all(number == 0 for number in numbers):
        raise Refused("NO_COORDINATES", "has no coordinates")
    if any(abs(number) > 180 for number in numbers):
        raise Refused("NOT_DEGREES", f"has coordinates of a plane, not WGS84 degrees: {shown}")
    raise Refused("OUTSIDE_KOREA", f"lies at {shown}, which is not in South Korea")


def _degrees(value: Any) -> list[float]:
    """The numbers in a cell: one, or the two of a pair; sixty minutes to a degree where they are written so."""
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [float(value)] if value == value else []
    if isinstance(value, list):
        return [number for each in value[:2] for number in _degrees(each)]
    text = _text(value)
    if turns := list(_DMS.finditer(text)):
        return [int(at["degrees"]) + int(at["minutes"]) / 60 + float(at["seconds"]) / 3600 for at in turns]
    # A comma between two numbers that have points parts them; in one without a point it is the point.
    if text.count(".") >= 2 or re.search(r"\d,\s+[-\d]", text):
        text = text.replace(",", " ")
    found = re.findall(_NUMBER, text)
    if len(found) > 2 or re.search(r"[가-힣]", re.sub(r"[북동남서]위|[북동남서]경|위도|경도|도", "", text)):
        return []
    return [float(number.replace(",", ".")) for number in found]


def _hours(picked: dict[str, Any]) -> dict:
    text, closed = _text(picked.get("hours")), _text(picked.get("closed"))
    clocks = {
        each: _text(picked.get(each)) for each in ("weekday_open", "weekday_close", "holiday_open", "holiday_close")
    }
    if any(clocks.values()):
        days = hours_text.standard(
            (clocks["weekday_open"], clocks["weekday_close"]), (clocks["holiday_open"], clocks["holiday_close"]), closed
        )
        words = [f"평일 {clocks['weekday_open']}~{clocks['weekday_close']}" if clocks["weekday_open"] else ""]
        if clocks["holiday_open"] and clocks["holiday_open"] != clocks["holiday_close"]:
            words.append(f"휴일 {clocks['holiday_open']}~{clocks['holiday_close']}")
        words.append(f"휴무 {closed}" if closed else "")
        return {"days": days, "note": ", ".join(filter(None, words))}
    return {"days": hours_text.parse(text), "note": text}


def _phone(text: str) -> str:
    """The first number; empty when there is none that fits."""
    found = re.search(r"\+?\d[\d-]{3,18}\d", re.sub(r"[\s.)]+", "-", text.replace("(", "")))
    return re.sub(r"-+", "-", found[0]) if found else ""


def _website(text: str) -> str:
    return text if re.match(r"https?://\S+\.\S+$", text) else ""


def _text(value: Any) -> str:
    """One line without blanks at its ends; empty for what stands for nothing."""
    if value is None or isinstance(value, dict):
        return ""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", str(value))).strip().strip("'")
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cc")
    return "" if _EMPTY.fullmatch(text) else text
