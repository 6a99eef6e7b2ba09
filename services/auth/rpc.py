"""AuthService: register, log in, rotate, log out, publish the keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from eco2.auth.v1 import auth_pb2 as pb
from eco2.auth.v1 import auth_pb2_grpc as pb_grpc

from services.auth import passwords, store, tokens
from services.kit.database import Database
from services.kit.errors import Unauthenticated
from services.kit.server import Pool

# A hash takes 20 ms of a core: never on the threads that answer the other calls. As many as are hashed in about a
# second may wait for their turn (passwords.AT_ONCE); more are told to come back.
LOGINS = Pool(
    frozenset({"/eco2.auth.v1.AuthService/Register", "/eco2.auth.v1.AuthService/Login"}),
    limit=64,
    reason="TOO_MANY_LOGINS",
)
# Long enough to spare us the question, short enough that a new key is known before it signs.
_JWKS_CACHED = (("cache-control", "public, max-age=300"),)


class Auth(pb_grpc.AuthServiceServicer):
    """clock: the present time, aware."""

    def __init__(
        self, db: Database, issuer: tokens.Issuer, succession: tokens.SuccessionKey, clock: Callable[[], datetime]
    ):
        self._db, self._issuer, self._succession, self._clock = db, issuer, succession, clock

    def Register(self, request, context):
        # Before the transaction, which would otherwise hold a connection meanwhile.
        password_hash = passwords.hash_password(request.password)
        now, first = self._clock(), tokens.new_refresh_token()
        with self._db.writing() as tx:
            user_id = store.create_user(tx, request.username, request.email, password_hash, now)
            session_id = _begin_session(tx, user_id, first, now)
        user = pb.User(user_id=str(user_id), username=request.username, email=request.email, create_time=now)
        return pb.RegisterResponse(user=user, tokens=self._tokens(user_id, session_id, first, now))

    def Login(self, request, context):
        with self._db.reading() as tx:
            found = store.find_user(tx, request.username)
        if not passwords.verify(found and found.password_hash, request.password):
            raise Unauthenticated("unknown user or wrong password", reason="BAD_CREDENTIALS")
        now, first = self._clock(), tokens.new_refresh_token()
        with self._db.writing() as tx:
            session_id = _begin_session(tx, found.id, first, now)
        user = pb.User(user_id=str(found.id), username=found.username, email=found.email, create_time=found.created_at)
        return pb.LoginResponse(user=user, tokens=self._tokens(found.id, session_id, first, now))

    def Refresh(self, request, context):
        now = self._clock()
        successor = self._succession.successor(request.refresh_token)
        with self._db.writing() as tx:
            used = store.use_refresh_token(tx, tokens.digest(request.refresh_token), now)
            reused = used is not None and now - used.used_at > tokens.GRACE
            if reused:
                store.revoke_session(tx, used.session_id, now)
            elif used is not None:
                until = now + tokens.REFRESH_LIFETIME
                store.create_refresh_token(tx, used.session_id, used.user_id, tokens.digest(successor), until)
                store.extend_session(tx, used.session_id, until)
        # Raised after the commit: inside the transaction it would undo the revocation.
        if used is None:
            raise Unauthenticated("the refresh token is not valid; log in again", reason="REFRESH_TOKEN_INVALID")
        if reused:
            raise Unauthenticated("the refresh token was used before; log in again", reason="REFRESH_TOKEN_REUSED")
        return pb.RefreshResponse(tokens=self._tokens(used.user_id, used.session_id, successor, now))

    def Logout(self, request, context):
        with self._db.writing() as tx:
            store.revoke_session_of(tx, tokens.digest(request.refresh_token), self._clock())
        return pb.LogoutResponse()

    def GetJwks(self, request, context):
        context.send_initial_metadata(_JWKS_CACHED)
        return pb.GetJwksResponse(keys=[pb.Jwk(**jwk) for jwk in self._issuer.jwks])

    def _tokens(self, user_id: UUID, session_id: UUID, refresh_token: str, now: datetime) -> pb.Tokens:
        return pb.Tokens(
            access_token=self._issuer.access_token(user_id, session_id, now),
            refresh_token=refresh_token,
            expires_in=int(tokens.ACCESS_LIFETIME.total_seconds()),
        )


def _begin_session(tx, user_id: UUID, refresh_token: str, now: datetime) -> UUID:
    until = now + tokens.REFRESH_LIFETIME
    session_id = store.create_session(tx, user_id, now, until)
    store.create_refresh_token(tx, session_id, user_id, tokens.digest(refresh_token), until)
    return session_id
