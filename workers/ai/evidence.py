"""What a photo shows, decided from two opinions. Pure.

The head, trained on photos of waste, tells a few kinds apart and knows no others. The backbone's ImageNet classes are a
thousand things, among them mugs, phones and cats, which the head would force into its own. imagenet_items.csv says what
a class means for sorting: `material`, and `item_key` where the class names an item of recycle_info. A class may stand
there once per material: a soda bottle of PLASTIC is a PET bottle, of METAL a can. Its first row is its usual material.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

UNKNOWN = "UNKNOWN"
# TrashNet's six in its order; its "trash" is GENERAL.
WASTE = ("CARDBOARD", "GLASS", "METAL", "PAPER", "PLASTIC", "GENERAL")
# In the order of the head's outputs; UNKNOWN is a ground with nothing on it.
KINDS = (*WASTE, "PAPER_PACK", "FOOD", "TEXTILE", "BATTERY", "VINYL", "STYROFOAM", UNKNOWN)
OTHER_MATERIALS = ("LIGHTING", "ELECTRONICS", "WOOD", "CERAMIC")
MATERIALS = (*KINDS, *OTHER_MATERIALS)
# What ImageNet's classes are asked for: what the head cannot name, or knows too little of (its GENERAL is scraps and
# masks, not umbrellas; its TEXTILE clothes and shoes, not curtains).
OUTSIDE = frozenset({*OTHER_MATERIALS, "GENERAL", "TEXTILE"})

IMAGENET_CLASSES = 1000
# Animals, land and people: nothing that goes in a bin.
NOT_WASTE = (*range(398), *range(970, 981), *range(981, 984))

# Belief in things the head does not know counts from OUTSIDE_FROM times the head's own confidence, and in full
# OUTSIDE_RAMP above that: crumpled paper looks like many things to ImageNet. In between it makes the head's answer a
# question before it takes its place.
OUTSIDE_FROM, OUTSIDE_RAMP = 0.8, 0.25
# Below this calibrated probability the answer is a question. The model card shows what is right above it.
SURE = 0.75
# The share of ImageNet's belief that an item needs, and a label to be worth showing.
ITEM_FROM = 0.3
LABEL_FROM = 0.05
ALTERNATIVE_FROM = 0.05
MAX_ALTERNATIVES = 3
# What two halves of a photo must each be believed to show, for the photo to show two things.
SEVERAL_FROM = 0.8
MAX_LABELS = 5


@dataclass(frozen=True)
class Sight:
    """What is in a photo. Probabilities are 0..1; lists run from the likeliest down."""

    material: str  # one of MATERIALS
    material_confidence: float  # calibrated
    item_key: str | None  # an item of recycle_info made of `material`, where ImageNet gives evidence
    item_confidence: float  # ImageNet's belief in that item, 0 without one
    alternatives: tuple[tuple[str, float], ...]  # other materials
    labels: tuple[tuple[str, float], ...]  # ImageNet's names for what it sees, those of the table only
    unsure: bool  # ask rather than tell
    several: bool = False  # clearly different things: `material` and the first of `alternatives`


@dataclass(frozen=True)
class ImagenetItems:
    names: dict[int, str]
    materials: dict[int, str]  # the usual material of a class
    items: dict[tuple[int, str], str]  # (class, material) to item key


def load_items(path: Path) -> ImagenetItems:
    """Reads the table. Raises ValueError for a row that names no class, no material, or one twice."""
    names, materials, items, seen = {}, {}, {}, set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            index, material = int(row["index"]), row["material"]
            if not 0 <= index < IMAGENET_CLASSES or material not in MATERIALS or (index, material) in seen:
                raise ValueError(f"{path.name}: unfit row {row}")
            seen.add((index, material))
            names.setdefault(index, row["name"])
            materials.setdefault(index, material)
            if row["item_key"]:
                items[index, material] = row["item_key"]
    return ImagenetItems(names, materials, items)


def fuse(
    head: np.ndarray,
    imagenet: np.ndarray,
    table: ImagenetItems,
    halves: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> Sight:
    """`head`: calibrated probabilities of KINDS; `imagenet` [1000]: probabilities of its classes; `halves`: as
    `head`, of opposite halves of the photo.

    The more of ImageNet's belief lies outside what the head knows, and the less sure the head is, the more of the
    answer ImageNet decides; the rest stays the head's.
    """
    outside = _outside_belief(imagenet, table)
    total = sum(outside.values())
    weight = min(max((total - OUTSIDE_FROM * float(head.max())) / OUTSIDE_RAMP, 0), 1)
    beliefs = {name: float(p) * (1 - weight * total) for name, p in zip(KINDS, head, strict=True)}
    for material, belief in outside.items():
        beliefs[material] = beliefs.get(material, 0) + belief * weight
    ranked = sorted(beliefs.items(), key=lambda pair: -pair[1])
    several = _find_several(halves)
    if several:
        ranked.sort(key=lambda belief: belief[0] not in several)
    (material, confidence), others = ranked[0], ranked[1:]
    item_key, item_confidence = _find_item(imagenet, material, table)
    # Half of TrashNet's trash is film wrappers, which Korea recycles: without a name for the thing, ask.
    maybe_film = material == "GENERAL" and item_key is None
    if maybe_film and not several:
        film = max(beliefs["VINYL"], confidence / 2)
        others = [("VINYL", film), *(pair for pair in others if pair[0] != "VINYL")]
    labels = sorted(((name, float(imagenet[index])) for index, name in table.names.items()), key=lambda pair: -pair[1])
    return Sight(
        material=material,
        material_confidence=confidence,
        item_key=item_key,
        item_confidence=item_confidence,
        alternatives=tuple(other for other in others[:MAX_ALTERNATIVES] if other[1] >= ALTERNATIVE_FROM or several),
        labels=tuple(pair for pair in labels[:MAX_LABELS] if pair[1] >= LABEL_FROM),
        unsure=material == UNKNOWN or confidence < SURE or maybe_film or bool(several),
        several=bool(several),
    )


def _find_several(halves: Sequence[tuple[np.ndarray, np.ndarray]]) -> set[str]:
    """The two materials of opposite halves that are each clearly something else, or nothing."""
    for opposite in halves:
        materials = {KINDS[int(half.argmax())] for half in opposite}
        if len(materials) == 2 and UNKNOWN not in materials and min(half.max() for half in opposite) >= SEVERAL_FROM:
            return materials
    return set()


def _outside_belief(imagenet: np.ndarray, table: ImagenetItems) -> dict[str, float]:
    """Belief per material of OUTSIDE, and under UNKNOWN in what is no waste."""
    outside = {UNKNOWN: float(imagenet[list(NOT_WASTE)].sum())}
    for index, material in table.materials.items():
        if material in OUTSIDE:
            outside[material] = outside.get(material, 0) + float(imagenet[index])
    return outside


def _find_item(imagenet: np.ndarray, material: str, table: ImagenetItems) -> tuple[str | None, float]:
    beliefs: dict[str, float] = {}
    for (index, of_material), item_key in table.items.items():
        if of_material == material:
            beliefs[item_key] = beliefs.get(item_key, 0) + float(imagenet[index])
    item_key = max(beliefs, key=beliefs.__getitem__, default=None)
    if item_key is None or beliefs[item_key] < ITEM_FROM:
        return None, 0.0
    return item_key, min(beliefs[item_key], 1.0)
