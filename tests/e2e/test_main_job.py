"""A photo becomes advice, through Envoy and every real part."""

import io
import json
from concurrent.futures import ThreadPoolExecutor, as_completed

import grpc
import pillow_heif
import pytest
from eco2.waste.v1 import waste_pb2, waste_pb2_grpc
from PIL import Image

from tests.conftest import eventually
from tests.e2e.conftest import App, jpeg, variants

pillow_heif.register_heif_opener()
STAGES = {"user_input", "vision_analysis", "rule_retrieval", "response_generation"}


def test_a_photo_becomes_sourced_advice(app, coffee):
    analysis = app.finish(app.start(app.upload(coffee, "image/png")))
    assert analysis["state"] == "ANALYSIS_STATE_SUCCEEDED", analysis
    result = analysis["result"]
    assert (result["material"], result["category_major"]) == ("MATERIAL_CERAMIC", "불연성종량제폐기물")
    assert result["advice"]["steps"]
    assert result["source_url"].startswith("https://")
    assert (result["provider"], result["cached"]) == ("embedded", False)
    assert analysis["progress"] == 100
    item = app.http.get(f"/api/v1/recycle-info/items/{result['item_id']}").json()["item"]
    assert item["rule_id"] == result["rule_id"]
    for url in (analysis["image_url"], analysis["thumbnail_url"]):
        assert Image.open(io.BytesIO(app.http.get(url, headers={"authorization": ""}).content)).format == "JPEG"


def test_the_same_picture_again_comes_from_the_cache(mesh, app, coffee):
    app.finish(app.start(app.upload(coffee, "image/png")))
    other = App(mesh.edge_url)
    again = other.finish(other.start(other.upload(coffee, "image/png")))["result"]
    assert again["cached"]
    other.http.close()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_every_accepted_format_up_to_twelve_megapixels(app, coffee, form):
    buffer = io.BytesIO()
    photo = Image.open(io.BytesIO(coffee)).convert("RGB").resize((4000, 3000))
    # The grain of a sensor, so that the file is as large as a phone's.
    Image.blend(photo, Image.effect_noise(photo.size, 40).convert("RGB"), 0.1).save(buffer, form)
    analysis = app.finish(app.start(app.upload(buffer.getvalue(), f"image/{form.lower()}")))
    assert analysis["state"] == "ANALYSIS_STATE_SUCCEEDED", analysis


def test_the_four_tasks_of_an_analysis_arrive_in_the_central_record_once(app, coffee):
    analysis_id = app.start(app.upload(coffee, "image/png"))
    app.finish(analysis_id)
    eventually_synced(app, [analysis_id])
    tasks = app.tasks(analysis_id)
    assert sorted(task["task_id"] for task in tasks) == sorted(f"{analysis_id}:{stage}" for stage in STAGES)
    history = app.http.get(f"/api/v1/tasks/{analysis_id}:vision_analysis/history").json()["events"]
    assert [event["type"] for event in history] == [
        "TASK_EVENT_TYPE_QUEUED",
        "TASK_EVENT_TYPE_STARTED",
        "TASK_EVENT_TYPE_COMPLETED",
    ]


def test_a_reply_to_the_follow_up_settles_it(app, coffee):
    image_id = app.upload(coffee, "image/png")
    app.finish(app.start(image_id))
    reply = app.finish(app.start(image_id, question="유리병이에요"))["result"]
    assert (reply["material"], reply["category_middle"], reply["cached"]) == ("MATERIAL_GLASS", "유리병", True)


def test_a_photo_gets_the_rule_of_the_region_that_is_named(app, coffee):
    image_id, results = app.upload(coffee, "image/png"), {}
    for region_code in ("", "41285"):
        analysis_id = app.start(image_id, question="우유팩이에요", region_code=region_code)
        results[region_code] = app.finish(analysis_id)["result"]
        assert app.get(analysis_id)["region_code"] == region_code
    country, there = results.values()
    assert (country["item_name"], there["item_name"]) == ("우유팩", "우유팩")
    assert (country["region_name"], there["region_name"]) == ("", "경기도 고양시 일산동구")
    assert "경기도 고양시 일산동구 기준이에요" in there["advice"]["text"]
    assert there["source_url"] != country["source_url"]


def test_a_question_in_english_is_answered_in_english(app, coffee):
    result = app.finish(app.start(app.upload(coffee, "image/png"), question="How do I throw this away?"))["result"]
    assert result["advice"]["text"].isascii()


