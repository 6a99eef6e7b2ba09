"""The embedded vision provider: a photo's bytes in, what it shows out. Offline, numpy, onnxruntime and Pillow only."""

import io
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

from services.kit.pictures import UNREADABLE
from workers.ai import evidence
from workers.ai.evidence import Sight

HERE = Path(__file__).parent
HEAD = HERE / "head.npz"
ITEMS = HERE / "imagenet_items.csv"

SIZE = 224
# Enough for any phone; a claim above it is refused before a pixel is decoded.
MAX_PIXELS = 25_000_000
# A JPEG is decoded at a fraction of its size as long as both sides keep this much: above SIZE, so nothing is lost.
DECODE_SIZE = 320
CENTRE = 0.8


# Its warning of size is an exception where warnings are errors.
_REFUSED = (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning)


class NotAnImage(ValueError):
    """The bytes are no photo that can be read: another format, damaged, or too large."""


def open_image(data: bytes) -> Image.Image:
    """The photo upright, as RGB, transparent parts white. Raises NotAnImage."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise NotAnImage(f"the image has {image.width}×{image.height} pixels, more than {MAX_PIXELS}")
        image.draft("RGB", (DECODE_SIZE, DECODE_SIZE))
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")
    except NotAnImage:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImage("the image cannot be read: no known image format") from error
    except _REFUSED as error:
        raise NotAnImage(f"the image cannot be read: {error}") from error


def to_pixels(image: Image.Image) -> np.ndarray:
    """float32 [3, 224, 224] as the backbone wants it. The whole frame is squeezed into the square, as in training."""
    small = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return ((np.asarray(small, np.float32) - 127) / 128).transpose(2, 0, 1)


def crop_centre(image: Image.Image) -> Image.Image:
    width, height = image.size
    left, top = round(width * (1 - CENTRE) / 2), round(height * (1 - CENTRE) / 2)
    return image.crop((left, top, max(width - left, left + 1), max(height - top, top + 1)))


def to_views(image: Image.Image) -> np.ndarray:
    """float32 [2, 3, 224, 224]: the photo, and its centre mirrored. They err apart; their mean errs less."""
    return np.stack([to_pixels(image), to_pixels(ImageOps.mirror(crop_centre(image)))])


def halve(maps: np.ndarray) -> np.ndarray:
    """Maps [channels, 7, 7] to the means [2, 2, channels] of left and right, of top and bottom, without the middle."""
    side = maps.shape[-1] // 2
    halves = (maps[:, :, :side], maps[:, :, -side:]), (maps[:, :side], maps[:, -side:])
    return np.stack([[half.mean(axis=(1, 2)) for half in pair] for pair in halves])


def softmax(logits: np.ndarray) -> np.ndarray:
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponent / exponent.sum(axis=-1, keepdims=True)


class Backbone:
    """EfficientNet-Lite0 as workers.ai.backbone builds it. Threads may share one."""

    def __init__(self, path: Path, threads: int = 1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # One photo at a time needs little; the arena would keep the largest batch ever seen.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """pixels [n, 3, 224, 224] to features [n, 1584, 7, 7] and the last one's ImageNet logits [1, 1000]."""
        features, logits = self._session.run(["features", "logits"], {"image": pixels})
        return features, logits


class Head:
    """The trained part: features to the kinds of waste, one hidden layer, calibrated by its temperature. It works on
    means over the picture or over a part of it."""

    def __init__(self, path: Path = HEAD):
        with np.load(path, allow_pickle=False) as file:
            self._hidden = file["hidden"] * file["hidden_scale"]
            self._hidden_bias, self._out, self._out_bias = (
                file[name].astype(np.float32) for name in ("hidden_bias", "out", "out_bias")
            )
            self.temperature = float(file["temperature"])

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Features [..., 1584] to logits [..., kinds], not yet calibrated."""
        hidden = np.maximum(features @ self._hidden + self._hidden_bias, 0)
        return hidden @ self._out + self._out_bias

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The logits of a photo's views [..., views, kinds] to probabilities [..., kinds]."""
        return softmax(logits.mean(axis=-2) / self.temperature)


class EmbeddedVision:
    def __init__(self, backbone: Path, head: Path = HEAD, threads: int = 1):
        self._backbone = Backbone(backbone, threads)
        self._head = Head(head)
        self._items = evidence.load_items(ITEMS)

    def look(self, image_bytes: bytes) -> Sight:
        """Says what the photo shows. Raises NotAnImage for bytes that cannot be read as one."""
        maps, imagenet = self._backbone.run(to_views(open_image(image_bytes)))
        probabilities = self._head.probabilities(self._head.logits(maps.mean(axis=(2, 3))))
        halves = self._head.probabilities(self._head.logits(halve(maps[0]))[..., None, :])
        return evidence.fuse(probabilities, softmax(imagenet[0]), self._items, halves)
