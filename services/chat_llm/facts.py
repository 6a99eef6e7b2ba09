"""What an answer may rest on: facts that siblings gave, numbered, each with what it is cited as. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from eco2.chat_llm.v1 import chat_llm_pb2 as pb
from google.protobuf import json_format

_MARK = re.compile(r"\[(\d{1,3})\]")
# A mark, or the beginning of one, at the end of what has come so far.
_OPEN_MARK = re.compile(r"(?<!\s)\s*+\[\d{0,3}\Z")


@dataclasses.dataclass(frozen=True)
class Fact:
    """text: in the language of the answer, as its source words it. confidence: 0..1, that the user means this."""

    citation: pb.Citation
    text: str
    confidence: float = 1.0

    @property
    def number(self) -> int:
        return self.citation.number


@dataclasses.dataclass(frozen=True)
class Facts:
    """Numbered from 1, in this order. policies: what municipalities say. missing: what was looked for in vain, such as
    "NO_PLACE"."""

    analyses: tuple[Fact, ...] = ()
    rules: tuple[Fact, ...] = ()
    policies: tuple[Fact, ...] = ()
    centers: tuple[Fact, ...] = ()
    missing: frozenset[str] = frozenset()

    @property
    def all(self) -> tuple[Fact, ...]:
        return (*self.analyses, *self.rules, *self.policies, *self.centers)


def numbered(facts: Facts) -> Facts:
    """The same, each fact with its number."""
    for place, fact in enumerate(facts.all, start=1):
        fact.citation.number = place
    return facts


def to_json(citations: Sequence[pb.Citation]) -> list[dict]:
    """As stored in jsonb."""
    return [json_format.MessageToDict(each, preserving_proto_field_name=True) for each in citations]


def cited(text: str, citations: Sequence[dict]) -> list[dict]:
    """Those of the citations, in proto JSON, that the text points to."""
    used = {int(mark) for mark in _MARK.findall(text)}
    return [each for each in citations if each["number"] in used]


def without_strangers(pieces: Iterator[str], facts: Facts) -> Iterator[str]:
    """The pieces of a text without marks that point to nothing: what does not exist is not cited."""
    known, held = {fact.number for fact in facts.all}, ""

    def keep(mark: re.Match[str]) -> str:
        return mark[0] if int(mark[1]) in known else ""

    for piece in pieces:
        text = _MARK.sub(keep, held + piece)
        open_mark = _OPEN_MARK.search(text)
        held = open_mark[0] if open_mark else ""
        if whole := text.removesuffix(held):
            yield whole
    if held:
        yield held
