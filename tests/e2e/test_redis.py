"""What the mesh keeps in Redis: each key in the database of its purpose (SPEC.md), and none for ever."""

from __future__ import annotations

from tests.e2e.conftest import APP_PAGE, kept

# By database number: sessions and revocations, progress, answers of models, shared limits.
PURPOSES = {
    0: {"revoked", "sign-in", "confirmed"},
    1: {"analysis", "answer", "cancelled"},
    2: {"vision", "wording", "lease"},
    3: {"attempts", "llm"},
}


def test_every_key_has_a_ttl_and_is_in_the_database_of_its_purpose(mesh, app, coffee):
    """After a photo, one cancelled, a wrong password, a sign-in under way, a mail, a place, a log-out, and the tests
    before."""
    assert app.finish(app.start(app.upload(coffee, "image/png")))["state"] == "ANALYSIS_STATE_SUCCEEDED"
    dropped = app.start(app.upload(coffee, "image/png"))
    assert app.http.post(f"/api/v1/waste/analyses/{dropped}:cancel", json={}).status_code == 200
    auth, open_to_all = "/api/v1/auth", {"authorization": ""}
    wrong = {"username": app.name, "password": "not the password"}
    assert app.http.post(f"{auth}/login", json=wrong, headers=open_to_all).status_code == 401
    asked = {"redirect_uri": APP_PAGE, "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}
    assert app.http.get(f"{auth}/oauth/kakao", params=asked, headers=open_to_all).status_code == 302
    mail = {"email": f"{app.name}@example.com"}
    assert app.http.post(f"{auth}/password:requestReset", json=mail, headers=open_to_all).status_code == 200
    place = {"name": "집", "latitude": 37.5665, "longitude": 126.978}
    assert app.http.post("/api/v1/locations/places", json=place).status_code == 200
    ended = app.http.post(f"{auth}/logout", json={"refresh_token": app.tokens["refresh_token"]})
    assert ended.status_code == 200

    keys = kept(mesh)
    assert [key for key in keys if key.ttl_s < 0] == []
    # A day of progress and a week of answers are the longest.
    assert [key for key in keys if key.ttl_s > 7 * 24 * 3600] == []
    purposes: dict[int, set[str]] = {}
    for key in keys:
        purposes.setdefault(key.db, set()).add(key.name.partition(":")[0])
    assert purposes.keys() == PURPOSES.keys()
    assert {db: found - PURPOSES[db] for db, found in purposes.items()} == {db: set() for db in PURPOSES}
