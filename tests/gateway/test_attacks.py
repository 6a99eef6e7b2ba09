"""What somebody tries at the front door who means harm."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eco2.recycle_info.v1 import recycle_info_pb2, recycle_info_pb2_grpc

from tests.conftest import eventually
from tests.gateway.backends import ABSENT
from tests.gateway.edge import Edge, Key
from tests.gateway.test_rest import ANALYSIS, fails, malformed

REFRESH = "/api/v1/auth/refresh"
WITH_COOKIE = {"cookie": "eco2_refresh=x"}
UNVERIFIED = {"options": {"verify_signature": False}}


def signed_with(secret: bytes, key: Key, **header: object) -> str:
    """A token of the key's, but signed by HMAC."""
    parts = [{"alg": "HS256", "typ": "JWT", "kid": key.kid, **header}, jwt.decode(key.token(), **UNVERIFIED)]
    text = b".".join(base64url(json.dumps(each).encode()) for each in parts)
    return (text + b"." + base64url(hmac.digest(secret, text, hashlib.sha256))).decode()


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_what_everybody_knows_of_our_key_signs_nothing(edge):
    key, public = edge.key, edge.key.private.public_key()
    shown = edge.client.get("/.well-known/jwks.json").json()["keys"][0]
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        json.dumps(shown).encode(),
        shown["x"].encode(),
        b"",
    ):
        fails(edge.get(ANALYSIS, signed_with(secret, key)), 401, 16, "TOKEN_INVALID")
    unsigned = key.token().rpartition(".")[0]
    # Zeros satisfy the equation of the curve where nobody forbids them.
    fails(edge.get(ANALYSIS, f"{unsigned}.{base64url(bytes(64)).decode()}"), 401, 16, "TOKEN_INVALID")


@pytest.mark.parametrize("kid", ["first", "../../../../dev/null", "' OR 1=1 --", "", None])
def test_a_token_cannot_bring_its_key_along(edge, kid):
    thief = Key("first")
    claims = jwt.decode(edge.key.token(), **UNVERIFIED)
    shown = thief.jwk()
    jwk = {name: getattr(shown, name) for name in ("kty", "crv", "x", "y")}
    for header in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/keys"}):
        named = header | ({} if kid is None else {"kid": kid})
        fails(edge.get(ANALYSIS, jwt.encode(claims, thief.private, "ES256", headers=named)), 401, 16, "TOKEN_INVALID")


@pytest.mark.parametrize("token", ["x" * 40_000, "." * 40_000, "e30." * 10_000], ids=["long", "dots", "parts"])
def test_a_token_without_end_is_refused_like_another(edge, token):
    fails(edge.get(ANALYSIS, token), 401, 16, "TOKEN_INVALID")


