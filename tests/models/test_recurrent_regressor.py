"""Networks from numbers to numbers: what they compute by hand, which ones are alike in size, saving and phones."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import check_batch_invariance, check_save_and_load
from tfdl.core.outline import parameters
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.recurrent.recurrent_regressor import VARIANTS, recurrent_regressor

STEPS, COLUMNS = 5, 3
NANO = VARIANTS["nano"]
RELATIVE = replace(NANO, relative=True)


def numbers(count=2):
    return np.random.default_rng(0).normal(size=(count, STEPS, COLUMNS)).astype("float32")


def test_networks_of_the_adding_problem_are_alike_in_size():
    sizes = [parameters(recurrent_regressor(name)) for name in ("vanilla", "lstm", "gru")]
    assert max(sizes) < 1.05 * min(sizes) and min(sizes) > 16_000


def test_vanilla_network_is_its_recurrence_and_a_linear_layer():
    model = recurrent_regressor(replace(NANO, cell="rnn"), input_shape=(STEPS, COLUMNS), output_shape=(2, 4))
    w, b, u, v, c = weights = [np.random.default_rng(i).normal(0, 0.5, w.shape) for i, w in enumerate(model.weights)]
    model.set_weights(weights)
    state = np.zeros((2, 10))
    for step in range(STEPS):
        state = np.tanh(numbers()[:, step] @ w + state @ u + b)
    np.testing.assert_allclose(model(numbers()), (state @ v + c).reshape(2, 2, 4), atol=1e-5)


def test_relative_network_follows_a_shift():
    model = recurrent_regressor(RELATIVE, input_shape=(STEPS, COLUMNS), output_shape=(4, COLUMNS))
    assert model.output_shape == (None, 4, COLUMNS)
    np.testing.assert_allclose(model(numbers() + 10), np.array(model(numbers())) + 10, atol=1e-4)


def test_every_weight_has_a_gradient_and_the_loss_falls():
    keras.utils.set_random_seed(0)
    model = recurrent_regressor(replace(NANO, depth=2), input_shape=(STEPS, COLUMNS))
    before = model.get_weights()
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = numbers(16)
    losses = model.fit(x, x[:, 0, :1], batch_size=16, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights()))


def test_it_is_saved_and_runs_on_phones(tmp_path):
    model = recurrent_regressor(RELATIVE, input_shape=(STEPS, COLUMNS), output_shape=(4, COLUMNS), unroll=True)
    check_save_and_load(model, (STEPS, COLUMNS), tmp_path)
    check_batch_invariance(model, (STEPS, COLUMNS))
    answers = run_tflite(convert_float(graph(model, signature_of(model))), {"numbers": numbers()})
    np.testing.assert_allclose(answers["from_last_step"], model(numbers()), atol=1e-4)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"input_shape is \(8,\); give \(steps, numbers at each step\)"):
        recurrent_regressor("nano", input_shape=(8,))
    with pytest.raises(ValueError, match=r"input_shape is \(None, 2\); .* with unroll=True fixed"):
        recurrent_regressor("nano", input_shape=(None, 2), unroll=True)
    with pytest.raises(ValueError, match=r"output_shape is \(1,\); a relative network predicts \(steps, 3\)"):
        recurrent_regressor(RELATIVE, input_shape=(8, 3))
    with pytest.raises(ValueError, match="units and depth must be at least 1, not 0 and 1"):
        replace(NANO, units=0)
