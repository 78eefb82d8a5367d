import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers.highway import Highway


def values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("activation, function", [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh)])
def test_output_is_equation_3(activation, function):
    x, layer = values(5, 7), Highway(activation)
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    w_h, b_h, w_t, b_t = (rng.normal(size=s).astype("float32") for s in ((7, 7), (7,), (7, 7), (7,)))
    layer.transform.set_weights([w_h, b_h])
    layer.gate.set_weights([w_t, b_t])
    h, t = function(x @ w_h + b_h), sigmoid(x @ w_t + b_t)
    np.testing.assert_allclose(layer(x), h * t + x * (1 - t), atol=1e-5)


@pytest.mark.parametrize("units", [3, 50])
def test_layer_has_two_squares_and_two_rows_of_weights(units):
    layer = Highway()
    layer.build((None, units))
    assert layer.count_params() == 2 * (units**2 + units)


@pytest.mark.parametrize("bias, expected", [(-30.0, "carried"), (30.0, "transformed")])
def test_closed_gate_carries_and_open_gate_transforms(bias, expected):
    x, layer = values(5, 7), Highway(transform_bias=bias)
    y = layer(x)
    np.testing.assert_allclose(y, x if expected == "carried" else layer.transform(x), atol=1e-5)


def test_fresh_gate_opens_by_the_sigmoid_of_its_bias():
    layer = Highway(transform_bias=-2.0)
    x = 1e-3 * values(9, 7)
    layer(x)
    np.testing.assert_allclose(layer.gate(x), sigmoid(-2.0), atol=1e-3)


def test_gradient_survives_thirty_layers_because_gates_start_negative():
    x = tf.constant(values(4, 8))
    norms = {}
    for bias in (-4.0, 4.0):
        keras.utils.set_random_seed(0)
        stack = [Highway("tanh", bias, "random_normal") for _ in range(30)]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for layer in stack:
                y = layer(y)
        norms[bias] = float(tf.norm(tape.gradient(y, x)))
    assert 0.1 < norms[-4.0] < 100
    assert norms[4.0] < 1e-9


def test_save_and_load_changes_nothing(tmp_path):
    inputs = keras.Input((7,))
    model = keras.Model(inputs, Highway("tanh", -1.0, "glorot_uniform", name="highway")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(values(3, 7)), model(values(3, 7)))
    assert (loaded.get_layer("highway").activation, loaded.get_layer("highway").transform_bias) == ("tanh", -1.0)


def test_bfloat16_policy_keeps_float32_weights():
    layer = Highway(dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(values(3, 7)).dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {"float32"}


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="no activation 'relu7'.*tanh"):
        Highway("relu7")
    with pytest.raises(ValueError, match=r"needs \(B, U\).*\(2, 3, 4\)"):
        Highway()(values(2, 3, 4))
