"""Judges what ships, through the path that ships, bytes to Sight, and prints one table.

usage: python -m workers.ai.evaluate BACKBONE.onnx DATA_DIR [--head HEAD.npz] [--elsewhere DIR] [--questions DEV TEST]

DATA_DIR/val is TrashNet's. The same photos varied, the thing moved to a made-up ground where it is found, stand in for
photos from elsewhere; `--elsewhere` takes real ones, in folders named by material. A photo counts as right when the
material is its folder's, or one that OTHER_NAMES has for it; any other is wrong. `--questions` adds what recycle_info
measures of itself, in a process of its own. Each section is a function that yields rows, listed in `sections`. The last
line is for machines: key=value pairs.
"""

import argparse
import functools
import hashlib
import io
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from eco2.pipeline.v1 import messages_pb2
from PIL import Image

from services.kit import cache
from stack.api import infrastructure
from workers.ai.analyze_vision import digest
from workers.ai.answers import DB, Answers
from workers.ai.augment import Grounds, find_thing, vary
from workers.ai.evidence import MATERIALS, WASTE, Sight
from workers.ai.photos import SEED, list_photos, open_photo
from workers.ai.train import calibration_error
from workers.ai.vision import HEAD, EmbeddedVision
from workers.journal import Journal
from workers.storage import photo

# What other collections' names mean here. A carton may hold milk or shoes, and plastic is sorted by its form.
OTHER_NAMES = {
    "TRASH": {"GENERAL"},
    "CARTON": {"CARDBOARD", "PAPER_PACK"},
    "ALUMINIUM": {"METAL"},
    "ALUMINUM": {"METAL"},
    "OTHER_PLASTICS": {"PLASTIC", "VINYL", "STYROFOAM"},
}
# A phone's photo, and what the image-uploader makes of one.
RAW, CLEANED = (4000, 3000), (1024, 768)
LOOKS, CLEANINGS = 60, 5
REQUESTS, ZIPF = 2000, 1.0
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
MEMORY_PROBE = """
import sys
from pathlib import Path
import workers.ai.__main__
from workers.ai.evaluate import peak_mb
from workers.ai.vision import EmbeddedVision
vision, photo = EmbeddedVision(Path(sys.argv[1])), sys.stdin.buffer.read()
for _ in range(20): vision.look(photo)
print(peak_mb())
"""


@dataclass(frozen=True)
class Row:
    name: str  # words joined by _, the key of the last line
    figure: float
    note: str = ""  # what is asked for


def judge(vision: EmbeddedVision, photos: Iterable[tuple[bytes, str]], name: str) -> Iterator[Row]:
    """Rows on photos and their folders' names; what the wrong ones became goes to standard output before the table."""
    sights, truth = [], []
    for data, folder in photos:
        sights.append(vision.look(data))
        truth.append(folder)
    sys.stdout.write(f"{name}\n{table(sights, truth)}\n")
    yield Row(f"{name}_photos", len(sights))
    asked = {"accuracy": 0.92, "sure": 0.85, "sure_accuracy": 0.95} if name == "val" else {}
    asked = {"accuracy": 0.75, "sure": 0.60, "sure_accuracy": 0.88} if name == "elsewhere" else asked
    for key, value in summarise(sights, truth).items():
        yield Row(f"{name}_{key}", value, f">= {asked[key]}" if key in asked else "")


def is_right(sight: Sight, folder: str) -> bool:
    return sight.material in OTHER_NAMES.get(folder, {folder})


def table(sights: Sequence[Sight], truth: Sequence[str]) -> str:
    """Per name: photos, the share that is right, the share answered for sure, and what the wrong ones became."""
    lines = [f"{'name':<14} {'photos':>6} {'right':>6} {'sure':>6}  taken for\n"]
    for folder in sorted(set(truth)):
        seen = [sight for sight, of in zip(sights, truth, strict=True) if of == folder]
        right = np.mean([is_right(sight, folder) for sight in seen])
        sure = np.mean([not sight.unsure for sight in seen])
        wrong = Counter(sight.material for sight in seen if not is_right(sight, folder))
        taken = " ".join(f"{name} {count}" for name, count in wrong.most_common())
        lines.append(f"{folder:<14} {len(seen):>6} {right:>6.3f} {sure:>6.3f}  {taken}".rstrip() + "\n")
    return "".join(lines)


def summarise(sights: Sequence[Sight], truth: Sequence[str]) -> dict[str, float]:
    right = np.array([is_right(sight, of) for sight, of in zip(sights, truth, strict=True)])
    sure = np.array([not sight.unsure for sight in sights])
    confidence = np.array([sight.material_confidence for sight in sights])
    return {
        "accuracy": right.mean(),
        "ece": calibration_error(confidence, right),
        "sure": sure.mean(),
        "sure_accuracy": right[sure].mean() if sure.any() else 0.0,
    }


def vary_val(data: Path) -> Iterator[tuple[bytes, str]]:
    for number, (path, kind) in enumerate(list_photos(data / "val")):
        image, random = open_photo(path), np.random.default_rng([SEED, number])
        thing = find_thing(image)
        yield to_jpeg(vary(image, random, Grounds(), [thing] if thing else [], moved=1.0)), WASTE[kind]


