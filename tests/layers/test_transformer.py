"""The transformer block: its equations, and what stays when a branch is silent."""

import keras
import numpy as np
import pytest
from scipy.special import erf

from tfdl.layers.attention import SelfAttention
from tfdl.layers.transformer import FeedForward, pre_norm_block, truncated_normal


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def block(drop_path=0.0, dropout=0.0):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 8))
    options = dict(expansion=3.0, epsilon=1e-6, dropout=dropout, drop_path=drop_path)
    model = keras.Model(inputs, pre_norm_block(inputs, SelfAttention(2, name="talk"), name="b", **options))
    for i, w in enumerate(model.trainable_weights):
        w.assign(w + 0.3 * random(*w.shape, seed=i))
    return model


def test_feed_forward_is_two_dense_layers_with_an_exact_gelu_between():
    x, layer = random(2, 3, 4), FeedForward(expansion=2.5)
    layer.build(x.shape)
    up, a, down, b = [random(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
    layer.set_weights([up, a, down, b])
    assert up.shape == (4, 10)
    y = x @ up + a
    y = y * (1 + erf(y / np.sqrt(2))) / 2
    np.testing.assert_allclose(layer(x), y @ down + b, atol=1e-5)


def test_block_is_equations_2_and_3():
    model, x = block(), random(2, 5, 8)
    talk, norm1, norm2, mlp = (model.get_layer(name) for name in ("talk", "b_norm1", "b_norm2", "b_mlp"))
    y = x + np.array(talk(norm1(x)))
    np.testing.assert_allclose(model(x), y + np.array(mlp(norm2(y))), atol=1e-5)


def test_block_with_silent_branches_is_the_identity():
    model, x = block(), random(2, 5, 8)
    for dense in (model.get_layer("talk").project, model.get_layer("b_mlp").down):
        dense.set_weights([np.zeros(w.shape) for w in dense.weights])
    np.testing.assert_array_equal(model(x), x)


def test_drop_path_leaves_out_a_whole_branch_of_a_sample_in_training_only():
    model = block(drop_path=0.5)
    x = np.repeat(random(1, 5, 8), 64, axis=0)
    assert np.ptp(np.array(model(x)), axis=0).max() < 1e-5  # in inference all samples are alike
    trained = np.array(model(x, training=True))
    assert len(np.unique(np.round(trained, 3), axis=0)) == 4  # each branch in or out
    assert (np.abs(trained - x).max(axis=(1, 2)) < 1e-5).any()  # both out: the identity


def test_dropout_works_in_training_only():
    model, without, x = block(dropout=0.5), block(), random(2, 5, 8)
    without.set_weights([np.array(w) for w in model.trainable_weights])
    np.testing.assert_array_equal(model(x), without(x))
    assert np.abs(np.array(model(x, training=True)) - np.array(model(x))).max() > 0.1


def test_feed_forward_drops_units_between_its_layers_in_training_only():
    layer, x = FeedForward(expansion=2.0, dropout=0.5), np.ones((4, 6, 8), "float32")
    layer.build(x.shape)
    layer.up.set_weights([np.eye(8, 16), np.full(16, 3.0)])  # nothing that comes out of gelu is zero
    layer.down.set_weights([np.eye(16, 8), np.zeros(8)])
    inside = np.array(layer(x))
    assert (inside > 2.9).all()
    trained = np.array(layer(x, training=True))
    dropped = trained == 0
    assert 0.35 < dropped.mean() < 0.65
    np.testing.assert_allclose(trained[~dropped], 2 * inside[~dropped], rtol=1e-5)  # the others are scaled up


def test_dropout_of_a_block_stands_inside_the_network_and_behind_both_branches():
    model = block(dropout=0.4)
    assert model.get_layer("b_mlp").dropout == 0.4
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {"b_dropout1": 0.4, "b_dropout2": 0.4}
    for name in rates:
        source = model.get_layer(name).input._keras_history.operation
        assert source.name == {"b_dropout1": "talk", "b_dropout2": "b_mlp"}[name]


def test_initial_weights_of_the_block_come_from_truncated_normal():
    layer = FeedForward(expansion=4.0)
    layer.build((None, 3, 40))
    for kernel in (layer.up.kernel, layer.down.kernel):
        values = np.array(kernel)
        assert np.abs(values).max() <= 0.0401 and 0.016 < values.std() < 0.021


def test_fresh_weights_have_a_deviation_of_0_02_and_no_outliers():
    w = np.array(truncated_normal()((200, 300)))
    assert np.abs(w).max() <= 0.0401
    assert 0.016 < w.std() < 0.021


def test_unknown_activation_lists_the_known_ones():
    with pytest.raises(ValueError, match="no activation 'relu7'; it has .*gelu"):
        FeedForward(activation="relu7")
