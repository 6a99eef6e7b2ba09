"""What a request must be before an rpc sees it: readable, and as the rules in its proto say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import protovalidate
from google.protobuf.message import DecodeError, Message

from services.kit.errors import InvalidArgument

# The pattern by which protos refuse what is empty or of blanks alone.
_NOT_BLANK = r"\S"


def reader(deserialize: Callable[[bytes], Message]) -> Callable[[bytes], Message | DecodeError]:
    """A deserializer that hands on what it stumbles over, for `validate`: gRPC itself would say INTERNAL, as if it were
    an error of ours, where somebody sent bytes that are no message or text that is not UTF-8."""

    def read(data: bytes) -> Message | DecodeError:
        try:
            return deserialize(data)
        except DecodeError as error:
            return error

    return read


def validate(request: Message | DecodeError) -> None:
    """Fails with INVALID_ARGUMENT: MALFORMED_REQUEST for what could not be read, INVALID_FIELD otherwise."""
    if isinstance(request, DecodeError):
        message = f"the request cannot be read: {request}"
        raise InvalidArgument(message, reason="MALFORMED_REQUEST", violations=(("", str(request)),))
    found = protovalidate.collect_violations(request)
    violations = tuple((_path(violation.proto.field), _said(violation)) for violation in found)
    # PostgreSQL stores no NUL in text or JSON. A string that has one shows it in the encoded message; few others do.
    if not violations and b"\0" in request.SerializeToString():
        violations = tuple((path.removeprefix("."), "must not contain NUL") for path in _paths_of_nul(request, ""))
    if violations:
        message = "; ".join(f"{field or 'request'}: {text}" for field, text in violations)
        raise InvalidArgument(message, reason="INVALID_FIELD", violations=violations)


def _said(violation: protovalidate.Violation) -> str:
    """In words that a person may be shown: nobody reads the pattern of a blank name."""
    return "must not be blank" if violation.rule_value == _NOT_BLANK else violation.proto.message


def _paths_of_nul(value, path: str) -> Iterator[str]:
    """Where a message, list, map or string has a string with a NUL; of a map's keys, the map."""
    if isinstance(value, str):
        if "\0" in value:
            yield path
    elif isinstance(value, Message):
        for field, member in value.ListFields():
            yield from _paths_of_nul(member, f"{path}.{field.name}")
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _paths_of_nul(key, path)
            yield from _paths_of_nul(member, f"{path}[{key!r}]")
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for index, member in enumerate(value):
            yield from _paths_of_nul(member, f"{path}[{index}]")


def _path(field) -> str:
    """`tasks[3].state`, as the client would write it."""
    parts = []
    for element in field.elements if field else ():
        subscript = element.subscript
        parts.append(element.field_name + (f"[{subscript.value}]" if subscript else ""))
    return ".".join(parts)
