"""Tokens turn back into the text that they came from."""

import numpy as np
import pytest

from tfdl.data.tokenizers import Bytes, Characters

TEXTS = ["To be, or not to be", "naïve café", "日本語 🙂 \u0000\t\n", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(text):
    for tokenizer in (Characters.of("".join(TEXTS)), Bytes()):
        tokens = tokenizer.encode(text)
        assert tokens.dtype == np.int32 and tokenizer.decode(tokens) == text
        assert tokens.size == 0 or 0 <= tokens.min() <= tokens.max() < len(tokenizer)


def test_characters_are_numbered_in_the_order_of_their_code_points():
    tokenizer = Characters.of("cab🙂a")
    assert tokenizer.vocabulary == ("a", "b", "c", "🙂") and len(tokenizer) == 4
    np.testing.assert_array_equal(tokenizer.encode("ba🙂"), [1, 0, 3])


def test_unknown_character_is_named_with_its_place():
    with pytest.raises(ValueError, match="'z' at place 2 is none of the 3"):
        Characters.of("abc").encode("abzc")


def test_empty_text_gives_no_vocabulary():
    with pytest.raises(ValueError, match="this one is empty"):
        Characters.of("")


def test_bytes_that_are_no_text_are_shown_as_such():
    assert Bytes().decode([72, 105, 255]) == "Hi\ufffd"
