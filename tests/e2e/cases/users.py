"""Cases of profiles, settings, and leaving."""

import base64
import hashlib
import uuid

import httpx
from PIL import Image

from tests.e2e.cases.case import APART, Case, Person
from tests.e2e.conftest import App, jpeg

ME = "/api/v1/users/me"


def avatar_id(person: Person) -> str:
    """Of a picture that is uploaded."""
    picture = jpeg(Image.effect_noise((64, 64), 80).convert("RGB"))
    digest = base64.b64encode(hashlib.sha256(picture).digest()).decode()
    body = {"content_type": "image/jpeg", "size_bytes": len(picture), "sha256": digest}
    made = person.http.post(f"{ME}/avatar", json=body).json()
    stored = httpx.put(made["upload"]["url"], content=picture, headers=made["upload"]["headers"], timeout=60)
    assert stored.status_code == 200, stored.text
    return made["avatar_id"]


def in_the_dark(person: Person) -> dict:
    assert person.http.patch(f"{ME}/settings", json={"theme": "dark"}).status_code == 200
    return {}


def erasure_id(person: Person) -> str:
    """Of somebody who has left."""
    somebody = App(str(person.http.base_url))
    left = somebody.http.delete(ME)
    somebody.http.close()
    return left.json()["erasure"]["erasure_id"]


ANNOUNCED = {"content_type": "image/jpeg", "size_bytes": 9, "sha256": base64.b64encode(bytes(32)).decode()}

CASES = {
    "UsersService.GetProfile": Case(lambda _: {}, None, others=APART),
    "UsersService.UpdateProfile": Case(
        lambda _: {"profile": {"bio": "Sorts."}, "update_mask": "bio"}, ("profile.bio", "x" * 501), others="OK"
    ),
    "UsersService.DeleteAccount": Case(lambda _: {}, ("request_id", "7"), others="OK", alone=True),
    "UsersService.GetSettings": Case(in_the_dark, None, others=APART),
    "UsersService.UpdateSettings": Case(
        lambda _: {"settings": {"language": "en"}}, ("settings.theme", "pink"), others="OK"
    ),
    "UsersService.CreateAvatar": Case(lambda _: ANNOUNCED, ("content_type", "image/gif"), others="OK"),
    "UsersService.ConfirmAvatar": Case(lambda me: {"avatar_id": avatar_id(me)}, ("avatar_id", "7")),
    "UsersService.DeleteAvatar": Case(lambda _: {}, None, others="OK"),
    "ErasureService.GetErasure": Case(
        lambda me: {"erasure_id": erasure_id(me)},
        ("erasure_id", "7"),
        refused=("erasure_id", str(uuid.uuid4()), "NOT_FOUND"),
    ),
}
