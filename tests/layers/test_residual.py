import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfdl.layers.residual import Residual


def values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6, 2)])
def test_output_is_input_plus_branch(shape):
    x, layer = values(*shape), Residual(layers.Dense(shape[-1]))
    np.testing.assert_allclose(layer(x), x + layer.layer(x), atol=1e-6)
    assert not np.allclose(layer(x), layer.layer(x))


def test_branch_of_zeros_leaves_the_identity():
    x, layer = values(5, 7), Residual(layers.Dense(7, kernel_initializer="zeros"))
    np.testing.assert_array_equal(layer(x), x)


def test_gradient_passes_thirty_layers_whose_branches_block_it():
    x = tf.constant(values(4, 6))
    for wrap, expected in ((Residual, 1.0), (lambda layer: layer, 0.0)):
        stack = [wrap(layers.Dense(6, "relu", kernel_initializer="zeros")) for _ in range(30)]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for layer in stack:
                y = layer(y)
        gradient = tape.gradient(y, x)
        np.testing.assert_array_equal(gradient, np.full(x.shape, expected))


def test_training_switch_reaches_the_branch():
    x, layer = values(40, 30), Residual(layers.Dropout(0.5, seed=0))
    np.testing.assert_allclose(layer(x, training=False), 2 * x, rtol=1e-6)
    assert not np.allclose(layer(x, training=True), 2 * x)


def test_save_and_load_keeps_branch_and_weights(tmp_path):
    inputs = keras.Input((7,))
    branch = keras.Sequential([layers.Activation("relu"), layers.Dense(7)])
    model = keras.Model(inputs, Residual(branch)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(values(3, 7)), model(values(3, 7)))
    assert len(loaded.trainable_weights) == 2


def test_bfloat16_policy_computes_the_sum_in_bfloat16():
    layer = Residual(layers.Dense(7, dtype="mixed_bfloat16"), dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(values(3, 7)).dtype) == "bfloat16"


def test_change_of_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(5, 7\) and \(5, 3\).*keep the shape, or project"):
        Residual(layers.Dense(3, name="narrow"))(values(5, 7))
    with pytest.raises(ValueError, match=r"\(5, 7\) and \(5, 1\)"):
        Residual(layers.Dense(1))(values(5, 7))  # it would broadcast
