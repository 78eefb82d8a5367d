"""Names and weights of classes."""

import pytest

from tfdl.data.classes import class_weights, names_of


def test_numbers_are_in_the_order_of_numbers_and_words_in_that_of_the_alphabet():
    assert names_of([10, 9, "-1", 9]) == ("-1", "9", "10")
    assert names_of(["10", "9", "b"]) == ("10", "9", "b")


def test_weighted_classes_count_equally_and_the_mean_weight_is_one():
    weights = class_weights([6, 3, 1], ("a", "b", "c"))
    assert [6 * weights[0], 3 * weights[1], weights[2]] == pytest.approx([10 / 3] * 3)


def test_a_class_without_examples_is_named():
    with pytest.raises(ValueError, match="The class 'b' has no training examples"):
        class_weights([6, 0, 1], ("a", "b", "c"))
