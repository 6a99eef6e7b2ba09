"""Envoy with the configuration that is shipped, the real gateway, and servers behind it that say what reached them."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from eco2.auth.v1 import auth_pb2, auth_pb2_grpc

from services.kit.server import Server
from stack import mesh
from stack.home import CHECKOUT

USER = "0193e0a0-0000-7000-8000-000000000001"
SESSION = "0193e0a0-0000-7000-8000-000000000002"
ISSUER, AUDIENCE = "https://eco2.test", "eco2-api"
# Of a web app that is not served by the edge.
WEB_ORIGIN = "https://app.eco2.test"


class Key:
    """A key pair as auth has one."""

    def __init__(self, kid: str):
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())

    def jwk(self) -> auth_pb2.Jwk:
        numbers = self.private.public_key().public_numbers()
        x, y = (base64.urlsafe_b64encode(n.to_bytes(32)).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
        return auth_pb2.Jwk(kid=self.kid, kty="EC", alg="ES256", use="sig", crv="P-256", x=x, y=y)

    def token(self, algorithm: str = "ES256", **claims: object) -> str:
        """An access token of USER that is good for a minute; a claim of None is left out."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": USER, "sid": SESSION, "iat": now, "exp": now + 60} | claims
        claims = {name: value for name, value in claims.items() if value is not None}
        key = self.private if algorithm == "ES256" else None
        return jwt.encode(claims, key, algorithm, headers={"kid": self.kid})


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """Shows the public halves of `keys`."""

    def __init__(self, *keys: Key):
        self.keys = keys

    def GetJwks(self, request, context):
        # As auth does; Envoy asks as often as it is configured to all the same.
        context.send_initial_metadata((("cache-control", "public, max-age=300"),))
        return auth_pb2.GetJwksResponse(keys=[key.jwk() for key in self.keys])

    def serve(self, port: int) -> Server:
        return Server(f"127.0.0.1:{port}", [(auth_pb2_grpc.add_AuthServiceServicer_to_server, self)]).start()


class Edge:
    """Envoy and its backends, each a process that can be started and killed; `auth` is served in this process."""

    def __init__(self, folder: Path, descriptor_set: Path):
        self.folder = folder
        self.ports = free_ports("edge", "admin", "auth", "backends", "gateway", "gateway_http")
        self.key = Key("first")
        self.auth = Auth(self.key)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.ports['edge']}", timeout=40)
        self._descriptor_set = descriptor_set
        self._running: dict[str, subprocess.Popen] = {}
        self._auth: Server | None = None

    def start(self, *names: str) -> Edge:
        for name in names:
            if name == "auth":
                self._auth = self.auth.serve(self.ports["auth"])
                continue
            with (self.folder / f"{name}.log").open("a") as log:
                self._running[name] = subprocess.Popen(
                    self._command(name), env=self._env(name), stdout=log, stderr=log, cwd=CHECKOUT
                )
        return self

    def kill(self, name: str) -> None:
        if name == "auth":
            self._auth.stop(grace_s=0)
            self._auth = None
            return
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def close(self) -> None:
        self.client.close()
        for name in [*self._running, *(["auth"] if self._auth else [])]:
            self.kill(name)

    def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=bearer(token or self.key.token()) | headers)

    def post(self, path: str, **options) -> httpx.Response:
        return self.client.post(path, headers=bearer(self.key.token()), **options)

    def request(self, method: str, path: str, **options) -> httpx.Response:
        return self.client.request(method, path, headers=bearer(self.key.token()), **options)

    def listening(self) -> bool:
        with contextlib.closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.ports["edge"])) == 0

    def healthy(self) -> bool:
        return self.listening() and self.client.get("/healthz").status_code == 200

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.ports['edge']}")

    def access_log(self) -> str:
        return (self.folder / "access.log").read_text()

    def _command(self, name: str) -> list[str]:
        if name == "envoy":
            config = self.folder / "envoy.yaml"
            config.write_text(self._config())
            options = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
            options += ["--file-flush-interval-msec", "100"]
            return [str(mesh.envoy_binary()), "-c", str(config), *options]
        if name == "backends":
            return [sys.executable, str(Path(__file__).parent / "backends.py"), f"127.0.0.1:{self.ports['backends']}"]
        return [sys.executable, "-m", name]

    def _env(self, name: str) -> dict[str, str]:
        return {
            "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'proto/gen'}",
            "LISTEN": f"127.0.0.1:{self.ports.get(name)}",
            "DESCRIPTOR_SET": str(self._descriptor_set),
            "HTTP_LISTEN": f"127.0.0.1:{self.ports['gateway_http']}",
            "AUTH_TARGET": f"127.0.0.1:{self.ports['auth']}",
            "PUBLIC_URL": f"http://127.0.0.1:{self.ports['edge']}",
        }

    def _config(self) -> str:
        values = {
            "GATEWAY_HTTP_PORT": self.ports["gateway_http"],
            "DESCRIPTOR_SET": self._descriptor_set,
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "WEB_ORIGINS": mesh.origins(WEB_ORIGIN),
            "ACCESS_LOG": self.folder / "access.log",
        }
        for name in ("EDGE", "ADMIN"):
            values |= {f"{name}_ADDRESS": "127.0.0.1", f"{name}_PORT": self.ports[name.lower()]}
        for name in (*mesh.SERVICES, "gateway"):
            port = self.ports.get(name, self.ports["backends"])
            values |= {f"{name.upper()}_HOST": "127.0.0.1", f"{name.upper()}_PORT": port}
        return mesh.render(CHECKOUT / "envoy/envoy.yaml", values)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def free_ports(*names: str) -> dict[str, int]:
    """Below the range that outgoing connections take theirs from; no two processes of pytest choose the same."""
    ports: dict[str, int] = {}
    first = 12000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    step = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while len(ports) < len(names):
        port = random.randrange(first, 20000, step)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in ports.values():
                ports[names[len(ports)]] = port
    return ports
