"""Ended sessions, on real Redis, as several processes see them."""

import uuid

import pytest
from eco2.recycle_info.v1 import recycle_info_pb2 as pb
from eco2.recycle_info.v1 import recycle_info_pb2_grpc as pb_grpc
from eco2.waste.v1 import waste_pb2, waste_pb2_grpc

from services.kit import cache, errors
from services.kit.revocations import DB, Revocations
from tests.conftest import eventually


@pytest.fixture
def process(servers):
    opened = []

    def one(url: str = servers.redis_url) -> Revocations:
        opened.append(Revocations(cache.connect(url, DB)))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


@pytest.fixture
def redis(servers):
    return cache.connect(servers.redis_url, DB)


def listening(each: Revocations) -> bool:
    return each._current.is_set()


def test_once_it_is_announced_every_process_knows(process):
    ours, *others = [process() for _ in range(4)]
    eventually(lambda: all(map(listening, [ours, *others])))
    for _ in range(200):
        session, other = uuid.uuid4(), uuid.uuid4()
        ours.announce([session])
        for each in (ours, *others):
            assert str(session) in each._ended
            assert each.ended(str(session))
            assert not each.ended(str(other))


def test_who_comes_later_knows_and_so_does_who_is_not_listening_yet(process):
    session = str(uuid.uuid4())
    process().announce([session])
    later = process()
    assert later.ended(session)
    eventually(lambda: listening(later))
    assert session in later._ended


def test_a_process_whose_subscription_is_cut_goes_on_and_listens_again(process, redis):
    ours, other = process(), process()
    eventually(lambda: listening(ours) and listening(other))
    for _ in range(20):
        redis.client_kill_filter(_type="pubsub")
        session = str(uuid.uuid4())
        ours.announce([session])
        eventually(lambda session=session: other.ended(session), 5)
    eventually(lambda: listening(other))
    assert session in other._ended


def test_what_is_repeated_is_told_only_when_redis_has_lost_it(process, redis):
    ours, other = process(), process()
    eventually(lambda: listening(ours) and listening(other))
    session = str(uuid.uuid4())
    ours.announce([session])
    other._ended.clear()
    ours.announce([session], repeated=True)
    assert session not in other._ended
    redis.delete(f"revoked:{session}")
    ours.announce([session], repeated=True)
    assert session in other._ended


def test_every_key_has_an_end(process, redis):
    process().announce([uuid.uuid4(), uuid.uuid4()])
    keys = list(redis.scan_iter())
    assert len(keys) >= 2
    assert all(0 < redis.ttl(key) <= 1200 for key in keys)


def test_without_redis_what_is_known_stays_and_nothing_new_can_be_announced(process):
    alone = process("redis://127.0.0.1:1")
    alone._keep(["known"])
    assert alone.ended("known")
    assert not alone.ended("unknown")
    with pytest.raises(errors.Unavailable):
        alone.announce(["unknown"])


def test_a_server_refuses_an_ended_session_before_it_looks_at_the_request(process, serve):
    reached = []

    class Servicer(pb_grpc.RecycleInfoServiceServicer):
        def ListItems(self, request, context):
            reached.append(request)
            return pb.ListItemsResponse()

    revocations, session = process(), str(uuid.uuid4())
    add = pb_grpc.add_RecycleInfoServiceServicer_to_server
    stub = pb_grpc.RecycleInfoServiceStub(serve((add, Servicer()), revocations=revocations))
    metadata = (("x-claim-sub", str(uuid.uuid4())), ("x-claim-sid", session))
    stub.ListItems(pb.ListItemsRequest(), metadata=metadata)
    revocations.announce([session])
    for request in (pb.ListItemsRequest(), pb.ListItemsRequest(page_size=-1)):
        with pytest.raises(errors.Unauthenticated) as caught:
            stub.ListItems(request, metadata=metadata)
        assert caught.value.reason == "SESSION_ENDED"
    # A sibling brings no session.
    stub.ListItems(pb.ListItemsRequest())
    assert len(reached) == 2


def test_a_stream_ends_with_its_session(process, serve):
    revocations, session = process(), str(uuid.uuid4())

    class Servicer(waste_pb2_grpc.WasteServiceServicer):
        def WatchAnalysis(self, request, context):
            yield waste_pb2.WatchAnalysisResponse()
            revocations.announce([session])
            yield waste_pb2.WatchAnalysisResponse(done=True)

    add = waste_pb2_grpc.add_WasteServiceServicer_to_server
    stub = waste_pb2_grpc.WasteServiceStub(serve((add, Servicer()), revocations=revocations))
    request = waste_pb2.WatchAnalysisRequest(analysis_id=str(uuid.uuid4()))
    answers = stub.WatchAnalysis(request, metadata=(("x-claim-sid", session),))
    assert not next(answers).done
    with pytest.raises(Exception, match="session has ended"):
        next(answers)
