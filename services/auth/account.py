"""AccountService: what somebody who is logged in does with their own log-in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from eco2.auth.v1 import account_pb2 as pb
from eco2.auth.v1 import account_pb2_grpc as pb_grpc

from services.auth import passwords, store
from services.auth.sessions import Sessions
from services.auth.throttle import Throttle
from services.kit import pages
from services.kit.caller import client_address, get_caller
from services.kit.database import Database
from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound


class Account(pb_grpc.AccountServiceServicer):
    """clock: the present time, aware."""

    def __init__(self, db: Database, sessions: Sessions, throttle: Throttle, clock: Callable[[], datetime]):
        self._db, self._sessions, self._throttle, self._clock = db, sessions, throttle, clock

    def ListSessions(self, request, context):
        caller, count = get_caller(context), pages.size(request.page_size)
        after = pages.cursor(request.page_token, (datetime.fromisoformat, UUID), caller.user_id)
        with self._db.reading() as tx:
            rows = store.list_sessions(tx, caller.user_id, self._clock(), count + 1, after)
        token = ""
        if len(rows) > count:
            last = rows[count - 1]
            token = pages.token([last.created_at.isoformat(), str(last.id)], caller.user_id)
        sessions = [
            pb.Session(
                session_id=str(row.id),
                create_time=row.created_at,
                last_use_time=row.last_used_at,
                expire_time=row.expires_at,
                user_agent=row.user_agent,
                address=row.address,
                current=row.id == caller.session_id,
            )
            for row in rows[:count]
        ]
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=token)

    def RevokeSession(self, request, context):
        user_id = get_caller(context).user_id
        with self._db.writing() as tx:
            ended = store.revoke_session(tx, UUID(request.session_id), self._clock(), user_id)
        if ended is None:
            raise NotFound("no such session", reason="SESSION_NOT_FOUND", session_id=request.session_id)
        self._sessions.ended([ended])
        return pb.RevokeSessionResponse()

    def RevokeOtherSessions(self, request, context):
        caller = get_caller(context)
        with self._db.writing() as tx:
            ended = store.revoke_sessions(tx, caller.user_id, self._clock(), but=caller.session_id)
        self._sessions.ended(ended)
        return pb.RevokeOtherSessionsResponse(revoked_count=len(ended))

    def ChangePassword(self, request, context):
        caller = get_caller(context)
        with self._db.reading() as tx:
            old = store.find_password_hash(tx, caller.user_id)
        if old is None:
            raise FailedPrecondition("this account has no password; reset it to set one", reason="NO_PASSWORD")
        account, address = self._throttle.login(caller.user_id, client_address(context))
        with passwords.turn:
            self._throttle.take(account, address)
            right = passwords.verify(old, request.current_password)
            new = passwords.hash_password(request.new_password) if right else ""
        ended = []
        if right:
            self._throttle.give_back(account, address)
            with self._db.writing() as tx:
                # Another change may have come first.
                right = store.replace_password(tx, caller.user_id, old, new)
                if right:
                    ended = store.revoke_sessions(tx, caller.user_id, self._clock(), but=caller.session_id)
        if not right:
            what = "is not the password of this account"
            violations = (("current_password", what),)
            raise InvalidArgument(f"current_password: {what}", reason="WRONG_PASSWORD", violations=violations)
        self._sessions.ended(ended)
        return pb.ChangePasswordResponse()
