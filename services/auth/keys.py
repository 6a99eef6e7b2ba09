"""The keys that sign access tokens: which one signs now, and which are shown to those who verify.

To change a key: put the new one behind the old one in JWT_KEY and restart the servers one after the other; nothing else
has to be timed. Every server shows the keys of all servers, since they meet in the table signing_keys. A new key signs
once it has been shown for long enough that everybody knows it. An old one that is taken out of JWT_KEY, at any later
restart, is shown until the last token that it signed has expired.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.auth import key_store
from services.kit.database import Database
from services.kit.errors import Unavailable

# How long a key stays shown after the last server that has it said so: longer than a token lives.
KEPT = timedelta(minutes=20)
# How often a server says so.
SAID = timedelta(seconds=30)

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


class SigningKeys(tuple[SigningKey, ...]):
    """At least one, the oldest first."""

    def __new__(cls, pems: str) -> SigningKeys:
        """pems: one after the other. Fails with ValueError, which does not repeat them."""
        blocks = re.findall(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", pems, re.DOTALL)
        return super().__new__(cls, map(SigningKey, blocks or [pems]))


class KeyRing:
    """ahead: how long a key is shown before it signs, unless there is none that was. clock: the present time, aware.

    Call `sync` every second or so.
    """

    def __init__(self, db: Database, mine: SigningKeys, ahead: timedelta, clock: Callable[[], datetime]):
        self._db, self._mine, self._ahead, self._clock = db, mine, ahead, clock
        self._signing: SigningKey | None = None
        self._jwks: tuple[dict[str, str], ...] = ()

    @property
    def signing(self) -> SigningKey:
        """Fails with Unavailable (KEYS_UNAVAILABLE) before the first sync."""
        return self._synced(self._signing)

    @property
    def jwks(self) -> tuple[dict[str, str], ...]:
        """The public halves of all keys that somebody signs with, did so lately or is about to. Fails as `signing`:
        to show but a few would have good tokens refused."""
        return self._synced(self._jwks)

    def sync(self) -> bool:
        """Say which keys are ours, learn which others there are. Always False: there is no more to do at once."""
        now = self._clock()
        with self._db.writing() as tx:
            key_store.sync_keys(tx, [(key.kid, key.jwk) for key in self._mine], now, now - SAID)
            rows = key_store.list_keys(tx, now - KEPT)
        self._signing = choose(self._mine, {row.kid: row.created_at for row in rows}, now - self._ahead)
        self._jwks = tuple(row.jwk for row in rows)
        return False

    def _synced(self, value):
        if not value:
            raise Unavailable("the signing keys are not known yet", reason="KEYS_UNAVAILABLE")
        return value


def choose(mine: tuple[SigningKey, ...], shown: Mapping[str, datetime], known: datetime) -> SigningKey:
    """The key to sign with: the newest that has been shown since `known`; while there is none, the oldest.

    mine: of keys shown since the same moment a later one counts as newer. shown: since when each is shown, by kid.
    """
    by_age = sorted(mine, key=lambda key: shown[key.kid])
    return next((key for key in reversed(by_age) if shown[key.kid] <= known), by_age[0])


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
