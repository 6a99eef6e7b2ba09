"""AccountService: what somebody who is logged in does with their own log-in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from eco2.auth.v1 import account_pb2 as pb
from eco2.auth.v1 import account_pb2_grpc as pb_grpc

from services.auth import identity_store, passwords, store, tokens
from services.auth.journeys import Journeys
from services.auth.sessions import Sessions
from services.auth.states import States
from services.auth.throttle import Throttle
from services.kit import pages
from services.kit.caller import client_address, get_caller
from services.kit.database import Database
from services.kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated

# For how long after a log-in somebody may add a way to log in. A token that was stolen later gains no lasting entrance.
FRESH = timedelta(minutes=15)


class Account(pb_grpc.AccountServiceServicer):
    """clock: the present time, aware."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        throttle: Throttle,
        states: States,
        journeys: Journeys,
        clock: Callable[[], datetime],
    ):
        self._db, self._sessions, self._throttle = db, sessions, throttle
        self._states, self._journeys, self._clock = states, journeys, clock

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

    def ListIdentities(self, request, context):
        with self._db.reading() as tx:
            rows = identity_store.list_accounts(tx, get_caller(context).user_id)
        identities = [pb.Identity(provider=row.provider, create_time=row.created_at) for row in rows]
        return pb.ListIdentitiesResponse(identities=identities)

    def LinkIdentity(self, request, context):
        caller = get_caller(context)
        with self._db.reading() as tx:
            begun = store.find_beginning(tx, caller.user_id, caller.session_id)
        if begun is None or self._clock() - begun > FRESH:
            raise FailedPrecondition("log in again first", reason="LOG_IN_AGAIN")
        url = self._journeys.begin(
            request.provider,
            request.redirect_uri,
            client_address(context),
            challenge=request.code_challenge,
            session=str(caller.session_id),
        )
        return pb.LinkIdentityResponse(authorization_url=url)

    def ConfirmIdentity(self, request, context):
        caller, now = get_caller(context), self._clock()
        kept = self._states.take("link", request.code, str(caller.session_id))
        if kept is None or kept["challenge"] != tokens.challenge(request.code_verifier):
            raise FailedPrecondition("the code is not valid; begin again", reason="LINK_CODE_INVALID")
        provider, subject = kept["provider"], kept["subject"]
        with self._db.writing() as tx:
            identity_store.lock_user(tx, caller.user_id)
            # A reset of the password may have come first, by whom the account is taken back from the caller.
            if store.find_beginning(tx, caller.user_id, caller.session_id) is None:
                raise Unauthenticated("this log-in has ended; log in again", reason="SESSION_ENDED")
            linked = [row for row in identity_store.list_accounts(tx, caller.user_id) if row.provider == provider]
            if not linked:
                identity_store.create_account(tx, caller.user_id, provider, subject, now)
            elif all(row.subject != subject for row in linked):
                message = "another account of this provider is linked; unlink it first"
                raise AlreadyExists(message, reason="PROVIDER_LINKED", provider=provider)
        since = linked[0].created_at if linked else now
        return pb.ConfirmIdentityResponse(identity=pb.Identity(provider=provider, create_time=since))

    def UnlinkIdentity(self, request, context):
        user_id = get_caller(context).user_id
        with self._db.writing() as tx:
            has_password = identity_store.lock_user(tx, user_id)
            linked = {row.provider for row in identity_store.list_accounts(tx, user_id)}
            if request.provider not in linked:
                raise NotFound("no account of this provider is linked", reason="IDENTITY_NOT_FOUND")
            if not has_password and len(linked) == 1:
                message = "nothing would be left to log in with; set a password first"
                raise FailedPrecondition(message, reason="LAST_WAY_IN")
            identity_store.delete_accounts(tx, user_id, request.provider)
        return pb.UnlinkIdentityResponse()
