"""AuthService: register, log in, rotate, log out, choose a new password, finish a sign-in, publish the keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from eco2.auth.v1 import auth_pb2 as pb
from eco2.auth.v1 import auth_pb2_grpc as pb_grpc

from services.auth import identity_store, passwords, reset_store, store, tokens
from services.auth.keys import KeyRing
from services.auth.resets import Resets
from services.auth.sessions import Device, Sessions
from services.auth.states import States
from services.auth.throttle import Throttle
from services.kit import telemetry
from services.kit.caller import client_address
from services.kit.database import Database
from services.kit.errors import FailedPrecondition, NotFound, Unauthenticated
from services.kit.server import Pool

# A hash takes 20 ms of a core: never on the threads that answer the other calls. As many as are hashed in about a
# second may wait for their turn (passwords.AT_ONCE); more are told to come back.
LOGINS = Pool(
    frozenset(
        {
            "/eco2.auth.v1.AuthService/Register",
            "/eco2.auth.v1.AuthService/Login",
            "/eco2.auth.v1.AuthService/ResetPassword",
            "/eco2.auth.v1.AccountService/ChangePassword",
        }
    ),
    limit=64,
    reason="TOO_MANY_LOGINS",
)
# Long enough to spare us the question, short enough that a new key is known before it signs (JWT_KEY_AHEAD_S).
_JWKS_CACHED = (("cache-control", "public, max-age=300"),)


class Auth(pb_grpc.AuthServiceServicer):
    """resets: None where no mail can be sent. wake: has the mails sent. clock: the present time, aware."""

    def __init__(
        self,
        db: Database,
        ring: KeyRing,
        sessions: Sessions,
        throttle: Throttle,
        states: States,
        resets: Resets | None,
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ):
        self._db, self._ring, self._sessions, self._throttle = db, ring, sessions, throttle
        self._states, self._resets, self._wake, self._clock = states, resets, wake, clock

    def Register(self, request, context):
        # Each try counts: one that fails tells which names and addresses are taken.
        self._throttle.take(self._throttle.register(client_address(context)))
        # Before the transaction, which would otherwise hold a connection meanwhile.
        with passwords.turn:
            password_hash = passwords.hash_password(request.password)
        now = self._clock()
        with self._db.writing() as tx:
            user_id = store.create_user(tx, request.username, request.email, password_hash, now, telemetry.request_id())
            given = self._sessions.begin(tx, user_id, Device.of(context), now)
        user = pb.User(user_id=str(user_id), username=request.username, email=request.email, create_time=now)
        return pb.RegisterResponse(user=user, tokens=given)

    def Login(self, request, context):
        with self._db.reading() as tx:
            found = store.find_user(tx, request.username)
        account, address = self._throttle.login(found.id if found else request.username, client_address(context))
        # Counted within the turn, so that no more are counted and not yet known to be right than have a turn.
        with passwords.turn:
            self._throttle.take(account, address)
            right = passwords.verify(found and found.password_hash, request.password)
            renewed = right and passwords.outdated(found.password_hash) and passwords.hash_password(request.password)
        if not right:
            raise _bad_credentials()
        self._throttle.forget(account)
        self._throttle.give_back(address)
        now = self._clock()
        try:
            with self._db.writing() as tx:
                if renewed:
                    store.replace_password(tx, found.id, found.password_hash, renewed)
                given = self._sessions.begin(tx, found.id, Device.of(context), now)
        except NotFound as gone:
            raise _bad_credentials() from gone
        return pb.LoginResponse(user=user_of(found), tokens=given)

    def Refresh(self, request, context):
        now, given = self._clock(), None
        with self._db.writing() as tx:
            used = store.use_refresh_token(tx, tokens.digest(request.refresh_token), now)
            reused = used is not None and now - used.used_at > tokens.GRACE
            if reused:
                store.revoke_session(tx, used.session_id, now)
            elif used is not None:
                given = self._sessions.go_on(tx, request.refresh_token, used, now)
        # Raised after the commit: inside the transaction it would undo the revocation.
        if used is None:
            raise Unauthenticated("the refresh token is not valid; log in again", reason="REFRESH_TOKEN_INVALID")
        if reused:
            self._sessions.ended([used.session_id])
            raise Unauthenticated("the refresh token was used before; log in again", reason="REFRESH_TOKEN_REUSED")
        return pb.RefreshResponse(tokens=given)

    def Logout(self, request, context):
        with self._db.writing() as tx:
            ended = store.revoke_session_of(tx, tokens.digest(request.refresh_token), self._clock())
        self._sessions.ended([ended])
        return pb.LogoutResponse()

    def RequestPasswordReset(self, request, context):
        if self._resets is None:
            raise FailedPrecondition("this service sends no mail", reason="MAIL_NOT_CONFIGURED")
        self._throttle.take(*self._throttle.reset(request.email, client_address(context)))
        self._resets.request(request.email)
        self._wake()
        return pb.RequestPasswordResetResponse()

    def ResetPassword(self, request, context):
        self._throttle.take(self._throttle.reset_address(client_address(context)))
        with passwords.turn:
            password_hash = passwords.hash_password(request.new_password)
        now, ended = self._clock(), []
        with self._db.writing() as tx:
            user_id = reset_store.use_reset(tx, tokens.digest(request.token), now)
            if user_id is not None:
                # Whoever registered with an address that is not theirs has no way back in when its owner comes.
                identity_store.lock_user(tx, user_id)
                identity_store.delete_unproven_accounts(tx, user_id)
                store.reset_password(tx, user_id, password_hash, now)
                ended = store.revoke_sessions(tx, user_id, now)
        if user_id is None:
            raise FailedPrecondition("the link is not valid any more; ask for another", reason="RESET_TOKEN_INVALID")
        self._sessions.ended(ended)
        # Whoever locked the account out by guessing has not locked its owner out.
        self._throttle.forget(self._throttle.login(user_id, "")[0])
        return pb.ResetPasswordResponse()

    def ExchangeSignIn(self, request, context):
        kept = self._states.take("code", request.code)
        if kept is None or kept["challenge"] != tokens.challenge(request.code_verifier):
            raise Unauthenticated("the code is not valid; sign in again", reason="SIGN_IN_CODE_INVALID")
        try:
            with self._db.writing() as tx:
                user_id = identity_store.find_user(tx, kept["provider"], kept["subject"])
                found = user_id and store.find_user_by_id(tx, user_id)
                if not found:
                    raise NotFound("nobody signs in with this any more")
                given = self._sessions.begin(tx, found.id, Device.of(context), self._clock())
        except NotFound as gone:
            message = "the account was erased, or the provider unlinked, meanwhile"
            raise Unauthenticated(message, reason="SIGN_IN_CODE_INVALID") from gone
        return pb.ExchangeSignInResponse(user=user_of(found), tokens=given)

    def GetJwks(self, request, context):
        keys = self._ring.jwks
        context.send_initial_metadata(_JWKS_CACHED)
        return pb.GetJwksResponse(keys=[pb.Jwk(**jwk) for jwk in keys])


def _bad_credentials() -> Unauthenticated:
    return Unauthenticated("unknown user or wrong password", reason="BAD_CREDENTIALS")


def user_of(row) -> pb.User:
    """row: as of store.find_user."""
    return pb.User(user_id=str(row.id), username=row.username, email=row.email or "", create_time=row.created_at)
