"""Access tokens (JWT, ES256) and refresh tokens (opaque, each the parent of exactly one successor)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=30)
# How long a refresh token that was exchanged may be exchanged again, for parallel calls and lost answers.
GRACE = timedelta(seconds=10)
# How long the link of a mail works.
RESET_LIFETIME = timedelta(minutes=30)

_P256_BYTES = 32


class SigningKey:
    """A P-256 private key.

    kid: its RFC 7638 thumbprint. jwk: the public half (RFC 7518 section 6.2).
    """

    def __init__(self, pem: str):
        """pem: unencrypted, PKCS #8 or SEC 1. Fails with ValueError, which does not repeat it."""
        try:
            private = serialization.load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError):
            raise ValueError("is not an unencrypted private key in PEM") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise ValueError("is not a P-256 key")
        point = private.public_key().public_numbers()
        coordinates = {
            "crv": "P-256",
            "kty": "EC",
            "x": _base64url(point.x.to_bytes(_P256_BYTES)),
            "y": _base64url(point.y.to_bytes(_P256_BYTES)),
        }
        self.private = private
        # RFC 7638: these four members, in this order, without white space.
        self.kid = _base64url(hashlib.sha256(json.dumps(coordinates, separators=(",", ":")).encode()).digest())
        self.jwk = {"kid": self.kid, "alg": "ES256", "use": "sig", **coordinates}


class Issuer:
    """Signs access tokens with the first key; the public halves of all of them verify tokens."""

    def __init__(self, keys: tuple[SigningKey, ...], issuer: str, audience: str):
        self._key, self._issuer, self._audience = keys[0], issuer, audience
        self.jwks = tuple(key.jwk for key in keys)

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
        return jwt.encode(claims, self._key.private, algorithm="ES256", headers={"kid": self._key.kid})


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


def digest(token: str) -> bytes:
    """What is stored of a refresh or reset token. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(token.encode()).digest()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
