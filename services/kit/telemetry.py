"""Structured logs, and the request id that every hop of one request shares.

The id arrives as gRPC metadata `x-request-id` (Envoy makes it) or as an AMQP header of that name, is bound to the
thread while the work runs, and leaves again with every call and message that the work makes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime

import uuid_utils

REQUEST_ID = "x-request-id"
# sysexits.h calls it EX_SOFTWARE.
DEAD_THREAD_EXIT = 70

# What can travel on as metadata and as a header.
_TRAVELS = re.compile(r"[!-~]+")
_request_id: ContextVar[str] = ContextVar("request_id", default="")
# Credentials in URLs, bearer tokens, anything assigned to a telling name, and the row that broke a constraint.
_SECRETS = re.compile(
    r"(?i)(?P<url>://[^:/@\s]*:)[^@\s]+(?=@)|(?P<bearer>bearer\s+)\S+"
    r"|(?P<named>(?:password|secret|token)\"?\s*[=:]\s*)\S+|(?P<row>failing row contains )\(.*\)"
)


def request_id() -> str:
    """The id bound to this thread's work, or an empty string."""
    return _request_id.get()


@contextlib.contextmanager
def bound(identifier: str = "") -> Iterator[str]:
    """Bind a request id, a new one when it is empty or no visible ASCII, for the length of a block."""
    identifier = identifier[:100]
    token = _request_id.set(identifier if _TRAVELS.fullmatch(identifier) else str(uuid_utils.uuid7()))
    try:
        yield _request_id.get()
    finally:
        _request_id.reset(token)


def redact(text: str) -> str:
    return _SECRETS.sub(lambda match: next(filter(None, match.groups())) + "***", text)


def setup(process: str, level: str = "INFO") -> None:
    """Log JSON, a line a record, to stderr: time, level, process, logger, request_id, message and extra fields.

    Extra fields come as `extra={"fields": {...}}`. From now on a thread that dies of an exception ends the process, so
    that another one is started: without its relay or its journal it would look alive and do nothing.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The broker kit says itself, in one line, what pika says in seven.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # A line for each request, which whoever makes it logs with what it was for.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    threading.excepthook = _end_with_thread


class _Json(logging.Formatter):
    def __init__(self, process: str):
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if request_id():
            line["request_id"] = request_id()
        fields = getattr(record, "fields", {})
        line.update({key: redact(value) if isinstance(value, str) else value for key, value in fields.items()})
        if record.exc_info:
            line["stack"] = redact("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(line, ensure_ascii=False, default=str)


def _end_with_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger(__name__).critical("thread %s died", args.thread and args.thread.name, exc_info=info)
        os._exit(DEAD_THREAD_EXIT)
