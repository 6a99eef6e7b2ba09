"""One vocabulary of failures that crosses gRPC intact.

A `Fault` raised in a service leaves it as `google.rpc.Status` with ErrorInfo and, for bad input, BadRequest; the
caller's channel raises the same class again. Anything that is not a Fault leaves as a mute INTERNAL.
"""

from __future__ import annotations

import math
from typing import ClassVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "eco2"


class Fault(Exception):
    """A failure that the caller is meant to see.

    reason: UPPER_SNAKE_CASE, for programs. metadata: short strings that make the reason concrete.
    retry_after_s: seconds after which trying again makes sense.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        violations: tuple[tuple[str, str], ...] = (),
        retry_after_s: float | None = None,
        **metadata: object,
    ):
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code.name
        self.violations = violations
        self.retry_after_s = retry_after_s
        self.metadata = {key: str(value) for key, value in metadata.items()}
        # Set by kit.channel on what a sibling answered: a sibling's NOT_FOUND is not ours to pass on.
        self.upstream = ""


class InvalidArgument(Fault):
    """The request is wrong in itself. violations: (field, what is wrong with it)."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(Fault):
    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(Fault):
    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(Fault):
    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(Fault):
    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(Fault):
    code = grpc.StatusCode.FAILED_PRECONDITION


class ResourceExhausted(Fault):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(Fault):
    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(Fault):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(Fault):
    code = grpc.StatusCode.CANCELLED


class Unimplemented(Fault):
    code = grpc.StatusCode.UNIMPLEMENTED


# What trying again may cure.
TRANSIENT = (Unavailable, DeadlineExceeded, ResourceExhausted)

_BY_CODE = {kind.code: kind for kind in Fault.__subclasses__()}
_CODE_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def invalid(field: str, description: str) -> InvalidArgument:
    """The fault for one wrong field."""
    return InvalidArgument(f"{field}: {description}", reason="INVALID_FIELD", violations=((field, description),))


def request_id_reused() -> AlreadyExists:
    """The fault for a request_id that came before, with something else."""
    said = "was used for another request"
    return AlreadyExists(f"request_id: {said}", reason="REQUEST_ID_REUSED", violations=(("request_id", said),))


def to_status(fault: Fault) -> grpc.Status:
    """What `context.abort_with_status` takes."""
    status = status_pb2.Status(code=fault.code.value[0], message=fault.message)
    _pack(status, error_details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata=fault.metadata))
    if fault.violations:
        bad = error_details_pb2.BadRequest()
        for field, description in fault.violations:
            bad.field_violations.add(field=field, description=description)
        _pack(status, bad)
    if fault.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(fault.retry_after_s * 1000))
        _pack(status, retry)
    return rpc_status.to_status(status)


def from_rpc_error(error: grpc.RpcError) -> Fault:
    """The Fault that a sibling raised; one of the same code where the status has no details."""
    status = rpc_status.from_call(error)
    if status is None:
        return _BY_CODE.get(error.code(), Fault)(error.details() or error.code().name)
    kind = _BY_CODE.get(_CODE_BY_NUMBER.get(status.code), Fault)
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    retry_after_s = None
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad)
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    fault = kind(
        status.message,
        reason=info.reason,
        violations=tuple((item.field, item.description) for item in bad.field_violations),
        retry_after_s=retry_after_s,
    )
    fault.metadata = dict(info.metadata)
    return fault


def _pack(status: status_pb2.Status, detail) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
