"""Signing in with Google, Kakao or Naver, as browsers see it, and the cookie of a web page that is logged in.

    GET  /api/v1/auth/oauth/{provider}            302 to the provider; 200 {authorization_url} where JSON is accepted
         ?redirect_uri=…                          where it shall end: a path of this site, or a page that is configured
         &code_challenge=…                        for an app (PKCE, S256), which then gets ?code=… at its redirect_uri
    GET  /api/v1/auth/oauth/{provider}/callback   where the provider sends people; 302 to where it shall end, with
                                                  ?error=… (SIGN_IN_DENIED, …) when it has failed
    POST /api/v1/auth/refresh, /logout            with the cookie in place of a refresh token; Envoy brings those here

A web page gets its refresh token in a cookie that no script can read and no other site can have sent, and its access
tokens from /refresh. Errors look like everywhere else.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import grpc
import waitress
from eco2.auth.v1 import auth_pb2, auth_pb2_grpc, internal_pb2, internal_pb2_grpc
from google.protobuf import json_format
from google.rpc import status_pb2
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from services.kit import caller, telemetry
from services.kit.errors import Fault, InvalidArgument, NotFound, Unauthenticated, invalid, to_status

log = logging.getLogger(__name__)

BASE = "/api/v1/auth"
# The secret that ties a sign-in to the browser that began it, and the refresh token.
SIGN_IN, REFRESH = "eco2_sign_in", "eco2_refresh"
SIGN_IN_S, REFRESH_S = 600, 30 * 24 * 3600
# As many calls as Envoy lets through at once: one may wait for a provider for seconds.
THREADS = 32

_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_OURS = Fault("something went wrong on our side")


class LogIn:
    """The WSGI application. secure: whether browsers reach us by https, so that cookies go nowhere else."""

    def __init__(
        self,
        auth: auth_pb2_grpc.AuthServiceStub,
        sign_in: internal_pb2_grpc.SignInInternalServiceStub,
        secure: bool,
    ):
        self._auth, self._sign_in, self._secure = auth, sign_in, secure
        self._urls = Map(
            [
                Rule(f"{BASE}/oauth/<provider>", methods=["GET"], endpoint=self._start),
                Rule(f"{BASE}/oauth/<provider>/callback", methods=["GET"], endpoint=self._finish),
                Rule(f"{BASE}/refresh", methods=["POST"], endpoint=self._refresh),
                Rule(f"{BASE}/logout", methods=["POST"], endpoint=self._logout),
            ]
        )

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        request = Request(environ)
        with telemetry.bound(request.headers.get(telemetry.REQUEST_ID, "")):
            response = self._answer(request)
            log.info("%s %s", request.method, request.path, extra={"fields": {"status": response.status_code}})
            # Codes, states and tokens are in these answers or in their addresses.
            response.headers["cache-control"] = "no-store"
            response.headers["referrer-policy"] = "no-referrer"
            return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            endpoint, arguments = self._urls.bind_to_environ(request.environ).match()
            return endpoint(request, **arguments)
        except HTTPException:
            message = f"nothing is served at {request.method} {request.path}"
            return _failed(NotFound(message, reason="PATH_NOT_FOUND"))
        except Fault as fault:
            return _failed(fault)
        except Exception:
            # Not to the HTTP server, which would say it in its own words.
            log.exception("%s %s failed", request.method, request.path)
            return _say(_OURS, 500)

    def _start(self, request: Request, provider: str) -> Response:
        if request.args.get("code_challenge_method", "S256") != "S256":
            raise invalid("code_challenge_method", "must be S256")
        challenge = request.args.get("code_challenge", "")
        # One for all tabs of a browser, so that a second sign-in does not undo the first.
        browser = request.cookies.get(SIGN_IN, "")[:200] or secrets.token_urlsafe(32)
        url = self._sign_in.StartSignIn(
            internal_pb2.StartSignInRequest(
                provider=provider,
                redirect_uri=request.args.get("redirect_uri", ""),
                code_challenge=challenge,
                browser="" if challenge else browser,
                address=request.headers.get(caller.CLIENT_ADDRESS, ""),
            )
        ).authorization_url
        wants_json = request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"
        response = _json({"authorization_url": url}) if wants_json else _redirect(url)
        if not challenge:
            self._set(response, SIGN_IN, browser, SIGN_IN_S, f"{BASE}/oauth")
        return response

    def _finish(self, request: Request, provider: str) -> Response:
        answer = self._sign_in.FinishSignIn(
            internal_pb2.FinishSignInRequest(
                provider=provider,
                state=request.args.get("state", ""),
                code=request.args.get("code", ""),
                browser=request.cookies.get(SIGN_IN, ""),
                address=request.headers.get(caller.CLIENT_ADDRESS, ""),
                user_agent=request.headers.get("user-agent", "")[:2000],
            )
        )
        outcome = answer.WhichOneof("outcome")
        if outcome == "tokens":
            response = _redirect(answer.redirect_uri)
            self._set(response, REFRESH, answer.tokens.refresh_token, REFRESH_S, BASE)
            return response
        said = {"code": answer.code} if outcome == "code" else {"error": answer.failure}
        return _redirect(_with(answer.redirect_uri, said))

    def _refresh(self, request: Request) -> Response:
        try:
            tokens = self._auth.Refresh(auth_pb2.RefreshRequest(refresh_token=_token(request))).tokens
        except Unauthenticated as fault:
            response = _failed(fault)
            self._set(response, REFRESH, "", 0, BASE)
            return response
        successor, tokens.refresh_token = tokens.refresh_token, ""
        response = _json({"tokens": _message(tokens)})
        self._set(response, REFRESH, successor, REFRESH_S, BASE)
        return response

    def _logout(self, request: Request) -> Response:
        self._auth.Logout(auth_pb2.LogoutRequest(refresh_token=_token(request)))
        response = _json({})
        self._set(response, REFRESH, "", 0, BASE)
        return response

    def _set(self, response: Response, name: str, value: str, max_age: int, path: str) -> None:
        # Lax: sent when the provider sends people back to us, not with what other sites post.
        response.set_cookie(name, value, max_age=max_age, path=path, secure=self._secure, httponly=True, samesite="Lax")


class Pages:
    """An HTTP server at work."""

    def __init__(self, server: waitress.server.BaseWSGIServer):
        self._server = server
        self._thread = threading.Thread(target=server.run, name="http", daemon=True)
        self._thread.start()
        self.port = server.effective_port

    def close(self) -> None:
        """Let the calls under way finish."""
        self._server.close()
        self._thread.join(timeout=15)


def serve(application: Callable, listen: str) -> Pages:
    """listen: host:port."""
    host, _, port = listen.rpartition(":")
    options = {"threads": THREADS, "connection_limit": 256, "max_request_body_size": 1 << 18, "ident": None}
    return Pages(waitress.create_server(application, host=host, port=int(port), **options))


def _token(request: Request) -> str:
    """That of the body where there is one, as for a client without cookies; else that of the cookie."""
    if request.content_length:
        try:
            body = json.loads(request.get_data())
        except (ValueError, RecursionError):
            # Not JSON, or so deep that it is meant to harm.
            body = None
        given = body.get("refresh_token", "") if isinstance(body, dict) else None
        if not isinstance(given, str) or not given.isascii():
            message = "the body is not the JSON of this call"
            raise InvalidArgument(message, reason="MALFORMED_REQUEST", violations=(("", message),))
        if given:
            return given
    return request.cookies.get(REFRESH, "")


def _with(uri: str, said: dict[str, str]) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(said)}"


def _redirect(uri: str) -> Response:
    # Not werkzeug's own, which knows better what a good URI is than those who registered their app's.
    return Response(status=302, headers={"location": uri})


def _json(body: dict, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


def _message(message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _failed(fault: Fault) -> Response:
    if fault.code in _HTTP_STATUS:
        return _say(fault, _HTTP_STATUS[fault.code])
    log.error("a call of ours failed", exc_info=fault)
    return _say(_OURS, 500)


def _say(fault: Fault, status: int) -> Response:
    details = dict(to_status(fault).trailing_metadata)["grpc-status-details-bin"]
    return _json(_message(status_pb2.Status.FromString(details)), status)
