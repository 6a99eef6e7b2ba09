"""Training the vision: the parts that must hold whatever the photos are."""

import csv

import numpy as np
import pytest
from PIL import Image

from workers.ai import photos, train
from workers.ai.augment import Cutout, Grounds, cut_out, cut_sheet, find_thing, vary
from workers.ai.evaluate import find_elsewhere, summarise, table
from workers.ai.evidence import KINDS, WASTE, Sight
from workers.ai.vision import Head

FEATURES = 40
WEB_HEADER = "name,kind,numbers\n"
NO_GROUNDS = Grounds()
THINGS = 9_736  # of web.csv


@pytest.fixture(scope="module")
def clusters():
    """A cloud of 60 points for each kind: features [540, 40] and kinds [540]."""
    random = np.random.default_rng(1)
    kinds = np.repeat(np.arange(len(KINDS)), 60)
    centres = random.normal(3, 2, (len(KINDS), FEATURES))
    return (centres[kinds] + random.normal(0, 0.5, (len(kinds), FEATURES))).astype(np.float32), kinds


def save(image: Image.Image, *parts) -> None:
    path = parts[0].joinpath(*parts[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """One photo of each kind of TrashNet and of the grocery shop, two of them with a mask; of RealWaste one in each
    folder, and of its plastic a film and a foam too; four photos of the web, one of them unused."""
    data, real_waste, web, groceries, masks = (tmp_path / name for name in photos.Folders._fields)
    for number in (2, 3):
        save(Image.new("RGB", (90, 60), "brown"), web, "a", "train", f"box{number}_jpg.rf.12ab.jpg")
    shirt = Image.new("RGB", (64, 64), (photos.BAR,) * 3)
    shirt.paste("red", (16, 0, 48, 64))
    save(shirt, web, "b", "shirt_1.jpeg")
    save(Image.new("RGB", (40, 60), "silver"), web, "b", "cell_12.jpg")
    few = tmp_path / "web.csv"
    few.write_text(f"{WEB_HEADER}box,CARDBOARD,2\nshirt_,TEXTILE,1\ncell_,BATTERY,12\n")
    monkeypatch.setattr(photos, "WEB", few)  # The list that ships names thousands of photos, which are not here.
    for name in photos.REAL_FOLDERS:
        save(Image.new("RGB", (100, 100), "white"), real_waste, name, f"{name}_1.jpg")
    for number in (min(photos.FILM), min(photos.FOAM)):
        save(Image.new("RGB", (100, 100), "white"), real_waste, "Plastic", f"Plastic_{number}.jpg")
    for shade, name in enumerate(photos.FOLDERS):
        for part in ("train", "val"):
            save(Image.new("RGB", (96, 128), (40 * shade, 90, 60)), data, part, name, "one.jpg")
    for part in ("train", "test"):
        save(Image.new("RGB", (90, 120), "orange"), groceries, part, "Packages", "Milk", "Good", "one.jpg")
        for group in ("Fruit", "Vegetables"):
            save(Image.new("RGB", (120, 90), "green"), groceries, part, group, "one.jpg")
    mask = Image.new("L", (96, 128))
    mask.paste(255, (30, 40, 70, 100))
    for path in (data / "train" / "glass" / "one.jpg", data / "val" / "metal" / "one.jpg"):
        save(mask, photos.mask_path(masks, path))
    return photos.Folders(data, real_waste, web, groceries, masks)


def test_a_head_learns_and_survives_its_file(clusters, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "EPOCHS", 150)  # Enough for clusters that lie apart.
    features, kinds = clusters
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    train.save_head(first, train.fit(features, kinds), 1.5)
    train.save_head(second, train.fit(features, kinds), 1.5)
    assert first.read_bytes() == second.read_bytes()
    head = Head(first)
    assert head.temperature == 1.5
    probabilities = head.probabilities(features)
    assert (probabilities.argmax(axis=1) == kinds).mean() > 0.95
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(kinds)))


def test_the_temperature_undoes_overconfidence():
    random = np.random.default_rng(2)
    logits = random.normal(0, 1.5, (4000, 6))
    labels = np.array([random.choice(6, p=p) for p in train.softmax(logits)])
    assert train.fit_temperature(logits, labels) == pytest.approx(1, abs=0.1)
    assert train.fit_temperature(logits * 2, labels) == pytest.approx(2, abs=0.2)


