"""Trains the vision head on the backbone's features. numpy only; the seeds are fixed.

usage: python -m workers.ai.train BACKBONE.onnx DATA_DIR REALWASTE_DIR WEB_DIR GROCERY_DIR MASKS_DIR WORK_DIR
    [--out HEAD.npz]

The folders are those of workers/ai/photos.py. WORK_DIR receives the views that are trained on, 7 GB. Val sets nothing
but the temperature.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workers.ai.evidence import KINDS
from workers.ai.photos import (
    SEED,
    Folders,
    MovedVal,
    list_photos,
    list_web,
    make_views,
    open_photo,
    to_square,
    trim_bars,
)
from workers.ai.vision import HEAD, Backbone, Head, softmax

VIEWS = 30_000
# The plain photos come again and again: without them the head forgets the board that TrashNet lies on, and the white
# that shops show things on.
PLAIN_REPEATS, WEB_REPEATS = 6, 2
CENTRE = 0.8
HIDDEN = 256
EPOCHS = 25
BATCH = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 5e-2
INPUT_DROPOUT, HIDDEN_DROPOUT = 0.3, 0.5
LABEL_SMOOTHING = 0.05
ECE_BINS = 10


def look_at(views: np.ndarray, model: Path) -> np.ndarray:
    """The means of the backbone's maps of uint8 views [n, 280, 280, 3]: [n, 3232]."""
    net = Backbone(model)

    def look(start: int) -> np.ndarray:
        pixels = (views[start : start + 4].astype(np.float32) - 127) / 128
        return net.describe(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))

    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(look, range(0, len(views), 4))))


def plain_views(image: Image.Image) -> list[np.ndarray]:
    """The whole and the centre, each also mirrored."""
    margin = [round(side * (1 - CENTRE) / 2) for side in image.size]
    centre = image.crop((*margin, image.width - margin[0], image.height - margin[1]))
    return [to_square(part) for whole in (image, centre) for part in (whole, ImageOps.mirror(whole))]


