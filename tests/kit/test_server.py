"""The server and the channel, against each other over the wire, with a servicer that does what it is told."""

import threading
import uuid
from concurrent import futures

import grpc
import pytest
from eco2.recycle_info.v1 import recycle_info_pb2 as pb
from eco2.recycle_info.v1 import recycle_info_pb2_grpc as pb_grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.kit import channel, errors, telemetry
from services.kit.server import Pool, Server, time_left
from tests.conftest import as_user

UUID = "0193e0a0-0000-7000-8000-000000000000"
GET = "/eco2.recycle_info.v1.RecycleInfoService/GetItem"


class Told(pb_grpc.RecycleInfoServiceServicer):
    """GetItem does `action`; ListItems always answers, so that a free thread shows."""

    def __init__(self, action):
        self._action = action

    def GetItem(self, request, context):
        self._action()
        return pb.GetItemResponse(item=pb.Item(item_id=request.item_id, key=telemetry.request_id()))

    def ListItems(self, request, context):
        return pb.ListItemsResponse()


@pytest.fixture
def serve():
    servers = []

    def start(action, **options):
        server = Server(
            "127.0.0.1:0", [(pb_grpc.add_RecycleInfoServiceServicer_to_server, Told(action))], **options
        ).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop(grace_s=0)


@pytest.fixture
def stub():
    with_channels = []

    def connect(server):
        with_channels.append(channel.connect(f"127.0.0.1:{server.port}", timeout_s=5))
        return pb_grpc.RecycleInfoServiceStub(with_channels[-1])

    yield connect
    for each in with_channels:
        each.close()


def raises(fault):
    def action():
        raise fault

    return action


KINDS = [kind for kind in errors.Fault.__subclasses__() if kind is not errors.Unavailable]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_fault_arrives_as_the_same_class_with_its_details(serve, stub, kind):
    sent = kind("said so", reason="BECAUSE", violations=(("a.b", "is bad"),), retry_after_s=1.5, item_id=7)
    with pytest.raises(kind) as caught:
        stub(serve(raises(sent))).GetItem(pb.GetItemRequest(item_id=UUID))
    got = caught.value
    assert (got.message, got.reason, got.violations) == (sent.message, "BECAUSE", (("a.b", "is bad"),))
    assert (got.retry_after_s, got.metadata) == (1.5, {"item_id": "7"})
    assert got.upstream.endswith(GET)


def test_what_is_not_a_fault_leaves_as_a_mute_internal(serve, stub):
    with pytest.raises(errors.Fault) as caught:
        stub(serve(raises(ValueError("the secret is 42")))).GetItem(pb.GetItemRequest(item_id=UUID))
    assert caught.value.code is grpc.StatusCode.INTERNAL
    assert "42" not in caught.value.message


def test_a_siblings_answer_is_not_passed_on_as_ours(serve, stub):
    sibling = stub(serve(raises(errors.NotFound("no such row"))))
    front = stub(serve(lambda: sibling.GetItem(pb.GetItemRequest(item_id=UUID))))
    with pytest.raises(errors.Fault) as caught:
        front.GetItem(pb.GetItemRequest(item_id=UUID))
    assert caught.value.code is grpc.StatusCode.INTERNAL


