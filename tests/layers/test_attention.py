"""Attention equals Keras's and a dense twin; masks hide, biases steer, windows keep to themselves."""

import keras
import numpy as np
import pytest

from tfdl.layers.attention import (
    SelfAttention,
    WindowAttention,
    attend,
    attention_weights,
    merge_heads,
    split_heads,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer, seed=1):
    """Moves every weight off its start."""
    for i, w in enumerate(layer.weights):
        w.assign(random(*w.shape, seed=seed + i) * (0.5 if len(w.shape) == 2 else 0.2))
    return layer


def test_attention_is_equation_1():
    q, k, v = random(2, 3, 4), random(2, 5, 4, seed=1), random(2, 5, 6, seed=2)
    scores = np.exp(np.einsum("btd,bsd->bts", q, k) / 2)  # sqrt(4) = 2
    expected = np.einsum("bts,bse->bte", scores / scores.sum(-1, keepdims=True), v)
    np.testing.assert_allclose(attend(q, k, v), expected, atol=1e-5)


def test_attention_is_that_of_keras():
    q, k, v = (random(2, 7, 3, 4, seed=i) for i in range(3))  # (B, T, h, d), as Keras has it
    visible = np.random.default_rng(3).random((2, 3, 7, 7)) < 0.7
    expected = keras.ops.dot_product_attention(q, k, v, mask=visible)
    ours = attend(*(x.swapaxes(1, 2) for x in (q, k, v)), visible=visible)
    np.testing.assert_allclose(np.array(ours).swapaxes(1, 2), expected, atol=1e-5)


def test_weights_are_distributions_over_what_is_visible():
    visible = np.tri(5, dtype=bool)
    weights = np.array(attention_weights(random(2, 5, 4), random(2, 5, 4, seed=1), visible=visible))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert (weights[:, ~visible] == 0).all() and (weights[:, visible] > 0).all()


def test_a_query_that_sees_nothing_gets_the_mean_and_not_nan():
    v = random(1, 4, 3)
    y = attend(random(1, 2, 3), random(1, 4, 3), v, visible=np.zeros((2, 4), bool))
    np.testing.assert_allclose(y[:, 1], v.mean(1), atol=1e-5)


def test_heads_are_neighboring_columns_and_are_merged_back():
    x = random(2, 5, 12)
    heads = np.array(split_heads(x, 3))
    np.testing.assert_array_equal(heads[:, 1], x[..., 4:8])
    np.testing.assert_array_equal(merge_heads(heads), x)


