"""What CreateAnalysis has committed and the broker has not got yet."""

from __future__ import annotations

from services.kit import telemetry
from services.kit.broker import Message, Outbox
from services.waste import store


def pack(row) -> Message:
    return Message(row.queue, row.body, {telemetry.REQUEST_ID: row.request_id})


OUTBOX = Outbox(store.list_messages, pack, store.delete_messages)
