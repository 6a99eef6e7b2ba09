"""Avatars: announced, uploaded to the store, cleaned, shown, and gone."""

from __future__ import annotations

import io
import struct
import urllib.request

import pytest
import uuid_utils.compat as uuids
from eco2.users.v1 import users_pb2 as pb
from PIL import Image

from services.kit import errors
from services.kit.objects import LATE
from services.users import people, picture
from tests.conftest import as_user, put, together
from tests.services.users.conftest import MOST, photo

# XResolution, PhotometricInterpretation and DocumentName, of types they cannot have; each breaks Pillow differently.
ODD_TAGS = {"type": (0x11A, 1, 1), "lookup": (0x106, 3, 2), "attribute": (0x10D, 11, 1)}


def with_odd_exif(tag: int, kind: int, count: int) -> bytes:
    """A picture that says to be turned, and has a tag that cannot be written back."""
    entries = struct.pack("<HHI4s", 0x112, 3, 1, b"\6\0\0\0") + struct.pack("<HHI4s", tag, kind, count, b"\1\0\0\0")
    return photo((8, 8), exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4))


def fetch(url: str) -> Image.Image:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return Image.open(io.BytesIO(answer.read()))


def test_an_uploaded_picture_becomes_the_avatar_without_what_else_the_file_carried(users):
    user_id, exif = users.register(), Image.Exif()
    exif[0x0112] = 6  # Orientation: turn it by 90 degrees.
    exif.get_ifd(0x8825)[2] = (37.0, 33.0, 59.0)  # GPSLatitude.
    avatar_id = users.upload(user_id, photo((1200, 800), exif=exif))
    assert users.profile(user_id).avatar_url == ""
    shown = fetch(users.confirm(user_id, avatar_id).avatar_url)
    assert (shown.format, shown.size) == ("JPEG", (341, 512))
    assert not shown.getexif()
    assert users.objects(avatar_id) == {"avatar.jpg"}
    # Safe to repeat, although the upload has gone.
    assert users.confirm(user_id, avatar_id).avatar_url
    assert fetch(users.profile(user_id).avatar_url).size == (341, 512)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_and_transparency_become_a_jpeg_on_white(kind):
    out = io.BytesIO()
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(out, kind)
    made = Image.open(io.BytesIO(picture.clean(out.getvalue())))
    assert (made.format, made.size, made.getpixel((5, 5))) == ("JPEG", (40, 30), (255, 255, 255))


def test_the_store_takes_exactly_what_was_announced(users):
    user_id, data = users.register(), photo()
    made = users.announce(user_id, data)
    assert put(made.upload, data[:-1] + b"x") >= 400
    assert put(made.upload, data + b"x") >= 400
    assert users.objects(made.avatar_id) == set()
    assert put(made.upload, data) == 200


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GIF89a" + bytes(100), "NOT_AN_IMAGE"),
        (photo()[:2000], "IMAGE_TRUNCATED"),
        (b"\xff\xd8\xff" + bytes(100), "IMAGE_TRUNCATED"),
        (photo((6000, 5000), "PNG"), "IMAGE_TOO_LARGE"),
        *((with_odd_exif(*tag), "IMAGE_TRUNCATED") for tag in ODD_TAGS.values()),
    ],
    ids=["gif", "half", "head", "huge", *ODD_TAGS],
)
def test_what_is_no_good_picture_is_refused_and_the_avatar_stays(users, data, reason):
    user_id = users.register()
    before = users.confirm(user_id, users.upload(user_id, photo())).avatar_url.split("?")[0]
    with pytest.raises(errors.FailedPrecondition) as caught:
        users.confirm(user_id, users.upload(user_id, data))
    assert caught.value.reason == reason
    assert users.profile(user_id).avatar_url.split("?")[0] == before


def test_a_picture_that_is_not_there_or_not_theirs_is_refused(users):
    mina, jun = users.register("mina"), users.register("jun")
    announced = users.announce(mina, photo()).avatar_id
    with pytest.raises(errors.FailedPrecondition) as caught:
        users.confirm(mina, announced)
    assert caught.value.reason == "AVATAR_NOT_UPLOADED"
    for user_id, avatar_id in ((jun, users.upload(mina, photo())), (jun, str(uuids.uuid7()))):
        with pytest.raises(errors.NotFound) as caught:
            users.confirm(user_id, avatar_id)
        assert caught.value.reason == "AVATAR_NOT_FOUND"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"content_type": "image/gif"}, "content_type"),
        ({"size_bytes": 5 * 1024 * 1024 + 1}, "size_bytes"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"sha256": b"x"}, "sha256"),
    ],
)
def test_a_bad_announcement_names_its_field(users, user_id, fields, field):
    good = {"content_type": "image/png", "size_bytes": 1, "sha256": bytes(32)}
    with pytest.raises(errors.InvalidArgument) as caught:
        users.public.CreateAvatar(pb.CreateAvatarRequest(**good | fields), metadata=as_user(user_id))
    assert [name for name, _ in caught.value.violations] == [field]


def test_a_picture_that_was_replaced_or_taken_down_leaves_the_store_once_its_upload_has_ended(users):
    user_id = users.register()
    first, second = users.upload(user_id, photo()), users.upload(user_id, photo((300, 300)))
    users.confirm(user_id, first)
    assert users.confirm(user_id, second).avatar_url
    users.people.tidy()
    assert users.objects(first) == {"avatar.jpg"}
    users.clock.advance(seconds=people.UPLOAD_S + LATE.total_seconds() + 1)
    users.people.tidy()
    assert users.objects(first) == set()
    assert users.objects(second) == {"avatar.jpg"}
    gone = users.public.DeleteAvatar(pb.DeleteAvatarRequest(), metadata=as_user(user_id)).profile
    assert gone.avatar_url == users.profile(user_id).avatar_url == ""
    users.clock.advance(hours=1)
    users.people.tidy()
    assert users.objects(second) == set()
    assert users.owner.execute("SELECT count(*) FROM users.avatars").fetchone() == (0,)


def test_there_is_a_most_of_pictures_that_are_not_shown(users):
    user_id, other = users.register("mina"), users.register("jun")
    shown = users.upload(user_id, photo())
    users.confirm(user_id, shown)
    users.clock.advance(hours=1)
    refused = together(MOST + 2, lambda: users.announce(user_id, photo()))
    day = people.FORGOTTEN.total_seconds() + people.TIDY_S
    assert [(type(fault), fault.reason, fault.retry_after_s, fault.metadata) for fault in refused] == [
        (errors.ResourceExhausted, "TOO_MANY_UPLOADS", day, {"most": str(MOST)})
    ] * 2
    users.announce(other, photo())
    users.clock.advance(seconds=day)
    users.people.tidy()
    users.announce(user_id, photo())


def test_a_picture_that_nobody_confirmed_is_forgotten(users):
    user_id = users.register()
    kept, forgotten = users.upload(user_id, photo()), users.upload(user_id, photo())
    users.confirm(user_id, kept)
    for _ in range(2):
        users.clock.advance(hours=25)
        users.people.tidy()
    assert (users.objects(kept), users.objects(forgotten)) == ({"avatar.jpg"}, set())
    with pytest.raises(errors.NotFound):
        users.confirm(user_id, forgotten)
    assert users.profile(user_id).avatar_url
