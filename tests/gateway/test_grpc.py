"""Native gRPC, health and reflection on the edge's one port."""

import json
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from eco2.waste.v1 import waste_pb2, waste_pb2_grpc
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from gateway import reflection
from tests.gateway.backends import ABSENT, SLOW
from tests.gateway.edge import USER, Edge, Key

PUBLIC = [
    "eco2.auth.v1.AccountService",
    "eco2.auth.v1.AuthService",
    "eco2.chat_llm.v1.ChatLlmService",
    "eco2.locations.v1.LocationsService",
    "eco2.recycle_info.v1.RecycleInfoService",
    "eco2.tasks.v1.TasksService",
    "eco2.users.v1.ErasureService",
    "eco2.users.v1.UsersService",
    "eco2.waste.v1.WasteService",
]
GRPCURL = str(Path(sys.executable).with_name("grpcurl"))


@pytest.fixture
def channel(edge):
    with edge.channel() as opened:
        yield opened


@pytest.fixture
def stub(channel) -> waste_pb2_grpc.WasteServiceStub:
    return waste_pb2_grpc.WasteServiceStub(channel)


def as_token(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def get(stub, edge, analysis_id=USER, timeout=None, **metadata):
    request = waste_pb2.GetAnalysisRequest(analysis_id=analysis_id)
    headers = as_token(edge.key.token()) + [(key.replace("_", "-"), value) for key, value in metadata.items()]
    return stub.GetAnalysis(request, timeout=timeout, metadata=headers)


def grpcurl(edge: Edge, *arguments: str, symbol: str) -> subprocess.CompletedProcess[str]:
    command = [GRPCURL, "-plaintext", *arguments, f"127.0.0.1:{edge.ports['edge']}", *symbol.split()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_call_with_a_token_arrives_as_its_user(edge, stub):
    heard = json.loads(get(stub, edge, x_claim_sub="somebody").analysis.question)
    assert heard["caller"] == USER


def test_the_callers_deadline_counts_and_without_one_there_is_ours(edge, stub):
    # A busy machine may be slow with one of them.
    assert 9 < max(json.loads(get(stub, edge).analysis.question)["seconds_left"] for _ in range(5)) < 10.5
    assert json.loads(get(stub, edge, timeout=4).analysis.question)["seconds_left"] < 4.5
    with pytest.raises(grpc.RpcError) as caught:
        get(stub, edge, SLOW, timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_fault_keeps_its_details(edge, stub):
    with pytest.raises(grpc.RpcError) as caught:
        get(stub, edge, ABSENT)
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert (caught.value.code(), info.reason) == (grpc.StatusCode.NOT_FOUND, "ANALYSIS_NOT_FOUND")


def test_without_a_good_token_it_is_unauthenticated_in_plain_words(edge, stub):
    key = edge.key
    bad = [key.token(exp=1), key.token(aud="another-api"), key.token("none"), Key("first").token(), "x"]
    for headers in ([], *map(as_token, bad)):
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetAnalysis(waste_pb2.GetAnalysisRequest(analysis_id=USER), metadata=headers)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert caught.value.details().startswith(("Jwt", "Audiences"))


def test_a_watch_streams(edge, stub):
    request = waste_pb2.WatchAnalysisRequest(analysis_id=USER)
    messages = list(stub.WatchAnalysis(request, metadata=as_token(edge.key.token())))
    assert [message.done for message in messages] == [False, False, True]


def internal_rpcs(descriptor_set: Path) -> list[str]:
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()).file
    return [
        f"/{file.package}.{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
        if f"{file.package}.{service.name}" not in PUBLIC
    ]


def test_no_internal_rpc_is_reached_even_with_a_token(edge, channel, descriptor_set):
    rpcs = internal_rpcs(descriptor_set)
    assert len(rpcs) >= 3

    def code(through: grpc.Channel, rpc: str) -> grpc.StatusCode:
        call = through.unary_unary(rpc)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=as_token(edge.key.token()), timeout=30)
        return caught.value.code()

    with grpc.insecure_channel(f"127.0.0.1:{edge.ports['backends']}") as direct:
        for rpc in rpcs:
            assert code(channel, rpc) is grpc.StatusCode.UNIMPLEMENTED, rpc
            # It is there: only Envoy stands between.
            assert code(direct, rpc) is not grpc.StatusCode.UNIMPLEMENTED, rpc


def test_health_needs_no_token(channel):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_grpcurl_lists_describes_and_calls(edge):
    listed = grpcurl(edge, symbol="list").stdout.split()
    assert listed == [
        *PUBLIC,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    for service in listed:
        assert grpcurl(edge, symbol=f"describe {service}").stdout.startswith(f"{service} is a service")
    hidden = grpcurl(edge, symbol="describe eco2.waste.v1.WasteInternalService")
    assert hidden.returncode != 0
    assert "Symbol not found" in hidden.stderr
    data = ["-d", json.dumps({"analysis_id": USER})]
    get_analysis = "eco2.waste.v1.WasteService/GetAnalysis"
    token = ["-H", f"authorization: Bearer {edge.key.token()}"]
    answered = grpcurl(edge, *data, *token, symbol=get_analysis)
    assert json.loads(answered.stdout)["analysis"]["analysisId"] == USER
    refused = grpcurl(edge, *data, symbol=get_analysis)
    assert "Unauthenticated" in refused.stderr
    absent = grpcurl(edge, "-d", json.dumps({"analysis_id": ABSENT}), *token, symbol=get_analysis)
    assert "ANALYSIS_NOT_FOUND" in absent.stderr


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_speaks_both_versions(channel, version):
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30)
    names = [service.name for service in next(answers).list_services_response.service]
    assert names[: len(PUBLIC)] == PUBLIC


def test_open_reflection_streams_leave_health_alone(edge, channel):
    ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    leave = futures.Future()

    def questions():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        leave.result()

    streams = [ask(questions(), timeout=30) for _ in range(reflection.STREAMS)]
    try:
        for stream in streams:
            assert next(stream).list_services_response.service
        with grpc.insecure_channel(f"127.0.0.1:{edge.ports['gateway']}") as direct:
            health = health_pb2_grpc.HealthStub(direct)
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=2).status == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert edge.client.get("/healthz").status_code == 200
    finally:
        leave.set_result(None)
    for stream in streams:
        assert list(stream) == []


def test_a_native_message_is_no_larger_than_a_rest_body(edge, channel, stub):
    service = "/eco2.waste.v1.WasteService"
    for call in (channel.unary_unary(f"{service}/GetAnalysis"), channel.unary_stream(f"{service}/WatchAnalysis")):
        for size in (300 << 10, 17 << 20):
            with pytest.raises(grpc.RpcError) as caught:
                list(call(bytes(size), metadata=as_token(edge.key.token()), timeout=20))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == "the request body is larger than 256 KiB"
    # What is within it arrives, and is refused by the service.
    with pytest.raises(grpc.RpcError) as caught:
        get(stub, edge, "a" * (200 << 10))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