def test_self_attention_is_multi_head_attention_of_keras():
    x, width, heads = random(2, 5, 12), 12, 3
    ours, theirs = SelfAttention(heads), keras.layers.MultiHeadAttention(heads, width // heads)
    ours.build(x.shape)
    randomize(ours)
    theirs(x, x)
    kernel, bias, last_kernel, last_bias = ours.get_weights()
    parts = []
    for matrix, vector in zip(np.split(kernel, 3, axis=1), np.split(bias, 3)):
        parts += [matrix.reshape(width, heads, -1), vector.reshape(heads, -1)]
    theirs.set_weights([*parts, last_kernel.reshape(heads, -1, width), last_bias])
    np.testing.assert_allclose(ours(x), theirs(x, x), atol=1e-5)
    _, expected = theirs(x, x, return_attention_scores=True)
    np.testing.assert_allclose(ours.attention_map(x), expected, atol=1e-5)


def test_self_attention_has_the_papers_weights():
    with_bias, without = SelfAttention(3), SelfAttention(3, use_bias=False)
    for layer, count in ((with_bias, 4 * 12**2 + 4 * 12), (without, 4 * 12**2)):
        layer.build((None, None, 12))
        assert layer.count_params() == count


def test_order_of_the_tokens_does_not_matter():
    x, order = random(2, 5, 12), [3, 0, 4, 1, 2]
    layer = SelfAttention(4)
    layer.build(x.shape)
    randomize(layer)
    np.testing.assert_allclose(np.array(layer(x))[:, order], layer(x[:, order]), atol=1e-5)


def test_token_never_sees_the_future_behind_a_triangle():
    x = random(2, 5, 12)
    layer = SelfAttention(4)
    layer.build(x.shape)
    randomize(layer)
    changed = x.copy()
    changed[:, 3:] += 1
    before, after = (np.array(layer(z, visible=np.tri(5, dtype=bool))) for z in (x, changed))
    np.testing.assert_allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert np.abs(before[:, 3:] - after[:, 3:]).max() > 1e-2


def test_axes_in_front_are_a_batch():
    x = random(2, 3, 5, 12)
    bias = random(3, 4, 5, 5, seed=5)  # one for each of the three
    layer = SelfAttention(4)
    layer.build(x.shape)
    randomize(layer)
    y = layer(x, bias=bias)
    for i in range(3):
        np.testing.assert_allclose(y[:, i], layer(x[:, i], bias=bias[i]), atol=1e-5)


def test_biases_are_not_rounded_under_mixed_precision():
    layer = SelfAttention(1, use_bias=False, dtype="mixed_bfloat16")
    layer.build((None, 2, 2))
    kernel = np.zeros((2, 6), "float32")
    kernel[:, 4:] = np.eye(2)  # no queries, no keys; values are x itself
    layer.set_weights([kernel, np.eye(2)])
    bias = np.array([[256.0, 257.0], [256.0, 256.0]])  # bfloat16 has no 257
    weights = layer(np.eye(2)[None], bias=bias)
    assert keras.backend.standardize_dtype(weights.dtype) == "bfloat16"
    np.testing.assert_allclose(np.array(weights[0], "float32")[:, 1], [np.e / (1 + np.e), 0.5], atol=4e-3)


# (H, W), w: windows that tile, that must be filled on one or both sides, and one window in a row or at all
MAPS = [((6, 9), 3), ((5, 7), 3), ((4, 8), 4), ((3, 2), 4), ((7, 4), 2)]


@pytest.mark.parametrize("size, window", MAPS)
@pytest.mark.parametrize("shifted", [False, True])
def test_window_attention_is_attention_of_the_whole_map_that_sees_one_window(size, window, shifted):
    x = random(2, *size, 8)
    layer = WindowAttention(2, window, shifted)
    layer.build(x.shape)
    randomize(layer)

    height, width = (-(-side // window) * window for side in size)
    y, z = (index.ravel() for index in np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    moves = [window // 2 if shifted and side > window else 0 for side in (height, width)]
    places = [(index - move) // window for index, move in zip((y, z), moves)]  # -1 is a window of its own
    same = [place[:, None] == place for place in places]
    dy, dz = (np.clip(i[:, None] - i, 1 - window, window - 1) + window - 1 for i in (y, z))
    table = np.array(layer.relative_position_bias_table)
    bias = table[dy * (2 * window - 1) + dz].transpose(2, 0, 1)
    filled = np.pad(x, ((0, 0), (0, height - size[0]), (0, width - size[1]), (0, 0))).reshape(2, -1, 8)
    expected = np.array(layer.attention(filled, bias=bias, visible=same[0] & same[1]))
    expected = expected.reshape(2, height, width, 8)[:, : size[0], : size[1]]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_layers_survive_a_file(tmp_path):
    inputs = keras.Input((5, 6, 8))
    x = WindowAttention(2, 3, True, name="windows")(inputs)
    x = keras.layers.Reshape((30, 8))(x)
    model = keras.Model(inputs, SelfAttention(4, use_bias=False, name="all")(x))
    model.save(tmp_path / "m.keras")
    x = random(2, 5, 6, 8)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m.keras")(x), model(x), atol=1e-6)


def test_bias_tables_of_another_window_are_resized():
    layer = WindowAttention(2, 3)
    layer.build((None, 6, 6, 4))
    slope = np.add.outer(np.arange(13.0), 2 * np.arange(13.0)).reshape(-1, 1) * [1, -1]  # of a window of 7
    resized = layer.resized(slope)
    assert resized.shape == (25, 2)
    middle = resized.reshape(5, 5, 2)[2, 2]
    np.testing.assert_allclose(middle, [18, -18], atol=1e-4)  # the middle stays where it was
    assert layer.resized(np.zeros((24, 2))).shape == (24, 2)  # no square: left for the caller to refuse


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="5 heads do not divide a width of 12; choose a divisor of 12"):
        SelfAttention(5).build((None, 3, 12))
    with pytest.raises(ValueError, match="fixed height and width, not .None, None, 6, 4."):
        WindowAttention(2, 3).build((None, None, 6, 4))
