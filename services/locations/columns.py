"""What the columns of public data sets are called, and what a text says is collected."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from services.locations.centers import plain

# Our name → theirs, as plain() leaves them; the first that is not empty counts.
_NAMES = {
    "name": (
        *(
            "설치장소명",
            "설치장소",
            "시설명",
            "업소명",
            "상호명",
            "사업장명",
            "센터명",
            "재활용센터명",
            "장소명",
            "수거장소",
        ),
        *(
            "약국명",
            "명칭",
            "상호",
            "장소",
            "instlplcnm",
            "contentsname",
            "placename",
            "storename",
            "place",
            "name",
            "title",
        ),
        *("이름", "수거함명", "수거함명칭", "fcltynm", "bplcnm", "기관명"),
    ),
    "address": (
        *(
            "소재지도로명주소",
            "도로명주소",
            "소재지도로명",
            "도로명전체주소",
            "lctnroadnmaddr",
            "lctnroadnm",
            "rdnmadr",
        ),
        *("roadaddress", "addrnew", "address", "addr", "주소", "소재지", "소재지주소", "설치주소", "위치"),
        *("소재지지번주소", "지번주소", "소재지전체주소", "lctnlotnoaddr", "lnmadr", "addressjibun", "addrold"),
    ),
    "latitude": ("위도", "latitude", "lat", "coordy", "ycoord", "y좌표", "좌표y", "wgs84위도", "위도wgs84", "y"),
    "longitude": (
        *("경도", "longitude", "lng", "lon", "lot", "long", "coordx", "xcoord", "x좌표", "좌표x", "wgs84경도"),
        *("경도wgs84", "x"),
    ),
    "pair": ("coorddata", "coordinates", "coordinate", "위경도", "좌표", "위도경도", "latlng", "latlon"),
    "phone": (
        *(
            "전화번호",
            "연락처",
            "대표전화",
            "시설전화번호",
            "telno",
            "tel",
            "phone",
            "phonenumber",
            "telephone",
            "전화",
        ),
        *("관리기관전화번호", "관리부서전화번호"),
    ),
    "website": ("홈페이지", "홈페이지주소", "homepage", "website", "extradata02", "누리집", "url"),
    "items": (
        *(
            "수거품목",
            "수거품목명",
            "수거항목",
            "수거항목명",
            "수거대상",
            "품목",
            "취급품목",
            "취급품목메뉴",
            "처리품목",
        ),
        *("주요취급품목", "cltitemnm", "items", "item", "treatmentitems", "수거종류", "배출품목", "수거함종류", "종류"),
    ),
    "detail": ("세부위치", "세부위치내용", "상세위치", "실제위치", "설치위치", "dtllctn", "detail"),
    "hours": ("운영시간", "이용시간", "영업시간", "개방시간", "openinghours", "hours", "operatinghours"),
    "weekday_open": ("평일운영시작시각", "평일운영시작시간", "평일시작시간", "운영시작시각", "weekdayopen"),
    "weekday_close": ("평일운영종료시각", "평일운영종료시간", "평일종료시간", "운영종료시각", "weekdayclose"),
    "holiday_open": ("휴일운영시작시각", "휴일운영시작시간", "공휴일운영시작시각", "holidayopen"),
    "holiday_close": ("휴일운영종료시각", "휴일운영종료시간", "공휴일운영종료시각", "holidayclose"),
    "closed": ("휴무일", "휴무일정보", "정기휴무일", "휴관일", "closeddays"),
}
_OURS = {theirs: ours for ours, names in _NAMES.items() for theirs in names}

# A kind and the words for it. What the first two are is a place as a whole, whatever it takes.
_WORDS = {
    "ZERO_WASTE_SHOP": r"제로\s?웨이스트|제로\s?마켓|zero[\s_-]?waste",
    "RECYCLING_CENTER": r"재활용\s?(센터|선별)|recycl\w*[\s_-]?cent",
    "MEDICINE": r"의약품|medicine|pharma",
    "BATTERY": r"건전지|전지|배터리|batter(y|ies)",
    "LAMP": r"형광등|형광램프|램프|조명|\blamp|[\b_]lamp",
    "ELECTRONICS": r"소형\s?(폐)?가전|폐가전|전자제품|폐휴대폰|electronics",
    "CLOTHING": r"의류|헌\s?옷|cloth(es|ing)",
    "PAPER_PACK": r"종이팩|우유팩|paper[\s_-]?pack",
}
_WHOLE = ("ZERO_WASTE_SHOP", "RECYCLING_CENTER")


def pick(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The cells under our names; of several columns for one, the most exact that is not empty."""
    found: dict[str, tuple[int, Any]] = {}
    for theirs, value in cells.items():
        key = _plain(str(theirs))
        if (ours := _OURS.get(key)) and value not in (None, ""):
            rank = _NAMES[ours].index(key)
            if ours not in found or rank < found[ours][0]:
                found[ours] = rank, value
    return {ours: value for ours, (_, value) in found.items()}


def known(cells: Mapping[str, Any]) -> set[str]:
    """Which of our columns are there, empty or not."""
    return {_OURS[key] for key in map(_plain, map(str, cells)) if key in _OURS}


def kinds(data_set: str, items: str) -> list[str]:
    """What is collected, going by what the data set is about and what the row says. Both may name several."""
    about, here = _named(data_set), _named(items)
    for kind in _WHOLE:
        if kind in about:
            return [kind]
    # Of a data set about bins for lamps and batteries, this may be one for batteries only.
    return [kind for kind in here if kind in about] or here or about


@functools.lru_cache(maxsize=4096)
def _named(text: str) -> list[str]:
    return [kind for kind, words in _WORDS.items() if re.search(words, text, re.IGNORECASE)]


@functools.lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return plain(name)
