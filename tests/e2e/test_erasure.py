"""A person leaves, with work under way everywhere, and nothing names them any more."""

from __future__ import annotations

import base64
import hashlib
import uuid
from concurrent import futures

import boto3
import httpx
import psycopg
import pytest
import redis
from eco2.pipeline.v1.messages_pb2 import AnalysisJob, Stage
from PIL import Image

from services.kit.broker import Message, Publisher, Topology
from tests.conftest import eventually
from tests.e2e.conftest import App, jpeg, variants

TOPOLOGY = Topology.of(Stage.DESCRIPTOR)


class Everything:
    """All that the mesh keeps, as it lies there."""

    def __init__(self, mesh):
        self._mesh = mesh
        access = mesh.s3
        self._bucket = access.bucket
        self._s3 = boto3.client(
            "s3",
            endpoint_url=access.endpoint_url,
            region_name=access.region,
            aws_access_key_id=access.access_key_id,
            aws_secret_access_key=access.secret_access_key,
        )

    def naming(self, user_id: str) -> list[str]:
        """Where the id occurs: as text, with and without dashes, within bytes, or as its sixteen bytes."""
        text = user_id.lower()
        forms = {text, text.replace("-", ""), text.encode().hex(), text.replace("-", "").encode().hex()}
        places = [*self._tables(), *self._objects(), *self._keys()]
        assert {place.split(":")[0] for place, _ in places} == {"table", "object", "key"}
        return [place for place, content in places if any(form in content.lower() for form in forms)]

    def _tables(self):
        admin = self._mesh.postgres_admin_url.rpartition("/")[0] + "/ecoeco"
        with psycopg.connect(admin) as connection:
            tables = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table in tables:
                for [row] in connection.execute(f'SELECT t::text FROM "{schema}"."{table}" AS t'):
                    yield f"table:{schema}.{table}", row

    def _objects(self):
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            for found in page.get("Contents", ()):
                head = self._s3.get_object(Bucket=self._bucket, Key=found["Key"])
                with head["Body"] as body:
                    content = body.read().decode("latin-1")
                about = f"{found['Key']} {head['Metadata']} {head['ResponseMetadata']}"
                yield f"object:{found['Key']}", f"{about} {content}"
        # Folders outlive their objects in some stores.
        for page in self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix="uploads/", Delimiter="/"
        ):
            for found in page.get("CommonPrefixes", ()):
                yield f"object:{found['Prefix']}", found["Prefix"]

    def _keys(self):
        for number in range(16):
            with redis.Redis.from_url(self._mesh.redis_url, db=number) as client:
                for key in client.scan_iter(count=1000):
                    yield f"key:{number}:{key!r}", f"{key!r} {_value(client, key)!r}"


def _value(client: redis.Redis, key: bytes):
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
        b"none": lambda key: None,
    }
    return read[client.type(key)](key)


@pytest.fixture
def everything(mesh) -> Everything:
    return Everything(mesh)


def leave(app: App) -> dict:
    chosen = str(uuid.uuid4())
    left = app.http.delete("/api/v1/users/me", params={"request_id": chosen})
    assert left.status_code == 200, left.text
    assert left.json()["erasure"]["erasure_id"] == chosen
    return left.json()["erasure"]


def erased(mesh, erasure_id: str) -> dict:
    """The erasure once it has ended, as somebody without an account reads it."""
    found = {}

    def ended() -> bool:
        answer = httpx.get(f"{mesh.edge_url}/api/v1/users/erasures/{erasure_id}", timeout=60)
        # Envoy takes a moment to trust a service again that was killed.
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200:
            found.update(answer.json()["erasure"])
        return found.get("state") == "ERASURE_STATE_ERASED"

    eventually(ended, 180)
    return found


