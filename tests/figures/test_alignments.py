"""Alignments: words at their sides, and weights that fit them."""

import numpy as np
import pytest

from tfdl.figures.alignments import alignments


def test_each_pair_has_its_words_and_weights():
    weights = [np.eye(2, 3), np.full((4, 2), 0.5)]
    sources, targets = [["die", "Katze", "end"], ["ja", "end"]], [["cat", "end"], list("abcd")]
    figure = alignments(weights, sources, targets, title="looks")
    panels = [axes for axes in figure.axes if axes.images and axes.get_xticks().size in (2, 3)]
    for axes, values, source, target in zip(panels, weights, sources, targets, strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == source
        assert [label.get_text() for label in axes.get_yticklabels()] == target
        np.testing.assert_array_equal(axes.images[0].get_array(), values)
    with pytest.raises(ValueError, match="weights .*3, 2.* for words .*2, 3.*; give .T, S. for each pair"):
        alignments([np.ones((3, 2))], sources[:1], targets[:1])
