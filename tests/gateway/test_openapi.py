"""The document says what the protos say, and is valid OpenAPI 3.1."""

import importlib

import protovalidate
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import openapi
from stack.home import CHECKOUT


@pytest.fixture(scope="module")
def document(descriptor_set) -> dict:
    return openapi.make(descriptor_set.read_bytes(), "1")


def bound(descriptor_set) -> dict[str, list]:
    """The REST bindings of each rpc that has one."""
    found = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()).file:
        for service in file.service:
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                if rule.WhichOneof("pattern"):
                    found[f"{file.package}.{service.name}.{method.name}"] = [rule, *rule.additional_bindings]
    return found


def test_it_is_valid(document):
    OpenAPIV31SpecValidator(document).validate()


def test_it_has_every_binding_once(document, descriptor_set):
    operations = [(verb, path) for path, verbs in document["paths"].items() for verb in verbs]
    rules = [rule for rules in bound(descriptor_set).values() for rule in rules]
    assert sorted(operations) == sorted(
        (rule.WhichOneof("pattern"), getattr(rule, rule.WhichOneof("pattern"))) for rule in rules
    )
    assert all(path.startswith("/api/v1/") or path == "/.well-known/jwks.json" for _, path in operations)
    assert all(each["summary"] for verbs in document["paths"].values() for each in verbs.values())


def test_every_body_has_an_example_that_its_rpc_takes(descriptor_set):
    for proto in (CHECKOUT / "proto").glob("eco2/*/v1/*.proto"):
        importlib.import_module(".".join(proto.relative_to(CHECKOUT / "proto").with_suffix("").parts) + "_pb2")
    with_body = {name: rules[0].body for name, rules in bound(descriptor_set).items() if rules[0].body}
    assert set(openapi.EXAMPLES) == set(with_body)
    for name, body in with_body.items():
        service, _, method = name.rpartition(".")
        asked = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method].input_type
        part = asked if body == "*" else asked.fields_by_name[body].message_type
        message = json_format.ParseDict(openapi.EXAMPLES[name], message_factory.GetMessageClass(part)())
        in_path = {"analysis_id", "avatar_id", "place_id", "conversation_id", "message_id", "image_id", "session_id"}
        wrong = [
            found
            for found in protovalidate.collect_violations(message)
            if found.proto.field.elements[0].field_name not in in_path
        ]
        assert not wrong, f"{name}: {wrong}"


def test_what_a_request_must_satisfy_is_said(document):
    asked = document["components"]["schemas"]["eco2.auth.v1.RegisterRequest.Asked"]
    assert set(asked["required"]) == {"username", "email", "password"}
    assert asked["properties"]["username"]["maxLength"] == 100
    said = document["paths"]["/api/v1/chat/conversations/{conversation_id}/messages"]["post"]
    body = said["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["content"]
    assert body["properties"]["language_code"]["enum"] == ["ko", "en", "", None]
    photo = document["components"]["schemas"]["eco2.waste.v1.CreateImageRequest.Asked"]
    assert "content_type" in photo["required"]
    assert "image/heic" in photo["properties"]["content_type"]["enum"]
    # What may be left out may be null too.
    assert body["properties"]["content"]["type"] == "string"
    assert body["properties"]["language_code"]["type"] == ["string", "null"]
    assert body["properties"]["near"]["anyOf"][1] == {"type": "null"}
    task = document["paths"]["/api/v1/tasks/{task_id}"]["get"]
    assert task["parameters"][0]["in"] == "path"
    assert "security" not in task
    assert document["paths"]["/api/v1/auth/login"]["post"]["security"] == []


def test_the_edge_serves_it_to_everybody(edge):
    found = edge.client.get("/openapi.json")
    assert found.headers["content-type"] == "application/json"
    assert found.json()["openapi"] == "3.1.0"
    again = edge.client.get("/openapi.json", headers={"if-none-match": found.headers["etag"]})
    assert again.status_code == 304
    page = edge.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/v1/recycle-info:ask" in page.text
    # What one is to send and what comes back, field by field.
    assert "<code>content_type</code> (string, image/jpeg | image/png" in page.text
    assert "<code>follow_up_question</code> (string)" in page.text
    assert "<b>Tokens.</b>" in page.text
    front = edge.client.get("/")
    assert (front.status_code, front.headers["location"]) == (302, f"{edge.client.base_url}/docs")
