"""A new key takes over from the old one, replica by replica, while requests go on: none of them fails."""

from __future__ import annotations

import collections
import threading
import uuid
from datetime import UTC, datetime

import jwt
import pytest

from services.auth.keys import SigningKeys
from services.kit.chores import Chore
from tests.conftest import eventually
from tests.gateway.edge import AUDIENCE, ISSUER
from tests.gateway.test_rest import ANALYSIS
from tests.gateway.test_sign_in import RealAuth
from tests.services.auth.conftest import build, make_key
from tests.services.auth.conftest import redis_url as redis_url

OLD, NEW = make_key(), make_key()
# Envoy asks for the keys every five seconds.
AHEAD_S = 8


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def replica(database, redis_url):
    """Makes the parts of a server with these keys, that follow the others' keys."""
    closing = []

    def make(pems: str):
        options = {"keys": SigningKeys(pems), "ahead_s": AHEAD_S, "issuer": ISSUER, "audience": AUDIENCE}
        parts = build(database("auth", pool_size=6), redis_url, now, **options)
        chore = Chore("keyring", parts.ring.sync, period_s=0.5).start()
        closing.extend([chore.close, parts.revocations.close])
        return parts

    yield make
    for close in closing:
        close()


class Load:
    """Asks the edge with a token of each issuer in turn, until it is closed."""

    def __init__(self, edge, issuers):
        self.edge, self.issuers, self.failed, self.kids = edge, issuers, [], collections.Counter()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            for issuer in list(self.issuers):
                token = issuer.access_token(uuid.uuid4(), uuid.uuid4(), now())
                answer = self.edge.get(ANALYSIS, token)
                self.kids[jwt.get_unverified_header(token)["kid"]] += 1
                if answer.status_code != 200:
                    self.failed.append((answer.status_code, answer.text))


def test_no_request_fails_while_the_key_changes(make_edge, replica):
    [old], [new] = SigningKeys(OLD), SigningKeys(NEW)
    first, second = replica(OLD), replica(OLD)
    edge = make_edge()
    edge.auth = RealAuth(first)
    edge.start("auth", "backends", "gateway", "envoy")
    eventually(edge.healthy)
    early = first.issuer.access_token(uuid.uuid4(), uuid.uuid4(), now())
    assert edge.get(ANALYSIS, early).status_code == 200
    issuers = [first.issuer, second.issuer]
    load = Load(edge, issuers)
    try:
        # One after the other is restarted with both keys; Envoy goes on asking the one that has the old key only.
        third = replica(OLD + NEW)
        issuers[1] = third.issuer
        eventually(lambda: load.kids[new.kid] > 50, 60)
        edge.kill("auth")
        fourth = replica(OLD + NEW)
        edge.auth = RealAuth(fourth)
        edge.start("auth")
        issuers[0] = fourth.issuer
        before = load.kids[old.kid]
        eventually(lambda: load.kids[new.kid] > 200, 60)
        assert load.kids[old.kid] <= before + 2
        # The old key is taken out, and Envoy has asked again since.
        edge.kill("auth")
        fifth = replica(NEW)
        edge.auth = RealAuth(fifth)
        edge.start("auth")
        issuers[:] = [fifth.issuer]
        since = now()
        eventually(lambda: (now() - since).total_seconds() > 6.5, 30)
    finally:
        load.close()
    assert not load.failed
    assert edge.get(ANALYSIS, early).status_code == 200
    print(f"{sum(load.kids.values())} requests, {dict(load.kids)}")
