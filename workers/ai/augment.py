"""Variants of a training photo that look as if taken elsewhere: other ground, light, distance, angle and camera.

Used only in training and in measuring. TrashNet was photographed on one white board, and users' tables are no white
boards. The same generator state gives the same pixels.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

FRAMES = ((320, 320), (352, 264), (264, 352))
LONG_SIDE = 300
# A mask says where the thing is if it is of middling size and mostly certain.
MASK_AREA = (0.03, 0.8)
MASK_SEEN, MASK_CERTAIN, CERTAIN_SHARE = 0.1, 0.8, 0.6
# Without a mask, a thing is found only on a light, even border, as what differs from it.
LIGHT_BORDER, EVEN_BORDER, MASK_DISTANCE = 120, 22, 17


@dataclass(frozen=True)
class Cutout:
    """A photo and an L mask of the same size: 255 where the thing is."""

    image: Image.Image
    mask: Image.Image


class Grounds:
    """Surfaces to put things on: parts of photos, and made-up ones, which are all there is without photos."""

    def __init__(self, photos: Sequence[Image.Image] = ()):
        self._photos = photos

    def pick(self, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
        if not self._photos or random.random() < 0.4:
            return to_image(make_ground(size, random))
        image = self._photos[random.integers(len(self._photos))]
        share = math.sqrt(random.uniform(0.08, 0.9))
        image = _cut_part(image, share, share, random).resize(size, Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 4)))
        return relight(image, random) if random.random() < 0.5 else image


def vary(
    image: Image.Image,
    random: np.random.Generator,
    grounds: Grounds,
    things: Sequence[Cutout] = (),
    moved: float = 0.65,
) -> Image.Image:
    """A random variant of an RGB photo. `things`: one or two pieces of what it shows, the photo's own first; with them
    it is moved to another ground in the share `moved` of cases."""
    if things and random.random() < moved:
        image = compose(random, grounds, things)
        if random.random() < 0.3:
            image = _crop(image, random)
    else:
        image = _turn(image, random)
        if random.random() < 0.8:
            image = _crop(image, random)
        if random.random() < 0.5:
            image = _shade(image, random)
    if random.random() < 0.8:
        image = relight(image, random)
    if random.random() < 0.12:
        image = image.convert("L").convert("RGB")
    if random.random() < 0.2:
        image = _cover(image, grounds, random)
    return retake(image, random)


def compose(random: np.random.Generator, grounds: Grounds, things: Sequence[Cutout]) -> Image.Image:
    """The first thing, at times beside the second, on another ground."""
    canvas = grounds.pick(FRAMES[random.integers(len(FRAMES))], random)
    if len(things) == 1 or random.random() < 0.85:
        place(canvas, things[0], random, random.uniform(0.45, 1.15), random.uniform(0.35, 0.65, 2))
    else:
        for thing, (low, high) in zip(things[:2], ((0.15, 0.4), (0.6, 0.85)), strict=True):
            centre = (random.uniform(low, high), random.uniform(0.3, 0.7))
            place(canvas, thing, random, random.uniform(0.4, 0.7), centre)
    return canvas


def place(canvas: Image.Image, thing: Cutout, random: np.random.Generator, scale: float, centre: Sequence[float]):
    """Pastes the thing, turned and lit anew, its long side `scale` of the canvas's; centre is in shares of it."""
    image, mask = _trim(thing.image, thing.mask, 60)
    if random.random() < 0.6:
        image = relight(image, random)
    if random.random() < 0.5:
        image, mask = (part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for part in (image, mask))
    shrink = min(1.0, LONG_SIDE / max(image.size))
    size = (max(2, int(image.width * shrink)), max(2, int(image.height * shrink)))
    angle = random.uniform(0, 360) if random.random() < 0.6 else float(random.integers(4) * 90)
    image, mask = (part.resize(size).rotate(angle, Image.Resampling.BILINEAR, expand=True) for part in (image, mask))
    image, mask = _trim(image, mask, 0)
    factor, squeeze = scale * max(canvas.size) / max(image.size), math.exp(random.uniform(-0.12, 0.12))
    size = (max(8, int(image.width * factor * squeeze)), max(8, int(image.height * factor / squeeze)))
    image, mask = (part.resize(size, Image.Resampling.BILINEAR) for part in (image, mask))
    if random.random() < 0.5:
        mask = mask.filter(ImageFilter.MinFilter(3))
    left = int(canvas.width * centre[0] - image.width / 2)
    top = int(canvas.height * centre[1] - image.height / 2)
    if random.random() < 0.5:
        shadow = Image.new("L", canvas.size)
        aside, below = random.uniform(-0.05, 0.05) * canvas.width, random.uniform(0, 0.06) * canvas.height
        shadow.paste(mask, (left + int(aside), top + int(below)))
        shadow = shadow.filter(ImageFilter.GaussianBlur(random.uniform(2, 10)))
        canvas.paste(canvas.point(lambda v: int(v * 0.45)), (0, 0), shadow.point(lambda v: int(v * 0.8)))
    canvas.paste(image, (left, top), mask)


