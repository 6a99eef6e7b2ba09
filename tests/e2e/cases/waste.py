"""Cases of photos and their analyses."""

import base64
import functools

from PIL import Image

from tests.e2e.cases.case import APART, NO_TIME, Case, Person
from tests.e2e.conftest import jpeg


@functools.cache
def image_id(person: Person) -> str:
    # Noise is a new picture each time: other tests count on the cache not knowing theirs.
    return person.upload(jpeg(Image.effect_noise((320, 240), 80).convert("RGB")))


@functools.cache
def analysis_id(person: Person) -> str:
    """One that has ended well."""
    analysis = person.finish(person.start(image_id(person)))
    assert analysis["state"] == "ANALYSIS_STATE_SUCCEEDED", analysis
    return analysis["analysis_id"]


def list_analyses(person: Person) -> dict:
    analysis_id(person)
    return {"page_size": 5}


def has_analyses(person: Person) -> dict:
    analysis_id(person)
    return {}


ANNOUNCED = {"content_type": "image/jpeg", "size_bytes": 9, "sha256": base64.b64encode(bytes(32)).decode()}

CASES = {
    "WasteService.CreateImage": Case(lambda _: ANNOUNCED, ("content_type", "image/gif"), others="OK"),
    "WasteService.CreateAnalysis": Case(lambda me: {"image_id": image_id(me)}, ("image_id", "7")),
    "WasteService.GetAnalysis": Case(lambda me: {"analysis_id": analysis_id(me)}, ("analysis_id", "7")),
    "WasteService.ListAnalyses": Case(list_analyses, ("page_size", -1), others=APART),
    "WasteService.WaitAnalysis": Case(lambda me: {"analysis_id": analysis_id(me)}, ("timeout_s", 26)),
    "WasteService.WatchAnalysis": Case(lambda me: {"analysis_id": analysis_id(me)}, ("analysis_id", "7")),
    "WasteService.DeleteAnalysis": Case(lambda me: {"analysis_id": me.start(image_id(me))}, ("analysis_id", "7")),
    "WasteService.CancelAnalysis": Case(lambda me: {"analysis_id": me.start(image_id(me))}, ("analysis_id", "7")),
    "WasteService.GetStatistics": Case(has_analyses, ("before_time", NO_TIME), others=APART),
    "WasteService.CreateFeedback": Case(
        lambda me: {"analysis_id": analysis_id(me), "correct": True}, ("comment", "x" * 1001)
    ),
}
