"""Exact match and F1 by SQuAD's rules; the share of rows with both places right."""

import numpy as np
import pytest

from tfdl.metrics.answers import SpanAccuracy, answer_scores, exact_match, f1, words_of


def test_case_punctuation_articles_and_spaces_do_not_count():
    assert words_of("The  U.S.  Army's\tan A-team, a thing") == ["us", "armys", "ateam", "thing"]
    assert exact_match("The Beatles!", "beatles") == 1.0 and exact_match("Beatles", "The Beetles") == 0.0
    assert exact_match("another", "other") == 0.0, "only whole words are articles"


@pytest.mark.parametrize(
    "answer, reference, expected",
    [
        ("in 1066", "1066", 2 * (1 / 2) * 1 / (1 / 2 + 1)),
        ("red red blue", "red green", 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        ("x", "y", 0.0),
        ("", "", 1.0),
        ("the", "", 1.0),
        ("", "y", 0.0),
    ],
)
def test_f1_is_the_harmonic_mean_of_precision_and_recall_of_words(answer, reference, expected):
    assert f1(answer, reference) == pytest.approx(expected)
    assert f1(reference, answer) == pytest.approx(expected)


def test_best_reference_counts_for_each_measure_by_itself():
    scores = answer_scores(["a b c", "", "x"], [["b", "b c d e"], [], ["y", "x"]])
    assert scores == pytest.approx({"exact_match": 2 / 3, "f1": (2 * 1 * 0.5 / 1.5 + 1 + 1) / 3})
    with pytest.raises(ValueError, match="1 answers to 2 questions"):
        answer_scores(["a"], [["a"], ["b"]])


def test_row_is_right_if_both_places_are_among_the_possible_ones():
    targets = np.full((2, 4, 2), -1, "int32")
    targets[:, [0, 2, 3]] = 0
    targets[0, 2, 0] = targets[0, 3, 1] = targets[1, 0, 0] = targets[1, 0, 1] = 1
    logits = np.zeros((2, 4, 2), "float32")
    logits[:, 1] = 9.0  # impossible
    logits[0, 2, 0] = logits[0, 3, 1] = 1.0
    logits[1, 0, 0], logits[1, 2, 1] = 1.0, 1.0
    metric = SpanAccuracy()
    metric.update_state(targets, logits)
    assert float(metric.result()) == 0.5
