"""Right tokens and right rows, with padding that counts nothing."""

import numpy as np
import pytest

from tfdl.metrics.tokens import RowAccuracy, TokenAccuracy

TARGETS = np.array([[2, 1, -1], [3, 0, 1], [1, -1, -1]])
CHOSEN = np.array([[2, 1, 0], [3, 2, 1], [0, 0, 0]])  # all of two right, two of three, none of one
LOGITS = np.eye(4, dtype="float32")[CHOSEN]


@pytest.mark.parametrize("metric, expected, weighted", [(TokenAccuracy, 4 / 6, 2 / 5), (RowAccuracy, 1 / 3, 1 / 4)])
def test_padding_counts_nothing_and_weights_count(metric, expected, weighted):
    whole, parts = metric(), metric()
    whole.update_state(TARGETS, LOGITS)
    parts.update_state(TARGETS[:1], LOGITS[:1])
    parts.update_state(TARGETS[1:], LOGITS[1:])
    assert float(whole.result()) == pytest.approx(expected) == float(parts.result())
    whole.reset_state()
    whole.update_state(TARGETS, LOGITS, sample_weight=np.array([1.0, 0.0, 3.0]))
    assert float(whole.result()) == pytest.approx(weighted)
