"""A synchronous gRPC server: few threads, health, validation, faults, and a drain that fails nobody."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextvars import ContextVar
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.kit import telemetry
from services.kit.caller import SESSION_ID, USER_ID
from services.kit.errors import TRANSIENT, Fault, ResourceExhausted, Unauthenticated, to_status
from services.kit.requests import reader, validate
from services.kit.revocations import Revocations

log = logging.getLogger(__name__)

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


def time_left() -> float:
    """Seconds until the deadline of the call this thread serves; infinity when it has none."""
    return _deadline.get() - time.monotonic()


@dataclasses.dataclass(frozen=True)
class Pool:
    """Threads of their own for rpcs that hold one for long, so that short calls never wait behind them.

    methods: full names, `/eco2.waste.v1.WasteService/WaitAnalysis`. limit: how many run at once; one more fails at
    once with RESOURCE_EXHAUSTED and `reason`. each: how many of them one user may have, so that nobody takes them all.
    """

    methods: frozenset[str]
    limit: int
    reason: str
    each: int | None = None


class Server:
    """A server on `listen` (host:port, port 0 for any free one) with the given services.

    services: (the generated add_…_to_server, servicer) each. threads: for all rpcs not in a pool.
    draining: set when the server begins to stop; long rpcs watch it and end with what they have.
    healthy: asked once a second; while it says no, health says NOT_SERVING.
    revocations: the sessions whose tokens are refused, with UNAUTHENTICATED (SESSION_ENDED); a stream of such a session
    ends the same way before its next message.
    """

    def __init__(
        self,
        listen: str,
        services: Iterable[tuple[Callable[[Any, grpc.Server], None], object]],
        *,
        threads: int = 4,
        pools: Iterable[Pool] = (),
        draining: threading.Event | None = None,
        healthy: Callable[[], bool] | None = None,
        revocations: Revocations | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ):
        pools = tuple(pools)
        self.draining = draining or threading.Event()
        self._healthy = healthy
        self._health = health.HealthServicer(experimental_non_blocking=True)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(threads, thread_name_prefix="rpc"),
            interceptors=[_Gate(pools, revocations)],
            # Above every pool's limit, since past it health itself is refused and a pod only busy would be ejected.
            maximum_concurrent_rpcs=256 + 2 * sum(pool.limit for pool in pools),
            options=[
                ("grpc.so_reuseport", 0),
                # Past it gRPC itself says RESOURCE_EXHAUSTED, before any code of ours and so without details. The edge
                # lets no more than 256 KiB through and says the same.
                ("grpc.max_receive_message_length", 16 << 20),
                # Whatever Envoy lets through, which is 60 KiB and what it adds; by default 8 KiB are refused by chance.
                ("grpc.max_metadata_size", 96 << 10),
                # Envoy pings each 30 s. By default the fourth ping without an answer of ours in between ends the
                # connection, and with it a stream that only has nothing to say.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        if healthy is not None:
            self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        for add, servicer in services:
            add(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        bind = (
            self._server.add_insecure_port
            if credentials is None
            else lambda address: self._server.add_secure_port(address, credentials)
        )
        self.port = bind(listen)

    def start(self) -> Server:
        self._server.start()
        if self._healthy is None:
            self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        else:
            threading.Thread(target=self._watch_health, name="health", daemon=True).start()
        log.info("serving", extra={"fields": {"port": self.port}})
        return self

    def stop(self, probe_interval_s: float = 0.0, grace_s: float = 10.0) -> None:
        """Say NOT_SERVING, give load balancers one probe to notice, end long rpcs, let the others finish."""
        self._health.enter_graceful_shutdown()
        threading.Event().wait(probe_interval_s)
        self.draining.set()
        self._server.stop(grace_s).wait()
        log.info("stopped")

    def _watch_health(self) -> None:
        while not self.draining.is_set():
            status = "SERVING" if self._healthy() else "NOT_SERVING"
            # After a graceful shutdown has begun this changes nothing.
            self._health.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(status))
            self.draining.wait(1)


def run(server: Server, *closing: Callable[[], None], probe_interval_s: float = 1.0) -> None:
    """Serve until SIGTERM or SIGINT, drain, then call each of `closing` in order."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    server.start()
    asked.wait()
    server.stop(probe_interval_s)
    for close in closing:
        close()


