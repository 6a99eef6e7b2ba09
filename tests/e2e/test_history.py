"""What a person sees of their analyses and tasks, and takes away, through Envoy and every real part."""

from __future__ import annotations

import httpx

from services.kit.objects import Bucket
from tests.conftest import eventually
from tests.e2e.conftest import App, variants

ANALYSES = "/api/v1/waste/analyses"


def test_history_feedback_statistics_and_deletion(mesh, app, coffee):
    first = app.finish(app.start(app.upload(variants(coffee, 1)[0])))
    again = app.finish(app.start(first["image_id"], question="종이컵이에요"))
    failed = app.finish(app.start(app.upload(b"no photo" * 90, "image/png")))
    assert (again["state"], failed["state"]) == ("ANALYSIS_STATE_SUCCEEDED", "ANALYSIS_STATE_FAILED")

    def listed(**filters) -> list[str]:
        answer = app.http.get(ANALYSES, params=filters)
        assert answer.status_code == 200, answer.text
        return [each["analysis_id"] for each in answer.json()["analyses"]]

    everything = [each["analysis_id"] for each in (failed, again, first)]
    assert listed() == everything
    assert listed(state="ANALYSIS_STATE_FAILED") == everything[:1]
    of_first = {"item_id": first["result"]["item_id"], "material": first["result"]["material"]}
    assert first["analysis_id"] in listed(**of_first, before_time=failed["create_time"])
    assert listed(after_time=failed["create_time"]) == everything[:1]
    assert app.http.get(ANALYSES, params={"state": "BAD"}).status_code == 400

    counted = app.http.get("/api/v1/waste/statistics").json()
    assert counted["total_count"] == 3
    states = {each["state"]: each["count"] for each in counted["by_state"]}
    assert states == {"ANALYSIS_STATE_SUCCEEDED": 2, "ANALYSIS_STATE_FAILED": 1}
    assert sum(each["count"] for each in counted["by_month"]) == 3

    said = {"correct": False, "true_material": "MATERIAL_PAPER", "true_category": "종이류"}
    kept = app.http.post(f"{ANALYSES}/{first['analysis_id']}/feedback", json=said).json()["feedback"]
    assert app.get(first["analysis_id"])["feedback"] == kept

    for analysis in (first, again):
        assert app.http.delete(f"{ANALYSES}/{analysis['analysis_id']}").json() == {}
        assert app.http.delete(f"{ANALYSES}/{analysis['analysis_id']}").status_code == 404
    assert listed() == everything[:1]
    assert httpx.get(again["thumbnail_url"], timeout=60).status_code == 404
    assert httpx.get(again["image_url"], timeout=60).status_code == 404


def test_analyses_deleted_under_way_leave_nothing(mesh, app, coffee):
    stranger = App(mesh.edge_url)
    started = [app.start(app.upload(photo)) for photo in variants(coffee, 6)]
    for analysis_id in started:
        assert stranger.http.delete(f"{ANALYSES}/{analysis_id}").status_code == 404
        assert app.http.delete(f"{ANALYSES}/{analysis_id}").status_code == 200
    stranger.http.close()
    # Until their workers have nothing more to tell: what comes after goes the same way, later.
    follower = app.finish(app.start(app.upload(variants(coffee, 1)[0])))
    assert app.http.get("/api/v1/waste/statistics").json()["total_count"] == 1
    objects = Bucket(**vars(mesh.s3))

    def left() -> set[str]:
        keys = objects.list_keys(f"uploads/{app.user_id}/")
        return {key.split("/")[2] for key in keys}

    eventually(lambda: left() == {follower["image_id"]})
    objects.close()
    for analysis_id in started:
        assert app.http.get(f"{ANALYSES}/{analysis_id}").status_code == 404


def test_a_persons_tasks_are_counted(app, coffee):
    analysis = app.finish(app.start(app.upload(variants(coffee, 1)[0])))
    eventually(lambda: len(app.tasks(analysis["analysis_id"])) == 4)

    def counted() -> dict[str, dict]:
        answer = app.http.get("/api/v1/tasks/statistics", params={"after_time": analysis["create_time"]})
        return {each["task_name"]: each for each in answer.json()["statistics"]}

    eventually(lambda: sum(each["success_count"] for each in counted().values()) == 4)
    assert set(counted()) == {"user_input", "vision_analysis", "rule_retrieval", "response_generation"}
    assert all(each["failure_rate"] == 0 and each["p99_s"] >= each["p50_s"] >= 0 for each in counted().values())
