"""Linear forecasters: the paper's three forms by hand, shared columns, saving and phones."""

from dataclasses import replace

import numpy as np
import pytest

from tests.harness import check_save_and_load
from tfdl.core.outline import multiply_adds, parameters
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.time_series.linear_forecaster import VARIANTS, linear_forecaster

STEPS, HORIZON, COLUMNS = 8, 5, 3
SHAPES = dict(input_shape=(STEPS, COLUMNS), output_shape=(HORIZON, COLUMNS))


def numbers(count=2):
    return np.random.default_rng(0).normal(size=(count, STEPS, COLUMNS)).astype("float32")


def by_hand(x, weights, *, relative, window):
    """The forecast of (B, T, D) by the formulas of the paper."""
    last = x[:, -1:] if relative else 0.0
    x = x - last
    parts = [x]
    if window:
        trend = np.zeros_like(x)
        for step in range(STEPS):
            around = np.clip(np.arange(step - window // 2, step + window // 2 + 1), 0, STEPS - 1)
            trend[:, step] = x[:, around].mean(1)
        parts = [trend, x - trend]
    pairs = zip(weights[::2], weights[1::2])
    return sum(np.einsum("btd,th->bhd", part, w) + b[:, None] for part, (w, b) in zip(parts, pairs)) + last


@pytest.mark.parametrize("variant", VARIANTS)
def test_forecast_is_that_of_the_formulas(variant):
    c = VARIANTS[variant] if variant != "dlinear" else replace(VARIANTS["dlinear"], trend_window=5)
    model = linear_forecaster(c, **SHAPES)
    weights = [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.weights)]
    model.set_weights(weights)
    expected = by_hand(numbers(), weights, relative=c.relative, window=c.trend_window)
    np.testing.assert_allclose(model(numbers()), expected, atol=1e-5)


def test_weights_are_those_of_the_paper_and_shared_by_the_columns():
    counts = {name: parameters(linear_forecaster(name)) for name in ("linear", "nlinear", "dlinear")}
    assert counts == {"linear": 336 * 96 + 96, "nlinear": 336 * 96 + 96, "dlinear": 2 * (336 * 96 + 96)}
    assert multiply_adds(linear_forecaster("linear")) == 7 * 336 * 96
    model = linear_forecaster("nano", **SHAPES)
    order = [2, 0, 1]
    np.testing.assert_allclose(model(numbers()[..., order]), np.array(model(numbers()))[..., order], atol=1e-6)


def test_shift_of_a_column_shifts_a_relative_forecast_as_much():
    model = linear_forecaster("nlinear", **SHAPES)
    np.testing.assert_allclose(model(numbers() + 100), np.array(model(numbers())) + 100, atol=1e-4)


def test_it_is_saved_and_runs_on_phones(tmp_path):
    model = linear_forecaster("nano", **SHAPES)
    check_save_and_load(model, (STEPS, COLUMNS), tmp_path)
    answers = run_tflite(convert_float(graph(model, signature_of(model))), {"numbers": numbers()})
    np.testing.assert_allclose(answers["from_last_step"], model(numbers()), atol=1e-4)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"input_shape is \(8, 3\) and output_shape is \(5, 2\); give"):
        linear_forecaster("nano", input_shape=(8, 3), output_shape=(5, 2))
    with pytest.raises(ValueError, match="trend_window is 4; give an odd number"):
        replace(VARIANTS["nano"], trend_window=4)