def test_an_app_may_wait_or_watch_instead_of_polling(app, coffee):
    analysis_id = app.start(app.upload(variants(coffee, 7)[6]))
    with app.http.stream(
        "GET", f"/api/v1/waste/analyses/{analysis_id}:watch", headers={"accept": "text/event-stream"}
    ) as stream:
        events = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
    assert events[-1]["done"]
    assert events[-1]["analysis"]["state"] == "ANALYSIS_STATE_SUCCEEDED"
    progress = [event["analysis"]["progress"] for event in events]
    assert progress == sorted(progress)
    waited = app.http.get(f"/api/v1/waste/analyses/{analysis_id}:wait", params={"timeout_s": 5}).json()
    assert waited["analysis"] == events[-1]["analysis"] | {
        key: waited["analysis"][key] for key in ("image_url", "thumbnail_url")
    }


def test_native_grpc_works_on_the_same_port_with_a_token_and_not_without(mesh, app, coffee):
    analysis_id = app.start(app.upload(coffee, "image/png"))
    request = waste_pb2.GetAnalysisRequest(analysis_id=analysis_id)
    with grpc.insecure_channel(mesh.edge_target) as channel:
        stub = waste_pb2_grpc.WasteServiceStub(channel)
        token = (("authorization", f"Bearer {app.tokens['access_token']}"),)
        assert stub.GetAnalysis(request, metadata=token, timeout=60).analysis.analysis_id == analysis_id
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetAnalysis(request, timeout=60)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetAnalysis(request, metadata=(("x-claim-sub", app.user_id),), timeout=60)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_somebody_elses_analysis_image_and_tasks_are_not_found(mesh, app, coffee):
    image_id = app.upload(coffee, "image/png")
    analysis_id = app.start(image_id)
    app.finish(analysis_id)
    eventually_synced(app, [analysis_id])
    stranger = App(mesh.edge_url)
    for answer in (
        stranger.http.get(f"/api/v1/waste/analyses/{analysis_id}"),
        stranger.http.get(f"/api/v1/waste/analyses/{analysis_id}:wait"),
        stranger.http.post("/api/v1/waste/analyses", json={"image_id": image_id}),
        stranger.http.get(f"/api/v1/tasks/{analysis_id}:vision_analysis"),
        stranger.http.get(f"/api/v1/tasks/{analysis_id}:vision_analysis/history"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, 5), answer.text
    assert stranger.tasks(analysis_id) == []
    stranger.http.close()


def test_killing_the_ai_worker_in_the_middle_loses_and_doubles_nothing(mesh, app, coffee):
    with ThreadPoolExecutor(8) as pool:
        starting = [pool.submit(lambda photo=photo: app.start(app.upload(photo))) for photo in variants(coffee, 50)]
        first = next(as_completed(starting)).result()
        eventually(lambda: app.get(first)["state"] == "ANALYSIS_STATE_SUCCEEDED")
        assert not all(each.done() for each in starting)
        mesh.kill("worker-ai")
        ids = [each.result() for each in starting]
    assert {app.finish(each, 300)["state"] for each in ids} == {"ANALYSIS_STATE_SUCCEEDED"}
    eventually_synced(app, ids)


def test_analyses_finish_while_the_tasks_service_is_away_and_arrive_afterwards(mesh, app, coffee):
    mesh.stop("tasks")
    try:
        ids = start_many(app, [jpeg(Image.open(io.BytesIO(each)).rotate(3)) for each in variants(coffee, 50)])
        assert {app.finish(each, 300)["state"] for each in ids} == {"ANALYSIS_STATE_SUCCEEDED"}
    finally:
        mesh.start("tasks")
        mesh.wait_ready("tasks")
    # Envoy asks twice a second.
    eventually(lambda: app.http.get("/healthz").status_code == 200)
    eventually_synced(app, ids)


def start_many(app: App, photos: list[bytes]) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda photo: app.start(app.upload(photo)), photos))


def eventually_synced(app: App, ids: list[str]) -> None:
    """Every analysis has its four tasks in the central record, each once, each a success."""

    def synced(analysis_id: str) -> bool:
        tasks = app.tasks(analysis_id)
        assert len({task["task_id"] for task in tasks}) == len(tasks)
        return sorted(task["task_name"] for task in tasks if task["state"] == "TASK_STATE_SUCCESS") == sorted(STAGES)

    for each in ids:
        eventually(lambda each=each: synced(each), 120)
