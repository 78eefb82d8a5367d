"""The block adds attention and a feed-forward network to x, with the normalization before or after."""

import keras
import numpy as np
import pytest

from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward
from tfdl.layers.transformer_block import TransformerBlock

R = np.random.default_rng(0)
X = R.normal(size=(2, 5, 12)).astype("float32")
MEMORY = R.normal(size=(2, 7, 12)).astype("float32")


def block(cross=False, **options):
    keras.utils.set_random_seed(0)
    layer = TransformerBlock(
        MultiHeadAttention(3), FeedForward(2), MultiHeadAttention(3) if cross else None, epsilon=1e-5, **options
    )
    layer.build((None, None, 12))
    for variable in layer.weights:
        variable.assign(variable + R.normal(0, 0.3, variable.shape))
    return layer


def normed(norm, x):
    center = x - x.mean(-1, keepdims=True) if hasattr(norm, "beta") else x
    y = center / np.sqrt((center**2).mean(-1, keepdims=True) + 1e-5)
    return y * np.array(norm.gamma) + np.array(norm.beta) if hasattr(norm, "beta") else y * np.array(norm.scale)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_normalization_first_leaves_the_sum_as_it_is(kind):
    layer = block(kind=kind, first=True)
    x = X + np.array(layer.attention(normed(layer.attention_norm, X)))
    x = x + np.array(layer.feed_forward(normed(layer.feed_forward_norm, x)))
    np.testing.assert_allclose(layer(X)[0], x, atol=1e-5)


def test_normalization_after_each_sum_is_the_papers():
    layer = block(first=False)
    x = normed(layer.attention_norm, X + np.array(layer.attention(X)))
    x = normed(layer.feed_forward_norm, x + np.array(layer.feed_forward(x)))
    np.testing.assert_allclose(layer(X)[0], x, atol=1e-5)


def test_decoder_block_looks_at_the_memory_that_is_visible():
    layer = block(cross=True)
    memory = layer.cross_attention.keys_values(MEMORY)
    seen = np.arange(7) < 4
    y = layer(X, memory=memory, memory_visible=seen)[0]
    short = layer(X, memory=layer.cross_attention.keys_values(MEMORY[:, :4]))[0]
    np.testing.assert_allclose(y, short, atol=1e-5)
    assert np.abs(y - layer(X, memory=memory)[0]).max() > 1e-3


def test_dropout_acts_in_training_alone():
    layer = block(dropout=0.5)
    np.testing.assert_allclose(layer(X)[0], layer(X)[0])
    assert np.abs(layer(X, training=True)[0] - layer(X)[0]).max() > 1e-2


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="layer and rms, not 'batch'"):
        block(kind="batch")