def cut_out(image: Image.Image, mask: Image.Image) -> Cutout | None:
    """The thing under the mask, or None where the mask does not say clearly where it is."""
    share = np.asarray(mask, np.float32) / 255
    seen = share > MASK_SEEN
    middling = MASK_AREA[0] < (share > 0.5).mean() < MASK_AREA[1]
    if not middling or (share[seen] > MASK_CERTAIN).mean() < CERTAIN_SHARE:
        return None
    return Cutout(image, mask)


def cut_sheet(image: Image.Image, random: np.random.Generator) -> Cutout:
    """A crooked piece of a photo that a sheet fills."""
    image = _cut_part(image, random.uniform(0.35, 0.8), random.uniform(0.35, 0.8), random)
    width, height = image.size
    out = random.uniform(0, 0.18, 8)
    corners = (
        -out[0] * width, -out[1] * height, -out[2] * width, height * (1 + out[3]),
        width * (1 + out[4]), height * (1 + out[5]), width * (1 + out[6]), -out[7] * height,
    )  # fmt: skip
    mask = Image.new("L", image.size, 255)
    image, mask = (
        part.transform(part.size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR) for part in (image, mask)
    )
    return Cutout(image, mask)


def find_thing(image: Image.Image) -> Cutout | None:
    """What differs from the border's colour, or None where no even, light ground is seen."""
    small = image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, np.float32)
    border = np.concatenate([pixels[:4].reshape(-1, 3), pixels[-4:].reshape(-1, 3), pixels[:, :4].reshape(-1, 3)])
    ground = np.median(border, axis=0)
    if ground.mean() < LIGHT_BORDER or np.abs(border - ground).mean() > EVEN_BORDER:
        return None
    difference = pixels - ground
    shade = difference.mean(axis=2, keepdims=True)
    # A shadow changes brightness alone, so colour counts for more.
    distance = np.sqrt((0.5 * shade[..., 0]) ** 2 + ((difference - shade) ** 2).sum(axis=2) * 4)
    mask = Image.fromarray(((distance > MASK_DISTANCE) * 255).astype(np.uint8))
    mask = mask.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.MinFilter(7))
    mask = mask.filter(ImageFilter.GaussianBlur(1)).resize(image.size, Image.Resampling.BILINEAR)
    return cut_out(image, mask)


