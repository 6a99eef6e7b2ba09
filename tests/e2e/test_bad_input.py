"""Bad input through the front door: each a JSON error with code, message and details that name the field, or an
analysis that FAILED with a reason a person understands. Nothing hangs."""

import io
import struct
import zlib

import httpx
import jwt
import pytest
from PIL import Image

from tests.e2e.conftest import jpeg


def fields(answer: httpx.Response) -> set[str]:
    """The fields that the error's details name."""
    assert answer.headers["content-type"].startswith("application/json"), answer.text
    body = answer.json()
    assert set(body) >= {"code", "message", "details"}, body
    return {
        violation["field"]
        for detail in body["details"]
        if detail["@type"].endswith("BadRequest")
        for violation in detail.get("field_violations", detail.get("fieldViolations", []))
    }


def huge_png(width: int, height: int) -> bytes:
    """A small file that decodes to width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def whole_jpeg() -> bytes:
    return jpeg(Image.effect_noise((640, 480), 80).convert("RGB"))


@pytest.mark.parametrize(
    ("photo", "content_type", "reason"),
    [
        (b"%PDF-1.7 this is a letter, not a photo", "image/jpeg", "NOT_AN_IMAGE"),
        (b"GIF89a" + bytes(100), "image/png", "NOT_AN_IMAGE"),
        (whole_jpeg()[:9000], "image/jpeg", "IMAGE_TRUNCATED"),
        (huge_png(10_000, 10_000), "image/png", "IMAGE_TOO_LARGE"),
    ],
    ids=["a letter", "another format", "a truncated image", "a hundred megapixels"],
)
def test_a_file_that_cannot_be_looked_at_fails_with_a_reason(app, photo, content_type, reason):
    analysis = app.finish(app.start(app.upload(photo, content_type)))
    assert (analysis["state"], analysis["failure"]["reason"]) == ("ANALYSIS_STATE_FAILED", reason)
    assert len(analysis["failure"]["message"]) > 10
    assert "result" not in analysis


def test_the_store_refuses_another_checksum_or_length(app):
    photo = whole_jpeg()
    upload = app.announce(photo, "image/jpeg")["upload"]
    for body in (bytes(len(photo)), photo + b"!", photo[:-1]):
        assert httpx.put(upload["url"], content=body, headers=upload["headers"], timeout=60).status_code >= 400


def test_an_image_that_was_never_uploaded(app):
    image_id = app.announce(b"never", "image/jpeg")["image"]["image_id"]
    answer = app.http.post("/api/v1/waste/analyses", json={"image_id": image_id})
    assert (answer.status_code, answer.json()["code"], fields(answer)) == (400, 9, {"image_id"})
    assert "IMAGE_NOT_UPLOADED" in answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content_type": "image/gif", "size_bytes": 1, "sha256": "A" * 43 + "="}, "content_type"),
        ({"content_type": "image/png", "size_bytes": 0, "sha256": "A" * 43 + "="}, "size_bytes"),
        ({"content_type": "image/png", "size_bytes": 999_999_999, "sha256": "A" * 43 + "="}, "size_bytes"),
        ({"content_type": "image/png", "size_bytes": 1, "sha256": "AAAA"}, "sha256"),
    ],
)
def test_a_wrong_announcement_names_its_field(app, body, field):
    answer = app.http.post("/api/v1/waste/images", json=body)
    assert (answer.status_code, answer.json()["code"], fields(answer)) == (400, 3, {field})


def test_a_wrong_token_is_refused(app):
    forged = jwt.encode({"sub": app.user_id, "aud": "eco2-api"}, "x" * 32, algorithm="HS256")
    for token in ("nonsense", forged, app.tokens["access_token"][:-4] + "AAAA"):
        answer = app.http.get("/api/v1/waste/analyses", headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (401, 16), answer.text
        fields(answer)


def test_malformed_json_an_unknown_query_field_and_a_megabyte_of_text(app):
    malformed = app.http.post(
        "/api/v1/waste/analyses", content=b'{"image_id": ', headers={"content-type": "application/json"}
    )
    assert (malformed.status_code, malformed.json()["code"]) == (400, 3)
    unknown = app.http.get("/api/v1/waste/analyses", params={"colour": "red"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, 3)
    assert "colour" in unknown.text
    not_text = app.http.get("/api/v1/recycle-info/items?query=%ff")
    assert (not_text.status_code, not_text.json()["code"]) == (400, 3)
    large = app.http.post("/api/v1/recycle-info:ask", json={"question": "가" * 1_000_000})
    assert large.status_code in (400, 413), large.text
    fields(large)
    long = app.http.post("/api/v1/recycle-info:ask", json={"question": "가" * 2000})
    assert (long.status_code, fields(long)) == (400, {"question"})


def test_what_does_not_exist_is_json_too(app):
    answer = app.http.get("/api/v1/nothing/here")
    assert (answer.status_code, answer.json()["code"]) == (404, 5)
    answer = app.http.get("/api/v1/waste/analyses/not-a-uuid")
    assert (answer.status_code, fields(answer)) == (400, {"analysis_id"})


def test_a_photo_taken_sideways_is_turned_upright_and_loses_where_it_was_taken(app, coffee):
    image = Image.open(io.BytesIO(coffee)).convert("RGB").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    analysis = app.finish(app.start(app.upload(jpeg(image, exif=exif))))
    clean = Image.open(io.BytesIO(httpx.get(analysis["image_url"], timeout=60).content))
    assert clean.width > clean.height
    assert not clean.getexif()