def live(app: App, coffee: bytes) -> list[str]:
    """What a person leaves behind; the ids of their analyses."""
    profile = app.http.get("/api/v1/users/me").json()["profile"]
    assert (profile["user_id"], profile["username"]) == (app.user_id, app.name)
    [picture] = variants(coffee, 1)
    announced = app.http.post(
        "/api/v1/users/me/avatar",
        json={"content_type": "image/jpeg", "size_bytes": len(picture), "sha256": digest(picture)},
    ).json()
    stored = httpx.put(announced["upload"]["url"], content=picture, headers=announced["upload"]["headers"], timeout=60)
    assert stored.status_code == 200
    shown = app.http.post(f"/api/v1/users/me/avatar/{announced['avatar_id']}:confirm", json={}).json()["profile"]
    assert httpx.get(shown["avatar_url"], timeout=60).content.startswith(b"\xff\xd8\xff")
    assert app.http.patch("/api/v1/users/me", json={"nickname": "커피"}).json()["profile"]["nickname"] == "커피"
    settings = app.http.patch("/api/v1/users/me/settings", json={"notification_enabled": False}).json()["settings"]
    assert (settings["notification_enabled"], settings["language"]) == (False, "ko")
    place = {"name": "집", "latitude": 37.55, "longitude": 126.9, "is_default": True}
    assert app.http.post("/api/v1/locations/places", json=place).status_code == 200
    app.http.post("/api/v1/recycle-info:ask", json={"question": "우유팩은 어떻게 버려요?"})
    talk = app.http.post("/api/v1/chat/conversations", json={}).json()["conversation"]["conversation_id"]
    said = app.http.post(f"/api/v1/chat/conversations/{talk}/messages", json={"content": "우유팩은 어떻게 버려요?"})
    assert said.status_code == 200, said.text
    done = app.start(app.upload(picture))
    app.finish(done)
    app.http.post(f"/api/v1/waste/analyses/{done}/feedback", json={"correct": True, "comment": "good"})
    nothing = app.upload(b"not a photo")
    failed = app.start(nothing)
    app.finish(failed)
    return [done, failed]


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_a_person_is_erased_everywhere_and_can_prove_it(mesh, app, coffee, everything):
    other = App(mesh.edge_url)
    kept = other.start(other.upload(jpeg(noise(64)), "image/jpeg"))
    other.finish(kept)
    done, failed = live(app, coffee)
    late = app.announce(b"late", "image/jpeg")
    dead = f"/api/v1/tasks/dead-letters?task_id={failed}:user_input"
    eventually(lambda: app.http.get(dead).json()["dead_letters"])
    # Work under way while the erasure runs, of analyses and of a replay.
    running = [app.start(app.upload(photo)) for photo in variants(coffee, 6)]
    assert app.http.post("/api/v1/tasks/dead-letters:replay", json={"reason": "NOT_AN_IMAGE"}).status_code == 200
    places = {place.split(":")[0] for place in everything.naming(app.user_id)}
    assert places == {"table", "object"}
    erasure = leave(app)
    domains = ["auth", "locations", "recycle_info", "waste", "chat_llm", "tasks", "users"]
    assert [each["domain"] for each in erasure["domains"]] == domains
    assert all("erase_time" in each for each in erasure["domains"]), erasure
    # Who is gone can do nothing more, whatever they still hold.
    assert app.http.post("/api/v1/auth/refresh", json={"refresh_token": app.tokens["refresh_token"]}).status_code == 401
    assert app.http.post("/api/v1/auth/login", json={"username": app.name, "password": app.password}).status_code == 401
    for call in (
        lambda: app.http.get("/api/v1/users/me"),
        lambda: app.http.patch("/api/v1/users/me", json={"bio": "back"}),
        lambda: app.http.post("/api/v1/locations/places", json={"name": "집", "latitude": 37.55, "longitude": 126.9}),
        lambda: app.http.post(
            "/api/v1/waste/images", json={"content_type": "image/png", "size_bytes": 4, "sha256": digest(b"late")}
        ),
    ):
        assert call().status_code == 401
    for analysis_id in (done, *running):
        assert app.http.get(f"/api/v1/waste/analyses/{analysis_id}").status_code in (401, 404)
    proof = erased(mesh, erasure["erasure_id"])
    assert all(each["removed_count"] != "0" and "confirm_time" in each for each in proof["domains"]), proof
    assert everything.naming(app.user_id) == []
    assert everything.naming(app.name) == []
    # Others have lost nothing.
    assert other.get(kept)["state"] == "ANALYSIS_STATE_SUCCEEDED"
    assert httpx.get(other.get(kept)["thumbnail_url"], timeout=60).status_code == 200
    # What is told late stays out: all that was under way ends, and what a dead worker had comes back.
    publisher = Publisher(mesh.rabbitmq_url, TOPOLOGY, timeout_s=60)
    job = AnalysisJob(
        analysis_id=running[0],
        user_id=app.user_id,
        image_id=late["image"]["image_id"],
        image_key=f"uploads/{app.user_id}/{late['image']['image_id']}/original.jpg",
        language_code="ko",
    )
    for sent in publisher.publish([Message(queue, job.SerializeToString(), {}) for queue in TOPOLOGY.queues[:2]]):
        sent.result(20)
    publisher.close()
    follower = other.start(other.upload(jpeg(noise(65)), "image/jpeg"))
    other.finish(follower)
    eventually(lambda: len(other.tasks(follower)) == 4)
    assert everything.naming(app.user_id) == []
    other.http.close()


def noise(side: int) -> Image.Image:
    return Image.effect_noise((side, side), 60).convert("RGB")


def test_kill_nine_of_every_service_in_the_middle_of_erasures_leaves_nothing(mesh, coffee, everything):
    apps = [App(mesh.edge_url) for _ in range(4)]
    for app in apps:
        app.start(app.upload(variants(coffee, 1)[0]))
    mesh.stop("tasks")
    erasures = [leave(app) for app in apps]
    assert all(each["state"] == "ERASURE_STATE_RUNNING" for each in erasures)
    for name in ("users", "waste", "auth", "worker-storage"):
        mesh.kill(name)
    mesh.start("tasks")
    mesh.wait_ready()
    with futures.ThreadPoolExecutor(4) as pool:
        proofs = list(pool.map(lambda each: erased(mesh, each["erasure_id"]), erasures))
    assert all("confirm_time" in domain for proof in proofs for domain in proof["domains"])
    for app in apps:
        assert everything.naming(app.user_id) == []
        app.http.close()


def test_a_profile_is_there_while_the_broker_is_away(mesh):
    mesh.stop("rabbitmq")
    try:
        app = App(mesh.edge_url)
        assert app.http.get("/api/v1/users/me").json()["profile"]["username"] == app.name
        assert app.http.get("/api/v1/users/me/settings").json()["settings"]["theme"] == "light"
        app.http.close()
    finally:
        mesh.start("rabbitmq")
        mesh.wait_ready("rabbitmq")