def test_calibration_error_is_the_gap_between_word_and_deed():
    right = np.array([True] * 7 + [False] * 3)
    assert train.calibration_error(np.full(10, 0.7), right) == pytest.approx(0)
    assert train.calibration_error(np.full(10, 0.95), right) == pytest.approx(0.25)


# The photos.


def test_folders_without_photos_are_named(tmp_path):
    with pytest.raises(ValueError, match="cardboard"):
        photos.list_photos(tmp_path)
    with pytest.raises(ValueError, match="Glass"):
        photos.list_real_waste(tmp_path)
    with pytest.raises(ValueError, match="Packages/Milk"):
        photos.list_packs(tmp_path, "train")


def test_film_and_foam_are_no_plastic_of_ours(folders):
    listed = {path.name: KINDS[kind] for path, kind in photos.list_real_waste(folders.real_waste)}
    others = {f"Plastic_{min(photos.FILM)}.jpg": "VINYL", f"Plastic_{min(photos.FOAM)}.jpg": "STYROFOAM"}
    assert listed == {f"{name}_1.jpg": kind for name, kind in photos.REAL_FOLDERS.items()} | others


def test_the_photos_of_the_web_are_found_by_their_names(folders):
    used, held = ({path.name: KINDS[kind] for path, kind in some} for some in photos.list_web(folders.web))
    assert used == {"box2_jpg.rf.12ab.jpg": "CARDBOARD", "shirt_1.jpeg": "TEXTILE", "cell_12.jpg": "BATTERY"}
    assert held == {}
    save(Image.new("RGB", (40, 60)), folders.web, "c", "shirt_1.jpg")
    with pytest.raises(ValueError, match="holds shirt_1 twice"):
        photos.list_web(folders.web)
    for folder, name in (("b", "shirt_1.jpeg"), ("c", "shirt_1.jpg")):
        (folders.web / folder / name).unlink()
    with pytest.raises(ValueError, match="holds no shirt_1"):
        photos.list_web(folders.web)


def test_every_tenth_photo_of_a_row_is_held_out(folders):
    for number in range(4, 24):
        save(Image.new("RGB", (30, 30)), folders.web, "a", f"box{number}_jpg.rf.12ab.jpg")
    photos.WEB.write_text(f"{WEB_HEADER}box,CARDBOARD,2-11 13-23\n")
    used, held = photos.list_web(folders.web)
    assert [path.name.partition("_")[0] for path, _ in held] == ["box11", "box22"]
    assert len(used) == 19


def test_bars_beside_a_photo_are_cut_off():
    photo = Image.new("RGB", (100, 80), (photos.BAR + 2,) * 3)
    assert photos.trim_bars(photo).size == (100, 80)
    photo.paste("red", (20, 0, 70, 80))
    assert photos.trim_bars(photo).getcolors() == [(50 * 80, (255, 0, 0))]
    photo.paste((photos.BAR,) * 3, (30, 30, 40, 40))
    assert photos.trim_bars(photo).size == (50, 80)


def test_the_list_of_the_web_is_sound():
    with photos.WEB.open(encoding="utf-8", newline="") as file:
        assert file.readline() == WEB_HEADER
        rows = list(csv.reader(file))
    things = [(name, number) for name, _, numbers in rows for number in photos.parse_numbers(numbers)]
    assert len(set(things)) == len(things) == THINGS
    assert {kind for _, kind, _ in rows} == {*KINDS} - {"UNKNOWN"}


def test_a_numbered_view_is_always_the_same_and_every_kind_comes(folders):
    album, again = photos.Album(folders), photos.Album(folders)
    kinds = set()
    for number in range(160):
        (view, kind), (other, _) = album.view(number), again.view(number)
        assert (view.shape, view.dtype) == ((280, 280, 3), np.uint8)
        assert view.tobytes() == other.tobytes()
        kinds.add(kind)
    assert kinds == set(range(len(KINDS)))


