"""Which key signs and which are shown, on one database, as replicas come and go."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from eco2.auth.v1 import auth_pb2 as pb

from services.auth.chores import Purge
from services.auth.keys import KEPT, KeyRing, SigningKeys, choose
from services.kit import errors
from tests.services.auth.conftest import make_key, register

OLD, NEW = make_key(), make_key()
T = datetime(2026, 1, 1, tzinfo=UTC)


def kids(pems: str) -> list[str]:
    return [key.kid for key in SigningKeys(pems)]


def signed_with(replica, name: str) -> str:
    made = register(replica.auth, f"user-{name}", f"{name}@example.com")
    return jwt.get_unverified_header(made.tokens.access_token)["kid"]


def shown(replica) -> list[str]:
    return [key.kid for key in replica.auth.GetJwks(pb.GetJwksRequest()).keys]


def test_keys_come_one_after_the_other():
    assert kids(f"{OLD}\n{NEW}") == kids(OLD) + kids(NEW)
    with pytest.raises(ValueError, match="is not an unencrypted private key") as caught:
        SigningKeys(OLD + NEW.replace("M", "?"))
    assert NEW[40:60] not in str(caught.value)


@pytest.mark.parametrize(
    ("minutes", "signs"),
    [
        # Shown for so many minutes: the older one, the newer one.
        ((60, 7), 1),
        ((60, 6), 1),
        ((60, 5), 0),
        # At a first start neither has been shown for long.
        ((0, 0), 0),
        ((7, 7), 1),
        # The order of the configuration does not make a key older.
        ((5, 60), 1),
    ],
)
def test_the_newest_key_signs_that_everybody_knows(minutes, signs):
    mine = SigningKeys(OLD + NEW)
    since = {key.kid: T - timedelta(minutes=ago) for key, ago in zip(mine, minutes, strict=True)}
    assert choose(mine, since, T - timedelta(minutes=6)) is mine[signs]


def test_a_rotation_replica_by_replica(start, clock):
    [old], [new] = kids(OLD), kids(NEW)
    first, second = start(keys=SigningKeys(OLD)), start(keys=SigningKeys(OLD))
    assert (signed_with(first, "a1"), shown(second)) == (old, [old])
    clock.advance(days=100)
    first.parts.ring.sync()
    # One has the new key; both show it, nobody signs with it.
    third = start(keys=SigningKeys(OLD + NEW))
    first.parts.ring.sync()
    assert shown(first) == shown(third) == [old, new]
    assert (signed_with(first, "a2"), signed_with(third, "a3")) == (old, old)
    clock.advance(seconds=360)
    for each in (first, third):
        each.parts.ring.sync()
    assert (signed_with(first, "a4"), signed_with(third, "a5")) == (old, new)
    assert shown(first) == shown(third) == [old, new]
    # The old key is taken out, at once after it signed; it is shown until what it signed has expired.
    fourth = start(keys=SigningKeys(NEW))
    assert signed_with(fourth, "a6") == new
    clock.advance(minutes=15, seconds=5)
    fourth.parts.ring.sync()
    assert shown(fourth) == [old, new]
    clock.advance(minutes=5)
    fourth.parts.ring.sync()
    assert shown(fourth) == [new]


def test_a_key_that_is_used_stays_and_one_that_is_gone_is_deleted(start, clock, owner):
    replica = start(keys=SigningKeys(OLD + NEW))
    start(keys=SigningKeys(make_key()))
    for _ in range(3):
        clock.advance(hours=20)
        replica.parts.ring.sync()
        Purge(replica.db, clock).purge()
    rows = owner.execute("SELECT kid, jwk ? 'd' FROM auth.signing_keys").fetchall()
    assert sorted(rows) == sorted((kid, False) for kid in kids(OLD + NEW))


def test_before_it_knows_all_keys_a_server_shows_none(replica, clock):
    ring = KeyRing(replica.db, SigningKeys(OLD), KEPT, clock)
    for ask in (lambda: ring.signing, lambda: ring.jwks):
        with pytest.raises(errors.Unavailable) as caught:
            ask()
        assert caught.value.reason == "KEYS_UNAVAILABLE"
