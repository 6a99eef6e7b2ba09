"""Parts that are not there: late, killed, restarted, with other keys."""

import time

import pytest

from tests.conftest import eventually
from tests.gateway.edge import USER, Edge, Key
from tests.gateway.test_rest import ANALYSIS, fails


@pytest.fixture
def started(make_edge) -> Edge:
    edge = make_edge().start("auth", "backends", "gateway", "envoy")
    eventually(edge.healthy)
    assert edge.get(ANALYSIS).status_code == 200
    return edge


def test_envoy_may_start_before_auth_and_says_503_until_it_has_keys(make_edge):
    edge = make_edge().start("envoy", "backends", "gateway")
    eventually(edge.listening)
    # Not a 401: clients take that as an order to log out.
    fails(edge.get(ANALYSIS), 503, 14, "KEYS_UNAVAILABLE")
    fails(edge.client.get("/healthz"), 503, 14, "SERVICE_UNAVAILABLE")
    edge.start("auth")
    eventually(lambda: edge.get(ANALYSIS).status_code == 200, 30)
    eventually(edge.healthy, 30)


def test_a_killed_service_is_503_at_once_and_found_again(started):
    started.kill("backends")
    begun = time.monotonic()
    fails(started.get(ANALYSIS), 503, 14, "SERVICE_UNAVAILABLE")
    assert time.monotonic() - begun < 1
    eventually(lambda: started.client.get("/healthz").status_code == 503, 30)
    begun = time.monotonic()
    fails(started.get(ANALYSIS), 503, 14, "SERVICE_UNAVAILABLE")
    assert time.monotonic() - begun < 1
    # The others go on.
    assert started.client.get("/.well-known/jwks.json").status_code == 200
    started.start("backends")
    eventually(lambda: started.get(ANALYSIS).status_code == 200, 30)
    eventually(started.healthy, 30)


def test_keys_outlive_auth_and_follow_a_rotation(started):
    old, new = started.key, Key("second")
    started.auth.keys = (old, new)
    eventually(lambda: started.get(ANALYSIS, new.token()).status_code == 200, 30)
    assert started.get(ANALYSIS, old.token()).status_code == 200
    started.kill("auth")
    gone = time.monotonic()
    # Past the next fetch, and then some.
    eventually(lambda: time.monotonic() - gone > 7 or started.get(ANALYSIS, new.token()).status_code != 200, 30)
    assert time.monotonic() - gone > 7
    started.auth.keys = (new,)
    started.start("auth")
    eventually(lambda: started.get(ANALYSIS, old.token()).status_code == 401, 30)
    fails(started.get(ANALYSIS, old.token()), 401, 16, "TOKEN_INVALID")
    assert started.get(f"/api/v1/waste/analyses/{USER}", new.token()).status_code == 200
