"""Gradients of the states: powers of a linear network's matrix, differences of every cell, and the papers' bound."""

import keras
import numpy as np
import pytest

from tfdl.explain.state_gradients import decay_bound, decay_per_step, gradient_norms
from tfdl.layers import recurrent
from tfdl.layers.recurrent import Cell, Recurrent

STEPS, UNITS = 6, 4


class LinearCell(Cell):
    """h' = W x + U h + b"""

    def step(self, x, h):
        return (x + self.recurrent(h),)


def built(cell, units=UNITS):
    """A layer with weights of no special structure, and its input (3, T, 2)."""
    keras.utils.set_random_seed(0)
    layer = Recurrent(units, cell)
    layer.build((None, STEPS, 2))
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.normal(0, 0.6, weight.shape))
    return layer, rng.normal(size=(3, STEPS, 2)).astype("float32")


def test_linear_network_s_gradient_is_a_power_of_its_matrix(monkeypatch):
    monkeypatch.setitem(recurrent.CELLS, "linear", LinearCell)
    layer, x = built("linear")
    matrix = np.array(layer.scan.cell.recurrent.kernel, "float64")  # h U
    readout = np.random.default_rng(1).normal(size=UNITS)
    found = gradient_norms(layer, x, lambda h: keras.ops.sum(h * readout.astype("float32"), axis=-1))
    expected = [np.linalg.norm(np.linalg.matrix_power(matrix, k) @ readout) for k in range(STEPS)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradient_is_the_difference_that_a_moved_state_makes(cell):
    layer, x = built(cell)
    weights = np.random.default_rng(1).normal(size=UNITS).astype("float32")
    found = gradient_norms(layer, x, lambda h: keras.ops.sum(h * weights, axis=-1))
    back, step = 3, 1e-2
    states = [np.array(state, "float32") for state in layer(x[:, :-back])[1]]

    def answer(states):
        return (
            np.array(layer(x[:, -back:], states=[keras.ops.convert_to_tensor(s) for s in states])[0][:, -1]) @ weights
        )

    slopes = []
    for i in range(len(states)):
        for unit in range(UNITS):
            moved = [[state.copy() for state in states] for _ in range(2)]
            moved[0][i][:, unit] += step
            moved[1][i][:, unit] -= step
            slopes.append((answer(moved[0]) - answer(moved[1])) / (2 * step))
    assert found[back] == pytest.approx(np.linalg.norm(slopes, axis=0).mean(), rel=2e-3)


def test_vanilla_network_s_gradient_keeps_below_its_matrix_s_largest_singular_value():
    layer, x = built("rnn", units=9)
    largest = np.linalg.svd(np.array(layer.scan.cell.recurrent.kernel), compute_uv=False)[0]
    found = gradient_norms(layer, x, lambda h: keras.ops.sum(h, axis=-1))
    assert (found[1:] <= largest * found[:-1]).all() and (found[1:] > 0).all()
    assert decay_bound(layer) == pytest.approx(largest) and decay_per_step(found) < largest


def test_decay_is_the_factor_of_a_geometric_series():
    assert decay_per_step(3.0 * 0.8 ** np.arange(7)) == pytest.approx(0.8)
