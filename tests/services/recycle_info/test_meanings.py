import numpy as np
import pytest

from services.recycle_info import embed, meanings
from services.recycle_info.embedder import DIMENSIONS, Embedder


@pytest.fixture(scope="module")
def embedder():
    return Embedder()


class Counting:
    """The real embedder, and what it was asked for."""

    def __init__(self, embedder):
        self.embedder, self.asked = embedder, []

    def embed(self, texts):
        self.asked += texts
        return self.embedder.embed(texts)


def test_the_file_holds_the_names_that_ship_and_no_other():
    assert set(meanings.read_shipped()) == set(embed.shipped_texts()), "run `make rules` and commit meanings.npz"


def test_the_file_holds_what_the_model_says(embedder):
    shipped = meanings.read_shipped()
    texts = sorted(shipped)[::500]
    for row, text in zip(embedder.embed(texts), texts, strict=True):
        vector = shipped[text].astype(np.float32)
        assert row @ vector / np.linalg.norm(vector) > 0.999, text


def test_only_new_names_are_embedded(embedder):
    counting = Counting(embedder)
    known = meanings.Meanings({"can": ["캔"], "new": ["이름이 없던 물건", "캔"]}, ["안녕"], counting)
    assert counting.asked == ["이름이 없던 물건"]
    assert known.keys == ["can", "new"]
    near, lean = known.near("캔")
    assert near.shape == (2,)
    assert near == pytest.approx([1, 1], abs=0.01)
    assert lean > 0.1
    assert known.near("안녕")[1] < 0


def test_writing_and_reading_again_changes_nothing(embedder, tmp_path):
    texts = ["우유팩", "glass bottle"]
    vectors = embedder.embed(texts)
    meanings.write_shipped(tmp_path / "two.npz", texts, vectors)
    with np.load(tmp_path / "two.npz") as written:
        assert written["texts"].tobytes().decode().split("\n") == ["glass bottle", "우유팩"]
        assert written["vectors"].shape == (2, DIMENSIONS)
        assert written["vectors"].dtype == np.int8


@pytest.mark.parametrize("text", ["", "\x00", "a\x00b", "가" * 600, "🗑️"])
def test_any_text_has_a_vector_of_unit_length(embedder, text):
    assert np.linalg.norm(embedder.embed([text])[0]) == pytest.approx(1, abs=1e-3)
