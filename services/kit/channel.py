"""A channel to a sibling: every call has a deadline, is retried when that is safe, and fails with our own Faults."""

from __future__ import annotations

import collections
import dataclasses
import json
from pathlib import Path

import grpc

from services.kit import server, telemetry
from services.kit.errors import DeadlineExceeded, from_rpc_error

# Every internal rpc is idempotent, so UNAVAILABLE may always be tried again; gRPC adds the jitter.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


@dataclasses.dataclass(frozen=True)
class Tls:
    """PEM files of one peer: its own certificate and key, and the authority it trusts."""

    certificate: Path
    key: Path
    authority: Path


def connect(target: str, timeout_s: float, tls: Tls | None = None) -> grpc.Channel:
    """A channel to `host:port`. A call made without a timeout gets `timeout_s`, and never more than what is left of
    the call being served. Its unary calls raise Faults; use them blocking, not as futures."""
    options = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.max_receive_message_length", 16 << 20),
        # A sibling that comes back is found within seconds, not after gRPC's two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # One that went without a word is given up within 25 s, not when TCP does so after a quarter of an hour. Our
        # servers allow a ping each 10 s. gRPC's own keepalive_timeout_ms was seen not to end the connection.
        ("grpc.keepalive_time_ms", 15_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if tls:
        credentials = grpc.ssl_channel_credentials(
            tls.authority.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes()
        )
        channel = grpc.secure_channel(target, credentials, options)
    else:
        channel = grpc.insecure_channel(target, options)
    return grpc.intercept_channel(channel, _Caller(target, timeout_s))


class Details(
    collections.namedtuple("Details", "method timeout metadata credentials wait_for_ready compression"),
    grpc.ClientCallDetails,
):
    """What an interceptor passes on; gRPC's own cannot be changed."""


class _Caller(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, target: str, timeout_s: float):
        self._target, self._timeout_s = target, timeout_s

    def intercept_unary_unary(self, continuation, details, request):
        timeout_s = min(details.timeout or self._timeout_s, server.time_left())
        if timeout_s <= 0:
            raise DeadlineExceeded("no time left to ask a sibling", reason="DEADLINE_SPENT", target=self._target)
        metadata = [*(details.metadata or ()), (telemetry.REQUEST_ID, telemetry.request_id())]
        call = continuation(
            Details(
                details.method, timeout_s, metadata, details.credentials, details.wait_for_ready, details.compression
            ),
            request,
        )
        error = call.exception()
        if error is None:
            return call
        if not isinstance(error, grpc.RpcError):
            raise error
        fault = from_rpc_error(error)
        fault.upstream = f"{self._target}{details.method}"
        raise fault from error
