"""What a case says of one rpc, and how an rpc is called over REST and over native gRPC.

Each file beside this one has the CASES of the domain whose name it bears, by `Service.Method`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from gateway.openapi import OPEN
from stack.api import Mesh
from stack.home import CHECKOUT
from tests.e2e.conftest import App, Outside

Request = dict[str, Any]
# A bad value for a time.
NO_TIME = "no time"
# What somebody else hears of a list: something else, without any id that is in the owner's answer.
APART = "OK, and nothing of the owner's"


class Person(App):
    """A user who can also reach what lies outside the mesh."""

    def __init__(self, mesh: Mesh, outside: Outside):
        super().__init__(mesh.edge_url)
        self.outside = outside

    @property
    def token(self) -> str:
        return self.tokens["access_token"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One rpc.

    good: gives a request that succeeds for this person, as proto JSON, having made the objects that it is about.
    bad: (field, value); the good request with this value instead is INVALID_ARGUMENT, and the error names the field.
    None only where there is no field.
    others: what the good request is for somebody else: a status code (OK where it is no worse than for the first), or
    APART.
    refused: of an rpc that takes no token, (field, value, status code) of a credential that is not accepted; None where
    everybody may call it.
    alone: it ends the account of who calls it, or needs a new one, so that somebody new does each time.
    """

    good: Callable[[Person], Request]
    bad: tuple[str, Any] | None
    others: str = "NOT_FOUND"
    refused: tuple[str, Any, str] | None = None
    alone: bool = False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """code: of gRPC, by name. fields: those that the error names. answers: each message of the answer as JSON."""

    code: str
    fields: frozenset[str] = frozenset()
    answers: tuple[Request, ...] = ()
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Rpc:
    """A public rpc."""

    method: MethodDescriptor

    @property
    def is_open(self) -> bool:
        return self.method.containing_service.full_name in OPEN

    def over_rest(self, mesh: Mesh, request: Request, token: str | None) -> Outcome:
        rule = self.method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        left = dict(request)
        path = re.sub(r"\{(\w+)\}", lambda found: quote(str(left.pop(found[1])), safe=":"), getattr(rule, verb))
        body = left if rule.body == "*" else left.pop(rule.body, {}) if rule.body else None
        query = {} if rule.body == "*" else dict(_flat(left))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=mesh.edge_url, timeout=60) as http:
            answer = http.request(
                verb.upper(), path, params=query, headers=headers, **({} if body is None else {"json": body})
            )
        assert answer.headers["content-type"] == "application/json", (answer.status_code, answer.headers, answer.text)
        if answer.status_code == 200:
            texts = answer.text.splitlines() if self.method.server_streaming else [answer.text]
            # What the contract does not have fails here.
            kind = message_factory.GetMessageClass(self.method.output_type)
            return Outcome("OK", answers=tuple(_plain(json_format.Parse(text, kind())) for text in texts))
        error = answer.json()
        bad = [detail for detail in error["details"] if detail["@type"].endswith("google.rpc.BadRequest")]
        fields = frozenset(violation["field"] for detail in bad for violation in detail["field_violations"])
        return Outcome(code_pb2.Code.Name(error["code"]), fields, message=error["message"])

    def over_grpc(self, mesh: Mesh, request: Request, token: str | None) -> Outcome:
        times = [name for name, value in request.items() if value == NO_TIME]
        rest = {name: value for name, value in request.items() if name not in times}
        asked = json_format.ParseDict(rest, message_factory.GetMessageClass(self.method.input_type)())
        for name in times:
            # The year 9999 was long ago.
            getattr(asked, name).seconds = 1 << 50
        read = message_factory.GetMessageClass(self.method.output_type).FromString
        metadata = [("authorization", f"Bearer {token}")] if token else []
        path = f"/{self.method.containing_service.full_name}/{self.method.name}"
        with grpc.insecure_channel(mesh.edge_target) as channel:
            # Also for an rpc with one answer, which is a stream of one.
            call = channel.unary_stream(path, type(asked).SerializeToString, read)
            try:
                return Outcome("OK", answers=tuple(map(_plain, call(asked, metadata=metadata, timeout=60))))
            except grpc.RpcError as error:
                fields: set[str] = set()
                status, bad = rpc_status.from_call(error), error_details_pb2.BadRequest()
                for detail in status.details if status else ():
                    if detail.Unpack(bad):
                        fields |= {violation.field for violation in bad.field_violations}
                return Outcome(error.code().name, frozenset(fields), message=error.details())


def with_field(request: Request, path: str, value: object) -> Request:
    """The request with another value in a field; dots lead into messages."""
    name, _, rest = path.partition(".")
    return request | {name: with_field(request.get(name, {}), rest, value) if rest else value}


def _flat(request: Request, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in request.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _plain(message) -> Request:
    return json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True))


def public_rpcs() -> dict[str, Rpc]:
    """Every rpc of every service that is not internal, by `eco2.<domain>.v1.Service.Method`."""
    found = {}
    for proto in sorted((CHECKOUT / "proto/eco2").rglob("*.proto")):
        if proto.name == "internal.proto":
            continue
        module = ".".join(proto.relative_to(CHECKOUT / "proto").with_suffix("").parts) + "_pb2"
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
            found |= {method.full_name: Rpc(method) for method in service.methods}
    return found


def all_cases() -> dict[str, Case]:
    """By the full names of their rpcs."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem != "case":
            cases = importlib.import_module(f"tests.e2e.cases.{file.stem}").CASES
            found |= {f"eco2.{file.stem}.v1.{name}": case for name, case in cases.items()}
    return found
