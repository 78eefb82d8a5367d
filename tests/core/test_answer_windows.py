"""Windows of a question and its paragraph: every word in one of them, answers found by their letters, odd texts."""

import numpy as np
import pytest

from tfdl.core.answer_windows import windows
from tfdl.data.tokenizers import Pieces

PARAGRAPH = (
    "  Çelik went to Rome in 1988; then (for years) she stayed in Bern.\nNobody knew why, 日本語 🙂 but Rome did."
)
QUESTION = "Where did Çelik go?"


@pytest.fixture(scope="module")
def tokenizer():
    return Pieces.trained([PARAGRAPH, QUESTION] * 3, 90, "word_pieces")


def of(tokenizer, question, paragraph, length):
    return windows(tokenizer.tokenizer, [question], [paragraph], length)


def test_short_paragraph_is_one_row_as_the_tokenizer_has_it(tokenizer):
    (row,) = of(tokenizer, QUESTION, PARAGRAPH, 200)
    expected = tokenizer.encode_batch([QUESTION], pairs=[PARAGRAPH], length=200)
    size = len(row.tokens)
    assert row.tokens.tolist() == expected["tokens"][0, :size].tolist() and not expected["tokens"][0, size:].any()
    assert row.segments.tolist() == expected["segments"][0, :size].tolist()
    assert row.tokens[row.first - 1] == row.tokens[row.last] == tokenizer.special["end"] and row.last == size - 1


def test_windows_cover_the_paragraph_and_share_a_third(tokenizer):
    rows = of(tokenizer, QUESTION, PARAGRAPH, 45)
    whole = of(tokenizer, QUESTION, PARAGRAPH, 200)[0]
    assert len(rows) > 2 and all(len(row.tokens) <= 45 for row in rows)
    parts = [row.offsets.tolist() for row in rows]
    assert {tuple(pair) for part in parts for pair in part} == {tuple(pair) for pair in whole.offsets.tolist()}
    assert all(after[:15] == before[-15:] for before, after in zip(parts, parts[1:])), "15 tokens of 45"
    for row in rows:
        assert row.tokens[row.first : row.last].tolist() == [
            token
            for token, pair in zip(whole.tokens[whole.first : whole.last], whole.offsets.tolist())
            if pair in row.offsets.tolist()
        ]


@pytest.mark.parametrize("answer", ["Rome", "1988", "(for years)", "Çelik", "日本語", "Bern.", "ome in 19"])
def test_answer_is_found_by_its_letters_and_given_back(tokenizer, answer):
    (row,) = of(tokenizer, QUESTION, PARAGRAPH, 200)
    start = PARAGRAPH.index(answer)
    begin, end = row.place(start, start + len(answer))
    first, last = row.characters(begin, end)
    assert answer in PARAGRAPH[first:last] and len(PARAGRAPH[first:last]) <= len(answer) + 4
    assert row.place(begin, len(PARAGRAPH) + 5) is None


def test_answer_that_is_cut_is_in_no_window(tokenizer):
    rows = of(tokenizer, QUESTION, PARAGRAPH, 45)
    start, stop = PARAGRAPH.index("Rome"), PARAGRAPH.index("Rome") + 4
    places = [row.place(start, stop) for row in rows]
    assert places[0] is not None and None in places
    assert all(row.place(0, len(PARAGRAPH)) is None for row in rows)


def test_odd_texts(tokenizer):
    rows = windows(
        tokenizer.tokenizer, ["", "why " * 50, "[SEP] [PAD]", "\ud800"], ["", "why", "[CLS]", "\ud800 a"], 30
    )
    assert [row.example for row in rows] == [0, 1, 2, 3]
    assert (rows[0].first, rows[0].last, len(rows[0].offsets)) == (0, 0, 0) and rows[0].place(0, 0) is None
    assert 10 <= rows[1].first <= 12, "a third of the row, and two special tokens"
    special = [tokenizer.special[name] for name in ("start", "end", "padding")]
    assert not np.isin(
        rows[2].tokens[[*range(1, rows[2].first - 1), *range(rows[2].first, rows[2].last)]], special
    ).any()


def test_refusals(tokenizer):
    with pytest.raises(ValueError, match="length is 15; a question and a part of its paragraph need 16 or more"):
        of(tokenizer, "a", "b", 15)
    bare = Pieces.trained(["a b"], 300, "byte_pairs")
    with pytest.raises(ValueError, match="no special tokens around two texts"):
        of(bare, "a", "b", 16)