def test_views_are_made_once(folders, tmp_path):
    work = tmp_path / "work"
    views, kinds = photos.make_views(folders, work, 6)
    album = photos.Album(folders)
    assert [(view.tobytes(), kind) for view, kind in zip(views, kinds, strict=True)] == [
        (view.tobytes(), kind) for view, kind in map(album.view, range(6))
    ]
    (folders.data / "train" / "glass" / "one.jpg").unlink()
    assert photos.make_views(folders, work, 6)[1].tolist() == kinds.tolist()


def test_val_is_moved_where_its_thing_is_known(folders):
    moved = photos.MovedVal(folders)
    assert len(moved) == 2
    assert {KINDS[moved.view(number)[1]] for number in range(2)} == {"METAL"}


# Variants.


def test_variants_repeat_with_their_state():
    photo = Image.effect_noise((96, 128), 60).convert("RGB")
    mask = Image.new("L", photo.size)
    mask.paste(255, (20, 30, 70, 90))
    for things in ([], [Cutout(photo, mask)], [Cutout(photo, mask)] * 2):
        for seed in range(12):
            one, other = (vary(photo, np.random.default_rng(seed), NO_GROUNDS, things) for _ in range(2))
            assert one.mode == "RGB"
            assert one.tobytes() == other.tobytes()


def test_a_thing_on_a_light_ground_is_found():
    photo = Image.new("RGB", (120, 160), (200, 205, 200))
    photo.paste((150, 40, 30), (40, 50, 80, 110))
    mask = find_thing(photo).mask
    assert mask.getpixel((60, 80)) > 230
    assert mask.getpixel((10, 10)) < 25
    assert find_thing(Image.new("RGB", (120, 160), (60, 50, 40))) is None


def test_an_unclear_mask_is_not_used():
    photo, mask = Image.new("RGB", (50, 50)), Image.new("L", (50, 50))
    assert cut_out(photo, mask) is None
    mask.paste(140, (10, 10, 40, 40))
    assert cut_out(photo, mask) is None
    mask.paste(255, (10, 10, 40, 40))
    assert cut_out(photo, mask).mask is mask


def test_a_sheet_is_a_part_of_its_photo():
    sheet = cut_sheet(Image.new("RGB", (200, 300), "brown"), np.random.default_rng(4))
    assert sheet.image.size == sheet.mask.size
    assert sheet.image.width < 200
    assert sheet.image.getpixel((sheet.image.width // 2, sheet.image.height // 2)) == (165, 42, 42)


# The table.


def sight(material, confidence, unsure=False):
    return Sight(material, confidence, None, 0.0, (), (), unsure)


def test_figures_count_any_other_material_as_wrong():
    sights = [sight("GLASS", 0.9), sight("CERAMIC", 0.9), sight("METAL", 0.5, unsure=True), sight("GENERAL", 0.9)]
    figures = summarise(sights, ["GLASS", "GLASS", "METAL", "GENERAL"])
    assert figures["accuracy"] == 0.75
    assert figures["sure"] == 0.75
    assert figures["sure_accuracy"] == pytest.approx(2 / 3)


def test_a_name_of_another_collection_may_mean_several_materials():
    sights = [sight(name, 0.9) for name in ("PAPER_PACK", "CARDBOARD", "PAPER", "VINYL", "GLASS")]
    folders = ["CARTON", "CARTON", "CARTON", "OTHER_PLASTICS", "OTHER_PLASTICS"]
    assert summarise(sights, folders)["accuracy"] == pytest.approx(3 / 5)


def test_the_table_says_what_the_wrong_ones_became():
    sights = [sight(name, 0.9) for name in (*WASTE, "CERAMIC")]
    assert "GENERAL             2  0.500  1.000  CERAMIC 1" in table(sights, [*WASTE, "GENERAL"])


def test_photos_from_elsewhere_are_known_by_their_folders(tmp_path):
    for name in ("carton", "Other plastics", "glass"):
        save(Image.new("RGB", (8, 8)), tmp_path, name, "deep", "a.png")
    assert [name for _, name in find_elsewhere(tmp_path)] == ["OTHER_PLASTICS", "CARTON", "GLASS"]
    (tmp_path / "fish").mkdir()
    with pytest.raises(ValueError, match="fish names no material"):
        list(find_elsewhere(tmp_path))
