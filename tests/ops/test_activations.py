import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops.activations import ACTIVATIONS, hard_sigmoid, hard_swish

X = np.linspace(-8, 8, 4001).astype("float32")
erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal(x):
    """Density and cumulative distribution of the standard normal."""
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi), (1 + erf(x / math.sqrt(2))) / 2


def tanh_of(x):
    """The tanh in GELU's approximation, and the derivative of its argument."""
    return np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)), math.sqrt(2 / math.pi) * (1 + 0.134145 * x**2)


# name -> (value, derivative), from the papers
TWINS = {
    "linear": (lambda x: x, lambda x: np.ones_like(x)),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    "tanh": (lambda x: 2 * sigmoid(2 * x) - 1, lambda x: 1 - np.tanh(x) ** 2),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01)),
    "swish": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "gelu": (lambda x: x * normal(x)[1], lambda x: normal(x)[1] + x * normal(x)[0]),
    "gelu_tanh": (
        lambda x: x / 2 * (1 + tanh_of(x)[0]),
        lambda x: (1 + tanh_of(x)[0]) / 2 + x / 2 * (1 - tanh_of(x)[0] ** 2) * tanh_of(x)[1],
    ),
}


def gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


def test_values_that_the_papers_state():
    one = np.ones(1, "float32")
    assert float(ACTIVATIONS["gelu"](one)[0]) == pytest.approx(0.841345, abs=1e-6)  # the normal distribution at 1
    assert float(ACTIVATIONS["swish"](one)[0]) == pytest.approx(0.731059, abs=1e-6)
    assert float(ACTIVATIONS["leaky_relu"](-one)[0]) == pytest.approx(-0.01, abs=1e-9)
    assert float(ACTIVATIONS["gelu_tanh"](one)[0]) == pytest.approx(0.841192, abs=1e-6)


def test_every_activation_has_a_twin():
    assert set(ACTIVATIONS) == set(TWINS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_are_the_formulas(name):
    x = X[X != 0].astype("float64")  # at 0 the corners have no derivative
    value, derivative = TWINS[name]
    np.testing.assert_allclose(ACTIVATIONS[name](x.astype("float32")), value(x), atol=2e-6)
    np.testing.assert_allclose(gradient(ACTIVATIONS[name], x.astype("float32")), derivative(x), atol=5e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_large_inputs_give_finite_values_and_gradients(name):
    x = np.array([-1e4, -100.0, 100.0, 1e4], "float32")
    assert np.isfinite(ACTIVATIONS[name](x)).all()
    assert np.isfinite(gradient(ACTIVATIONS[name], x)).all()


def test_saturation_kills_the_gradient_of_sigmoid_and_tanh_but_leaky_relu_never_dies():
    x = np.array([-30.0], "float32")
    assert gradient(ACTIVATIONS["sigmoid"], x) < 1e-12 and gradient(ACTIVATIONS["tanh"], x) < 1e-12
    assert gradient(ACTIVATIONS["relu"], x) == 0 and gradient(ACTIVATIONS["leaky_relu"], x) == np.float32(0.01)


def test_tanh_approximates_gelu_within_what_the_table_says():
    exact, approximate = ACTIVATIONS["gelu"](X), ACTIVATIONS["gelu_tanh"](X)
    assert 1e-4 < np.abs(exact - approximate).max() < 5e-4


@pytest.mark.parametrize("name", [*ACTIVATIONS, "hard_sigmoid", "hard_swish"])
@pytest.mark.parametrize("how", ["argument", "operation"])
def test_saved_model_loads_with_the_same_function(name, how, tmp_path):
    function = (ACTIVATIONS | {"hard_sigmoid": hard_sigmoid, "hard_swish": hard_swish})[name]
    x = keras.Input((7,))
    y = keras.layers.Activation(function)(x) if how == "argument" else function(x * 1)
    keras.Model(x, y).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    values = np.linspace(-4, 4, 14, dtype="float32").reshape(2, 7)
    np.testing.assert_array_equal(loaded(values), function(values))


def test_hard_sigmoid_is_a_clipped_line():
    np.testing.assert_allclose(hard_sigmoid(X), np.clip(X.astype("float64") / 6 + 0.5, 0, 1), atol=1e-6)


def test_hard_swish_is_the_papers_formula():
    x = X.astype("float64")
    np.testing.assert_allclose(hard_swish(X), x * np.clip(x + 3, 0, 6) / 6, atol=1e-6)
