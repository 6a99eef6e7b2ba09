"""From any upload to a photo that is safe to look at: checked, upright, RGB, small, without metadata. Pure."""

from __future__ import annotations

import dataclasses
import io

import pillow_heif
from PIL import Image, ImageOps

from services.kit.pictures import UNREADABLE
from workers.stages import Permanent

MAX_BYTES = 50 << 20
# Decoding this many takes about 150 MB; a phone's photo has 12 to 50 million.
MAX_PIXELS = 50_000_000
LONG_SIDE, THUMBNAIL_SIDE = 1024, 256
QUALITY, THUMBNAIL_QUALITY = 88, 80

# The first bytes of what we take, and where they stand; Pillow alone would also try fifty formats nobody sends.
_MAGIC = {
    (0, b"\xff\xd8\xff"): "JPEG",
    (0, b"\x89PNG\r\n\x1a\n"): "PNG",
    (8, b"WEBP"): "WEBP",
    **dict.fromkeys([(4, b"ftypheic"), (4, b"ftypheix"), (4, b"ftypmif1")], "HEIF"),
}
pillow_heif.register_heif_opener(thumbnails=False)

NOT_AN_IMAGE = (
    "NOT_AN_IMAGE",
    {
        "ko": "사진 파일이 아니에요. JPEG, PNG, WebP, HEIC 사진을 올려 주세요.",
        "en": "This file is not a photo. Please upload a JPEG, PNG, WebP or HEIC photo.",
    },
)
TRUNCATED = (
    "IMAGE_TRUNCATED",
    {
        "ko": "사진이 끝까지 올라오지 않았거나 손상되었어요. 다시 올려 주세요.",
        "en": "The photo is incomplete or damaged. Please upload it again.",
    },
)
TOO_LARGE = (
    "IMAGE_TOO_LARGE",
    {
        "ko": "사진이 너무 커요. 5천만 화소, 50MB까지 볼 수 있어요.",
        "en": "The photo is too large. The limit is 50 megapixels and 50 MB.",
    },
)


@dataclasses.dataclass(frozen=True)
class Photo:
    """Both are JPEGs. width and height are those of `clean`, in pixels."""

    clean: bytes
    thumbnail: bytes
    width: int
    height: int


def clean(data: bytes) -> Photo:
    """Fails with Permanent: NOT_AN_IMAGE, IMAGE_TRUNCATED or IMAGE_TOO_LARGE. The same bytes give the same photo."""
    kind = next((kind for (at, magic), kind in _MAGIC.items() if data.startswith(magic, at)), None)
    if kind is None:
        raise Permanent(*NOT_AN_IMAGE)
    try:
        image = _open(data, kind)
        # Its structure first, on a copy that verify() uses up; damage in the pixels shows when they are decoded.
        _open(data, kind).verify()
        if kind == "JPEG":
            # libjpeg decodes at half, a quarter or an eighth of the size for a fraction of the time.
            image.draft("RGB", (LONG_SIDE, LONG_SIDE))
        image = _flatten(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Permanent(*TOO_LARGE) from None
    except UNREADABLE:
        # The first bytes were right, so the rest is what is missing.
        raise Permanent(*TRUNCATED) from None
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return Photo(_encode(image, QUALITY), _encode(small, THUMBNAIL_QUALITY), *image.size)


def _open(data: bytes, kind: str) -> Image.Image:
    """Reads the header only."""
    image = Image.open(io.BytesIO(data), formats=[kind])
    if image.width * image.height > MAX_PIXELS:
        raise Permanent(*TOO_LARGE)
    return image


def _flatten(image: Image.Image) -> Image.Image:
    """8-bit RGB, on white where it is transparent."""
    if image.mode.startswith("I"):
        # 16-bit grey: convert() alone would clip it to white instead of scaling it.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _encode(image: Image.Image, quality: int) -> bytes:
    """Pixels only: what else the upload carried, position included, stays behind."""
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    out = io.BytesIO()
    bare.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()
