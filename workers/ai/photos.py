"""The photos that the vision learns from, as an endless numbered series of views.

DATA_DIR: TrashNet, `train/` and `val/` with six folders each. REALWASTE_DIR: the folder `RealWaste` of that dataset
(S. Single, S. Iranmanesh, R. Raad, 2023, UCI Machine Learning Repository, CC BY 4.0): what people really threw away,
crushed and dirty, each thing by itself. WEB_DIR: things as shops, homes and streets show them, which two people
gathered: the Garbage Dataset (S. Kunwar, 2024, MIT, kaggle.com/datasets/sumn2u/garbage-classification-v2; of it
`standardized_256`, "glass_12.jpg") and Garbage Classification 3, version 2 "GC1" (Roboflow, exported in November 2021,
CC BY 4.0; "glass12_jpg.rf….jpg"), anywhere below the folder; web.csv says which photos are used and as what.
GROCERY_DIR: the folder `dataset` of the Grocery Store dataset (M. Klasson, C. Zhang, H. Kjellström, 2019, MIT): drink
cartons, fruit and vegetables, taken with a phone, and the grounds that things are put on. MASKS_DIR: what
workers/ai/masks.py wrote.
"""

import csv
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from workers.ai.augment import (
    FRAMES,
    Cutout,
    Grounds,
    compose,
    cut_out,
    cut_sheet,
    make_ground,
    relight,
    retake,
    to_image,
    vary,
)
from workers.ai.evidence import KINDS, UNKNOWN
from workers.ai.vision import SIZE

# TrashNet's folders, in the order of KINDS.
FOLDERS = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
# Those that fill their photo, which RealWaste's do not.
SHEETS = ("cardboard", "paper")
# RealWaste's folders that are used, and their kinds. Of its plastic, by number, wrappers and bags are film, which Korea
# collects apart and TrashNet has among its trash, and foam is collected apart too; both lists were made by eye.
REAL_FOLDERS = {"Glass": "GLASS", "Metal": "METAL", "Paper": "PAPER", "Plastic": "PLASTIC"}
FILM = {
    *range(53, 57), 58, 61, *range(151, 157), 158, 159, 164, 165, 184, 187, 188, 191, *range(193, 197), 247, 248, 280,
    357, 368, *range(385, 390), 400, 460, *range(480, 485), 487, 488, 527, 712, 723, 734, 745, *range(747, 762), 767,
    779, 830, 833, 843, 844, 867, 878, 887, 890, 901, 904, 905, 912, 915, 916,
}  # fmt: skip
FOAM = {259, 260, 261, 268, 279, 326, *range(370, 379), 380, 393}
# What of the grocery shop comes in drink cartons. Other packages there are tubs.
PACKS = ("Juice", "Milk", "Oat-Milk", "Oatghurt", "Sour-Milk", "Soy-Milk", "Yoghurt")
PACK_PHOTOS = {"train": 450, "test": 160}
GROUND_PHOTOS = 1200
# What is used of WEB_DIR: what a name begins with, what it is, and the numbers that follow. TrashNet's photos, of which
# both collections are full, are not among them, nor any seen to be of doubtful kind. MODEL_CARD.md says how.
WEB, HELD = Path(__file__).parent / "web.csv", 10
# The bars beside the photos of one of the two, in each channel, and how much of a line they fill at least.
BAR, BAR_TOLERANCE, BAR_SHARE = 114, 4, 0.97
SHARES = {
    "CARDBOARD": 0.11, "GLASS": 0.12, "METAL": 0.13, "PAPER": 0.12, "PLASTIC": 0.14, "GENERAL": 0.06,
    "PAPER_PACK": 0.07, "FOOD": 0.05, "TEXTILE": 0.05, "BATTERY": 0.04, "VINYL": 0.05, "STYROFOAM": 0.02,
    "UNKNOWN": 0.04,
}  # fmt: skip
PHOTO_SIDE, GROUND_SIDE = 320, 400
SEED = 7


class Folders(NamedTuple):
    """Those of the docstring above."""

    data: Path
    real_waste: Path
    web: Path
    groceries: Path
    masks: Path


@dataclass(frozen=True)
class Photo:
    image: Image.Image
    thing: Cutout | None  # where its mask is clear
    flat: bool = False  # a sheet, so that any part of it is a piece


