"""An OpenAI-compatible server on a loopback port that does what a test tells it, faults included."""

from __future__ import annotations

import collections
import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Callable

Body = dict[str, object]
# Handles one request in place of an answer.
Fault = Callable[["Handler", Body], None]


class OpenAIApi:
    """`answers` by name of the schema that is asked for: what to say, or a function of the request's body. `faults`
    are for the next requests, one each; `always` for every one. `requests` are the bodies that came."""

    def __init__(self):
        self.answers: dict[str, object] = {}
        self.pieces = ["안녕", "하세", "요"]
        self.tokens = 100
        self.faults: collections.deque[Fault] = collections.deque()
        self.always: Fault | None = None
        self.requests: list[Body] = []
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def asked(self, schema: str) -> list[Body]:
        return [body for body in self.requests if schema_of(body) == schema]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = False, 1024
    api: OpenAIApi

    def __init__(self, *args):
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End connections that clients keep for later."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """A client that has left is part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        api = self.server.api
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        api.requests.append(body)
        fault = api.faults.popleft() if api.faults else api.always
        if self.path != "/v1/chat/completions" or self.headers["Authorization"] != "Bearer test-key":
            fault = status(404)
        if fault:
            fault(self, body)
        elif body.get("stream"):
            self.stream(body, api.pieces)
        else:
            self.say(body, json.dumps(answer(api, body), ensure_ascii=False))

    def say(self, body: Body, content: str | None, *, finish: str = "stop", refusal: str | None = None) -> None:
        self.send(200, json.dumps(completion(self.server.api, body, content, finish, refusal)))

    def send(self, code: int, text: str, headers: dict | None = None, length: int | None = None) -> None:
        data = text.encode()
        self.send_response(code)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, body: Body, pieces: list[str], *, finish: str | None = "stop") -> None:
        """As server-sent events; without `finish` the connection ends after the pieces."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        for piece in pieces:
            self._event(head | {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        if finish:
            self._event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            self._event(head | {"choices": [], "usage": usage(self.server.api.tokens)})
            self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args):
        """Tests look at `requests`."""


def schema_of(body: Body) -> str:
    return body.get("response_format", {}).get("json_schema", {}).get("name", "")


def answer(api: OpenAIApi, body: Body) -> object:
    found = api.answers[schema_of(body)]
    return found(body) if callable(found) else found


def usage(tokens: int) -> dict:
    return {"prompt_tokens": tokens - 1, "completion_tokens": 1, "total_tokens": tokens}


def completion(api: OpenAIApi, body: Body, content: str | None, finish: str = "stop", refusal: str | None = None):
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage(api.tokens),
    }


def status(code: int, error: str | None = None, **headers: str) -> Fault:
    """headers: retry_after="3" is Retry-After: 3."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    text = json.dumps({"error": {"message": "no", "type": error, "code": error}})
    return lambda handler, body: handler.send(code, text, sent)


def cut(handler: Handler, body: Body) -> None:
    """Ends the connection in the middle of an answer that announced its length."""
    text = json.dumps(completion(handler.server.api, body, "{}"))
    handler.send(200, text[: len(text) // 2], length=len(text))
    handler.hang_up()


def silent(handler: Handler, body: Body) -> None:
    """Says nothing until the test is over."""
    handler.close_connection = True
    handler.server.api.closing.wait(60)


def dripping(handler: Handler, body: Body) -> None:
    """Sends an answer so slowly that it never ends, but never stops either."""
    handler.close_connection = True
    handler.send(200, "", length=1 << 20)
    while not handler.server.api.closing.wait(0.01):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def raw(text: str, kind: str = "application/json") -> Fault:
    """This as the whole body."""
    return lambda handler, body: handler.send(200, text, {"Content-Type": kind})


def content(text: str) -> Fault:
    """This as what the model said."""
    return lambda handler, body: handler.say(body, text)


def refusing(handler: Handler, body: Body) -> None:
    handler.say(body, None, refusal="I cannot help with that.")


def filtered(handler: Handler, body: Body) -> None:
    handler.say(body, "", finish="content_filter")


def truncated(handler: Handler, body: Body) -> None:
    handler.say(body, '{"colour": "re', finish="length")


def broken_stream(handler: Handler, body: Body) -> None:
    """Two pieces, and then nothing more."""
    handler.stream(body, handler.server.api.pieces[:2], finish=None)
