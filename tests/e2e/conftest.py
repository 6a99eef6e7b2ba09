"""The whole mesh, as `make up` starts it, on free ports; and a client that behaves like the phone app."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.util
import io
import json
import secrets
from pathlib import Path

import httpx
import pytest
import redis
from aiosmtpd.controller import Controller
from PIL import Image

from stack.api import Mesh, whole
from tests.conftest import eventually
from tests.gateway.edge import free_ports
from tests.services.auth.fake_provider import FakeProvider
from tests.services.auth.test_resets import PAGE, Relay

ENDED = ("ANALYSIS_STATE_SUCCEEDED", "ANALYSIS_STATE_FAILED", "ANALYSIS_STATE_CANCELLED")


# Where a sign-in of an app ends.
APP_PAGE = "kr.eco2.app:/signed-in"


@dataclasses.dataclass(frozen=True)
class Outside:
    """What the mesh uses that is not ours."""

    provider: FakeProvider
    relay: Relay


@pytest.fixture(scope="package")
def outside() -> Outside:
    """Kakao to sign in with, and a relay for mails."""
    provider, relay = FakeProvider("kakao"), Relay()
    provider.person["email"] = f"{secrets.token_hex(6)}@example.com"
    relay.port = free_ports("smtp")["smtp"]
    server = Controller(relay, hostname="127.0.0.1", port=relay.port)
    server.start()
    yield Outside(provider, relay)
    server.stop()
    provider.close()


@pytest.fixture(scope="package")
def mesh(outside) -> Mesh:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OAUTH_PROVIDERS", json.dumps({"kakao": outside.provider.config}))
        environment.setenv("OAUTH_REDIRECT_URIS", APP_PAGE)
        environment.setenv("SMTP_HOST", "127.0.0.1")
        environment.setenv("SMTP_PORT", str(outside.relay.port))
        environment.setenv("SMTP_SECURITY", "none")
        environment.setenv("PASSWORD_RESET_PAGE", PAGE)
        with whole() as running:
            yield running
            lasting = [key for key in kept(running) if key.ttl_s < 0]
            assert not lasting, f"the tests have made keys in Redis without a TTL: {lasting}"


@dataclasses.dataclass(frozen=True)
class Key:
    """A key in Redis. ttl_s: negative where it has none."""

    db: int
    name: str
    ttl_s: int


def kept(mesh: Mesh) -> list[Key]:
    """All keys in all databases."""
    found = []
    for db in range(16):
        with redis.Redis.from_url(mesh.redis_url, db=db, decode_responses=True) as client:
            found += [Key(db, name, client.ttl(name)) for name in client.scan_iter(count=1000)]
    # -2: gone since it was listed.
    return [key for key in found if key.ttl_s != -2]


class App:
    """One user's phone."""

    def __init__(self, edge_url: str):
        self.http = httpx.Client(base_url=edge_url, timeout=60)
        self.name = f"user-{secrets.token_hex(6)}"
        self.password = secrets.token_hex(8)
        made = self.http.post(
            "/api/v1/auth/register",
            json={"username": self.name, "email": f"{self.name}@example.com", "password": self.password},
        )
        assert made.status_code == 200, made.text
        self.user_id = made.json()["user"]["user_id"]
        self.tokens = made.json()["tokens"]
        self.http.headers["authorization"] = f"Bearer {self.tokens['access_token']}"

    def announce(self, photo: bytes, content_type: str) -> dict:
        digest = base64.b64encode(hashlib.sha256(photo).digest()).decode()
        body = {"content_type": content_type, "size_bytes": len(photo), "sha256": digest}
        made = self.http.post("/api/v1/waste/images", json=body)
        assert made.status_code == 200, made.text
        return made.json()

    def upload(self, photo: bytes, content_type: str = "image/jpeg") -> str:
        made = self.announce(photo, content_type)
        stored = httpx.put(made["upload"]["url"], content=photo, headers=made["upload"]["headers"], timeout=60)
        assert stored.status_code == 200, stored.text
        return made["image"]["image_id"]

    def start(self, image_id: str, **more: str) -> str:
        made = self.http.post("/api/v1/waste/analyses", json={"image_id": image_id, **more})
        assert made.status_code == 200, made.text
        return made.json()["analysis"]["analysis_id"]

    def get(self, analysis_id: str) -> dict:
        answer = self.http.get(f"/api/v1/waste/analyses/{analysis_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()["analysis"]

    def finish(self, analysis_id: str, timeout_s: float = 120) -> dict:
        """Polls until the analysis has ended."""
        eventually(lambda: self.get(analysis_id)["state"] in ENDED, timeout_s)
        return self.get(analysis_id)

    def tasks(self, analysis_id: str) -> list[dict]:
        answer = self.http.get("/api/v1/tasks", params={"analysis_id": analysis_id})
        assert answer.status_code == 200, answer.text
        return answer.json()["tasks"]


@pytest.fixture
def app(mesh) -> App:
    phone = App(mesh.edge_url)
    yield phone
    phone.http.close()


@pytest.fixture(scope="package")
def coffee() -> bytes:
    """A photograph of a cup of coffee that scikit-image carries, as PNG."""
    return (Path(importlib.util.find_spec("skimage").origin).parent / "data/coffee.png").read_bytes()


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def variants(photo: bytes, count: int) -> list[bytes]:
    """That many different JPEGs of one photo, so that none is answered from the cache."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    return [jpeg(image.crop((n, n, image.width - n, image.height)), quality=85) for n in range(count)]
