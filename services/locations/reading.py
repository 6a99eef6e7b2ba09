"""Files of public data as rows of text, whatever their format and encoding. Nothing in a file is lost without a word:
what is no row comes back as a problem.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from services.locations import columns

# Of strings between which the encoding may change: none is part of a character in CP949, whose second bytes are
# above 0x40.
_BREAK = re.compile(rb'([\n",\t;|]+)')
_HANGUL = re.compile("[가-힣ㄱ-ㆎ]")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PREAMBLE = 10


@dataclasses.dataclass
class Row:
    """number: the line in a CSV, the position in JSON, from 1. problem: why these are no cells; or empty."""

    number: int
    cells: dict[str, Any]
    problem: str = ""


@dataclasses.dataclass
class Table:
    """A file as read. about: what it says of itself, in one string. url: where it says that it comes from."""

    format: str
    encoding: str
    about: str
    url: str
    rows: list[Row]


class Unreadable(Exception):
    """The file as a whole is nothing that is understood."""


def read(data: bytes) -> Table:
    """Fails with Unreadable."""
    text, encoding = decode(data)
    if not text.strip():
        raise Unreadable("the file is empty")
    if data[:2] == b"PK" or text.lstrip()[:1] == "<" or "\0" in text:
        raise Unreadable("neither CSV nor JSON; save it as one of these")
    if text.lstrip()[0] in "[{":
        return _json(text, encoding)
    return _csv(text, encoding)


def decode(data: bytes) -> tuple[str, str]:
    """The text, and the encodings found. Where bytes are in no encoding that is known, it has U+FFFD."""
    for mark, encoding in _BOMS:
        if data.startswith(mark) and encoding != "utf-8":
            return data[len(mark) :].decode(encoding, "replace"), encoding
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        found: set[str] = set()
        text = "".join(_decode_piece(piece, found) for piece in _BREAK.split(data))
        return text, "+".join(sorted(found))


def _decode_piece(piece: bytes, found: set[str]) -> str:
    if piece.isascii():
        return piece.decode()
    decoded = {}
    for encoding in ("utf-8", "cp949"):
        try:
            decoded[encoding] = piece.decode(encoding)
        except UnicodeDecodeError:
            continue
    # A few syllables of CP949 happen to be valid UTF-8, but then of Latin or Greek letters.
    encoding = next((name for name, text in decoded.items() if _HANGUL.search(text)), next(iter(decoded), "unknown"))
    found.add(encoding)
    return decoded.get(encoding) or piece.decode("utf-8", "replace")


def _json(text: str, encoding: str) -> Table:
    try:
        content = json.loads(text)
    except RecursionError:
        raise Unreadable("JSON that is nested too deeply") from None
    except ValueError as error:
        rows = list(_lines(text))
        if all(row.problem for row in rows):
            raise Unreadable(f"not readable as JSON: {error}") from None
        return Table("JSON lines", encoding, "", "", rows)
    top = content if isinstance(content, dict) else {}
    about = " ".join(str(value) for value in top.values() if isinstance(value, str))
    found = [_flat(each) if isinstance(each, dict) else each for each in _records(content)]
    rows = [
        Row(number, each) if isinstance(each, dict) else Row(number, {}, "is not an object")
        for number, each in enumerate(found, start=1)
    ]
    url = next((value for value in top.values() if isinstance(value, str) and value.startswith("http")), "")
    kind = "GeoJSON" if top.get("type") == "FeatureCollection" else "JSON"
    return Table(kind, encoding, about, url, rows)


def _lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError:
                yield Row(number, {}, "is not readable as JSON")
                continue
            yield Row(number, _flat(value)) if isinstance(value, dict) else Row(number, {}, "is not an object")


def _records(content: Any) -> Iterator[Any]:
    """What the lists in it hold, at any depth, and objects under keys that are no list but look like a place."""
    if isinstance(content, list):
        for each in content:
            if isinstance(each, dict) and not _is_record(each) and _holds_records(each):
                yield from _records(each)
            else:
                yield each
    elif isinstance(content, dict):
        for value in content.values():
            if isinstance(value, dict) and _is_record(value):
                yield value
            elif isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
                yield from _records(value)


def _is_record(each: dict) -> bool:
    return each.get("type") == "Feature" or len(columns.known(each) & {"latitude", "longitude", "pair", "address"}) > 0


def _holds_records(each: dict) -> bool:
    return any(isinstance(value, list) and any(isinstance(member, dict) for member in value) for value in each.values())


def _flat(each: dict) -> dict[str, Any]:
    """A GeoJSON feature as its properties and its point; pairs of columns NAME_01, VALUE_01 as one column each."""
    geometry = each.get("geometry")
    if each.get("type") == "Feature" and isinstance(each.get("properties"), dict):
        each = dict(each["properties"])
        point = _point(geometry)
        if point and not {"latitude", "longitude"} <= columns.known(each):
            each |= {"longitude": point[0], "latitude": point[1]}
    named = {
        str(value): each.get(f"VALUE_{key[5:]}")
        for key, value in each.items()
        if re.fullmatch(r"NAME_\d+", str(key)) and value
    }
    return {name: value for name, value in named.items() if name not in each} | each


def _point(geometry: Any) -> list | None:
    while isinstance(geometry, dict) and geometry.get("geometries"):
        geometry = geometry["geometries"][0] if isinstance(geometry["geometries"], list) else None
    point = geometry.get("coordinates") if isinstance(geometry, dict) and geometry.get("type") == "Point" else None
    return point if isinstance(point, list) and len(point) >= 2 else None


def _csv(text: str, encoding: str) -> Table:
    lines = text.splitlines()
    best, delimiter, header_at = 0, ",", 0
    for at, line in enumerate(lines[:_PREAMBLE]):
        for candidate in ",\t;|":
            names = next(csv.reader([line], delimiter=candidate), [])
            if (score := len(columns.known(dict.fromkeys(names, "")))) > best:
                best, delimiter, header_at = score, candidate, at
    if best < 2:
        raise Unreadable("no line near the top names the columns of places")
    # Not the lines: a cell in quotes may hold line breaks.
    reader = csv.reader(io.StringIO("\n".join(lines[header_at:])), delimiter=delimiter)
    names = [name.strip() for name in next(reader)]
    rows = []
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            rows.append(Row(header_at + reader.line_num, {}, f"is not readable as CSV: {error}"))
            continue
        if cells is None:
            return Table("CSV", encoding, " ".join(lines[:header_at]), "", rows)
        number = header_at + reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(names) :]):
            rows.append(Row(number, {}, f"has {len(cells)} cells under {len(names)} columns"))
        elif [cell.strip() for cell in cells] != names:
            rows.append(Row(number, dict(zip(names, cells, strict=False))))
