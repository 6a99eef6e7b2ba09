"""The REST API as OpenAPI 3.1, from the descriptor set that Envoy transcodes by, so that the two cannot differ.

Field names are the protos' (Envoy preserves them), 64-bit integers are strings, bytes are base64: proto JSON. What a
request must satisfy comes from its buf.validate rules, what things mean from the protos' comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, MethodDescriptorProto

BASE = "/api"
# Everything else needs an access token.
OPEN = {"eco2.auth.v1.AuthService", "eco2.users.v1.ErasureService"}
# Request bodies by rpc, as "eco2.auth.v1.AuthService.Register".
EXAMPLES = json.loads((Path(__file__).parent / "examples.json").read_text())

Schema = dict[str, Any]
_F = FieldDescriptorProto
_SCALARS: dict[int, Schema] = {
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_BYTES: {"type": "string", "format": "byte"},
    _F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _F.TYPE_FLOAT: {"type": "number", "format": "float"},
    _F.TYPE_INT32: {"type": "integer", "format": "int32"},
    _F.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    _F.TYPE_INT64: {"type": "string", "format": "int64"},
    _F.TYPE_UINT64: {"type": "string", "format": "uint64"},
}
_KNOWN: dict[str, Schema] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
    ".google.protobuf.FieldMask": {"type": "string"},
    ".google.protobuf.Struct": {"type": "object"},
    ".google.protobuf.Value": {},
    ".google.protobuf.Empty": {"type": "object"},
}
_ABOUT = (Path(__file__).parent / "about.md").read_text()
_ERROR: Schema = {
    "description": "google.rpc.Status; the first detail is an ErrorInfo with a reason.",
    "type": "object",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "Of gRPC."},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "items": {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}},
        },
    },
}


class Catalogue:
    """The messages, enums and comments of a descriptor set, and the schemas asked for so far."""

    def __init__(self, descriptor_set: bytes):
        self.files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
        self.comments: dict[str, str] = {}
        self.schemas: dict[str, Schema] = {}
        for file in self.files:
            said = {
                tuple(place.path): " ".join(place.leading_comments.split())
                for place in file.source_code_info.location
                if place.leading_comments
            }
            for number, message in enumerate(file.message_type):
                self._enter(f".{file.package}", message, (4, number), said)
            for number, enum in enumerate(file.enum_type):
                self.enums[f".{file.package}.{enum.name}"] = enum
                self.comments[f".{file.package}.{enum.name}"] = said.get((5, number), "")
            for number, service in enumerate(file.service):
                for index, method in enumerate(service.method):
                    comment = said.get((6, number, 2, index), "")
                    self.comments[f"{file.package}.{service.name}.{method.name}"] = comment

    def _enter(self, scope: str, message: DescriptorProto, path: tuple, said: Mapping[tuple, str]) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name], self.comments[name] = message, said.get(path, "")
        for number, field in enumerate(message.field):
            self.comments[f"{name}.{field.name}"] = said.get((*path, 2, number), "")
        for number, nested in enumerate(message.nested_type):
            self._enter(name, nested, (*path, 3, number), said)
        for number, enum in enumerate(message.enum_type):
            self.enums[f"{name}.{enum.name}"] = enum
            self.comments[f"{name}.{enum.name}"] = said.get((*path, 4, number), "")

    def reference(self, name: str, asked: bool) -> Schema:
        """asked: in a request, where the rules hold; an answer may leave empty what a request must not."""
        if name in _KNOWN:
            return dict(_KNOWN[name])
        key = name[1:] + (".Asked" if asked and name in self.messages else "")
        if key not in self.schemas:
            self.schemas[key] = {}
            made = self._message(name, asked) if name in self.messages else self._enum(name)
            self.schemas[key] |= _described(made, self.comments[name])
        return {"$ref": f"#/components/schemas/{key}"}

    def _enum(self, name: str) -> Schema:
        return {"type": "string", "enum": [value.name for value in self.enums[name].value]}

    def _message(self, name: str, asked: bool, without: frozenset[str] = frozenset()) -> Schema:
        fields = [field for field in self.messages[name].field if field.name not in without]
        required = [field.name for field in fields if asked and _is_required(field)]
        properties = {field.name: self.field(name, field, asked) for field in fields}
        if asked:
            properties |= {each: _or_null(made) for each, made in properties.items() if each not in required}
        made: Schema = {"type": "object", "properties": properties}
        return made | ({"required": required} if required else {})

    def body(self, name: str, in_path: set[str]) -> Schema:
        """The schema of a whole request in a body, without what its path says."""
        top = frozenset(each for each in in_path if "." not in each)
        return self._message(name, True, top) if top else self.reference(name, True)

    def field(self, scope: str, field: FieldDescriptorProto, asked: bool) -> Schema:
        entry = self.messages.get(field.type_name)
        rules = field.options.Extensions[validate_pb2.field] if asked else validate_pb2.FieldRules()
        if entry is not None and entry.options.map_entry:
            made = {"type": "object", "additionalProperties": self._single(entry.field[1], asked)}
        elif field.label == _F.LABEL_REPEATED:
            made = {"type": "array", "items": self._single(field, asked) | _limits(rules.repeated.items)}
            bounds = {"minItems": rules.repeated.min_items, "maxItems": rules.repeated.max_items}
            made |= {name: value for name, value in bounds.items() if value}
        else:
            made = self._single(field, asked) | _limits(rules)
        return _described(made, self.comments.get(f"{scope}.{field.name}", ""))

    def _single(self, field: FieldDescriptorProto, asked: bool) -> Schema:
        if field.type in (_F.TYPE_MESSAGE, _F.TYPE_ENUM):
            return self.reference(field.type_name, asked)
        return dict(_SCALARS[field.type])

    def query(self, scope: str, without: set[str], prefix: str = "") -> Iterator[Schema]:
        """The fields of a request that neither its path nor its body says, a parameter each."""
        for field in self.messages[scope].field:
            name = prefix + field.name
            if name in without:
                continue
            if field.type == _F.TYPE_MESSAGE and field.type_name not in _KNOWN:
                yield from self.query(field.type_name, without, f"{name}.")
            else:
                made = {"name": name, "in": "query", "schema": self.field(scope, field, True)}
                yield made | ({"required": True} if _is_required(field) and not prefix else {})


def make(descriptor_set: bytes, version: str) -> Schema:
    """The document."""
    catalogue = Catalogue(descriptor_set)
    paths: dict[str, Schema] = {}
    for file in catalogue.files:
        for service in file.service:
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                for number, binding in enumerate([rule, *rule.additional_bindings]):
                    verb = binding.WhichOneof("pattern")
                    if verb is None:
                        continue
                    path = re.sub(r"=[^}]*", "", getattr(binding, verb))
                    name = f"{file.package}.{service.name}"
                    made = _operation(catalogue, name, method, path, binding.body)
                    made["operationId"] = f"{service.name}_{method.name}" + (f"_{number}" if number else "")
                    paths.setdefault(path, {})[verb] = made
    return {
        "openapi": "3.1.0",
        "info": {"title": "Eco²", "version": version, "description": _ABOUT},
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(catalogue.schemas.items())) | {"google.rpc.Status": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(catalogue: Catalogue, service: str, method: MethodDescriptorProto, path: str, body: str) -> Schema:
    in_path, comment = re.findall(r"\{([^}]+)\}", path), catalogue.comments[f"{service}.{method.name}"]
    made: Schema = {"tags": [service.split(".")[1]], "summary": comment.partition(". ")[0].rstrip(".")}
    made |= {"description": comment} | ({"security": []} if service in OPEN else {})
    made["parameters"] = [
        {"name": each, "in": "path", "required": True, "schema": _leaf(catalogue, method.input_type, each)}
        for each in in_path
    ]
    if body == "*":
        schema = catalogue.body(method.input_type, set(in_path))
    elif body:
        [field] = [field for field in catalogue.messages[method.input_type].field if field.name == body]
        schema = catalogue.field(method.input_type, field, True)
    if body:
        content: Schema = {"schema": schema}
        example = EXAMPLES.get(f"{service}.{method.name}")
        content |= {"example": example} if example is not None else {}
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    if body != "*":
        made["parameters"] += catalogue.query(method.input_type, {*in_path, body})
    answer = {"schema": catalogue.reference(method.output_type, False)}
    kinds = ("application/json", "text/event-stream") if method.server_streaming else ("application/json",)
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}}
    made["responses"] = {
        "200": {"description": "Done.", "content": dict.fromkeys(kinds, answer)},
        "default": {"description": "The error; which ones, the description says.", "content": error},
    }
    return made


def _leaf(catalogue: Catalogue, scope: str, path: str) -> Schema:
    *outer, last = path.split(".")
    for each in outer:
        [scope] = [field.type_name for field in catalogue.messages[scope].field if field.name == each]
    [field] = [field for field in catalogue.messages[scope].field if field.name == last]
    return catalogue.field(scope, field, True)


def _or_null(schema: Schema) -> Schema:
    """In the JSON of a proto, null is as good as absent."""
    if "$ref" in schema:
        described = {name: value for name, value in schema.items() if name != "$ref"}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}]} | described
    if "enum" in schema:
        schema = schema | {"enum": [*schema["enum"], None]}
    # Without a type it is any JSON, null included.
    return schema | ({"type": [schema["type"], "null"]} if "type" in schema else {})


def _described(schema: Schema, comment: str) -> Schema:
    return schema | ({"description": comment} if comment else {})


def _is_required(field: FieldDescriptorProto) -> bool:
    """Whether leaving it out is refused."""
    rules = field.options.Extensions[validate_pb2.field]
    if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE or field.proto3_optional:
        return rules.required
    string, whole = rules.string, (rules.int32, rules.int64, rules.uint32, rules.uint64)
    return (
        rules.required
        or bool(string.min_len or string.len or string.uuid or string.email or rules.bytes.min_len or rules.bytes.len)
        or any(each.gte > 0 or (each.HasField("gt") and each.gt >= 0) for each in whole)
        or "" not in (getattr(string, "in") or [""])
        or 0 in rules.enum.not_in
        or bool(rules.repeated.min_items)
    )


def _limits(rules: validate_pb2.FieldRules) -> Schema:
    found: Schema = {}
    string = rules.string
    if string.max_len or string.len:
        found["maxLength"] = string.max_len or string.len
    # Empty is as good as absent.
    may_be_empty = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
    if allowed := [*getattr(string, "in")]:
        found["enum"] = [*allowed, ""] if may_be_empty else allowed
    if may_be_empty:
        return found
    if string.min_len or string.len:
        found["minLength"] = string.min_len or string.len
    # ECMA-262 knows Unicode properties only by a flag that JSON Schema cannot set.
    if string.pattern and r"\p" not in string.pattern:
        found["pattern"] = string.pattern
    for kind in ("uuid", "email", "uri"):
        if getattr(string, kind):
            found["format"] = kind
    for numbers in (rules.int32, rules.uint32, rules.double, rules.float):
        for name, word in (
            ("gte", "minimum"),
            ("lte", "maximum"),
            ("gt", "exclusiveMinimum"),
            ("lt", "exclusiveMaximum"),
        ):
            if numbers.HasField(name):
                found[word] = getattr(numbers, name)
    return found