def make_ground(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A textured surface [h, w, 3] in 0..255: cloudy noise at several scales, at times stretched like wood grain."""
    width, height = size
    noise = np.zeros((height, width), np.float32)
    stretch = random.choice([1, 1, 4, 12])
    roughness = random.uniform(0.35, 0.9)
    for octave in range(1, 7):
        cells = 2**octave
        grid = random.random((max(cells // stretch, 2), cells), np.float32)
        if random.random() < 0.5 and stretch == 1:
            grid = grid.T
        layer = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        noise += roughness**octave * np.asarray(layer, np.float32)
    noise = (noise - noise.min()) / (np.ptp(noise) + 1e-6)
    if random.random() < 0.5:
        noise = noise.T if width == height else np.asarray(Image.fromarray(noise.T.copy()).resize(size))
    hue = random.normal(0, 14, 3)
    dark = random.uniform(15, 190) + hue
    light = dark + random.uniform(5, 90) + random.normal(0, 6, 3)
    return np.clip(dark + noise[..., None] * (light - dark), 0, 255).astype(np.float32)


def _trim(image, mask, above):
    box = mask.point(lambda v: 255 * (v > above)).getbbox() or (0, 0, *mask.size)
    return image.crop(box), mask.crop(box)


def _cut_part(image, across, down, random):
    """A random part of the photo, as large as these shares of its sides."""
    width, height = max(8, int(image.width * across)), max(8, int(image.height * down))
    left = random.integers(0, max(image.width - width, 0) + 1)
    top = random.integers(0, max(image.height - height, 0) + 1)
    return image.crop((left, top, left + width, top + height))


def _turn(image, random):
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    quarter = random.integers(0, 4)
    if quarter:
        image = image.transpose(
            (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)[quarter]
        )
    if random.random() < 0.4:
        corner = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        image = image.rotate(random.uniform(-30, 30), Image.Resampling.BILINEAR, fillcolor=corner)
    return image


def _crop(image, random):
    """Nearer (a part of the photo) or, at times, farther (the photo on a wider ground)."""
    width, height = image.size
    if random.random() < 0.2:
        scale = random.uniform(1.1, 1.6)
        wide = (round(width * scale), round(height * scale))
        canvas = to_image(make_ground(wide, random))
        canvas.paste(image, (random.integers(0, wide[0] - width + 1), random.integers(0, wide[1] - height + 1)))
        return canvas
    area, aspect = random.uniform(0.45, 1), math.exp(random.uniform(-0.25, 0.25))
    return _cut_part(image, min(math.sqrt(area * aspect), 1), min(math.sqrt(area / aspect), 1), random)


def _shade(image, random):
    """Light that falls off to one side, and its colour."""
    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    angle = random.uniform(0, 2 * math.pi)
    down, across = np.mgrid[0:height, 0:width]
    slope = math.cos(angle) * across / width + math.sin(angle) * down / height
    slope = (slope - slope.min()) / (np.ptp(slope) + 1e-6)
    dark = random.uniform(0.35, 1)
    return to_image(pixels * (dark + (1 - dark) * slope)[..., None] * np.exp(random.normal(0, 0.12, 3)))


def _cover(image, grounds, random):
    """Something else in front of a part."""
    width, height = (max(4, int(side * random.uniform(0.1, 0.4))) for side in image.size)
    left, top = random.integers(0, image.width - width + 1), random.integers(0, image.height - height + 1)
    image = image.copy()
    image.paste(grounds.pick((width, height), random), (left, top))
    return image


def relight(image: Image.Image, random: np.random.Generator) -> Image.Image:
    for enhancer, spread in (
        (ImageEnhance.Brightness, 0.35),
        (ImageEnhance.Contrast, 0.3),
        (ImageEnhance.Color, 0.4),
    ):
        image = enhancer(image).enhance(math.exp(random.uniform(-spread, spread)))
    pixels = np.asarray(image, np.float32)
    gamma = math.exp(random.uniform(-0.3, 0.3))
    warmth = np.exp(random.normal(0, 0.05, 3)).astype(np.float32)
    return to_image(255 * (pixels / 255) ** gamma * warmth)


def retake(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Another camera: less sharp, noisier, harder compressed."""
    if random.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    if random.random() < 0.25:
        pixels = np.asarray(image, np.float32)
        image = to_image(pixels + random.normal(0, random.uniform(2, 10), pixels.shape))
    if random.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(random.integers(30, 85)))
        image = Image.open(buffer).convert("RGB")
    return image


def to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
