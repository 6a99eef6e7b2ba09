"""Judges the shipped head through the shipped path, bytes to Sight, on DATA_DIR/val.

usage: python -m workers.ai.evaluate BACKBONE.onnx DATA_DIR [--head HEAD.npz]

A photo counts as right when the material is its folder's (trash is GENERAL); any other material is wrong. The last line
is for machines: key=value pairs.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from workers.ai.evidence import HEAD_MATERIALS, Sight
from workers.ai.train import calibration_error, list_photos
from workers.ai.vision import HEAD, EmbeddedVision


def table(sights: list[Sight], labels: list[int]) -> str:
    """Per class: photos, the share that is right, the share answered for sure, and what the wrong ones became."""
    lines = [f"{'class':<10} {'photos':>6} {'right':>6} {'sure':>6}  taken for\n"]
    for label, material in enumerate(HEAD_MATERIALS):
        seen = [sight for sight, of in zip(sights, labels, strict=True) if of == label]
        right = np.mean([sight.material == material for sight in seen])
        sure = np.mean([not sight.unsure for sight in seen])
        wrong = Counter(sight.material for sight in seen if sight.material != material)
        taken = " ".join(f"{name} {count}" for name, count in wrong.most_common())
        lines.append(f"{material:<10} {len(seen):>6} {right:>6.3f} {sure:>6.3f}  {taken}".rstrip() + "\n")
    return "".join(lines)


def summarise(sights: list[Sight], labels: list[int]) -> dict[str, float]:
    right = np.array([sight.material == HEAD_MATERIALS[label] for sight, label in zip(sights, labels, strict=True)])
    sure = np.array([not sight.unsure for sight in sights])
    confidence = np.array([sight.material_confidence for sight in sights])
    return {
        "accuracy": right.mean(),
        "ece": calibration_error(confidence, right),
        "sure": sure.mean(),
        "sure_accuracy": right[sure].mean() if sure.any() else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.ai.evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("backbone", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--head", type=Path, default=HEAD)
    arguments = parser.parse_args()
    try:
        photos = list_photos(arguments.data / "val")
    except ValueError as error:
        parser.error(str(error))
    vision = EmbeddedVision(arguments.backbone, arguments.head)
    sights, started = [], time.perf_counter()
    for path, _ in photos:
        sights.append(vision.look(path.read_bytes()))
    mean_ms = (time.perf_counter() - started) * 1000 / len(photos)
    labels = [label for _, label in photos]
    sys.stdout.write(table(sights, labels))
    figures = " ".join(f"{name}={value:.4f}" for name, value in summarise(sights, labels).items())
    sys.stdout.write(f"val photos={len(photos)} {figures} mean_ms={mean_ms:.1f}\n")


if __name__ == "__main__":
    main()
