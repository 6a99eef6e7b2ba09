"""A task that failed for good, its repair and its replay, through Envoy and every real part."""

from __future__ import annotations

import io

from eco2.pipeline.v1.messages_pb2 import AnalysisJob
from eco2.tasks.v1 import internal_pb2, internal_pb2_grpc
from PIL import Image

from services.kit.channel import connect
from services.kit.objects import Bucket
from tests.conftest import eventually
from tests.e2e.conftest import App, jpeg

DEAD, REPLAY = "/api/v1/tasks/dead-letters", "/api/v1/tasks/dead-letters:replay"


def test_a_failed_analysis_is_repaired_and_replayed_into_an_answer(mesh, app, coffee):
    analysis_id = app.start(app.upload(b"no photo" * 100, "image/png"))
    assert app.finish(analysis_id)["state"] == "ANALYSIS_STATE_FAILED"
    task_id = f"{analysis_id}:user_input"
    eventually(lambda: app.http.get(DEAD).json()["dead_letters"])
    [letter] = app.http.get(DEAD, params={"task_id": task_id}).json()["dead_letters"]
    assert (letter["task_id"], letter["attempt"], letter["queue"]) == (task_id, 1, "user_input_queue")
    assert letter["stack"] == letter["payload"] == ""

    stranger = App(mesh.edge_url)
    assert stranger.http.get(DEAD).json()["dead_letters"] == []
    assert stranger.http.post(REPLAY, json={"task_id": task_id}).json()["dead_letters"] == []
    assert stranger.http.get(DEAD, headers={"authorization": ""}).status_code == 401
    refused = app.http.post(REPLAY, json={})
    assert (refused.status_code, refused.json()["code"]) == (400, 3)
    stranger.http.close()

    with connect(mesh.target("tasks"), timeout_s=60) as channel:
        operator = internal_pb2_grpc.TasksInternalServiceStub(channel)
        request = internal_pb2.ListAnyDeadLettersRequest(list={"task_id": task_id})
        [whole] = operator.ListAnyDeadLetters(request).dead_letters
    assert "Permanent" in whole.stack
    # Upside down, so that no other test finds it in the cache.
    photo = jpeg(Image.open(io.BytesIO(coffee)).convert("RGB").rotate(180))
    objects = Bucket(**vars(mesh.s3))
    objects.put(AnalysisJob.FromString(whole.payload).image_key, photo, "image/jpeg")
    objects.close()

    replayed = app.http.post(REPLAY, json={"task_id": task_id}).json()
    assert [each["dead_letter_id"] for each in replayed["dead_letters"]] == [letter["dead_letter_id"]]
    assert app.http.post(REPLAY, json={"task_id": task_id}).json()["dead_letters"] == []
    eventually(lambda: app.get(analysis_id)["state"] == "ANALYSIS_STATE_SUCCEEDED", 120)
    assert "failure" not in app.get(analysis_id)

    def attempts() -> list[tuple]:
        events = app.http.get(f"/api/v1/tasks/{task_id}/history").json()["events"]
        return [(each["attempt"], each["type"].removeprefix("TASK_EVENT_TYPE_")) for each in events]

    eventually(lambda: (2, "COMPLETED") in attempts())
    assert (1, "FAILED") in attempts()
    [kept] = app.http.get(DEAD, params={"show_replayed": "true"}).json()["dead_letters"]
    assert kept["replayed_by"] == f"user:{app.user_id}"
