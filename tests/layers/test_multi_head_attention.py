"""Attention of language models is the paper's, with groups, rotations and a cache."""

import keras
import numpy as np
import pytest
from keras import ops

from tfdl.layers.multi_head_attention import MultiHeadAttention, append
from tfdl.ops.positions import frequencies, rotations
from tfdl.ops.visibility import causal

R = np.random.default_rng(0)
X = R.normal(size=(2, 5, 12)).astype("float32")


def attention(heads=4, **options):
    keras.utils.set_random_seed(0)
    layer = MultiHeadAttention(heads, **options)
    layer.build((None, None, 12))
    for variable in layer.weights:
        variable.assign(R.normal(0, 0.5, variable.shape))
    return layer


def by_hand(layer, x, source, visible=None, scale=None):
    """Section 3.2 in NumPy, head by head."""

    def dense(part, x):
        bias = np.array(part.bias) if part.use_bias else 0
        return x @ np.array(part.kernel) + bias

    heads, groups = layer.heads, layer.groups or layer.heads
    q, k, v = dense(layer.query, x), dense(layer.key, source), dense(layer.value, source)
    width = q.shape[-1] // heads
    outputs = []
    for head in range(heads):
        group = head // (heads // groups)
        mine, theirs = slice(head * width, (head + 1) * width), slice(group * width, (group + 1) * width)
        scores = q[..., mine] @ np.swapaxes(k[..., theirs], -1, -2) * (scale or width**-0.5)
        if visible is not None:
            scores = np.where(visible, scores, -1e9)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        outputs.append(weights / weights.sum(-1, keepdims=True) @ v[..., theirs])
    return dense(layer.output_projection, np.concatenate(outputs, -1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"groups": 2},
        {"groups": 1, "use_bias": False},
        {"head_width": 5},
        {"use_bias": True, "output_bias": False, "scale": 1.0},
    ],
    ids=str,
)
def test_output_is_the_papers(options):
    layer, visible = attention(**options), np.tril(np.ones((5, 5), bool))
    expected = by_hand(layer, X, X, visible, options.get("scale"))
    np.testing.assert_allclose(layer(X, visible=visible), expected, atol=2e-5)


def test_attention_to_another_sequence_takes_its_keys_and_values():
    layer, source = attention(groups=2), R.normal(size=(2, 7, 12)).astype("float32")
    y = layer(X, layer.keys_values(source))
    np.testing.assert_allclose(y, by_hand(layer, X, source), atol=2e-5)


def test_token_by_token_with_a_cache_gives_what_all_at_once_gives():
    layer, speeds = attention(groups=2, head_width=4), frequencies(4)
    places = np.arange(5)
    whole = layer(X, visible=causal(places, places), rotation=rotations(places, speeds))
    cache = (ops.zeros((2, 2, 8, 4)), ops.zeros((2, 2, 8, 4)))
    for i in range(5):
        x, rotation = X[:, i : i + 1], rotations(places[i : i + 1], speeds)
        cache = append(cache, layer.keys_values(x, rotation), i)
        y = layer(x, cache, visible=causal(places[i : i + 1], np.arange(8)), rotation=rotation)
        np.testing.assert_allclose(y[:, 0], whole[:, i], atol=1e-5)


def test_map_of_attention_is_a_distribution_over_what_is_visible():
    weights = np.array(attention().attention_map(X, visible=np.tril(np.ones((5, 5), bool))))
    assert weights.shape == (2, 4, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert weights[..., 0, 1:].max() == 0


def test_dropout_acts_on_weights_in_training_alone():
    layer = attention(dropout=0.5)
    np.testing.assert_allclose(layer(X), layer(X))
    assert np.abs(layer(X, training=True) - layer(X)).max() > 1e-3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"heads": 5}, "5 heads do not divide a width of 12"),
        ({"heads": 4, "groups": 3}, "3 groups do not divide 4 heads"),
        ({"heads": 0}, "0 groups do not divide 0 heads"),
    ],
)
def test_heads_and_groups_must_fit(options, message):
    with pytest.raises(ValueError, match=message):
        attention(**options)


def test_multiply_adds_count_every_product():
    layer = attention(groups=2)
    dense = 5 * (12 * 12 + 2 * 12 * 6 + 12 * 12)
    assert layer.multiply_adds((None, 5, 12)) == dense + 2 * 5 * 5 * 12
