"""A talk with the coach through the front door, about a photo and a place."""

import io
import json

from PIL import Image, ImageOps

from tests.conftest import eventually
from tests.e2e.conftest import jpeg
from tests.e2e.test_bad_input import fields

EVENTS = {"accept": "text/event-stream"}


def say(app, conversation: str, content: str, **more: object):
    """The response, to be read as it comes."""
    body = {"content": content, **more}
    return app.http.stream("POST", f"{conversation}/messages", json=body, headers=EVENTS, timeout=60)


def events(response):
    assert response.status_code == 200
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_a_photo_is_talked_about_and_the_talk_outlives_the_client(app, coffee):
    # Not the photo that the other tests expect to be new.
    photo = jpeg(ImageOps.mirror(Image.open(io.BytesIO(coffee)).convert("RGB")))
    analysis_id = app.start(app.upload(photo), question="How do I throw away a paper cup?")
    assert app.finish(analysis_id)["state"] == "ANALYSIS_STATE_SUCCEEDED"
    made = app.http.post("/api/v1/chat/conversations", json={}).json()["conversation"]
    conversation = f"/api/v1/chat/conversations/{made['conversation_id']}"

    near = {"latitude": 37.5665, "longitude": 126.978}
    with say(app, conversation, "남은 알약은 어디에 버려요? 가까운 곳이요", near=near) as response:
        *pieces, last = events(response)
    assert last["done"]
    assert pieces[0]["message"]["content"].startswith("남은 알약은")
    assert "".join(piece.get("text", "") for piece in [*pieces, last]).strip() == last["answer"]["content"]
    cited = [next(name for name in each if name != "number") for each in last["answer"]["citations"]]
    assert cited == ["rule", "center", "center", "center"]

    with say(app, conversation, "And what was in this photo?", analysis_id=analysis_id) as response:
        answer = next(events(response))["answer"]
    # The client has left in the middle.
    message = f"{conversation}/messages/{answer['message_id']}"
    eventually(lambda: app.http.get(message).json()["message"]["state"] == "MESSAGE_STATE_SUCCEEDED")
    done = app.http.get(message).json()["message"]
    assert done["citations"][0]["analysis"]["analysis_id"] == analysis_id
    assert len(app.http.get(f"{conversation}/messages").json()["messages"]) == 4

    feedback = {"helpful": False, "comment": "too short"}
    assert app.http.post(f"{message}/feedback", json=feedback).status_code == 200
    assert fields(app.http.post(f"{conversation}/messages", json={"content": " "})) == {"content"}
