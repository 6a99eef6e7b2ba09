"""Events that were committed and that the broker has not got yet."""

from __future__ import annotations

from eco2.auth.v1 import events_pb2

from services.auth import leave_store
from services.kit import telemetry
from services.kit.broker import Message, Outbox, Topology, queue_of

EVENTS = Topology.of(events_pb2.Event.DESCRIPTOR)
REGISTERED = queue_of(events_pb2.Event.DESCRIPTOR, events_pb2.EVENT_USER_REGISTERED)


def registered(row) -> events_pb2.UserRegistered:
    """row: user_id, username, created_at."""
    return events_pb2.UserRegistered(user_id=str(row.user_id), username=row.username, create_time=row.created_at)


def pack(row) -> Message:
    return Message(REGISTERED, registered(row).SerializeToString(), {telemetry.REQUEST_ID: row.request_id})


OUTBOX = Outbox(leave_store.list_registrations, pack, leave_store.delete_registrations)
