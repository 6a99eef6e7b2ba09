"""AuthInternalService: who registered, and whom to forget."""

from __future__ import annotations

from uuid import UUID

from eco2.auth.v1 import internal_pb2 as pb
from eco2.auth.v1 import internal_pb2_grpc as pb_grpc

from services.auth import leave_store
from services.auth.outbox import registered
from services.auth.sessions import Sessions
from services.kit import tombstones
from services.kit.database import Database
from services.kit.errors import NotFound


class AuthInternal(pb_grpc.AuthInternalServiceServicer):
    def __init__(self, db: Database, sessions: Sessions):
        self._db, self._sessions = db, sessions

    def GetRegistration(self, request, context):
        with self._db.reading() as connection:
            row = leave_store.find_registration(connection, UUID(request.user_id))
        if row is None:
            raise NotFound("no such user", reason="USER_NOT_FOUND")
        return pb.GetRegistrationResponse(registration=registered(row))

    def EraseUser(self, request, context):
        user_id = UUID(request.user_id)
        # In one transaction: here the user's row, which all others need, keeps late writers out.
        with self._db.writing() as tx:
            tombstones.bury(tx, user_id)
            email = leave_store.lock_user(tx, user_id)
            # Before the rows go, so that a try which fails here still knows them the next time.
            self._sessions.ended(leave_store.list_all_sessions(tx, user_id))
            removed = tombstones.count_removed(tx, user_id, leave_store.delete_user(tx, user_id, email))
        return pb.EraseUserResponse(removed_count=removed)
