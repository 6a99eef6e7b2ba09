"""Page tokens: ours come back, and nothing that a client makes up does harm."""

import base64
import json
from uuid import UUID

import pytest

from services.kit import errors, pages

ID = UUID("0193e0a0-0000-7000-8000-000000000000")


def forged(cursor) -> str:
    mark, _ = json.loads(base64.urlsafe_b64decode(pages.token([])))
    return base64.urlsafe_b64encode(json.dumps([mark, cursor]).encode()).decode()


def test_a_cursor_comes_back():
    assert pages.cursor(pages.token(["a", str(ID)], "x"), (str, UUID), "x") == ["a", ID]
    assert pages.cursor("", (str,), "x") is None


def test_a_token_belongs_to_its_filters():
    with pytest.raises(errors.InvalidArgument, match="other filters"):
        pages.cursor(pages.token([1], "x"), (int,), "y")


@pytest.mark.parametrize("values", [[], [1, 2], ["x"], [float("inf")], [float("nan")], [[]], None, {}], ids=str)
def test_a_forged_cursor_is_refused(values):
    with pytest.raises(errors.InvalidArgument):
        pages.cursor(forged(values), (int,))


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["nul", "surrogate"])
def test_a_forged_text_is_one_that_postgresql_takes(text):
    with pytest.raises(errors.InvalidArgument):
        pages.cursor(forged([text]), (str,))


@pytest.mark.parametrize("token", ["?", "e30=", "bm9wZQ==", "a"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(errors.InvalidArgument):
        pages.cursor(token, (int,))
