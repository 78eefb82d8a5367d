"""The loss of answers' first and last tokens, by NumPy."""

import keras
import numpy as np
from scipy.special import log_softmax

from tfdl.losses.spans import SpanCrossEntropy, span_cross_entropy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 7, 2)).astype("float32")
POSSIBLE = np.array([[1, 0, 1, 1, 1, 0, 0], [1, 0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0]], bool)
PLACES = [(2, 4), (6, 6), (0, 0)]


def targets():
    found = np.where(POSSIBLE[..., None], 0, -1).repeat(2, axis=-1).astype("int32")
    for row, (first, last) in enumerate(PLACES):
        found[row, first, 0] = found[row, last, 1] = 1
    return found


def test_cross_entropy_is_over_the_tokens_where_an_answer_can_be():
    expected = [
        -np.mean(
            [
                log_softmax(LOGITS[row, POSSIBLE[row], side])[POSSIBLE[row][:place].sum()]
                for side, place in enumerate(both)
            ]
        )
        for row, both in enumerate(PLACES)
    ]
    found = keras.ops.convert_to_numpy(span_cross_entropy(targets(), LOGITS))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[2] == 0, "nothing but [CLS] can be chosen"
    assert float(SpanCrossEntropy()(targets(), LOGITS)) == np.float32(np.mean(found))


def test_other_tokens_do_not_count():
    changed = np.where(POSSIBLE[..., None], LOGITS, 50.0)
    np.testing.assert_allclose(span_cross_entropy(targets(), changed), span_cross_entropy(targets(), LOGITS), rtol=1e-6)
