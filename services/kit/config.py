"""Environment → one frozen dataclass, once, in `__main__`."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def load(kind: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Fill the dataclass `kind` from the environment: field `waste_target` from WASTE_TARGET.

    A value may also be the content of the file that WASTE_TARGET_FILE names; secrets come that way. Types: str, int,
    float, Path, Literal and tuple[str, ...] (split at commas). A field without a default is required, and never empty.
    Exits with a list of everything that is wrong, so that one start shows it all.
    """
    types = typing.get_type_hints(kind)
    values, problems = {}, []
    for field in dataclasses.fields(kind):
        name = field.name.upper()
        try:
            raw = _raw(name, environ)
            if raw:
                values[field.name] = _parse(types[field.name], raw)
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                problems.append(f"{name} (or {name}_FILE) is not set")
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise SystemExit("configuration: " + "; ".join(problems))
    return kind(**values)


def secret(**options: Any) -> Any:
    """A field whose value is left out of the dataclass's repr, and so of every log."""
    return dataclasses.field(repr=False, **options)


def _raw(name: str, environ: Mapping[str, str]) -> str:
    path = environ.get(f"{name}_FILE")
    if path and name in environ:
        raise ValueError(f"set either {name} or {name}_FILE, not both")
    return Path(path).read_text().strip() if path else environ.get(name, "")


def _parse(kind: Any, raw: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        if raw not in typing.get_args(kind):
            raise ValueError(f"must be one of {', '.join(typing.get_args(kind))}, not {raw!r}")
        return raw
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    parser: Callable[[str], Any] = kind
    return parser(raw)
