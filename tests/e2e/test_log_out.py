"""After a log-out nothing of anybody's can be reached with the tokens that are still good by their date."""

import io
import re

import grpc
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from PIL import Image

from stack import mesh as parts
from tests.e2e.conftest import App, jpeg

OPEN = {"eco2.auth.v1.AuthService", "eco2.users.v1.ErasureService"}
LEAVING = "/eco2.users.v1.UsersService/DeleteAccount"


@pytest.fixture(scope="package")
def rpcs(mesh) -> list[tuple[str, str, str]]:
    """Every public rpc that needs a token: its full name, and the verb and the path of its REST binding."""
    files = descriptor_pb2.FileDescriptorSet.FromString(parts.descriptor_set(mesh.home).read_bytes()).file
    found = []
    for file in files:
        for service in file.service:
            name = f"{file.package}.{service.name}"
            if not file.package.startswith("eco2.") or file.name.endswith("/internal.proto") or name in OPEN:
                continue
            for method in service.method:
                rule = method.options.Extensions[annotations_pb2.http]
                verb = rule.WhichOneof("pattern")
                path = re.sub(r"\{[^}]*\}", "0193e0a0-0000-7000-8000-000000000000", getattr(rule, verb))
                found.append((f"/{name}/{method.name}", verb.upper(), path))
    return found


@pytest.fixture
def phone(mesh):
    """Makes phones of new users."""
    made = []

    def one() -> App:
        made.append(App(mesh.edge_url))
        return made[-1]

    yield one
    for each in made:
        each.http.close()


def reasons(mesh, app: App, rpcs) -> dict[str, str]:
    """What each rpc says to the app's token, over gRPC and over REST."""
    heard = {}
    metadata = [("authorization", app.http.headers["authorization"])]
    with grpc.insecure_channel(mesh.edge_target) as channel:
        for name, verb, path in rpcs:
            try:
                next(iter(channel.unary_stream(name)(b"", metadata=metadata, timeout=60)), None)
                heard[name] = "OK"
            except grpc.RpcError as error:
                heard[name] = f"{error.code().name} {error.details()}"
            answer = app.http.request(verb, path, **({"json": {}} if verb in ("POST", "PATCH", "PUT") else {}))
            heard[f"{verb} {path}"] = f"{answer.status_code} {answer.text}"
    return heard


def shut_out(mesh, app: App, rpcs) -> None:
    for name, said in reasons(mesh, app, rpcs).items():
        assert "this session has ended" in said, (name, said)
        assert said.startswith("UNAUTHENTICATED" if name.startswith("/") else "401"), (name, said)
        if not name.startswith("/"):
            assert "SESSION_ENDED" in said


def test_a_log_out_ends_every_rpc_at_once_over_rest_and_grpc(mesh, phone, rpcs):
    app, stays = phone(), phone()
    assert len(rpcs) >= 15
    before = reasons(mesh, app, [rpc for rpc in rpcs if rpc[0] != LEAVING])
    assert not {name for name, said in before.items() if "session has ended" in said or said.startswith("401")}
    ended = app.http.post("/api/v1/auth/logout", json={"refresh_token": app.tokens["refresh_token"]})
    assert ended.status_code == 200
    shut_out(mesh, app, rpcs)
    assert stays.http.get("/api/v1/auth/sessions").status_code == 200


def test_who_leaves_is_logged_out_of_every_rpc_at_once(mesh, phone, rpcs):
    app, stays = phone(), phone()
    assert app.http.delete("/api/v1/users/me").status_code == 200
    shut_out(mesh, app, rpcs)
    assert stays.http.get("/api/v1/users/me").status_code == 200


def test_a_revoked_phone_is_out_and_the_other_stays(app):
    lost = app.http.post(
        "/api/v1/auth/login",
        json={"username": app.name, "password": app.password},
        headers={"user-agent": "Eco2/1.0 (iPhone)", "x-forwarded-for": "203.0.113.7"},
    ).json()["tokens"]
    sessions = app.http.get("/api/v1/auth/sessions").json()["sessions"]
    assert [each["current"] for each in sessions] == [False, True]
    assert (sessions[0]["user_agent"], sessions[0]["address"]) == ("Eco2/1.0 (iPhone)", "127.0.0.1")
    assert app.http.delete(f"/api/v1/auth/sessions/{sessions[0]['session_id']}").status_code == 200
    for path in ("/api/v1/waste/analyses", "/api/v1/recycle-info/items", "/api/v1/tasks", "/api/v1/auth/sessions"):
        assert app.http.get(path).status_code == 200
        assert app.http.get(path, headers={"authorization": f"Bearer {lost['access_token']}"}).status_code == 401


def test_a_watch_ends_with_its_session(app, coffee):
    # A picture of its own: the cache must not know those of other tests.
    photo = jpeg(Image.open(io.BytesIO(coffee)).convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    analysis_id = app.start(app.upload(photo))
    app.finish(analysis_id)
    app.http.post("/api/v1/auth/logout", json={"refresh_token": app.tokens["refresh_token"]})
    assert app.http.get(f"/api/v1/waste/analyses/{analysis_id}:watch").status_code == 401


def test_guessing_is_refused_by_account_with_the_time_to_wait(app):
    wrong = {"username": app.name, "password": "incorrect horse"}
    # Another address each time, if the header counted.
    statuses = [
        app.http.post("/api/v1/auth/login", json=wrong, headers={"x-forwarded-for": f"203.0.113.{n}"}).status_code
        for n in range(11)
    ]
    assert statuses == [401] * 10 + [429]
    refused = app.http.post("/api/v1/auth/login", json={"username": app.name, "password": app.password})
    info, retry = refused.json()["details"]
    assert info["reason"] == "TOO_MANY_ATTEMPTS"
    assert 800 < float(retry["retry_delay"].rstrip("s")) <= 900
    # Who is logged in goes on.
    assert app.http.get("/api/v1/auth/sessions").status_code == 200
