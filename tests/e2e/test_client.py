"""The client that others use, against the running mesh."""

import importlib
import secrets

import pytest
from eco2.auth.v1 import account_pb2, auth_pb2
from eco2.recycle_info.v1 import recycle_info_pb2
from eco2.users.v1 import erasure_pb2, users_pb2
from eco2.waste.v1 import waste_pb2

from ecoeco import Client
from ecoeco.client import STUBS
from services.kit.errors import DeadlineExceeded, InvalidArgument, NotFound, Unauthenticated, Unavailable
from tests.test_house import PUBLIC

NOBODY = "0193e0a0-0000-7000-8000-000000000000"


@pytest.fixture
def client(mesh) -> Client:
    with Client(mesh.edge_target) as made:
        name = f"user-{secrets.token_hex(6)}"
        made.register(name, f"{name}@example.com", "correct horse")
        made.name, made.target = name, mesh.edge_target
        yield made


def test_it_has_every_public_service():
    found = set()
    for stub in STUBS.values():
        found.add(f"{stub.__module__.rpartition('.')[0]}.{stub.__name__.removesuffix('Stub')}")
        importlib.import_module(stub.__module__)
    assert found == PUBLIC


def test_it_asks_and_gets_faults(client):
    answer = client.recycle_info.Ask(recycle_info_pb2.AskRequest(question="우유팩은 어떻게 버려요?")).answer
    assert answer.source_url.startswith("https://")
    with pytest.raises(InvalidArgument) as caught:
        client.recycle_info.Ask(recycle_info_pb2.AskRequest())
    assert caught.value.violations[0][0] == "question"
    with pytest.raises(NotFound):
        client.waste.GetAnalysis(waste_pb2.GetAnalysisRequest(analysis_id=NOBODY))
    with pytest.raises(NotFound):
        next(client.waste.WatchAnalysis(waste_pb2.WatchAnalysisRequest(analysis_id=NOBODY)))


def test_an_old_token_is_renewed_before_it_is_used(client):
    kept = auth_pb2.Tokens(access_token="old", refresh_token=client.tokens.refresh_token, expires_in=0)
    client.use(kept)
    assert client.account.ListSessions(account_pb2.ListSessionsRequest()).sessions
    assert client.tokens.access_token != "old"
    assert client.tokens.refresh_token != kept.refresh_token


def test_after_logging_out_nothing_is_asked(client):
    client.log_out()
    with pytest.raises(Unauthenticated, match="log in"):
        client.recycle_info.ListItems(recycle_info_pb2.ListItemsRequest())
    client.log_in(client.name, "correct horse")
    assert client.recycle_info.ListItems(recycle_info_pb2.ListItemsRequest()).items


def test_a_call_to_nobody_ends_as_a_fault():
    with Client("127.0.0.1:9", timeout_s=0.3) as nobody, pytest.raises((DeadlineExceeded, Unavailable)):
        nobody.log_in("a", "b" * 10)


def test_a_person_who_leaves_sees_how_far_that_is_without_a_token(client):
    assert client.users.GetProfile(users_pb2.GetProfileRequest()).profile.username == client.name
    erasure = client.users.DeleteAccount(users_pb2.DeleteAccountRequest()).erasure
    with pytest.raises(Unauthenticated):
        client.users.GetProfile(users_pb2.GetProfileRequest())
    with Client(client.target) as anybody:
        request = erasure_pb2.GetErasureRequest(erasure_id=erasure.erasure_id)
        assert anybody.erasures.GetErasure(request).erasure.domains[0].domain == "auth"
