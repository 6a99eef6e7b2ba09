"""Cleaning photos: every kind that phones send, and everything that only looks like one."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import time
import zlib

import pytest
from PIL import Image

from workers.ai import vision
from workers.stages import Permanent
from workers.storage import photo


def encode(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def two_halves(size=(400, 200)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, size[0], size[1]))
    return image


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def is_near(pixel, colour, tolerance=12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


RED, BLUE, WHITE = (254, 0, 0), (0, 0, 254), (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_each_kind_becomes_a_small_jpeg_with_a_thumbnail(kind):
    made = photo.clean(encode(two_halves((2000, 1000)), kind))
    clean, thumbnail = decoded(made.clean), decoded(made.thumbnail)
    assert (clean.format, clean.mode, clean.size) == ("JPEG", "RGB", (1024, 512))
    assert (made.width, made.height) == clean.size
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (256, 128))
    assert is_near(clean.getpixel((100, 100)), RED)
    assert is_near(clean.getpixel((900, 100)), BLUE)


def test_the_same_upload_gives_the_same_bytes():
    data = encode(two_halves(), "PNG")
    assert photo.clean(data) == photo.clean(data)


def test_a_photo_taken_sideways_stands_upright_and_loses_its_metadata():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned 90° clockwise to stand
    exif[0x010F] = "SecretPhone"
    exif.get_ifd(0x8825)[1] = "N"
    made = photo.clean(encode(two_halves(), "JPEG", exif=exif, comment=b"at home"))
    clean = decoded(made.clean)
    assert clean.size == (200, 400)
    assert is_near(clean.getpixel((100, 50)), RED)
    assert is_near(clean.getpixel((100, 350)), BLUE)
    assert not clean.getexif()
    assert b"SecretPhone" not in made.clean
    assert b"at home" not in made.clean
    assert set(clean.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def transparent() -> Image.Image:
    image = two_halves().convert("RGBA")
    image.paste((0, 0, 0, 0), (200, 0, 400, 200))
    return image


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (transparent(), RED, WHITE),
        (two_halves().convert("P"), RED, BLUE),
        (two_halves().convert("L"), (76, 76, 76), (29, 29, 29)),
        (Image.new("I;16", (40, 40), 0x8000), (128, 128, 128), (128, 128, 128)),
        (Image.new("1", (40, 40), 1), WHITE, WHITE),
        (Image.new("LA", (40, 40), (0, 0)), WHITE, WHITE),
    ],
    ids=["alpha", "palette", "grey", "16-bit", "1-bit", "grey-alpha"],
)
def test_png_of_every_mode_becomes_rgb_on_white(image, left, right):
    clean = decoded(photo.clean(encode(image, "PNG")).clean)
    assert clean.mode == "RGB"
    assert is_near(clean.getpixel((5, 20)), left)
    assert is_near(clean.getpixel((clean.width - 5, 20)), right)


def test_cmyk_becomes_rgb():
    clean = decoded(photo.clean(encode(two_halves().convert("CMYK"), "JPEG")).clean)
    assert clean.mode == "RGB"
    assert is_near(clean.getpixel((50, 50)), RED, tolerance=40)


def test_a_twelve_megapixel_photo_takes_a_moment():
    noise = Image.frombytes("RGB", (1000, 750), random.Random(1).randbytes(1000 * 750 * 3))
    data = encode(noise.resize((4000, 3000)), "JPEG", quality=90)
    began = time.process_time()
    made = photo.clean(data)
    assert (made.width, made.height) == (1024, 768)
    # About 0.15 s of one core.
    assert time.process_time() - began < 2


def refused(data: bytes) -> str:
    with pytest.raises(Permanent) as raised:
        photo.clean(data)
    assert set(raised.value.words) == {"ko", "en"}
    return raised.value.reason


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (50_001, 1_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size):
    assert refused(png_header(*size)) == "IMAGE_TOO_LARGE"


def test_a_heic_of_too_many_pixels_is_refused_before_they_are_decoded():
    data = encode(two_halves(), "HEIF").replace(struct.pack(">II", 400, 200), struct.pack(">II", 40_000, 20_000))
    assert refused(data) == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"GIF89a" + bytes(100), b"<svg/>", bytes(1000)])
def test_what_is_no_photo_is_refused(data):
    assert refused(data) == "NOT_AN_IMAGE"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_photo_is_refused(kind, share):
    noise = Image.frombytes("RGB", (200, 200), random.Random(2).randbytes(200 * 200 * 3))
    data = encode(noise, kind)
    assert refused(data[: max(20, int(len(data) * share))]) == "IMAGE_TRUNCATED"


def test_damage_never_ends_in_another_error(campaign):
    chance = campaign.chance()
    originals = [encode(two_halves(), kind) for kind in ("JPEG", "PNG", "WEBP", "HEIF")]
    for _ in range(campaign.count(quick=300, long=5_000)):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        # Anything but Permanent fails the test here.
        with contextlib.suppress(Permanent):
            photo.clean(bytes(data))


@pytest.mark.parametrize("tag", [(0x11A, 1, 1), (0x106, 3, 2), (0x10D, 11, 1)], ids=["type", "lookup", "attribute"])
def test_exif_that_pillow_stumbles_over_is_damage_and_not_tried_again(tag):
    turned = struct.pack("<HHI4s", 0x112, 3, 1, b"\6\0\0\0")
    entries = turned + struct.pack("<HHI4s", *tag, b"\1\0\0\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    data = encode(two_halves(), "JPEG", exif=exif)
    assert refused(data) == "IMAGE_TRUNCATED"
    with pytest.raises(vision.NotAnImage):
        vision.open_image(data)