def test_bad_input_names_its_field(serve):
    server = serve(lambda: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as plain, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.RecycleInfoServiceStub(plain).GetItem(pb.GetItemRequest(item_id="7"), timeout=5)
    status = rpc_status.from_call(caught.value)
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == ["item_id"]


def test_a_nul_is_refused_before_it_reaches_a_store(serve, stub):
    reached = []
    server = serve(lambda: reached.append(1))
    with pytest.raises(errors.InvalidArgument) as caught:
        stub(server).ListItems(pb.ListItemsRequest(query="a\0b", page_size=0))
    assert caught.value.violations == (("query", "must not contain NUL"),)
    assert not reached


def test_the_request_id_and_the_deadline_travel_on(serve, stub):
    seen = []
    last = stub(serve(lambda: seen.append(time_left())))
    first = stub(serve(lambda: last.GetItem(pb.GetItemRequest(item_id=UUID), timeout=60)))
    with telemetry.bound("abc"):
        answer = first.GetItem(pb.GetItemRequest(item_id=UUID), timeout=3)
    assert answer.item.key == "abc"
    # gRPC rounds what it sends up.
    assert seen[0] < 3.5


def test_a_restarted_sibling_is_found_again(serve, stub):
    server = serve(lambda: None)
    client = stub(server)
    client.GetItem(pb.GetItemRequest(item_id=UUID))
    server.stop()
    with pytest.raises(errors.Unavailable):
        client.GetItem(pb.GetItemRequest(item_id=UUID))
    again = Server(
        f"127.0.0.1:{server.port}", [(pb_grpc.add_RecycleInfoServiceServicer_to_server, Told(lambda: None))]
    ).start()
    assert client.GetItem(pb.GetItemRequest(item_id=UUID), wait_for_ready=True).item.item_id == UUID
    again.stop()


def test_one_user_cannot_take_all_that_long_calls_have(serve, stub):
    inside, leave = threading.Semaphore(0), threading.Event()

    def hold():
        inside.release()
        assert leave.wait(10)

    server = serve(hold, pools=[Pool(frozenset([GET]), limit=3, reason="TOO_MANY", each=2)])
    client, greedy = stub(server), as_user(uuid.uuid4())
    with futures.ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.GetItem, pb.GetItemRequest(item_id=UUID), metadata=greedy) for _ in range(2)]
        for _ in calls:
            assert inside.acquire(timeout=5)
        with pytest.raises(errors.ResourceExhausted) as caught:
            client.GetItem(pb.GetItemRequest(item_id=UUID), metadata=greedy)
        assert (caught.value.reason, "yours" in caught.value.message) == ("TOO_MANY", True)
        calls.append(pool.submit(client.GetItem, pb.GetItemRequest(item_id=UUID), metadata=as_user(uuid.uuid4())))
        assert inside.acquire(timeout=5)
        leave.set()
        for call in calls:
            call.result(5)
    # Whoever has left makes room.
    client.GetItem(pb.GetItemRequest(item_id=UUID), metadata=greedy)


def test_long_calls_neither_fill_the_short_ones_threads_nor_exceed_their_limit(serve, stub):
    inside, leave = threading.Semaphore(0), threading.Event()

    def hold():
        inside.release()
        assert leave.wait(10)

    server = serve(hold, threads=1, pools=[Pool(frozenset([GET]), limit=3, reason="TOO_MANY")])
    client = stub(server)
    threads = [threading.Thread(target=client.GetItem, args=(pb.GetItemRequest(item_id=UUID),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=5)
    client.ListItems(pb.ListItemsRequest())
    with pytest.raises(errors.ResourceExhausted) as caught:
        client.GetItem(pb.GetItemRequest(item_id=UUID))
    assert caught.value.reason == "TOO_MANY"
    leave.set()
    for thread in threads:
        thread.join(5)
    # Whoever has left makes room.
    client.GetItem(pb.GetItemRequest(item_id=UUID))


def test_draining_ends_long_calls_before_the_grace_is_over(serve, stub):
    draining, inside = threading.Event(), threading.Event()

    def wait():
        inside.set()
        assert draining.wait(10)

    server = serve(wait, draining=draining, pools=[Pool(frozenset([GET]), limit=1, reason="TOO_MANY")])
    answers = []
    client = stub(server)
    thread = threading.Thread(target=lambda: answers.append(client.GetItem(pb.GetItemRequest(item_id=UUID))))
    thread.start()
    assert inside.wait(5)
    server.stop(grace_s=9)
    thread.join(5)
    assert answers[0].item.item_id == UUID


def test_health_says_serving_and_then_not(serve):
    server = serve(lambda: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as plain:
        health = health_pb2_grpc.HealthStub(plain)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        threading.Thread(target=server.stop, kwargs={"probe_interval_s": 0.2}).start()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


def test_a_message_past_the_limit_is_resource_exhausted(serve):
    with (
        grpc.insecure_channel(f"127.0.0.1:{serve(lambda: None).port}") as plain,
        pytest.raises(grpc.RpcError) as caught,
    ):
        plain.unary_unary(GET)(bytes(17 << 20), timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x01\xff"], ids=["no message", "text that is not UTF-8"])
def test_what_cannot_be_read_is_the_callers_mistake(serve, data):
    with (
        grpc.insecure_channel(f"127.0.0.1:{serve(lambda: None).port}") as plain,
        pytest.raises(grpc.RpcError) as caught,
    ):
        plain.unary_unary(GET)(data, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "MALFORMED_REQUEST"
