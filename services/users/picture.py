"""From an upload to an avatar: upright, small, pixels only. Pure."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps

from services.kit.errors import FailedPrecondition
from services.kit.pictures import UNREADABLE

SIDE, QUALITY = 512, 88
# Decoding this many takes about 100 MB.
MAX_PIXELS = 25_000_000
# The first bytes of what we take, and where they stand.
_MAGIC = {"JPEG": (0, b"\xff\xd8\xff"), "PNG": (0, b"\x89PNG\r\n\x1a\n"), "WEBP": (8, b"WEBP")}


def clean(data: bytes) -> bytes:
    """A JPEG. Fails with FailedPrecondition (NOT_AN_IMAGE, IMAGE_TRUNCATED, IMAGE_TOO_LARGE)."""
    kind = next((kind for kind, (at, magic) in _MAGIC.items() if data.startswith(magic, at)), None)
    if kind is None:
        raise FailedPrecondition("the file is not a JPEG, PNG or WebP picture", reason="NOT_AN_IMAGE")
    try:
        with warnings.catch_warnings():
            # Its limit is higher than ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=[kind])
        if image.width * image.height > MAX_PIXELS:
            raise _too_large()
        if kind == "JPEG":
            # libjpeg decodes at half, a quarter or an eighth of the size for a fraction of the time.
            image.draft("RGB", (SIDE, SIDE))
        image = ImageOps.exif_transpose(image)
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except Image.DecompressionBombError:
        raise _too_large() from None
    except UNREADABLE:
        raise FailedPrecondition("the picture is incomplete or damaged", reason="IMAGE_TRUNCATED") from None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # What else the upload carried, position included, stays behind.
    bare = Image.new("RGB", image.size, "white")
    bare.paste(image, mask=image if image.mode == "RGBA" else None)
    out = io.BytesIO()
    bare.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def _too_large() -> FailedPrecondition:
    return FailedPrecondition("the picture has more than 25 million pixels", reason="IMAGE_TOO_LARGE")
