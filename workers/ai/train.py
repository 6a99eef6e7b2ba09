"""Trains the vision head on the backbone's features. numpy only; the seeds are fixed.

usage: python -m workers.ai.train BACKBONE.onnx DATA_DIR [--out HEAD.npz]

DATA_DIR holds train/ and val/, each with the six folders of TrashNet. Every training photo is seen as it is (whole and
centre, each also mirrored) and in VARIANTS random ones; val sets nothing but the temperature. Takes four minutes on two
cores.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from workers.ai.augment import vary
from workers.ai.vision import HEAD, Backbone, Head, crop_centre, softmax, to_pixels, to_views

CLASSES = ("cardboard", "glass", "metal", "paper", "plastic", "trash")  # in the order of evidence.HEAD_MATERIALS
SEED = 7
VARIANTS = 12
VAL_VARIANTS = 4
HIDDEN = 128
EPOCHS = 15
BATCH = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 5e-3
INPUT_DROPOUT, HIDDEN_DROPOUT = 0.3, 0.4
LABEL_SMOOTHING = 0.05
MIXUP = 0.2
ECE_BINS = 10


@dataclass(frozen=True)
class Photos:
    features: np.ndarray  # [photos, views, 1584]
    labels: np.ndarray  # [photos], indices into CLASSES


def list_photos(folder: Path) -> list[tuple[Path, int]]:
    """Photos with their class, in a fixed order. Raises ValueError where a class has none."""
    photos = []
    for label, name in enumerate(CLASSES):
        paths = sorted((folder / name).glob("*.jpg"))
        if not paths:
            raise ValueError(f"{folder / name} holds no .jpg")
        photos += [(path, label) for path in paths]
    return photos


def extract(
    backbone: Backbone, folder: Path, views: Callable[[Image.Image, np.random.Generator], np.ndarray]
) -> Photos:
    """Features of every photo's views. Each photo has a random state of its own, so threads change nothing."""
    photos = list_photos(folder)

    def features_of(job):
        number, (path, _) = job
        with Image.open(path) as file:
            image = file.convert("RGB")
        return backbone.run(views(image, np.random.default_rng([SEED, number])))[0]

    with ThreadPoolExecutor(2) as pool:
        features = list(pool.map(features_of, enumerate(photos)))
    return Photos(np.stack(features), np.array([label for _, label in photos]))


def training_views(image, random):
    centre = crop_centre(image)
    whole = [image, ImageOps.mirror(image), centre, ImageOps.mirror(centre)]
    return np.stack([to_pixels(view) for view in whole + [vary(image, random) for _ in range(VARIANTS)]])


def varied_views(image, random):
    """The views a user's photo would get, of random variants: what val would be, had it been taken elsewhere."""
    return np.concatenate([to_views(vary(image, random)) for _ in range(VAL_VARIANTS)])


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


def fit(features: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """features [n, 1584] and labels [n] to [hidden, hidden_bias, out, out_bias], the scaling of inputs folded in."""
    random = np.random.default_rng(SEED)
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-3
    inputs = ((features - centre) / spread).astype(np.float32)
    count, width = inputs.shape
    targets = np.eye(len(CLASSES), dtype=np.float32)[labels] * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / len(CLASSES)
    hidden = random.normal(0, np.sqrt(0.5 / width), (width, HIDDEN)).astype(np.float32)
    out = random.normal(0, np.sqrt(1 / HIDDEN), (HIDDEN, len(CLASSES))).astype(np.float32)
    hidden_bias, out_bias = np.zeros(HIDDEN, np.float32), np.zeros(len(CLASSES), np.float32)
    optimizer = Adam([hidden, hidden_bias, out, out_bias], EPOCHS * (count // BATCH))
    for _ in range(EPOCHS):
        order = random.permutation(count)
        for batch in order[: count - count % BATCH].reshape(-1, BATCH):
            x, target = inputs[batch], targets[batch]
            other, share = random.permutation(BATCH), random.beta(MIXUP, MIXUP, (BATCH, 1)).astype(np.float32)
            x, target = share * x + (1 - share) * x[other], share * target + (1 - share) * target[other]
            x = x * _keep(random, x.shape, INPUT_DROPOUT)
            z = x @ hidden + hidden_bias
            gate = (z > 0) * _keep(random, z.shape, HIDDEN_DROPOUT)
            h = z * gate
            error = (softmax(h @ out + out_bias) - target) / BATCH
            back = (error @ out.T) * gate
            optimizer.step([x.T @ back, back.sum(axis=0), h.T @ error, error.sum(axis=0)])
    return [hidden / spread[:, None], hidden_bias - (centre / spread) @ hidden, out, out_bias]


def _keep(random, shape, dropout):
    """A dropout mask that keeps the mean."""
    return (random.random(shape, np.float32) >= dropout) / np.float32(1 - dropout)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in 0.3..3 with the least cross-entropy."""
    candidates = np.geomspace(0.3, 3, 200)
    losses = [-np.log(softmax(logits / t)[np.arange(len(labels)), labels] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ECE_BINS equal bins of confidence."""
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))


def save_head(path: Path, parameters: list[np.ndarray], temperature: float) -> None:
    """Half precision, for size; numpy dates the entries 1980, so equal arrays make equal bytes."""
    names = ("hidden", "hidden_bias", "out", "out_bias")
    arrays = {name: value.astype(np.float16) for name, value in zip(names, parameters, strict=True)}
    np.savez_compressed(path, **arrays, temperature=np.float32(temperature))


def report(name: str, probabilities: np.ndarray, labels: np.ndarray) -> str:
    right = probabilities.argmax(axis=1) == labels
    per_class = " ".join(f"{c} {right[labels == k].mean():.3f}" for k, c in enumerate(CLASSES))
    ece = calibration_error(probabilities.max(axis=1), right)
    return f"{name}: accuracy {right.mean():.4f}  ece {ece:.4f}  {per_class}\n"


def train(backbone: Backbone, data: Path, out: Path) -> None:
    train_photos = extract(backbone, data / "train", training_views)
    flat = train_photos.features.reshape(-1, train_photos.features.shape[-1])
    parameters = fit(flat, np.repeat(train_photos.labels, train_photos.features.shape[1]))
    plain = extract(backbone, data / "val", lambda image, _: to_views(image))
    varied = extract(backbone, data / "val", varied_views)
    pairs = varied.features.reshape(-1, 2, varied.features.shape[-1])
    pair_labels = np.repeat(varied.labels, VAL_VARIANTS)

    save_head(out, parameters, 1.0)
    head = Head(out)
    # Half of the weight on varied photos: users' photos are not like val, and confidence must hold on them too.
    logits = np.concatenate([np.repeat(head.logits(plain.features).mean(axis=1), VAL_VARIANTS, axis=0),
                             head.logits(pairs).mean(axis=1)])  # fmt: skip
    save_head(out, parameters, fit_temperature(logits, np.concatenate([pair_labels, pair_labels])))
    head = Head(out)
    sys.stdout.write(report("val", head.probabilities(plain.features), plain.labels))
    sys.stdout.write(report("val varied", head.probabilities(pairs), pair_labels))
    sys.stdout.write(f"{out}: {out.stat().st_size} bytes, temperature {head.temperature:.3f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.ai.train", description=__doc__.partition("\n")[0])
    parser.add_argument("backbone", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=HEAD)
    arguments = parser.parse_args()
    train(Backbone(arguments.backbone), arguments.data, arguments.out)


if __name__ == "__main__":
    main()
