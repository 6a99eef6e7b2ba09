"""Google, Kakao or Naver, as a real HTTP server: a person says yes at /authorize, the code is good once at /token."""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from services.auth import tokens

CLIENT_ID, CLIENT_SECRET = "our-client-id", "our-client-secret"
# To make one takes a while.
KEY = rsa.generate_private_key(65537, 2048)


class FakeProvider:
    """name: google, kakao or naver.

    Faults: `broken` paths answer with that status, `slow` ones not before `close`; `claims` replaces claims of the id
    token (None leaves one out), `userinfo` members of the other answer; `signer` signs in place of the key shown.
    """

    def __init__(self, name: str):
        self.name = name
        self.person = {"sub": secrets.token_hex(8), "email": "Mina@example.com", "email_verified": True}
        self.broken: dict[str, int] = {}
        self.slow: set[str] = set()
        self.claims: dict[str, object] = {}
        self.userinfo: dict[str, object] = {}
        self.key = self.signer = KEY
        self.kid, self.asked, self.codes, self.issued = secrets.token_hex(4), [], {}, {}
        self._closed = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider._answer(self, dict(parse_qsl(urlsplit(self.path).query)))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                provider._answer(self, {name: values[0] for name, values in parse_qs(body).items()})

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def config(self) -> dict[str, str]:
        return {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "base_url": self.url}

    def rotate(self) -> None:
        self.key = self.signer = rsa.generate_private_key(65537, 2048)
        self.kid = secrets.token_hex(4)

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def say_yes(self, authorization_url: str) -> dict[str, str]:
        """What the person's browser brings back to us: state and code."""
        query = dict(parse_qsl(urlsplit(authorization_url).query))
        code = secrets.token_hex(8)
        self.codes[code] = query
        return {"state": query["state"], "code": code}

    def _answer(self, handler: BaseHTTPRequestHandler, given: dict[str, str]) -> None:
        path = urlsplit(handler.path).path
        self.asked.append(path)
        if path in self.slow:
            self._closed.wait()
        status, body, headers = 200, {}, {}
        if path in self.broken:
            status, body = self.broken[path], {"oops": True}
        elif path == "/authorize":
            brought = self.say_yes(handler.path)
            status, headers = 302, {"location": f"{given['redirect_uri']}?{urlencode(brought)}"}
        elif path == "/token":
            status, body = self._token(given)
        elif path == "/userinfo":
            status, body = self._userinfo(handler.headers.get("authorization", ""))
        elif path == "/keys":
            jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            body = {"keys": [{**jwk, "kid": self.kid, "use": "sig", "alg": "RS256"}]}
        content = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def _token(self, form: dict[str, str]) -> tuple[int, dict]:
        asked = self.codes.pop(form["code"], None)
        wrong = (
            asked is None
            or (form["client_id"], form["client_secret"]) != (CLIENT_ID, CLIENT_SECRET)
            or form["redirect_uri"] != asked["redirect_uri"]
            or tokens.challenge(form["code_verifier"]) != asked["code_challenge"]
            or form["state"] != asked["state"]
        )
        if wrong:
            return (200 if self.name == "naver" else 400), {"error": "invalid_grant"}
        access_token = secrets.token_hex(8)
        self.issued[access_token] = True
        if self.name == "naver":
            return 200, {"access_token": access_token}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "sub": self.person["sub"], "iat": now, "exp": now + 600}
        claims["nonce"] = asked["nonce"]
        if self.name == "google":
            claims |= self.person
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        id_token = jwt.encode(claims, self.signer, algorithm="RS256", headers={"kid": self.kid})
        return 200, {"access_token": access_token, "id_token": id_token}

    def _userinfo(self, authorization: str) -> tuple[int, dict]:
        if authorization.removeprefix("Bearer ") not in self.issued:
            return 401, {"error": "invalid_token"}
        if self.name == "naver":
            told = {"id": self.person["sub"], "email": self.person["email"]} | self.userinfo
            return 200, {"resultcode": "00", "message": "success", "response": told}
        return 200, self.person | self.userinfo
