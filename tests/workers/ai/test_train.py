"""Training the head: the parts that must hold whatever the photos are."""

import numpy as np
import pytest
from PIL import Image

from workers.ai import train
from workers.ai.augment import find_thing, vary
from workers.ai.evaluate import summarise, table
from workers.ai.evidence import HEAD_MATERIALS, Sight
from workers.ai.vision import Head

FEATURES = 40


@pytest.fixture(scope="module")
def clusters():
    """Six clouds of points, 60 in each: features [360, 40] and labels [360]."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), 60)
    centres = random.normal(3, 2, (6, FEATURES))
    return (centres[labels] + random.normal(0, 0.5, (360, FEATURES))).astype(np.float32), labels


def test_a_head_learns_and_survives_its_file(clusters, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "EPOCHS", 150)
    features, labels = clusters
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    train.save_head(first, train.fit(features, labels), 1.5)
    train.save_head(second, train.fit(features, labels), 1.5)
    assert first.read_bytes() == second.read_bytes()
    head = Head(first)
    assert head.temperature == 1.5
    probabilities = head.probabilities(features[:, None])
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(360))


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


def test_a_class_without_photos_is_named(tmp_path):
    with pytest.raises(ValueError, match="cardboard"):
        train.list_photos(tmp_path)


def test_variants_repeat_with_their_state():
    photo = Image.effect_noise((96, 128), 60).convert("RGB")
    for seed in range(20):
        one, other = (vary(photo, np.random.default_rng(seed)) for _ in range(2))
        assert one.mode == "RGB"
        assert one.tobytes() == other.tobytes()


def test_a_thing_on_a_light_ground_is_found():
    photo = Image.new("RGB", (120, 160), (200, 205, 200))
    photo.paste((150, 40, 30), (40, 50, 80, 110))
    mask = find_thing(photo)
    assert mask[80, 60] > 0.9
    assert mask[10, 10] < 0.1
    assert find_thing(Image.new("RGB", (120, 160), (60, 50, 40))) is None


def sight(material, confidence, unsure=False):
    return Sight(material, confidence, None, 0.0, (), (), unsure)


def test_figures_count_any_other_material_as_wrong():
    sights = [sight("GLASS", 0.9), sight("CERAMIC", 0.9), sight("METAL", 0.5, unsure=True), sight("GENERAL", 0.9)]
    labels = [HEAD_MATERIALS.index(name) for name in ("GLASS", "GLASS", "METAL", "GENERAL")]
    figures = summarise(sights, labels)
    assert figures["accuracy"] == 0.75
    assert figures["sure"] == 0.75
    assert figures["sure_accuracy"] == pytest.approx(2 / 3)


def test_the_table_says_what_the_wrong_ones_became():
    sights = [sight(name, 0.9) for name in (*HEAD_MATERIALS, "CERAMIC")]
    assert "GENERAL         2  0.500  1.000  CERAMIC 1" in table(sights, [*range(6), 5])
