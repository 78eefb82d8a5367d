"""The loss of tokens: smoothed as NumPy smooths it, and a mean over what is there."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from tfdl.core.batches import PADDING
from tfdl.losses.tokens import TokenCrossEntropy, token_cross_entropy

RNG = np.random.default_rng(0)
TARGETS = np.array([[3, 0, 6, PADDING], [1, PADDING, PADDING, PADDING]], "int32")
LOGITS = RNG.normal(0, 3, (2, 4, 7)).astype("float32")


def smoothed(share):
    """Every label as probabilities, padding as nothing."""
    q = (1 - share) * np.eye(7)[TARGETS] + share / 7
    return np.where(TARGETS[..., None] == PADDING, 0, q)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
def test_loss_is_the_cross_entropy_of_smoothed_labels(share):
    expected = -(smoothed(share) * log_softmax(LOGITS, axis=-1)).sum(-1)
    np.testing.assert_allclose(token_cross_entropy(TARGETS, LOGITS, label_smoothing=share), expected, rtol=1e-5)
    mean = TokenCrossEntropy(label_smoothing=share)(TARGETS, LOGITS)
    np.testing.assert_allclose(mean, expected.sum() / 4, rtol=1e-5)


def test_gradient_is_the_difference_of_probabilities_and_nothing_where_padded():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = TokenCrossEntropy(label_smoothing=0.1)(TARGETS, logits)
    p = np.exp(log_softmax(LOGITS, axis=-1)) * (TARGETS[..., None] != PADDING)
    np.testing.assert_allclose(tape.gradient(loss, logits), (p - smoothed(0.1)) / 4, atol=1e-6)


def test_loss_survives_a_file_and_refuses_other_shares():
    loss = TokenCrossEntropy(label_smoothing=0.1)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.label_smoothing == 0.1
    with pytest.raises(ValueError, match="label_smoothing is 1.0; give a number from 0 to below 1"):
        TokenCrossEntropy(label_smoothing=1.0)
