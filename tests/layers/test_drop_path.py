import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfdl.layers.drop_path import DropPath


def values(*shape):
    return np.random.default_rng(0).uniform(1, 2, size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(60, 3), (60, 5, 4, 2)])
def test_a_sample_is_kept_whole_or_dropped_whole(shape):
    x = values(*shape)
    y = np.array(DropPath(0.4, seed=1)(x, training=True))
    ratio = (y / x).reshape(len(x), -1)
    assert {round(float(r), 4) for r in ratio.ravel()} == {0.0, round(1 / 0.6, 4)}
    np.testing.assert_allclose(ratio.min(axis=1), ratio.max(axis=1), atol=1e-6)


def test_rate_is_the_share_of_dropped_samples_and_the_mean_stays():
    y = np.array(DropPath(0.3, seed=2)(np.ones((20_000, 1), "float32"), training=True))
    assert abs((y == 0).mean() - 0.3) < 0.013  # four standard deviations
    assert abs(y.mean() - 1) < 0.02


def test_inference_and_rate_zero_leave_the_input_as_it_is():
    x = values(7, 3)
    np.testing.assert_array_equal(DropPath(0.9)(x), x)
    np.testing.assert_array_equal(DropPath(0.9)(x, training=False), x)
    np.testing.assert_array_equal(DropPath(0.0)(x, training=True), x)


def test_gradient_reaches_kept_samples_only():
    x, layer = tf.constant(values(40, 3)), DropPath(0.5, seed=3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_allclose(tape.gradient(y, x), np.where(np.array(y) == 0, 0.0, 2.0))


def test_not_even_infinite_values_leak_from_a_dropped_branch():
    y = np.array(DropPath(0.5, seed=4)(np.full((50, 2), np.inf, "float32"), training=True))
    assert not np.isnan(y).any() and (y == 0).any()


def test_draws_follow_the_seed_and_differ_from_call_to_call():
    x, first, second = values(200, 1), DropPath(0.5, seed=5), DropPath(0.5, seed=5)
    one, two = np.array(first(x, training=True)), np.array(first(x, training=True))
    assert (one != two).any()
    np.testing.assert_array_equal(second(x, training=True), one)
    np.testing.assert_array_equal(second(x, training=True), two)


def test_rate_and_seed_survive_save_and_load(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Add()([inputs, DropPath(0.25, seed=6, name="drop")(inputs)]))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True).get_layer("drop")
    assert (loaded.rate, loaded.get_config()["seed"]) == (0.25, 6)


def test_dtype_is_the_input_s():
    layer = DropPath(0.5, dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(values(4, 3), training=True).dtype) == "bfloat16"


@pytest.mark.parametrize("rate", [-0.1, 1.0, 20])
def test_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=f"at least 0 and below 1, not {rate}"):
        DropPath(rate)
