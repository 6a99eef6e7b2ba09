"""A person's or a program's way in, over native gRPC: deadlines, retries where they are safe, tokens kept fresh."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from eco2.auth.v1 import account_pb2_grpc, auth_pb2, auth_pb2_grpc
from eco2.locations.v1 import locations_pb2_grpc
from eco2.recycle_info.v1 import recycle_info_pb2_grpc
from eco2.tasks.v1 import tasks_pb2_grpc
from eco2.users.v1 import erasure_pb2_grpc, users_pb2_grpc
from eco2.waste.v1 import waste_pb2_grpc
from google.protobuf import descriptor_pool

from services.kit.channel import Details
from services.kit.errors import Unauthenticated, from_rpc_error

STUBS = {
    "account": account_pb2_grpc.AccountServiceStub,
    "auth": auth_pb2_grpc.AuthServiceStub,
    "erasures": erasure_pb2_grpc.ErasureServiceStub,
    "locations": locations_pb2_grpc.LocationsServiceStub,
    "recycle_info": recycle_info_pb2_grpc.RecycleInfoServiceStub,
    "tasks": tasks_pb2_grpc.TasksServiceStub,
    "users": users_pb2_grpc.UsersServiceStub,
    "waste": waste_pb2_grpc.WasteServiceStub,
}
# These are for those who have no token, or no account any more.
_OPEN = frozenset({"auth", "erasures"})
# An access token is renewed when it has less than this left: a call may take a while on its way.
_MARGIN_S = 30.0
_RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


class Client:
    """One user at one edge: `client.waste`, `client.recycle_info` and so on are the generated stubs.

    target: host:port of the edge. timeout_s: of each call that is given none; a stream has none by itself. Reading is
    tried three times while the edge is away, with growing pauses and gRPC's jitter; what changes something is sent
    once. root_certificates: a PEM file of whom to trust; without it and without tls the connection is not encrypted.

    Calls raise the Faults of services.kit.errors. Safe for threads.
    """

    auth: auth_pb2_grpc.AuthServiceStub
    account: account_pb2_grpc.AccountServiceStub
    erasures: erasure_pb2_grpc.ErasureServiceStub
    locations: locations_pb2_grpc.LocationsServiceStub
    recycle_info: recycle_info_pb2_grpc.RecycleInfoServiceStub
    tasks: tasks_pb2_grpc.TasksServiceStub
    users: users_pb2_grpc.UsersServiceStub
    waste: waste_pb2_grpc.WasteServiceStub

    def __init__(
        self, target: str, *, timeout_s: float = 10.0, tls: bool = False, root_certificates: Path | None = None
    ):
        options = [("grpc.service_config", _service_config())]
        if tls or root_certificates:
            roots = root_certificates.read_bytes() if root_certificates else None
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options)
        else:
            self._channel = grpc.insecure_channel(target, options)
        self._lock = threading.Lock()
        self.tokens: auth_pb2.Tokens | None = None
        self._fresh_until = 0.0
        for name, stub in STUBS.items():
            calls = _Calls(timeout_s, None if name in _OPEN else self._access_token)
            setattr(self, name, stub(grpc.intercept_channel(self._channel, calls)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def register(self, username: str, email: str, password: str) -> str:
        """Makes an account, logs in, and returns the user_id."""
        made = self.auth.Register(auth_pb2.RegisterRequest(username=username, email=email, password=password))
        self.use(made.tokens)
        return made.user.user_id

    def log_in(self, username: str, password: str) -> None:
        self.use(self.auth.Login(auth_pb2.LoginRequest(username=username, password=password)).tokens)

    def log_out(self) -> None:
        """Ends the session everywhere at once."""
        with self._lock:
            tokens, self.tokens = self.tokens, None
        if tokens is not None:
            self.auth.Logout(auth_pb2.LogoutRequest(refresh_token=tokens.refresh_token))

    def use(self, tokens: auth_pb2.Tokens) -> None:
        """Go on with tokens that were kept; `tokens` always holds the newest."""
        with self._lock:
            self._take(tokens)

    def _take(self, tokens: auth_pb2.Tokens) -> None:
        self.tokens, self._fresh_until = tokens, time.monotonic() + tokens.expires_in - _MARGIN_S

    def _access_token(self) -> str:
        with self._lock:
            if self.tokens is None:
                raise Unauthenticated("log in first", reason="NOT_LOGGED_IN")
            if time.monotonic() > self._fresh_until:
                asked = auth_pb2.RefreshRequest(refresh_token=self.tokens.refresh_token)
                self._take(self.auth.Refresh(asked).tokens)
            return self.tokens.access_token


def _service_config() -> str:
    """Retries for what only reads."""
    reads = [
        {"service": method.containing_service.full_name, "method": method.name}
        for stub in STUBS.values()
        for method in _methods(stub)
        if method.name.startswith(("Get", "List", "Wait", "Ask", "Locate", "Search", "Suggest"))
    ]
    return json.dumps({"methodConfig": [{"name": reads, "retryPolicy": _RETRY}]})


def _methods(stub: type) -> list[Any]:
    """The descriptors of a stub's rpcs."""
    domain = stub.__module__.rpartition(".")[0]
    return descriptor_pool.Default().FindServiceByName(f"{domain}.{stub.__name__.removesuffix('Stub')}").methods


class _Calls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """access_token: of whoever calls; none for calls that need none."""

    def __init__(self, timeout_s: float, access_token=None):
        self._timeout_s, self._access_token = timeout_s, access_token

    def _with_token(self, details, timeout_s: float | None) -> Details:
        metadata = list(details.metadata or ())
        if self._access_token is not None:
            metadata.append(("authorization", f"Bearer {self._access_token()}"))
        return Details(
            details.method, timeout_s, metadata, details.credentials, details.wait_for_ready, details.compression
        )

    def intercept_unary_unary(self, continuation, details, request):
        call = continuation(self._with_token(details, details.timeout or self._timeout_s), request)
        error = call.exception()
        if error is None:
            return call
        raise from_rpc_error(error) if isinstance(error, grpc.RpcError) else error

    def intercept_unary_stream(self, continuation, details, request):
        return _Messages(continuation(self._with_token(details, details.timeout), request))


class _Messages:
    """The messages of a stream; `cancel` ends it."""

    def __init__(self, call):
        self._call = call

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def cancel(self) -> None:
        self._call.cancel()
