"""The main job through the public door, as the phone app does it: python -m stack.demo [--photo PATH] [--question TEXT]

Starts the stack when it is not up, and stops it again. Exits with 0 only when the analysis has succeeded.
"""

import argparse
import base64
import contextlib
import hashlib
import importlib.util
import json
import secrets
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from stack import daemon
from stack.__main__ import edge_port, open_home
from stack.home import HomeError
from stack.supervisor import StartError

POLL_S = 0.5
ANALYSIS_LIMIT_S = 60.0
# The workers' record of an analysis arrives in `tasks` in batches, a little after the answer.
TASKS_LIMIT_S = 5.0
STAGES = 4
MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


class DemoError(Exception):
    """Why there is no answer, in a sentence."""


class Client:
    """The REST API, as one user. `call` fails with DemoError, whose text has the API's own message."""

    def __init__(self, edge_url: str) -> None:
        self._http = httpx.Client(base_url=edge_url, timeout=10.0)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._http.request(method, f"/api/v1{path}", **request)
        if response.is_error:
            raise DemoError(f"{method} {path}: {response.status_code} {_message(response)}")
        return response.json()

    def sign_up(self) -> None:
        """Makes a user that nobody needs again, and goes on as that one."""
        name = f"demo-{secrets.token_hex(6)}"
        user = {"username": name, "email": f"{name}@example.com", "password": secrets.token_urlsafe(16)}
        tokens = self.call("POST", "/auth/register", json=user)["tokens"]
        self._http.headers["authorization"] = f"Bearer {tokens['access_token']}"

    def upload(self, photo: bytes, content_type: str) -> str:
        """Announces the photo, puts it where the answer says, and returns its image_id."""
        digest = base64.b64encode(hashlib.sha256(photo).digest()).decode()
        announced = {"content_type": content_type, "size_bytes": len(photo), "sha256": digest}
        created = self.call("POST", "/waste/images", json=announced)
        where = created["upload"]
        # Not through the client: its token is not for the object store.
        stored = httpx.request(where["method"], where["url"], content=photo, headers=where["headers"], timeout=30.0)
        if stored.is_error:
            raise DemoError(f"the object store refused the photo: {stored.status_code} {stored.text}")
        return created["image"]["image_id"]

    def tasks(self, analysis_id: str) -> list[dict[str, Any]]:
        return self.call("GET", "/tasks", params={"analysis_id": analysis_id}).get("tasks", [])


def _message(response: httpx.Response) -> str:
    try:
        return response.json()["message"]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]


def bundled_photo() -> Path:
    """The photograph of a coffee cup that scikit-image carries."""
    found = importlib.util.find_spec("skimage")
    if found is None:
        raise DemoError("scikit-image is not installed; run `make setup`, or choose a PHOTO")
    return Path(found.origin).parent / "data/coffee.png"


