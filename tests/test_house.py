"""The floor plan of the house, so that a new room cannot be forgotten half-way (DESIGN.md, section 1)."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

from stack import mesh
from stack.home import CHECKOUT, Ports

SERVICES = sorted(path.parent.name for path in (CHECKOUT / "services").glob("*/__main__.py"))
CODE = sorted(path for folder in ("services", "workers", "gateway") for path in (CHECKOUT / folder).rglob("*.py"))
KIT = {
    *("broker", "cache", "caller", "channel", "chores", "config", "database", "errors", "llm", "objects", "pages"),
    *("pictures", "quotas", "requests", "revocations", "server", "telemetry", "tombstones"),
}
# One place opens the database, and two have statements that several schemas share.
SPEAK_SQL = {"services/kit/database.py", "services/kit/quotas.py", "services/kit/tombstones.py"}


def named(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def services_of(pattern: str) -> set[str]:
    """Full names of the gRPC services in the protos that match, from the generated modules."""
    found = set()
    for proto in (CHECKOUT / "proto").glob(pattern):
        module = ".".join(proto.relative_to(CHECKOUT / "proto").with_suffix("").parts) + "_pb2"
        found |= {service.full_name for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values()}
    return found


INTERNAL = services_of("eco2/*/v1/internal.proto")
PUBLIC = services_of("eco2/*/v1/*.proto") - INTERNAL


def imports(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_envoy_knows_every_public_service_and_no_internal_one():
    config = (CHECKOUT / "envoy/envoy.yaml").read_text()
    assert PUBLIC
    assert INTERNAL
    assert set(re.findall(r"^ +- (eco2\.\S+)$", config, re.MULTILINE)) == PUBLIC
    assert set(re.findall(r"match: \{prefix: /(eco2[^}]+)/\}", config)) == PUBLIC
    assert set(re.findall(r"eco2\.\w+\.v\d+\.\w+", config)) == PUBLIC


@pytest.mark.parametrize("name", sorted(INTERNAL))
def test_what_is_internal_says_so(name):
    assert name.endswith("InternalService")


@pytest.mark.parametrize("domain", SERVICES)
def test_a_service_has_all_its_rooms(domain):
    assert {"__init__.py", "__main__.py", "rpc.py", "store.py"} <= {
        path.name for path in (CHECKOUT / "services" / domain).iterdir()
    }
    assert (CHECKOUT / f"proto/eco2/{domain}/v1/{domain}.proto").is_file()
    assert list((CHECKOUT / "migrations" / domain).glob("0001_pre_*.py"))
    assert list((CHECKOUT / "tests/services" / domain).glob("test_*.py"))
    assert domain in mesh.SERVICES
    assert domain in Ports.NAMES
    assert f"('{domain}', '{mesh.ROLES[domain]}')" in (CHECKOUT / "migrations/roles.sql").read_text()
    # Or log-out would not end there what a token allows.
    assert "revocations=" in (CHECKOUT / "services" / domain / "__main__.py").read_text()
    envoy = (CHECKOUT / "envoy/envoy.yaml").read_text()
    assert f"- name: {domain}\n" in envoy
    assert f" {domain}: {{value: 50}}\n" in envoy
    assert domain in tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_what_the_stack_runs_and_import_linter_watches_is_what_there_is():
    assert set(SERVICES) == set(mesh.SERVICES)
    assert sorted(path.parent.name for path in (CHECKOUT / "workers").glob("*/__main__.py")) == sorted(mesh.WORKERS)
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    watched = {f"services.{domain}" for domain in SERVICES}
    assert [set(each["modules"]) for each in contracts if each["type"] == "independence"] == [watched]
    for each in contracts:
        assert each["type"] == "independence" or watched <= set(each["forbidden_modules"])


def test_every_domain_that_can_erase_a_user_is_asked_to():
    able = set()
    for proto in (CHECKOUT / "proto/eco2").glob("*/v1/internal.proto"):
        domain = proto.parent.parent.name
        module = importlib.import_module(f"eco2.{domain}.v1.internal_pb2")
        name = "".join(word.capitalize() for word in domain.split("_")) + "InternalService"
        if "EraseUser" in module.DESCRIPTOR.services_by_name[name].methods_by_name:
            assert list(module.EraseUserRequest.DESCRIPTOR.fields_by_name) == ["user_id"]
            assert list(module.EraseUserResponse.DESCRIPTOR.fields_by_name) == ["removed_count"]
            able.add(domain)
    # The log-ins end first.
    assert mesh.ERASING[0] == "auth"
    assert sorted(mesh.ERASING) == sorted(able)


def test_the_kit_is_a_closed_list():
    assert {path.stem for path in (CHECKOUT / "services/kit").iterdir() if not path.name.startswith("__")} == KIT


@pytest.mark.parametrize("path", CODE, ids=named)
def test_a_file_is_short_and_named_for_what_it_does(path):
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in {"utils", "helpers", "common", "base", "types"}


@pytest.mark.parametrize("path", CODE, ids=named)
def test_a_layer_keeps_to_its_own(path):
    room, used = named(path), imports(path)
    if path.name == "store.py":
        assert not used & {"grpc", "google", "eco2"}
    if path.name == "rpc.py":
        assert not used & {"sqlalchemy", "psycopg", "os"}
    # One place turns what is raised into a status.
    if room != "services/kit/server.py":
        assert not re.search(r"context\.(abort\w*|set_code)\(", path.read_text())
    if not room.startswith("services/") or (room.startswith("services/kit/") and room not in SPEAK_SQL):
        assert not used & {"sqlalchemy", "psycopg"}
