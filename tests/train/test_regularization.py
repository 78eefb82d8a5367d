"""What holds a network back, each by the property that its paper gives it.  The layers and optimizers are Keras's."""

import keras
import numpy as np
import pytest

import tfdl
from tfdl.core.files import read_json
from tfdl.data import images
from tfdl.losses.classification import CrossEntropy
from tfdl.models.foundation.mlp import MLPConfig, mlp

ONES = np.ones((40, 50), "float32")
X = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 3)).astype("float32")


# Dropout, Srivastava et al. 2014


def test_dropout_scales_what_it_keeps_and_so_keeps_the_mean():
    out = np.asarray(keras.layers.Dropout(0.2, seed=0)(ONES, training=True))
    np.testing.assert_allclose(np.unique(out), [0.0, 1 / (1 - 0.2)])
    error = np.sqrt(0.2 / 0.8 / ONES.size)  # standard error of the mean
    assert abs(out.mean() - 1) < 4 * error and abs((out == 0).mean() - 0.2) < 4 * error


def test_dropout_is_the_identity_in_inference():
    np.testing.assert_array_equal(keras.layers.Dropout(0.9, seed=0)(ONES, training=False), ONES)


def test_dropout_differs_by_step_and_follows_its_seed():
    first, again = keras.layers.Dropout(0.5, seed=3), keras.layers.Dropout(0.5, seed=3)
    steps = [np.asarray(first(ONES, training=True)) for _ in range(2)]
    assert (steps[0] != steps[1]).any()
    for step in steps:
        np.testing.assert_array_equal(step, again(ONES, training=True))


# L2 and decoupled weight decay, Loshchilov and Hutter 2019


def descended(optimizer, x, y, start, l2=0.0, steps=20):
    """The weights (n, m) of a linear regression after full-batch steps on its mean squared error + l2 * sum w^2."""
    weights = keras.Variable(start)
    for _ in range(steps):
        w = np.asarray(weights)
        gradient = 2 / y.size * x.T @ (x @ w - y) + 2 * l2 * w
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weights])
    return np.asarray(weights)


START = np.random.default_rng(2).normal(size=(5, 3)).astype("float32")


def test_l2_and_decay_are_one_for_plain_gradient_descent():
    """Proposition 1: the gradient of l2 * w^2 is 2 l2 w, so that the decay is 2 l2."""
    l2 = descended(keras.optimizers.SGD(0.05), X, Y, START, l2=0.1)
    decoupled = descended(keras.optimizers.SGD(0.05, weight_decay=0.2), X, Y, START)
    np.testing.assert_allclose(l2, decoupled, atol=1e-6)
    assert np.abs(l2 - descended(keras.optimizers.SGD(0.05), X, Y, START)).max() > 0.05


def test_l2_and_decay_differ_for_adam():
    """Proposition 2: Adam divides the penalty's gradient by its size; the decay is not divided."""
    l2 = descended(keras.optimizers.Adam(0.05), X, Y, START, l2=0.1)
    decoupled = descended(keras.optimizers.AdamW(0.05, weight_decay=0.2), X, Y, START)
    assert np.abs(l2 - decoupled).max() > 0.05


def test_decay_shrinks_in_proportion_and_l2_with_adam_by_the_rate():
    """Without a gradient of the data; and however small the weight or the penalty is."""
    start, nothing = np.array([[2.0], [0.1]], "float32"), (np.zeros((4, 2), "float32"), np.zeros((4, 1), "float32"))
    decoupled = descended(keras.optimizers.AdamW(0.01, weight_decay=0.5), *nothing, start, steps=1)
    l2 = descended(keras.optimizers.Adam(0.01), *nothing, start, l2=0.25, steps=1)
    np.testing.assert_allclose(decoupled, start * (1 - 0.01 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(l2, start - 0.01, rtol=1e-4)


def test_penalty_of_the_network_leaves_the_biases_alone():
    model = mlp(MLPConfig(hidden=(4, 3), l2=0.5), image_shape=(2, 2, 1), num_classes=2)
    kernels = [w for w in model.weights if w.path.endswith("kernel")]
    for bias in (w for w in model.weights if w.path.endswith("bias")):
        bias.assign(keras.ops.ones_like(bias))
    expected = sum(0.5 * np.sum(np.square(kernel)) for kernel in kernels)
    assert len(kernels) == 3
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-6)


def test_decay_shrinks_the_gap_of_a_regression_with_more_inputs_than_examples():
    """The experiment of recipes/1_foundation/decay_weights.py, without its offset."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 200)).astype("float32")
    y = (x.sum(1, keepdims=True) * 0.01 + rng.normal(0, 0.01, (120, 1))).astype("float32")
    start, error = rng.normal(size=(200, 1)).astype("float32"), {}
    for decay in (0.0, 3.0):
        weights = descended(keras.optimizers.SGD(0.01, weight_decay=decay), x[:20], y[:20], start, steps=150)
        error[decay] = [np.mean((rows @ weights - truth) ** 2) for rows, truth in ((x[:20], y[:20]), (x[20:], y[20:]))]
    assert error[0.0][0] < 0.01 and error[0.0][1] > 100  # the examples by heart, and nothing of the rule
    assert error[3.0][1] < 0.01 * error[0.0][1]


# Max-norm, Srivastava et al. 2014, section 5.1


def test_max_norm_bounds_the_weights_into_each_unit():
    dense = keras.layers.Dense(3, kernel_constraint=keras.constraints.MaxNorm(0.5, axis=0))
    model = keras.Sequential([keras.Input((5,)), dense])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(X, 9 * Y, epochs=3, verbose=0)
    norms = np.linalg.norm(dense.get_weights()[0], axis=0)
    assert norms.max() <= 0.5 + 1e-6 and norms.max() > 0.49


# Early stopping, Prechelt 1998


def test_early_stopping_ends_after_patience_and_gives_the_best_epoch_back(tmp_path):
    run = tfdl.Run(out=str(tmp_path / "run")).start(tfdl.Run(), name="stopped")
    keep = dict.fromkeys(range(10), 0.02)  # 3 examples a class: soon known by heart
    data = images.load("digits", batch_size=16, seed=0, position=run.position, keep=keep)

    def compiled():
        model = mlp(MLPConfig(hidden=(32,)), image_shape=data.image_shape, num_classes=10)
        model.compile(keras.optimizers.Adam(0.1), CrossEntropy(), metrics=["accuracy"])
        return model

    result = run.compare(data, {"stopped": compiled}, epochs=30, patience=2)["stopped"]
    losses = result.series("val_loss")
    best = int(losses.argmin())
    assert len(losses) == best + 1 + 2 < 30
    assert read_json(run.folder / "variants/stopped/checkpoints/best/best.json")["epoch"] == best
    found = result.model.evaluate(data.validation, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(losses[best], rel=1e-5) and losses[-1] > losses[best]