class Adam:
    """Adam with decoupled weight decay on matrices and a cosine schedule."""

    def __init__(self, parameters: list[np.ndarray], steps: int):
        self.parameters, self.steps, self.step_number = parameters, steps, 0
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]

    def step(self, gradients: list[np.ndarray]) -> None:
        self.step_number += 1
        t = self.step_number
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * t / self.steps))
        for parameter, gradient, (mean, square) in zip(self.parameters, gradients, self.moments, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            move = (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
            parameter -= rate * (move + (WEIGHT_DECAY * parameter if parameter.ndim == 2 else 0))


def fit(features: np.ndarray, kinds: np.ndarray) -> list[np.ndarray]:
    """features [n, 3232] and kinds [n] to [hidden, hidden_bias, out, out_bias], the scaling of inputs folded in."""
    random = np.random.default_rng(SEED)
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-2
    inputs = ((features - centre) / spread).astype(np.float32)
    count, width = inputs.shape
    targets = np.eye(len(KINDS), dtype=np.float32)[kinds] * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / len(KINDS)
    hidden = random.normal(0, np.sqrt(0.5 / width), (width, HIDDEN)).astype(np.float32)
    out = random.normal(0, np.sqrt(1 / HIDDEN), (HIDDEN, len(KINDS))).astype(np.float32)
    hidden_bias, out_bias = np.zeros(HIDDEN, np.float32), np.zeros(len(KINDS), np.float32)
    batch_size = min(BATCH, count)
    optimizer = Adam([hidden, hidden_bias, out, out_bias], EPOCHS * (count // batch_size))
    for _ in range(EPOCHS):
        order = random.permutation(count)
        for batch in order[: count - count % batch_size].reshape(-1, batch_size):
            x = inputs[batch] * _keep(random, (batch_size, width), INPUT_DROPOUT)
            z = x @ hidden + hidden_bias
            gate = (z > 0) * _keep(random, z.shape, HIDDEN_DROPOUT)
            h = z * gate
            error = (softmax(h @ out + out_bias) - targets[batch]) / batch_size
            back = (error @ out.T) * gate
            optimizer.step([x.T @ back, back.sum(axis=0), h.T @ error, error.sum(axis=0)])
    return [hidden / spread[:, None], hidden_bias - (centre / spread) @ hidden, out, out_bias]


def _keep(random, shape, dropout):
    """A dropout mask that keeps the mean."""
    return (random.random(shape, np.float32) >= dropout) / np.float32(1 - dropout)


def fit_temperature(logits: np.ndarray, kinds: np.ndarray) -> float:
    """The temperature in 0.3..3 with the least cross-entropy."""
    candidates = np.geomspace(0.3, 3, 200)
    losses = [-np.log(softmax(logits / t)[np.arange(len(kinds)), kinds] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ECE_BINS equal bins of confidence."""
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))


def save_head(path: Path, parameters: list[np.ndarray], temperature: float) -> None:
    """Small: the hidden layer, nearly all of it, in bytes with a scale per row, the rest in half precision. numpy dates
    the entries 1980, so equal arrays make equal bytes."""
    hidden, *rest = parameters
    scale = np.abs(hidden).max(axis=1, keepdims=True) / 127 + 1e-12
    arrays = {
        name: value.astype(np.float16) for name, value in zip(("hidden_bias", "out", "out_bias"), rest, strict=True)
    }
    arrays |= {"hidden": np.round(hidden / scale).astype(np.int8), "hidden_scale": scale.astype(np.float32)}
    np.savez_compressed(path, **arrays, temperature=np.float32(temperature))


def report(name: str, probabilities: np.ndarray, kinds: np.ndarray) -> str:
    right = probabilities.argmax(axis=1) == kinds
    per_kind = " ".join(f"{KINDS[kind]} {right[kinds == kind].mean():.3f}" for kind in sorted(set(kinds)))
    ece = calibration_error(probabilities.max(axis=1), right)
    return f"{name}: accuracy {right.mean():.4f}  ece {ece:.4f}  {per_kind}\n"


def _look_at_web(photos: list[tuple[Path, int]], model: Path) -> tuple[np.ndarray, np.ndarray]:
    views = np.stack([to_square(trim_bars(open_photo(path))) for path, _ in photos])
    return look_at(views, model), np.array([kind for _, kind in photos])


def train(model: Path, folders: Folders, work: Path, out: Path) -> None:
    views, view_kinds = make_views(folders, work, VIEWS)
    photos = list_photos(folders.data / "train")
    plain = look_at(np.stack([view for path, _ in photos for view in plain_views(open_photo(path))]), model)
    plain_kinds = np.repeat([kind for _, kind in photos], len(plain) // len(photos))
    (web, web_kinds), (held, held_kinds) = (_look_at_web(photos, model) for photos in list_web(folders.web))
    parameters = fit(
        np.concatenate([look_at(views, model), *[plain] * PLAIN_REPEATS, *[web] * WEB_REPEATS]),
        np.concatenate([view_kinds, *[plain_kinds] * PLAIN_REPEATS, *[web_kinds] * WEB_REPEATS]),
    )

    photos, moved_val = list_photos(folders.data / "val"), MovedVal(folders)
    moved_photos = [moved_val.view(number) for number in range(len(moved_val))]
    val = look_at(np.stack([to_square(open_photo(path)) for path, _ in photos]), model)
    moved = look_at(np.stack([view for view, _ in moved_photos]), model)
    val_kinds, moved_kinds = (np.array([kind for _, kind in some]) for some in (photos, moved_photos))

    save_head(out, parameters, 1.0)
    head = Head(out)
    # Users' photos are not like val, and confidence must hold on them: the moved and the web's say what it is worth.
    temperature = fit_temperature(head.logits(np.concatenate([moved, held])), np.concatenate([moved_kinds, held_kinds]))
    save_head(out, parameters, temperature)
    head = Head(out)
    sys.stdout.write(report("val", head.probabilities(val), val_kinds))
    sys.stdout.write(report("val moved", head.probabilities(moved), moved_kinds))
    sys.stdout.write(report("web, held out", head.probabilities(held), held_kinds))
    sys.stdout.write(f"{out}: {out.stat().st_size} bytes, temperature {temperature:.3f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.ai.train", description=__doc__.partition("\n")[0])
    for name in ("backbone", *Folders._fields, "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, default=HEAD)
    arguments = parser.parse_args()
    folders = Folders(*(getattr(arguments, name) for name in Folders._fields))
    train(arguments.backbone, folders, arguments.work, arguments.out)


if __name__ == "__main__":
    main()