def read_photo(path: Path) -> tuple[bytes, str]:
    """The file and its content type. Fails with DemoError when it cannot be read or is none of the four types."""
    try:
        photo = path.read_bytes()
    except OSError as error:
        raise DemoError(f"cannot read the photo {path}: {error.strerror}") from error
    if photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        return photo, "image/webp"
    if photo[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return photo, "image/heic"
    for magic, content_type in MAGIC.items():
        if photo.startswith(magic):
            return photo, content_type
    raise DemoError(f"{path} is not a JPEG, PNG, WebP or HEIC picture")


def analyse(client: Client, photo: bytes, content_type: str, question: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Returns the finished analysis as REST gives it, and how long each stage took in milliseconds."""
    began = time.monotonic()
    image_id = client.upload(photo, content_type)
    uploaded = time.monotonic()
    body = {"image_id": image_id, "question": question, "request_id": str(uuid.uuid4())}
    analysis = client.call("POST", "/waste/analyses", json=body)["analysis"]
    path = f"/waste/analyses/{analysis['analysis_id']}"
    while analysis["state"] in ("ANALYSIS_STATE_QUEUED", "ANALYSIS_STATE_RUNNING"):
        show_progress(analysis)
        if time.monotonic() - uploaded > ANALYSIS_LIMIT_S:
            raise DemoError(f"the analysis is still at {analysis['progress']} % after {ANALYSIS_LIMIT_S:.0f} s")
        time.sleep(POLL_S)
        analysis = client.call("GET", path)["analysis"]
    show_progress(analysis, last=True)
    ended = time.monotonic()
    stages = stage_times(client, analysis["analysis_id"])
    return analysis, {"upload": _ms(uploaded - began), **stages, "total": _ms(ended - began)}


def stage_times(client: Client, analysis_id: str) -> dict[str, int]:
    """How long the workers were at each stage, by their own record of it; what is not recorded yet is left out."""
    give_up = time.monotonic() + TASKS_LIMIT_S
    while True:
        tasks = [task for task in client.tasks(analysis_id) if task.get("complete_time")]
        if len(tasks) >= STAGES or time.monotonic() > give_up:
            break
        time.sleep(POLL_S)
    tasks.sort(key=lambda task: task["start_time"])
    return {task["task_name"]: _ms(_seconds(task["complete_time"]) - _seconds(task["start_time"])) for task in tasks}


def show_progress(analysis: dict[str, Any], last: bool = False) -> None:
    if not sys.stderr.isatty():
        return
    progress = analysis.get("progress", 0)
    bar = ("█" * (progress // 5)).ljust(20, "░")
    sys.stderr.write(f"\r\x1b[K{bar} {progress:3} % {analysis.get('stage', '')}" + ("\n" if last else ""))
    sys.stderr.flush()


def tell(analysis: dict[str, Any], stages: dict[str, int]) -> None:
    if analysis["state"] != "ANALYSIS_STATE_SUCCEEDED":
        failure = analysis["failure"]
        print(f"\nno answer: {failure['message']} ({failure['reason']})")
        return
    result = analysis["result"]
    advice = result.get("advice", {})
    print(f"\n{result.get('item_name') or 'not sure what it is'}")
    # Of the material, not of the item; and no photo is worth a round 100 %.
    sure = int(result["confidence"] * 100)
    print(f"  material  {result['material'].removeprefix('MATERIAL_').lower()} ({sure} % sure by the photo)")
    print(f"  category  {result.get('category_major', '')} › {result.get('category_middle', '')}")
    print(f"  bin       {result.get('bin', '')}")
    for number, step in enumerate(advice.get("steps", []), 1):
        print(f"  {number}. {step}")
    for warning in advice.get("warnings", []):
        print(f"  ! {warning}")
    if result.get("follow_up_question"):
        print(f"  ? {result['follow_up_question']}")
    print(f"  rule      {result.get('rule_id', '')}  {result.get('source_url', '')}")
    print(f"  provider  {result['provider']}{' (from cache)' if result.get('cached') else ''}")
    print("  time      " + ", ".join(f"{stage} {took} ms" for stage, took in stages.items()))


@contextlib.contextmanager
def running_stack() -> Iterator[str]:
    """The edge's URL of the stack that is up, or of one that is up for as long as this lasts."""
    home = open_home()
    was_up = daemon.is_up(home)
    # stdout is for the answer.
    with contextlib.redirect_stdout(sys.stderr):
        code = daemon.up(home, edge_port(), [])
    if code:
        raise DemoError("the stack is not ready")
    try:
        yield f"http://127.0.0.1:{daemon.addresses(home)['edge']}"
    finally:
        if not was_up:
            with contextlib.redirect_stdout(sys.stderr):
                daemon.down(home)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stack.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--photo", type=Path, help="JPEG, PNG, WebP or HEIC; a coffee cup when none is given")
    parser.add_argument("--question", default="", help="in Korean or English")
    parser.add_argument("--json", action="store_true", help="end with one line: {analysis, stages_ms}")
    arguments = parser.parse_args()
    try:
        photo, content_type = read_photo(arguments.photo or bundled_photo())
        with running_stack() as edge_url, Client(edge_url) as client:
            client.sign_up()
            analysis, stages = analyse(client, photo, content_type, arguments.question)
            tell(analysis, stages)
            if arguments.json:
                print(json.dumps({"analysis": analysis, "stages_ms": stages}, ensure_ascii=False))
            sys.stdout.flush()
    except (DemoError, HomeError, StartError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except httpx.HTTPError as error:
        sys.stderr.write(f"demo: no answer from the stack: {type(error).__name__} {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if analysis["state"] == "ANALYSIS_STATE_SUCCEEDED" else 1


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


if __name__ == "__main__":
    sys.exit(main())
