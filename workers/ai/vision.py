"""The embedded vision provider: a photo's bytes in, what it shows out. Offline, numpy, onnxruntime and Pillow only."""

import io
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

from services.kit.pictures import UNREADABLE
from workers.ai import evidence
from workers.ai.evidence import KINDS, Sight

HERE = Path(__file__).parent
HEAD = HERE / "head.npz"
ITEMS = HERE / "imagenet_items.csv"
CPU = Path("/proc/cpuinfo")

SIZE = 280
# Enough for any phone; a claim above it is refused before a pixel is decoded.
MAX_PIXELS = 25_000_000
# A JPEG is decoded at a fraction of its size as long as both sides keep this much: above SIZE, so nothing is lost.
DECODE_SIZE = 320


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
    """float32 [3, 280, 280] as the backbone wants it. The whole frame is squeezed into the square, as in training."""
    small = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return ((np.asarray(small, np.float32) - 127) / 128).transpose(2, 0, 1)


def halve(maps: np.ndarray) -> np.ndarray:
    """Maps [channels, side, side] to the means [2, 2, channels] of left and right, of top and bottom, without the
    middle."""
    side = maps.shape[-1] // 2
    halves = (maps[:, :, :side], maps[:, :, -side:]), (maps[:, :side], maps[:, -side:])
    return np.stack([[half.mean(axis=(1, 2)) for half in pair] for pair in halves])


def softmax(logits: np.ndarray) -> np.ndarray:
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponent / exponent.sum(axis=-1, keepdims=True)


def has_vnni(cpu: Path) -> bool:
    """Whether the processor that the file describes is known to sum products of bytes without overflow."""
    return cpu.is_file() and "vnni" in cpu.read_text()


class Backbone:
    """The two networks as workers.ai.backbone builds them. Threads may share one."""

    def __init__(self, path: Path, threads: int = 1, cpu: Path = CPU):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # One photo at a time needs little; the arena would keep the largest batch ever seen.
        options.enable_cpu_mem_arena = False
        if not has_vnni(cpu):
            # Without it onnxruntime's sums of products of bytes overflow unless told to take care, at twice the time.
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, pixels: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """pixels [n, 3, 280, 280] to the maps of each network, [n, 1584, 7, 7] and [n, 1648, 9, 9], and ImageNet logits
        [n, 1000]."""
        *maps, logits = self._session.run(["tuned", "plain", "logits"], {"image": pixels})
        return maps, logits

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """The means of all maps [n, 3232]."""
        return means(self.run(pixels)[0])


def means(maps: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([each.mean(axis=(2, 3)) for each in maps], axis=1)


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
        if self._out.shape[1] != len(KINDS):
            raise ValueError(f"{path.name} knows {self._out.shape[1]} kinds, not {len(KINDS)}")

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Features [..., 3232] to logits [..., kinds], not yet calibrated."""
        hidden = np.maximum(features @ self._hidden + self._hidden_bias, 0)
        return hidden @ self._out + self._out_bias

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Features [..., 3232] to probabilities [..., kinds]."""
        return softmax(self.logits(features) / self.temperature)


class EmbeddedVision:
    def __init__(self, backbone: Path, head: Path = HEAD, threads: int = 1):
        self._backbone = Backbone(backbone, threads)
        self._head = Head(head)
        self._items = evidence.load_items(ITEMS)

    def look(self, image_bytes: bytes) -> Sight:
        """Says what the photo shows. Raises NotAnImage for bytes that cannot be read as one."""
        maps, imagenet = self._backbone.run(to_pixels(open_image(image_bytes))[None])
        halves = np.concatenate([halve(each[0]) for each in maps], axis=-1)
        return evidence.fuse(
            self._head.probabilities(means(maps)[0]),
            softmax(imagenet[0]),
            self._items,
            self._head.probabilities(halves),
        )
