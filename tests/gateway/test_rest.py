"""REST through the real Envoy: what is served, what is refused, and in what shape."""

import json
import time
from concurrent import futures

import pytest

from stack import mesh
from stack.home import HomeError
from tests.conftest import eventually
from tests.gateway.backends import ABSENT, SLOW
from tests.gateway.edge import SESSION, USER, WEB_ORIGIN, Key, bearer

ANALYSIS = f"/api/v1/waste/analyses/{USER}"
ERROR_INFO, BAD_REQUEST = "type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.BadRequest"


def fails(response, status: int, code: int, reason: str) -> dict:
    """Asserts an error in our one shape; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert (body["code"], body["details"][0]["@type"]) == (code, ERROR_INFO)
    assert (body["details"][0]["reason"], body["details"][0]["domain"]) == (reason, "eco2")
    assert body["message"]
    return body


def seen(analysis: dict) -> dict:
    """What reached the service: caller, seconds_left, metadata."""
    return json.loads(analysis["question"])


def test_json_prints_what_is_empty_and_leaves_out_what_is_not_there(edge):
    analysis = edge.get(ANALYSIS).json()["analysis"]
    assert (analysis["analysis_id"], analysis["state"], analysis["progress"]) == (USER, "ANALYSIS_STATE_UNSPECIFIED", 0)
    assert "failure" not in analysis
    result = analysis["result"]
    assert (result["material"], result["confidence"], result["cached"]) == ("MATERIAL_GLASS", 0, False)
    assert "follow_up_question" not in result
    assert "advice" not in result


def test_every_name_in_the_design_reaches_its_service(edge):
    task = f"{USER}:vision_analysis"
    assert edge.get(f"/api/v1/tasks/{task}").json()["task"]["task_id"] == task
    assert edge.get(f"/api/v1/tasks/{task}/history").json()["events"][0]["worker_name"] == task
    assert edge.get("/api/v1/tasks").json() == {"tasks": [], "next_page_token": ""}
    # More exact than /api/v1/tasks/{task_id}, which would match as well.
    assert edge.get("/api/v1/tasks/dead-letters?queue=q").json()["dead_letters"][0]["queue"] == "q"
    replayed = edge.post("/api/v1/tasks/dead-letters:replay", json={"task_id": task}).json()
    assert (replayed["dead_letters"][0]["task_id"], replayed["remaining_count"]) == (task, 0)
    assert edge.get(f"/api/v1/tasks/dead-letters/{USER}").json()["dead_letter"]["dead_letter_id"] == USER
    [counted] = edge.get("/api/v1/tasks/statistics?task_name=t").json()["statistics"]
    assert (counted["task_name"], counted["failure_rate"], "p50_s" in counted) == ("t", 0, False)
    since = "2026-11-21T00:00:00Z"
    [listed] = edge.get(
        "/api/v1/waste/analyses?state=ANALYSIS_STATE_FAILED&material=MATERIAL_GLASS"
        f"&category_major=재활용&after_time={since}"
    ).json()["analyses"]
    assert (listed["state"], listed["question"], listed["create_time"]) == ("ANALYSIS_STATE_FAILED", "재활용", since)
    assert listed["result"]["material"] == "MATERIAL_GLASS"
    assert edge.get("/api/v1/waste/statistics").json()["total_count"] == 7
    assert edge.request("DELETE", ANALYSIS).json() == {}
    said = {"correct": False, "true_material": "MATERIAL_PAPER"}
    said = edge.post(f"{ANALYSIS}/feedback", json=said).json()["feedback"]
    assert (said["correct"], said["true_material"]) == (False, "MATERIAL_PAPER")
    assert edge.get("/api/v1/recycle-info/items?query=우유팩").json()["items"][0]["name_ko"] == "우유팩"
    assert edge.post("/api/v1/recycle-info:ask", json={"question": "병?"}).json()["answer"]["text"] == "병?"
    places, centers = "/api/v1/locations/places", "/api/v1/locations/centers"
    assert edge.get(places).json() == {"places": [], "next_page_token": ""}
    made = edge.post(places, json={"name": "집", "latitude": 37.5, "longitude": 127}).json()["place"]
    assert (made["name"], made["latitude"], made["longitude"]) == ("집", 37.5, 127)
    assert edge.get(f"{places}/{USER}").json()["place"]["place_id"] == USER
    body = {"name": "회사", "is_default": True}
    changed = edge.request("PATCH", f"{places}/{USER}?update_mask=name,is_default", json=body).json()["place"]
    assert (changed["place_id"], changed["name"], changed["is_default"]) == (USER, "회사", True)
    assert changed["address"] == "name,is_default"
    assert edge.request("DELETE", f"{places}/{USER}").json() == {}
    near = edge.get(
        f"{centers}:nearest?latitude=37.5&longitude=127&kind=CENTER_KIND_BATTERY&radius_m=900&open_now=true"
    ).json()["centers"][0]
    assert (near["name"], near["collections"][0]["kind"]) == ("37.5 127.0 900 True", "CENTER_KIND_BATTERY")
    assert edge.get(f"{centers}/{USER}").json()["center"]["center_id"] == USER
    conversations = "/api/v1/chat/conversations"
    messages = f"{conversations}/{USER}/messages"
    assert edge.get(conversations).json() == {"conversations": [], "next_page_token": ""}
    assert edge.post(conversations, json={"title": "이사"}).json()["conversation"]["title"] == "이사"
    assert edge.get(f"{conversations}/{USER}").json()["conversation"]["conversation_id"] == USER
    assert edge.client.delete(f"{conversations}/{USER}", headers=bearer(edge.key.token())).json() == {}
    assert edge.get(messages).json()["messages"][0]["conversation_id"] == USER
    assert edge.get(f"{messages}/{USER}").json()["message"]["message_id"] == USER
    assert edge.post(f"{messages}/{USER}:stop", json={}).json()["message"]["message_id"] == USER
    assert edge.post(f"{messages}/{USER}/feedback", json={"helpful": True}).json() == {}
    regions = "/api/v1/locations/regions"
    assert edge.get(f"{regions}/11440/policy").json()["policy"]["region"]["region_code"] == "11440"
    assert edge.get(f"{regions}:locate?latitude=37.5&longitude=127").json()["region"]["name"] == "37.5 127.0"
    assert json.loads(edge.get("/api/v1/users/me").json()["profile"]["username"])["caller"] == USER
    assert edge.request("DELETE", f"/api/v1/users/me?request_id={USER}").json()["erasure"]["erasure_id"] == USER
    # Without a token: the account that one could name is gone.
    assert edge.client.get(f"/api/v1/users/erasures/{USER}").json()["erasure"]["erasure_id"] == USER
    assert edge.get("/api/v1/users/me/settings").json()["settings"] == {"notification_enabled": False}
    picture = {"content_type": "image/png", "size_bytes": 7, "sha256": "A" * 43 + "="}
    assert edge.post("/api/v1/users/me/avatar", json=picture).json()["avatar_id"] == "7"
    confirmed = edge.post(f"/api/v1/users/me/avatar/{USER}:confirm", json={}).json()
    assert confirmed["profile"]["avatar_url"] == USER
    assert edge.request("DELETE", "/api/v1/users/me/avatar").json()["profile"]["username"] == "none"
    assert edge.client.get("/.well-known/jwks.json").json()["keys"][0]["kid"] == edge.key.kid
    assert edge.client.get("/healthz").json() == {"status": "SERVING"}


def test_a_patch_has_the_resource_as_its_body_and_the_mask_in_the_query(edge):
    def patch(path: str, body: dict) -> dict:
        return edge.request("PATCH", path, json=body).json()

    given = {"user_id": "", "avatar_url": ""}
    assert patch("/api/v1/users/me", {"bio": ""}) == {"profile": given | {"username": "", "bio": ""}}
    masked = patch("/api/v1/users/me?update_mask=nickname,bio", {"nickname": "미나"})
    assert masked == {"profile": given | {"username": "nickname,bio", "nickname": "미나"}}
    assert patch("/api/v1/users/me", {}) == {"profile": given | {"username": ""}}
    # What is false is there all the same.
    settings = {"notification_enabled": False}
    assert patch("/api/v1/users/me/settings", settings) == {"settings": settings}


def test_the_caller_is_who_the_token_names_and_nothing_from_outside(edge):
    spoofed = {"x-claim-sub": "somebody", "x-claim-role": "admin", "x-envoy-upstream-rq-timeout-ms": "1"}
    spoofed |= {"x-client-address": "203.0.113.7", "x-forwarded-for": "203.0.113.7"}
    heard = seen(edge.get(ANALYSIS, **spoofed).json()["analysis"])
    assert heard["caller"] == USER
    claims = [name for name in heard["metadata"] if name.startswith("x-claim-")]
    assert sorted(claims) == ["x-claim-sid", "x-claim-sub"]
    assert heard["metadata"]["x-claim-sid"] == SESSION
    assert heard["metadata"]["x-client-address"] == "127.0.0.1"
    assert "authorization" not in heard["metadata"]
    assert heard["metadata"]["x-envoy-expected-rq-timeout-ms"] == "10000"


@pytest.mark.parametrize(
    "claims", [{"exp": 1}, {"exp": None}, {"aud": "another-api"}, {"iss": "https://elsewhere.test"}], ids=str
)
def test_a_token_that_is_not_for_us_now_is_401(edge, claims):
    fails(edge.get(ANALYSIS, edge.key.token(**claims)), 401, 16, "TOKEN_INVALID")


def test_a_token_that_we_did_not_sign_is_401(edge):
    header, payload, _ = edge.key.token().split(".")
    unsigned = edge.key.token("none")
    for token in (
        Key("first").token(),
        Key("unknown").token(),
        unsigned,
        f"{unsigned}AAAA",
        f"{header}.{payload}.",
        "x",
    ):
        fails(edge.get(ANALYSIS, token), 401, 16, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "path",
    [
        ANALYSIS,
        f"{ANALYSIS}:wait",
        f"{ANALYSIS}:watch",
        "/api/v1/tasks",
        "/api/v1/recycle-info/items",
        "/api/v1/auth/sessions",
        "/api/v1/auth/password:change",
        "/api/v1/auth/identities",
        "/api/v1/auth/identities/kakao",
        "/api/v1/auth/identities:link",
        "/api/v1/auth/identities:confirm",
        "/api/v1/users/me",
        "/api/v1/users/me/settings",
    ],
)
def test_without_a_token_it_is_401(edge, path):
    fails(edge.client.get(path), 401, 16, "TOKEN_MISSING")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1/waste/nothing"),
        ("GET", "/api/v1/users"),
        ("GET", f"/api/v1/users/{USER}"),
        ("PUT", "/api/v1/waste/analyses"),
        ("GET", "/api/v1/recycle-info"),
        ("GET", f"/api/v1/tasks/{USER}:wait"),
        ("POST", "/eco2.waste.v1.WasteService/GetAnalysis"),
        ("POST", "/eco2.waste.v1.WasteInternalService/RecordOutcomes"),
    ],
)
def test_what_is_not_there_is_404(edge, method, path):
    response = edge.client.request(method, path, headers=bearer(edge.key.token()))
    assert f"{method} {path}" in fails(response, 404, 5, "PATH_NOT_FOUND")["message"]


def test_a_fault_of_a_service_arrives_with_its_details(edge):
    info = fails(edge.get(f"/api/v1/waste/analyses/{ABSENT}"), 404, 5, "ANALYSIS_NOT_FOUND")["details"][0]
    assert info["metadata"] == {"analysis_id": ABSENT}
    body = fails(edge.get("/api/v1/waste/analyses/7"), 400, 3, "INVALID_FIELD")
    assert body["details"][1]["@type"] == BAD_REQUEST
    assert body["details"][1]["field_violations"][0]["field"] == "analysis_id"


@pytest.mark.parametrize(
    ("query", "field"), [("qury=x", "qury"), ("page_size=many", "page_size"), ("query.x=1", "query")], ids=str
)
def test_a_query_that_cannot_be_read_is_400_and_names_the_field(edge, query, field):
    assert malformed(edge.get(f"/api/v1/recycle-info/items?{query}")) == field


def malformed(response) -> str:
    """The field that the error names."""
    body = fails(response, 400, 3, "MALFORMED_REQUEST")
    assert body["details"][1]["@type"] == BAD_REQUEST
    [violation] = body["details"][1]["field_violations"]
    assert body["message"] == f"the request cannot be read: {violation['description']}"
    return violation["field"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        # Of these no field can be said.
        ('{"content_type": ', ""),
        ('{"content_type": "a" "size_bytes": 1}', ""),
        ("[]", ""),
        ('{"content_type": []}', ""),
        ('{"size_bytes": "big"}', "size_bytes"),
        ('{"size_bytes": 1.5}', "size_bytes"),
        ('{"content_type": {}}', "content_type"),
        ('{"content_type": true}', "content_type"),
        ('{"sha256": "*** \\" 가"}', "sha256"),
    ],
)
def test_a_body_that_cannot_be_read_is_400_and_names_the_field(edge, body, field):
    assert malformed(edge.post("/api/v1/waste/images", content=body.encode())) == field


@pytest.mark.parametrize("value", ['"north"', "{}"], ids=["a text", "an object"])
def test_a_field_within_a_field_is_named_by_its_path(edge, value):
    path, content = f"/api/v1/locations/places/{USER}", f'{{"latitude": {value}}}'
    answer = edge.client.patch(path, content=content, headers=bearer(edge.key.token()))
    assert malformed(answer) == "place.latitude"


def ask_first(edge, origin: str, path: str = ANALYSIS):
    """What a browser asks before a page of that origin may call."""
    headers = {"origin": origin, "access-control-request-method": "PATCH"}
    return edge.client.options(path, headers=headers | {"access-control-request-headers": "authorization"})


def test_a_web_app_may_call_if_its_origin_is_configured_and_no_other(edge):
    for path in (ANALYSIS, "/api/v1/auth/login", "/openapi.json"):
        allowed = ask_first(edge, WEB_ORIGIN, path)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == WEB_ORIGIN
        assert "PATCH" in allowed.headers["access-control-allow-methods"]
        assert "authorization" in allowed.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in allowed.headers
        for other in ("https://elsewhere.test", f"{WEB_ORIGIN}.elsewhere.test", "null"):
            assert "access-control-allow-origin" not in ask_first(edge, other, path).headers
    # Also the answer itself, an error too.
    for token in (edge.key.token(), "x"):
        answer = edge.get(ANALYSIS, token, origin=WEB_ORIGIN)
        assert answer.headers["access-control-allow-origin"] == WEB_ORIGIN
        assert answer.headers["access-control-expose-headers"] == "x-request-id"
        assert "access-control-allow-origin" not in edge.get(ANALYSIS, token, origin="https://elsewhere.test").headers


def test_without_configuration_no_web_app_of_another_origin_may_call():
    assert mesh.origins("") == "[]"
    assert mesh.origins("https://a.test, http://localhost:3000").count("exact") == 2
    for wrong in ("*", "https://a.test/", "a.test"):
        with pytest.raises(HomeError):
            mesh.origins(wrong)


def test_a_long_text_is_refused_by_the_service_and_a_megabyte_by_the_edge(edge):
    def ask(length: int):
        return edge.post("/api/v1/recycle-info:ask", json={"question": "x" * length})

    assert ask(1000).status_code == 200
    body = fails(ask(200_000), 400, 3, "INVALID_FIELD")
    assert body["details"][1]["field_violations"][0]["field"] == "question"
    info = fails(ask(1 << 20), 413, 8, "BODY_TOO_LARGE")["details"][0]
    assert info["metadata"]["limit_bytes"] == "262144"


def test_headers_that_are_too_large_are_431_and_a_hidden_slash_is_400(edge):
    fails(edge.get(ANALYSIS, **{"x-large": "x" * 70_000}), 431, 8, "HEADERS_TOO_LARGE")
    fails(edge.get("/api/v1/waste%2Fanalyses"), 400, 3, "MALFORMED_REQUEST")


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-odd-bin", "!!"), ("grpc-trace-bin", "!!"), ("grpc-previous-rpc-attempts", "x"), ("x-large", "x" * 40_000)],
)
def test_headers_that_grpc_would_stumble_over_do_no_harm(edge, name, value):
    assert edge.get(ANALYSIS, **{name: value}).status_code == 200


def test_a_watch_is_events_or_lines_as_the_client_accepts(edge):
    lines = edge.get(f"{ANALYSIS}:watch").text.splitlines()
    assert [(json.loads(line)["analysis"]["progress"], json.loads(line)["done"]) for line in lines] == [
        (0, False),
        (50, False),
        (100, True),
    ]
    response = edge.get(f"{ANALYSIS}:watch", accept="text/event-stream")
    assert response.headers["content-type"] == "text/event-stream"
    events = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event]
    assert [json.loads(event)["done"] for event in events] == [False, False, True]


def test_a_chat_streams_its_answer_as_events_or_lines(edge):
    messages = f"/api/v1/chat/conversations/{USER}/messages"

    def events(response) -> list[dict]:
        assert response.headers["content-type"] == "text/event-stream"
        return [json.loads(event.removeprefix("data: ")) for event in response.text.split("\n\n") if event]

    said = {"content": "안녕"}
    headers = bearer(edge.key.token())
    lines = [json.loads(line) for line in edge.post(messages, json=said).text.splitlines()]
    assert (lines[0]["message"]["conversation_id"], lines[0]["message"]["content"]) == (USER, "안녕")
    assert [line["done"] for line in lines] == [False, False, True]
    # Without a deadline: an answer may take its time.
    assert json.loads(lines[1]["text"])["seconds_left"] is None or json.loads(lines[1]["text"])["seconds_left"] > 3600
    streamed = events(edge.client.post(messages, json=said, headers=headers | {"accept": "text/event-stream"}))
    assert [event["done"] for event in streamed] == [False, False, True]
    watched = events(edge.get(f"{messages}/{USER}:watch", accept="text/event-stream"))
    assert [event["text"] for event in watched] == [USER, ""]
    assert [json.loads(line)["text"] for line in edge.get(f"{messages}/{USER}:watch").text.splitlines()] == [USER, ""]
    for accept in ("text/event-stream", "application/json"):
        refused = edge.client.post(
            f"/api/v1/chat/conversations/{ABSENT}/messages", json=said, headers=headers | {"accept": accept}
        )
        fails(refused, 404, 5, "CONVERSATION_NOT_FOUND")
    with edge.client.stream(
        "POST", f"/api/v1/chat/conversations/{SLOW}/messages", json=said, headers=headers
    ) as response:
        assert json.loads(next(response.iter_lines()))["message"]["content"] == "안녕"


def test_a_watch_that_fails_at_once_is_an_error_like_any_other(edge):
    for accept in ("text/event-stream", "application/json"):
        fails(edge.get(f"/api/v1/waste/analyses/{ABSENT}:watch", accept=accept), 404, 5, "ANALYSIS_NOT_FOUND")


def test_a_watch_sends_each_message_when_it_is_there_and_has_no_deadline(edge):
    path = f"/api/v1/waste/analyses/{SLOW}:watch"
    with edge.client.stream("GET", path, headers=bearer(edge.key.token())) as response:
        first = json.loads(next(response.iter_lines()))
    assert seen(first["analysis"])["seconds_left"] > 3600


def test_a_service_hears_the_deadline_and_a_wait_may_take_longer_than_a_call(edge):
    with futures.ThreadPoolExecutor(2) as pool:
        waited = pool.submit(edge.get, f"{ANALYSIS}:wait?timeout_s=11")
        started = time.monotonic()
        fails(edge.get(f"/api/v1/waste/analyses/{SLOW}"), 504, 4, "SERVICE_TIMEOUT")
        # Below is how exactly it is kept to; here, that it is not the one of a wait.
        assert 9.5 < time.monotonic() - started < 25
        heard = seen(waited.result().json()["analysis"])
    assert 25 < heard["seconds_left"] < 31
    # A busy machine may be slow with one of them.
    assert 10 < max(seen(edge.get(ANALYSIS).json()["analysis"])["seconds_left"] for _ in range(5)) < 11


def test_the_request_id_is_kept_or_made_told_and_logged(edge):
    mine = edge.get(ANALYSIS, **{"x-request-id": "mine-1"})
    assert mine.headers["x-request-id"] == seen(mine.json()["analysis"])["metadata"]["x-request-id"] == "mine-1"
    refused = edge.client.get(f"{ANALYSIS}?secret=1")
    made = refused.headers["x-request-id"]
    assert refused.json()["details"][0]["metadata"] == {"request_id": made}

    def logged() -> dict[str, dict]:
        return {line["request_id"]: line for line in map(json.loads, edge.access_log().splitlines())}

    eventually(lambda: {"mine-1", made} <= logged().keys())
    line = logged()["mine-1"]
    assert (line["method"], line["path"], line["status"], line["user_id"]) == ("GET", ANALYSIS, 200, USER)
    assert (line["route"], logged()[made]["status"], logged()[made]["path"]) == ("waste", 401, ANALYSIS)
