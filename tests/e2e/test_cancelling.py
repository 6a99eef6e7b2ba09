"""Analyses that their user cancels under way, through Envoy and every real part."""

from __future__ import annotations

import json
import random
from concurrent import futures

from tests.conftest import eventually
from tests.e2e.conftest import App, variants

ANALYSES, DEAD = "/api/v1/waste/analyses", "/api/v1/tasks/dead-letters"
CANCELLED, SUCCEEDED = "ANALYSIS_STATE_CANCELLED", "ANALYSIS_STATE_SUCCEEDED"
OVER = {"TASK_STATE_SUCCESS", "TASK_STATE_FAILURE"}


def cancel(app: App, analysis_id: str) -> dict:
    answer = app.http.post(f"{ANALYSES}/{analysis_id}:cancel", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()["analysis"]


def tasks(app: App, analysis_id: str) -> dict[str, dict]:
    return {each["task_name"]: each for each in app.tasks(analysis_id)}


def test_what_waits_for_a_worker_is_cancelled_and_the_worker_drops_it(mesh, app, coffee):
    stranger = App(mesh.edge_url)
    mesh.stop("worker-ai")
    try:
        analysis_id = app.start(app.upload(variants(coffee, 1)[0]))
        eventually(lambda: "user_input" in tasks(app, analysis_id))
        assert stranger.http.post(f"{ANALYSES}/{analysis_id}:cancel", json={}).status_code == 404
        with app.http.stream("GET", f"{ANALYSES}/{analysis_id}:watch") as watched:
            lines = watched.iter_lines()
            assert json.loads(next(lines))["analysis"]["state"] == "ANALYSIS_STATE_RUNNING"
            cancelled = cancel(app, analysis_id)
            last = [json.loads(line) for line in lines if line][-1]
        assert (last["done"], last["analysis"]["state"]) == (True, CANCELLED)
        assert cancelled["state"] == CANCELLED
        assert "complete_time" in cancelled
        assert cancel(app, analysis_id)["state"] == CANCELLED
    finally:
        mesh.start("worker-ai")
        mesh.wait_ready("worker-ai")
    eventually(lambda: "vision_analysis" in tasks(app, analysis_id))
    eventually(lambda: tasks(app, analysis_id)["vision_analysis"]["state"] in OVER)
    found = tasks(app, analysis_id)
    assert {name: each["state"] for name, each in found.items()} == {
        "user_input": "TASK_STATE_SUCCESS",
        "vision_analysis": "TASK_STATE_FAILURE",
    }
    assert found["vision_analysis"]["error"].startswith("CANCELLED")
    # A worker that has done with a later photo has done with this one.
    app.finish(app.start(app.upload(variants(coffee, 1)[0])))
    assert app.http.get(DEAD).json()["dead_letters"] == []
    assert app.get(analysis_id)["state"] == CANCELLED
    listed = app.http.get(ANALYSES, params={"state": CANCELLED}).json()["analyses"]
    assert [each["analysis_id"] for each in listed] == [analysis_id]
    stranger.http.close()


def test_cancelled_at_any_moment_while_workers_are_killed_each_has_one_end(mesh, app, coffee):
    chance, image_ids = random.Random(11), [app.upload(photo) for photo in variants(coffee, 20)]
    with futures.ThreadPoolExecutor(4) as threads:

        def dropped(image_id: str, reached: int) -> tuple[str, dict]:
            """Cancelled when it is that far; what the cancel answered."""
            analysis_id = app.start(image_id)
            eventually(lambda: app.get(analysis_id).get("progress", 0) >= reached, 90)
            return analysis_id, cancel(app, analysis_id)

        running = [threads.submit(dropped, each, chance.choice((0, 0, 5, 30, 60, 100))) for each in image_ids]
        for name in ("worker-ai", "worker-storage"):
            mesh.kill(name)
        answered = dict(each.result(120) for each in running)
    mesh.wait_ready()
    followers = [app.start(image_id) for image_id in image_ids[:5]]
    assert {app.finish(each, 90)["state"] for each in followers} == {SUCCEEDED}
    for analysis_id, then in answered.items():
        now = app.get(analysis_id)
        assert now["state"] == then["state"]
        assert now["state"] in (CANCELLED, SUCCEEDED)
        assert ("result" in now) == (now["state"] == SUCCEEDED)
        eventually(lambda each=analysis_id: {row["state"] for row in app.tasks(each)} <= OVER, 60)
        rows = tasks(app, analysis_id)
        if now["state"] == SUCCEEDED:
            assert {each["state"] for each in rows.values()} == {"TASK_STATE_SUCCESS"}
        assert sum(each["state"] == "TASK_STATE_FAILURE" for each in rows.values()) <= 1
    assert CANCELLED in {each["state"] for each in answered.values()}
    assert app.http.get(DEAD).json()["dead_letters"] == []
