"""What a centre is, and which two are the same one."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from typing import TypedDict
from uuid import UUID, uuid5

_NAMESPACE = UUID("0e2b7c5a-4a57-5a0c-9a3e-6f1d2c8b7e40")

# What can be brought to a centre; enum values and the CHECK in migrations/locations are named alike.
KINDS = (
    *("RECYCLING_CENTER", "MEDICINE", "BATTERY", "LAMP"),
    *("ELECTRONICS", "CLOTHING", "PAPER_PACK", "ZERO_WASTE_SHOP"),
)


class Collection(TypedDict):
    """kind: one of KINDS. confirmed: False where the source speaks of such places in general."""

    kind: str
    items: str
    note: str
    confirmed: bool
    source_url: str


@dataclasses.dataclass(frozen=True)
class Center:
    """A place and what it collects. hours: as in hours.py, with "days" and "note". source: name of the data set."""

    id: UUID
    name: str
    address: str
    latitude: float
    longitude: float
    phone: str
    website_url: str
    hours: dict
    region_code: str
    source: str
    source_url: str
    collections: list[Collection]


def identity(name: str, place: str) -> UUID:
    """The same for the same place, however it is spaced. place: the address, or what stands for it."""
    return uuid5(_NAMESPACE, f"{plain(name)}|{plain(re.sub(r'[(].*?[)]', '', place))}")


def plain(text: str) -> str:
    """Letters and digits only."""
    return re.sub(r"\W|_", "", unicodedata.normalize("NFKC", text)).lower()