def list_photos(folder: Path) -> list[tuple[Path, int]]:
    """TrashNet photos with their kind, in a fixed order. Raises ValueError where a class has none."""
    photos = []
    for kind, name in enumerate(FOLDERS):
        paths = sorted((folder / name).glob("*.jpg"))
        if not paths:
            raise ValueError(f"{folder / name} holds no .jpg")
        photos += [(path, kind) for path in paths]
    return photos


def list_real_waste(folder: Path) -> list[tuple[Path, int]]:
    """RealWaste photos with their kind, in a fixed order. Raises ValueError where a folder has none."""
    photos = []
    for name, kind in REAL_FOLDERS.items():
        paths = sorted((folder / name).glob("*.jpg"))
        if not paths:
            raise ValueError(f"{folder / name} holds no .jpg")
        for path in paths:
            number = int(path.stem.rpartition("_")[2]) if name == "Plastic" else 0
            its = "VINYL" if number in FILM else "STYROFOAM" if number in FOAM else kind
            photos.append((path, KINDS.index(its)))
    return photos


def list_web(folder: Path) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """The photos that web.csv names with their kind: those to train on, and every tenth, to measure on. Raises
    ValueError where one is missing or there twice."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.jp*g")):
        if match := re.match(r"[a-z]+_?\d+", path.name):
            if match.group() in found:
                raise ValueError(f"{folder} holds {match.group()} twice")
            found[match.group()] = path
    photos: list[tuple[Path, int]] = []
    held: list[tuple[Path, int]] = []
    with WEB.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for place, number in enumerate(parse_numbers(row["numbers"])):
                name = f"{row['name']}{number}"
                if name not in found:
                    raise ValueError(f"{folder} holds no {name}")
                (held if place % HELD == HELD - 1 else photos).append((found[name], KINDS.index(row["kind"])))
    return photos, held


def parse_numbers(text: str) -> list[int]:
    """The numbers of "1-3 7": 1, 2, 3 and 7."""
    numbers = []
    for part in text.split():
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def trim_bars(image: Image.Image) -> Image.Image:
    """Without the bars that some photos were made square with."""
    bar = (np.abs(np.asarray(image, np.int16) - BAR) <= BAR_TOLERANCE).all(axis=2)
    rows, columns = (np.flatnonzero(bar.mean(axis=axis) < BAR_SHARE) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return image
    return image.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))


def list_groceries(folder: Path, *groups: str) -> list[Path]:
    """Photos of the groups ("Fruit", "Packages/Milk"), in a fixed order. Raises ValueError where there are none."""
    paths = sorted(path for group in groups for path in (folder / group).rglob("*.jpg"))
    if not paths:
        raise ValueError(f"{folder} holds no photos of {', '.join(groups)}")
    return paths


def pick(paths: list[Path], count: int) -> list[Path]:
    """A fixed random choice."""
    order = np.random.default_rng(SEED).permutation(len(paths))[:count]
    return [paths[k] for k in order]


def list_packs(groceries: Path, part: str) -> list[Path]:
    """The drink cartons of `part`, train or test, that are used."""
    return pick(list_groceries(groceries / part, *(f"Packages/{name}" for name in PACKS)), PACK_PHOTOS[part])


def open_photo(path: Path, side: int = PHOTO_SIDE) -> Image.Image:
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    image.thumbnail((side, side))
    return image


def mask_path(masks: Path, path: Path) -> Path:
    """Where the mask of a photo lies: its last four folders and name keep it apart from all others."""
    return masks.joinpath(*path.resolve().parts[-5:]).with_suffix(".png")


def open_with_mask(path: Path, masks: Path | None, flat: bool = False) -> Photo:
    image = open_photo(path)
    mask = mask_path(masks, path) if masks else None
    if mask is None or not mask.is_file():
        return Photo(image, None, flat)
    with Image.open(mask) as file:
        return Photo(image, cut_out(image, file.convert("L")), flat)


class Album:
    """All training photos in memory, and the views made of them."""

    def __init__(self, folders: Folders):
        data, real_waste, web, groceries, masks = folders
        shop = [(path, KINDS.index("PAPER_PACK")) for path in list_packs(groceries, "train")]
        # By kind, the collections that have it.
        self._photos: list[list[list[Photo]]] = [[] for _ in KINDS]
        for collection in (list_photos(data / "train"), list_real_waste(real_waste), shop):
            for kind in {kind for _, kind in collection}:
                photos = [
                    open_with_mask(path, masks, path.parent.name in SHEETS) for path, its in collection if its == kind
                ]
                self._photos[kind].append(photos)
        food = [Photo(open_photo(path), None) for path in list_groceries(groceries / "train", "Fruit", "Vegetables")]
        self._photos[KINDS.index("FOOD")].append(food)
        chosen, _ = list_web(web)
        for kind in {kind for _, kind in chosen}:
            photos = [Photo(trim_bars(open_photo(path)), None) for path, its in chosen if its == kind]
            self._photos[kind].append(photos)
        self._grounds = _open_grounds(groceries / "train")

    def view(self, number: int) -> tuple[np.ndarray, int]:
        """View `number`, uint8 [280, 280, 3], and its kind. The same number gives the same view."""
        random = np.random.default_rng([SEED, number])
        kind = int(random.choice(len(KINDS), p=[SHARES[name] for name in KINDS]))
        if KINDS[kind] == UNKNOWN:
            return to_square(self._bare(random)), kind
        collections = self._photos[kind]
        # A small collection more often than its size, and yet its few photos not all the time.
        weights = np.sqrt([len(photos) for photos in collections])
        photos = collections[random.choice(len(collections), p=weights / weights.sum())]
        photo, other = (photos[k] for k in random.integers(len(photos), size=2))
        things = [part.thing for part in (photo, other) if part.thing]
        if photo.thing is None:
            sheet = photo.flat and random.random() < 0.7
            things = [cut_sheet(photo.image, random)] if sheet else []
        return to_square(vary(photo.image, random, self._grounds, things)), kind

    def _bare(self, random):
        """A ground with nothing on it: made up, or a photo so blurred that no thing is left."""
        if random.random() < 0.5:
            image = to_image(make_ground(FRAMES[0], random))
        else:
            cells = int(random.integers(12, 40))
            image = self._grounds.pick(FRAMES[0], random).resize((cells, cells))
            image = image.resize(FRAMES[0], Image.Resampling.BICUBIC)
        return retake(relight(image, random), random)


class MovedVal:
    """TrashNet's val as if taken elsewhere: every thing with a clear mask, on grounds that no training photo had."""

    def __init__(self, folders: Folders):
        photos = [(open_with_mask(path, folders.masks), kind) for path, kind in list_photos(folders.data / "val")]
        self._things = [(photo.thing, kind) for photo, kind in photos if photo.thing]
        self._grounds = _open_grounds(folders.groceries / "test")

    def __len__(self) -> int:
        return 2 * len(self._things)

    def view(self, number: int) -> tuple[np.ndarray, int]:
        random = np.random.default_rng([SEED + 1, number])
        thing, kind = self._things[number // 2]
        return to_square(retake(relight(compose(random, self._grounds, [thing]), random), random)), kind


def _open_grounds(groceries: Path) -> Grounds:
    paths = pick(list_groceries(groceries, "Fruit", "Vegetables", "Packages"), GROUND_PHOTOS)
    return Grounds([open_photo(path, GROUND_SIDE) for path in paths])


_view: Callable[[int], tuple[np.ndarray, int]]


def _open_album(folders: Folders) -> None:
    global _view
    _view = Album(folders).view


def _make_view(number: int) -> tuple[np.ndarray, int]:
    return _view(number)


def make_views(folders: Folders, work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The album's first views, uint8 [count, 280, 280, 3], and their kinds [count]. They are made on two cores into the
    folder `work` (235 kB a view), and taken from there the next time: empty it when what makes them has changed."""
    pixels_path, kinds_path = work / f"views_{count}.npy", work / f"kinds_{count}.npy"
    if not kinds_path.is_file():
        work.mkdir(parents=True, exist_ok=True)
        pixels = np.lib.format.open_memmap(pixels_path, "w+", np.uint8, (count, SIZE, SIZE, 3))
        kinds = np.zeros(count, np.int64)
        with ProcessPoolExecutor(2, initializer=_open_album, initargs=(folders,)) as pool:
            for number, (view, kind) in enumerate(pool.map(_make_view, range(count), chunksize=64)):
                pixels[number], kinds[number] = view, kind
        pixels.flush()
        np.save(kinds_path, kinds)
    return np.load(pixels_path, mmap_mode="r"), np.load(kinds_path)


def to_square(image: Image.Image) -> np.ndarray:
    """The whole frame squeezed into uint8 [280, 280, 3], as vision.to_pixels does it."""
    return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2.0), np.uint8)
