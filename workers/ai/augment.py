"""Variants of a training photo that look as if taken elsewhere: other light, distance, angle, camera and ground.

Used only in training. TrashNet was photographed on one white board, and users' tables are not white boards.
"""

import io
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

# A ground can be replaced only where it is seen: a light, even border around a thing of middling size.
LIGHT_BORDER = 120
EVEN_BORDER = 22
THING_AREA = (0.06, 0.75)
MASK_DISTANCE = 34


def vary(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A random variant of an RGB photo; the same generator state gives the same pixels."""
    if random.random() < 0.5:
        image = replace_ground(image, random)
    image = _turn(image, random)
    image = _crop(image, random)
    image = _relight(image, random)
    return _retake(image, random)


def find_thing(image: Image.Image) -> np.ndarray | None:
    """A soft mask [h, w] in 0..1 of what differs from the border's colour, or None where no ground is seen."""
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
    mask = Image.fromarray(((distance > MASK_DISTANCE / 2) * 255).astype(np.uint8))
    mask = mask.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.MinFilter(7))
    mask = mask.filter(ImageFilter.GaussianBlur(1)).resize(image.size, Image.Resampling.BILINEAR)
    soft = np.asarray(mask, np.float32) / 255
    return soft if THING_AREA[0] < soft.mean() < THING_AREA[1] else None


def replace_ground(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """The thing on a made-up ground, with its own shading kept; the photo as it is where no ground is seen."""
    mask = find_thing(image)
    if mask is None:
        return image
    pixels = np.asarray(image, np.float32)
    seen = pixels[mask < 0.1]
    if not len(seen):
        return image
    shading = np.clip(pixels.mean(axis=2) / max(seen.mean(), 1), 0.3, 1.15)[..., None]
    mixed = mask[..., None] * pixels + (1 - mask[..., None]) * make_ground(image.size, random) * shading
    return _to_image(mixed)


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
        canvas = _to_image(make_ground(wide, random))
        canvas.paste(image, (random.integers(0, wide[0] - width + 1), random.integers(0, wide[1] - height + 1)))
        return canvas
    area, aspect = random.uniform(0.45, 1), math.exp(random.uniform(-0.25, 0.25))
    w = min(round(width * math.sqrt(area * aspect)), width)
    h = min(round(height * math.sqrt(area / aspect)), height)
    left, top = random.integers(0, width - w + 1), random.integers(0, height - h + 1)
    return image.crop((left, top, left + w, top + h))


def _relight(image, random):
    for enhancer, spread in (
        (ImageEnhance.Brightness, 0.35),
        (ImageEnhance.Contrast, 0.3),
        (ImageEnhance.Color, 0.4),
    ):
        image = enhancer(image).enhance(math.exp(random.uniform(-spread, spread)))
    pixels = np.asarray(image, np.float32)
    gamma = math.exp(random.uniform(-0.3, 0.3))
    warmth = np.exp(random.normal(0, 0.05, 3)).astype(np.float32)
    return _to_image(255 * (pixels / 255) ** gamma * warmth)


def _retake(image, random):
    """Another camera: less sharp, noisier, harder compressed."""
    if random.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    if random.random() < 0.25:
        pixels = np.asarray(image, np.float32)
        image = _to_image(pixels + random.normal(0, random.uniform(2, 10), pixels.shape))
    if random.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(random.integers(30, 85)))
        image = Image.open(buffer).convert("RGB")
    return image


def _to_image(pixels):
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