class _Gate(grpc.ServerInterceptor):
    """What every rpc of ours passes: request id, deadline, session, validation, faults. Health and reflection pass
    untouched."""

    def __init__(self, pools: tuple[Pool, ...], revocations: Revocations | None):
        self._revocations = revocations
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}
        self._lanes = {method: lane for lane in map(_Lane, pools) for method in lane.pool.methods}

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None or details.method.startswith("/grpc."):
            return handler
        # Built once a method: continuation returns an equal handler each time.
        if details.method not in self._wrapped:
            self._wrapped[details.method] = self._wrap(details.method, handler)
        return self._wrapped[details.method]

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        lane = self._lanes.get(method)
        if handler.request_streaming:
            raise TypeError(f"{method}: no service of ours streams requests")
        call = functools.partial(_Call, method, self._revocations)
        if handler.response_streaming:
            behavior, make = _stream(call, handler.unary_stream, lane), grpc.unary_stream_rpc_method_handler
        else:
            behavior, make = _unary(call, handler.unary_unary, lane), grpc.unary_unary_rpc_method_handler
        if lane:
            # Honoured only on the outermost function; experimental in grpcio, so its version is pinned and this tested.
            behavior.experimental_thread_pool = lane.threads
        return make(behavior, reader(handler.request_deserializer), handler.response_serializer)


class _Lane:
    """A Pool at work. Two threads more than the limit, so that a call too many is refused rather than queued."""

    def __init__(self, pool: Pool):
        self.pool = pool
        self.threads = futures.ThreadPoolExecutor(pool.limit + 2, thread_name_prefix="long")
        self._lock, self._running = threading.Lock(), collections.Counter[str]()

    @contextlib.contextmanager
    def taken(self, user_id: str) -> Iterator[None]:
        """user_id: empty for who speaks for no user."""
        pool = self.pool
        with self._lock:
            if self._running.total() >= pool.limit:
                raise self._full(f"{pool.limit} such calls are running already")
            if user_id and pool.each and self._running[user_id] >= pool.each:
                raise self._full(f"{pool.each} such calls of yours are running already")
            self._running[user_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[user_id] -= 1
                self._running += collections.Counter()  # forgets those at nought

    def _full(self, message: str) -> ResourceExhausted:
        return ResourceExhausted(message, reason=self.pool.reason, retry_after_s=1.0)


def _unary(make: Callable[[grpc.ServicerContext], _Call], behavior: Callable, lane: _Lane | None) -> Callable:
    def call(request, context):
        with make(context) as current:
            current.check_session()
            validate(request)
            with lane.taken(current.user_id) if lane else contextlib.nullcontext():
                return behavior(request, context)

    return call


def _stream(make: Callable[[grpc.ServicerContext], _Call], behavior: Callable, lane: _Lane | None) -> Callable:
    def call(request, context) -> Iterator:
        with make(context) as current:
            current.check_session()
            validate(request)
            with lane.taken(current.user_id) if lane else contextlib.nullcontext():
                for message in behavior(request, context):
                    current.check_session()
                    yield message

    return call


class _Call:
    """One call: binds its request id and deadline, turns what is raised into a status, and logs the outcome."""

    def __init__(self, method: str, revocations: Revocations | None, context: grpc.ServicerContext):
        self._method, self._revocations, self._context = method, revocations, context

    def check_session(self) -> None:
        if self._session and self._revocations and self._revocations.ended(self._session):
            raise Unauthenticated("this session has ended; log in again", reason="SESSION_ENDED")

    def __enter__(self) -> _Call:
        self._started = time.monotonic()
        metadata = dict(self._context.invocation_metadata())
        self._session, self.user_id = metadata.get(SESSION_ID), metadata.get(USER_ID, "")
        self._bound = telemetry.bound(metadata.get(telemetry.REQUEST_ID, ""))
        self._bound.__enter__()
        remaining = self._context.time_remaining()
        self._token = _deadline.set(float("inf") if remaining is None else self._started + remaining)
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if error is None:
                self._log("OK")
            elif isinstance(error, Fault) and (not error.upstream or isinstance(error, TRANSIENT)):
                self._log(error.code.name, reason=error.reason, cause=str(error.__cause__ or ""))
                self._context.abort_with_status(to_status(error))
            elif isinstance(error, Exception):
                log.error("%s failed", self._method, exc_info=error)
                self._log("INTERNAL")
                self._context.abort_with_status(to_status(Fault("something went wrong on our side")))
        finally:
            _deadline.reset(self._token)
            self._bound.__exit__(None, None, None)

    def _log(self, code: str, **fields: str) -> None:
        elapsed_ms = round((time.monotonic() - self._started) * 1000, 1)
        log.info(self._method, extra={"fields": {"code": code, "ms": elapsed_ms, **fields}})
