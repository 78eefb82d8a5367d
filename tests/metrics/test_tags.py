"""Scores of tags: of words, and of names as the shared task counts them."""

import pytest

from tfdl.metrics.tags import chunks, tag_scores


def test_chunks_begin_with_b_or_where_nothing_goes_before():
    tags = ["B-P", "I-P", "O", "I-L", "B-L", "I-P", "I-P"]
    assert chunks(tags) == [(0, 1, "P"), (3, 3, "L"), (4, 4, "L"), (5, 6, "P")] and chunks(["O"]) == []


def test_names_count_only_if_all_of_them_is_right():
    truth = [["B-P", "I-P", "O", "B-L"], ["O", "B-P"]]
    found = [["B-P", "O", "O", "B-L"], ["O", "B-P"]]
    scores = tag_scores(found, truth)
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["chunk_f1"] == pytest.approx(2 * (2 / 3) * (2 / 3) / (4 / 3)), "2 of 3 found, 2 of 3 right"
    assert scores["macro_f1"] == pytest.approx((1 + 0 + 0.8 + 1) / 4)


def test_words_without_a_tag_are_wrong_and_other_tags_have_no_names():
    scores = tag_scores([["a"], []], [["a", "b"], ["b"]])
    assert scores["accuracy"] == pytest.approx(1 / 3) and "chunk_f1" not in scores
    with pytest.raises(ValueError, match="tags of 1 sentences for 2"):
        tag_scores([["a"]], [["a"], ["b"]])