def find_elsewhere(folder: Path) -> Iterator[tuple[bytes, str]]:
    """The photos of a folder of folders with their folder's name. Raises ValueError for one that names no material."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        name = place.name.upper().replace(" ", "_")
        if name not in {*MATERIALS, *OTHER_NAMES}:
            raise ValueError(f"{place} names no material: {', '.join((*MATERIALS, *OTHER_NAMES))}")
        for path in sorted(place.rglob("*")):
            if path.suffix.lower() in PHOTO_SUFFIXES:
                yield path.read_bytes(), name


def time_looks(vision: EmbeddedVision, data: Path) -> Iterator[Row]:
    """Milliseconds on one thread, and the worker's memory with everything imported."""
    path, _ = list_photos(data / "val")[0]
    image = open_photo(path)
    cleaned, raw = (to_jpeg(image.resize(size)) for size in (CLEANED, RAW))
    for name, work, count, asked in (
        ("look_ms", lambda: vision.look(cleaned), LOOKS, "< 25"),
        ("clean_12mp_ms", lambda: photo.clean(raw), CLEANINGS, ""),
    ):
        work()
        times, busy = [], []
        for _ in range(count):
            started, started_busy = time.perf_counter(), time.thread_time()
            work()
            times.append((time.perf_counter() - started) * 1000)
            busy.append((time.thread_time() - started_busy) * 1000)
        yield Row(f"{name}_median", float(np.median(times)), asked)
        yield Row(f"{name}_p95", float(np.percentile(times, 95)))
        # Without the time that other programs took from it.
        yield Row(f"{name}_busy", float(np.median(busy)))


def measure_memory(backbone: Path, data: Path) -> Iterator[Row]:
    path, _ = list_photos(data / "val")[0]
    cleaned = to_jpeg(open_photo(path).resize(CLEANED))
    command = [sys.executable, "-c", MEMORY_PROBE, str(backbone)]
    probe = subprocess.run(command, input=cleaned, stdout=subprocess.PIPE, check=True, timeout=120)
    yield Row("ai_worker_peak_mb", float(probe.stdout), "< 400")


def measure_questions(files: Sequence[Path]) -> Iterator[Row]:
    """What recycle_info says of the questions in these files, in a process of its own: no worker imports a domain."""
    command = [sys.executable, "-m", "services.recycle_info.evaluate", "--rows", *map(str, files)]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600, text=True).stdout
    for line in said.splitlines():
        name, figure, *note = line.split(maxsplit=2)
        yield Row(name, float(figure), "".join(note))


def measure_cache(vision: EmbeddedVision, photos: Sequence[bytes]) -> Iterator[Row]:
    """How many requests the cache of sights answers, from empty, through the code that ships, Redis and journal
    included. The workload: REQUESTS requests; of all photos, in random order, the n-th is asked for in proportion to
    n^-ZIPF. Random draws, so the best possible rate is told as well: each picture is looked at once.
    """
    random = np.random.default_rng(SEED)
    weights = np.arange(1, len(photos) + 1) ** -ZIPF
    order = random.permutation(len(photos))
    asked = order[random.choice(len(photos), REQUESTS, p=weights / weights.sum())]
    misses = 0

    def look(data: bytes) -> messages_pb2.Sight:
        nonlocal misses
        misses += 1
        sight = vision.look(data)
        return messages_pb2.Sight(confidence=sight.material_confidence)

    with infrastructure(parts=("redis",)) as running, tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        sights = Answers(cache.connect(running.redis_url, DB), journal, "vision", messages_pb2.Sight)
        started = time.perf_counter()
        for at in asked:
            key = digest(hashlib.sha256(photos[at]).digest(), "")
            sights.get(key, "embedded", functools.partial(look, photos[at]))
        elapsed_ms = (time.perf_counter() - started) * 1000
        journal.close()
    workload = f"{REQUESTS} requests for {len(photos)} pictures, Zipf exponent {ZIPF}"
    yield Row("cache_hit_rate", 1 - misses / REQUESTS, f"> 0.7; {workload}")
    yield Row("cache_hit_rate_possible", 1 - len(set(asked.tolist())) / REQUESTS)
    yield Row("cache_ms_mean", elapsed_ms / REQUESTS, "misses included")


def peak_mb() -> float:
    """The most memory this program has held; ru_maxrss would count what its parent held when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def to_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=photo.QUALITY)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.ai.evaluate", description=__doc__.partition("\n")[0])
    parser.add_argument("backbone", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--head", type=Path, default=HEAD)
    parser.add_argument("--elsewhere", type=Path)
    parser.add_argument("--questions", nargs=2, type=Path, metavar=("DEV", "TEST"))
    arguments = parser.parse_args()
    backbone, data = arguments.backbone, arguments.data
    try:
        val = [(path.read_bytes(), WASTE[kind]) for path, kind in list_photos(data / "val")]
    except ValueError as error:
        parser.error(str(error))
    vision = EmbeddedVision(backbone, arguments.head)
    sections = [judge(vision, val, "val"), judge(vision, vary_val(data), "varied")]
    if arguments.elsewhere:
        sections.append(judge(vision, find_elsewhere(arguments.elsewhere), "elsewhere"))
    sections += [time_looks(vision, data), measure_cache(vision, [photo for photo, _ in val])]
    sections += [measure_memory(backbone, data)]
    if arguments.questions:
        sections.append(measure_questions(arguments.questions))
    rows = [row for section in sections for row in section]
    for row in rows:
        sys.stdout.write(f"{row.name:<26} {row.figure:>10.4g}  {row.note}".rstrip() + "\n")
    sys.stdout.write("eval " + " ".join(f"{row.name}={row.figure:.4f}" for row in rows) + "\n")


if __name__ == "__main__":
    main()