def test_a_token_in_an_address_is_none(edge):
    for path in (ANALYSIS, "/api/v1/users/me"):
        fails(edge.client.get(path, params={"access_token": edge.key.token()}), 401, 16, "TOKEN_MISSING")


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/users/me",
        "/api/v1/auth/%2e%2e/users/me",
        "/api/v1/auth/../users/me",
        "/api/v1/auth/..\\users/me",
        "/.well-known/../api/v1/users/me",
        "/api/v1/auth/session%73",
        "/api/v1/auth/%73essions",
        "/api/v1/auth//sessions",
        "/api/v1/auth/oauth/../sessions",
        "/api/v1/auth/identitie%73",
        "http://elsewhere.test/api/v1/users/me",
    ],
)
def test_no_way_of_writing_a_path_leads_around_the_token(edge, path):
    answer = raw(edge, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 "), answer


@pytest.mark.parametrize("path", ["/api/v1/auth/..%2fusers/me", "/api/v1/auth/..%5cusers/me", "/api/v1/users/me%00"])
def test_what_could_be_read_in_two_ways_is_refused(edge, path):
    answer = raw(edge, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer


@pytest.mark.parametrize(
    "framing",
    [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "content-length: 2\r\ncontent-length: 7\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: xchunked\r\n",
    ],
)
def test_no_call_hides_in_the_body_of_another(edge, framing):
    hidden = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = raw(edge, f"POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\n{framing}\r\n".encode() + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"SERVING" not in answer


def raw(edge: Edge, data: bytes) -> bytes:
    """All that is answered until the edge hangs up."""
    with socket.create_connection(("127.0.0.1", edge.ports["edge"]), timeout=20) as wire:
        wire.sendall(data)
        return b"".join(iter(lambda: wire.recv(65536), b""))


def test_what_speaks_http_1_0_is_answered(edge):
    token = edge.key.token()
    for host in ("host: x\r\n", ""):
        answer = raw(edge, f"GET {ANALYSIS} HTTP/1.0\r\n{host}authorization: Bearer {token}\r\n\r\n".encode())
        assert b" 200 OK" in answer.splitlines()[0]
        assert b'"analysis"' in answer


DEEP = {
    "arrays": b"[" * 200_000,
    "objects": b'{"a":' * 40_000,
    "a field that is not there": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "the field": b'{"refresh_token":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP)
def test_json_that_is_too_deep_is_malformed(edge, body):
    malformed(edge.client.post(REFRESH, content=body))
    # This one the gateway reads.
    malformed_there(edge.client.post(REFRESH, content=body, headers=WITH_COOKIE))


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff\\ud800", "토큰"])
def test_half_a_character_is_no_token(edge, text):
    malformed_there(edge.client.post(REFRESH, content=f'{{"refresh_token": "{text}"}}'.encode(), headers=WITH_COOKIE))


def malformed_there(answer: httpx.Response) -> None:
    assert fails(answer, 400, 3, "MALFORMED_REQUEST")["message"] == "the body is not the JSON of this call"


def test_no_cache_keeps_what_is_somebodys_and_no_browser_guesses_what_it_is(edge):
    for answer in (edge.get(ANALYSIS), edge.get(f"/api/v1/waste/analyses/{ABSENT}")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for public in ("/.well-known/jwks.json", "/openapi.json", "/docs"):
        answer = edge.client.get(public)
        assert answer.headers["cache-control"] == "public, max-age=300"
        assert answer.headers["x-content-type-options"] == "nosniff"
    policy = edge.client.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Of HTTP/2 (RFC 9113)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name: bytes, value: bytes) -> bytes:
    """Of HPACK, never indexed and not compressed (RFC 7541)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
POST = b"".join(
    field(*each)
    for each in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/api/v1/auth/login"),
        (b":authority", b"x"),
        (b"content-type", b"application/json"),
    )
)


def test_the_edge_says_how_much_one_connection_may_ask_at_once(edge):
    with socket.create_connection(("127.0.0.1", edge.ports["edge"]), timeout=20) as wire:
        wire.sendall(PREFACE)
        said = wire.recv(9, socket.MSG_WAITALL)
        payload = wire.recv(int.from_bytes(said[:3], "big"), socket.MSG_WAITALL)
    pairs = [payload[at : at + 6] for at in range(0, len(payload), 6)]
    settings = {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}
    # SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_INITIAL_WINDOW_SIZE.
    assert (settings[3], settings[4]) == (256, 262144)


@pytest.mark.parametrize(
    "flood",
    [
        # Begun and taken back.
        b"".join(frame(1, 4, n, POST) + frame(3, 0, n, b"\0\0\0\x08") for n in range(1, 20_001, 2)),
        # More at once than may be.
        b"".join(frame(1, 4, n, POST) for n in range(1, 4001, 2)),
        b"".join(frame(4, 0, 0, b"\0\1\0\0\0\1") for _ in range(40_000)),
        frame(6, 0, 0, bytes(8)) * 80_000,
        frame(1, 4, 1, POST) + frame(0, 0, 1) * 40_000,
        # A head without an end.
        frame(1, 0, 1, POST) + frame(9, 0, 1, field(b"x-a", b"y" * 100) * 100) * 200,
    ],
    ids=["resets", "streams", "settings", "pings", "empty data", "continuations"],
)
def test_a_flood_ends_with_its_call_or_connection_and_others_are_served(edge, flood):
    with socket.create_connection(("127.0.0.1", edge.ports["edge"]), timeout=30) as wire:
        try:
            wire.sendall(PREFACE + flood)
            # What it answers ends, with the connection or with a word that something is wrong (RST_STREAM, GOAWAY).
            eventually(lambda: ended(wire.recv(65536)))
        except ConnectionError:
            # Hung up on in the midst of it.
            pass
        assert edge.get(ANALYSIS).status_code == 200
    eventually(edge.healthy)


def ended(heard: bytes) -> bool:
    """Whether there is nothing, or a frame among it that ends a stream or the connection."""
    at = 0
    while at + 9 <= len(heard):
        if heard[at + 3] in (3, 7):
            return True
        at += 9 + int.from_bytes(heard[at : at + 3], "big")
    return not heard


def test_a_request_that_is_small_only_while_it_is_packed_reaches_nobody(edge):
    # Four megabytes in four kilobytes.
    request = recycle_info_pb2.AskRequest(question="x" * (4 << 20))
    metadata = [("authorization", f"Bearer {edge.key.token()}")]
    with edge.channel() as channel:
        ask = recycle_info_pb2_grpc.RecycleInfoServiceStub(channel).Ask
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with pytest.raises(grpc.RpcError) as caught:
                ask(request, metadata=metadata, compression=compression, timeout=20)
            said = (grpc.StatusCode.UNIMPLEMENTED, "requests must not be compressed")
            assert (caught.value.code(), caught.value.details()) == said
        plain = recycle_info_pb2.AskRequest(question="병?")
        assert (
            ask(plain, metadata=metadata, compression=grpc.Compression.NoCompression, timeout=20).answer.text == "병?"
        )
        # Nor does it by a path of REST.
        as_rest = channel.unary_unary("/api/v1/recycle-info:ask", recycle_info_pb2.AskRequest.SerializeToString)
        with pytest.raises(grpc.RpcError) as caught:
            as_rest(request, metadata=metadata, compression=grpc.Compression.Gzip, timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
