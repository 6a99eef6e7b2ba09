"""Access tokens (JWT, ES256) and refresh tokens (opaque, each the parent of exactly one successor)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import jwt

from services.auth.keys import KeyRing

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=30)
# How long a refresh token that was exchanged may be exchanged again, for parallel calls and lost answers.
GRACE = timedelta(seconds=10)
# How long the link of a mail works.
RESET_LIFETIME = timedelta(minutes=30)


class Issuer:
    """Signs access tokens with the key that the ring says; those that it shows verify them."""

    def __init__(self, ring: KeyRing, issuer: str, audience: str):
        self.ring, self._issuer, self._audience = ring, issuer, audience

    def access_token(self, user_id: UUID, session_id: UUID, now: datetime) -> str:
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + ACCESS_LIFETIME,
        }
        key = self.ring.signing
        return jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": key.kid})


class TokenKey:
    """The secret that derives tokens, so that only their hashes need be stored and each can yet be made again: the
    successor of a refresh token, the same at every exchange, and the token of a reset, the same in every mail."""

    def __init__(self, secret: str):
        """Fails with ValueError when it is short enough to be guessed."""
        if len(secret) < 32:
            raise ValueError("must have at least 32 characters")
        self._secret = secret.encode()

    def successor(self, token: str) -> str:
        return _base64url(hmac.digest(self._secret, token.encode(), "sha256"))

    def reset_token(self, reset_id: UUID) -> str:
        # No refresh token begins like this, so none has it for its successor.
        return _base64url(hmac.digest(self._secret, b"password reset " + reset_id.bytes, "sha256"))


def new_refresh_token() -> str:
    """The first of a family."""
    return secrets.token_urlsafe(32)


def challenge(verifier: str) -> str:
    """What PKCE (RFC 7636, S256) shows of a verifier before the verifier itself."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def digest(token: str) -> bytes:
    """What is stored of a refresh or reset token. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(token.encode()).digest()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
