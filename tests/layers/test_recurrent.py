"""Recurrent layers equal NumPy's loop and Keras's layers; masks hold the state; weights and states go in and out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers.recurrent import CELLS, Recurrent, bidirectional

SHAPE = (3, 5, 4)  # B, T, D
UNITS = 6
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 1, 0]], bool)  # right, left, and in between


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def made(cell, **options):
    """A built layer whose weights are all moved off their start."""
    layer = Recurrent(UNITS, cell, **options)
    layer.build(SHAPE)
    for i, w in enumerate(layer.weights):
        w.assign(random(*w.shape, seed=10 + i) * (0.5 if len(w.shape) == 2 else 0.3))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(layer, x, mask=None, backwards=False):
    """The papers' equations in a loop over sequences and steps: outputs (B, T, U) and the last states."""
    kernel, bias = (np.array(w) for w in layer.project.weights)
    cell = layer.scan.cell
    recurrent = [np.array(w) for w in cell.recurrent.weights]
    u = UNITS
    outputs, last = np.zeros((*x.shape[:2], u), "float32"), []
    for b, sequence in enumerate(x):
        states = [np.zeros(u, "float32") for _ in range(cell.states)]
        steps = range(len(sequence))
        for t in reversed(steps) if backwards else steps:
            if mask is None or mask[b, t]:
                a, h = sequence[t] @ kernel + bias, states[0]
                r = h @ recurrent[0]
                if layer.cell == "rnn":
                    states = [np.tanh(a + r)]
                elif layer.cell == "lstm":
                    i, f, g, o = np.split(a + r, 4)
                    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
                    states = [sigmoid(o) * np.tanh(c), c]
                else:
                    after = layer.cell == "gru"
                    r = r + recurrent[1] if after else r
                    reset, update = sigmoid(a[:u] + r[:u]), sigmoid(a[u : 2 * u] + r[u : 2 * u])
                    inner = reset * r[2 * u :] if after else (reset * h) @ np.array(cell.candidate.kernel)
                    states = [update * h + (1 - update) * np.tanh(a[2 * u :] + inner)]
            outputs[b, t] = states[0]
        last.append(states)
    return outputs, [np.stack(rows) for rows in zip(*last)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_layer_is_the_papers_equations_in_a_loop(cell, mask, backwards):
    layer, x = made(cell, backwards=backwards), random(*SHAPE)
    outputs, states = layer(x, mask=mask)
    expected, last = by_hand(layer, x, mask, backwards)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    for ours, theirs in zip(states, last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def reordered(array, cell):
    """Columns of ours in Keras's order: z, r, n in place of r, z, n."""
    if not cell.startswith("gru"):
        return array
    r, z, n = np.split(array, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)


def of_keras(layer, **options):
    """Keras's layer with our weights."""
    kinds = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}
    if layer.cell.startswith("gru"):
        options["reset_after"] = layer.cell == "gru"
    theirs = kinds.get(layer.cell, keras.layers.GRU)(UNITS, return_sequences=True, return_state=True, **options)
    theirs.build(SHAPE)
    kernel, bias = layer.project.get_weights()
    recurrent, *second_bias = layer.scan.cell.recurrent.get_weights()
    if layer.cell == "gru_original":
        recurrent = np.concatenate([recurrent, *layer.scan.cell.candidate.get_weights()], axis=1)
    bias = np.stack([bias, *second_bias]) if second_bias else bias
    theirs.set_weights([reordered(w, layer.cell) for w in (kernel, recurrent, bias)])
    return theirs


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_layer_is_keras_s_with_the_same_weights(cell, backwards):
    layer, x, states = made(cell, backwards=backwards), random(*SHAPE), random(2, SHAPE[0], UNITS, seed=1)
    states = tuple(states[: CELLS[cell].states])
    outputs, last = layer(x, mask=MASK, states=states)
    expected, *theirs = of_keras(layer, go_backwards=backwards)(x, mask=MASK, initial_state=list(states))
    expected = np.flip(expected, 1) if backwards else np.array(expected)
    np.testing.assert_allclose(np.array(outputs)[MASK], expected[MASK], atol=1e-5)
    for state, other in zip(last, theirs, strict=True):
        np.testing.assert_allclose(state, other, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_keras_s(cell):
    layer, x = made(cell), random(*SHAPE)
    theirs = of_keras(layer)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, mask=MASK)[0] ** 2)
    ours = tape.gradient(loss, layer.project.kernel.value)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(theirs(x, mask=MASK)[0] ** 2)
    expected = tape.gradient(loss, theirs.cell.kernel.value)
    np.testing.assert_allclose(reordered(ours.numpy(), cell), expected, atol=2e-4)


@pytest.mark.parametrize(
    "cell, count", [("rnn", 98_560), ("lstm", 394_240), ("gru", 296_448), ("gru_original", 295_680)]
)
def test_parameter_counts_are_those_of_keras(cell, count):
    layer = Recurrent(256, cell)
    layer.build((None, None, 128))
    assert layer.count_params() == count


@pytest.mark.parametrize("cell", CELLS)
def test_weights_start_as_those_of_keras(cell):
    layer = Recurrent(UNITS, cell)
    layer.build(SHAPE)
    theirs = of_keras(layer)
    fresh = type(theirs).from_config(theirs.get_config())
    fresh.build(SHAPE)
    kernel, recurrent, bias = fresh.get_weights()
    np.testing.assert_array_equal(theirs.get_weights()[2], bias)
    assert np.abs(theirs.get_weights()[0]).max() <= np.sqrt(6 / sum(kernel.shape))  # Glorot's uniform limits
    for dense in (layer.scan.cell.recurrent, getattr(layer.scan.cell, "candidate", None)):
        if dense is not None:
            rows = np.array(dense.kernel)
            np.testing.assert_allclose(rows @ rows.T, np.eye(UNITS), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("padding", [((0, 0), (0, 2)), ((0, 0), (2, 0))], ids=["right", "left"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_padding_changes_nothing(cell, padding, backwards):
    layer, x = made(cell, backwards=backwards), random(*SHAPE)
    padded = np.pad(x, (*padding, (0, 0)), constant_values=9.0)
    mask = np.pad(np.ones(SHAPE[:2], bool), padding)
    outputs, states = layer(x)
    longer, others = layer(padded, mask=mask)
    np.testing.assert_allclose(np.array(longer)[mask].reshape(outputs.shape), outputs, atol=1e-6)
    for state, other in zip(states, others, strict=True):
        np.testing.assert_allclose(state, other, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_batch_of_three_is_three_batches_of_one(cell):
    layer, x = made(cell), random(*SHAPE)
    together, last = layer(x, mask=MASK)
    for i in range(3):
        alone, states = layer(x[i : i + 1], mask=MASK[i : i + 1])
        np.testing.assert_allclose(together[i : i + 1], alone, atol=1e-6)
        for ours, theirs in zip(last, states):
            np.testing.assert_allclose(ours[i : i + 1], theirs, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_sequence_of_nothing_but_padding_ends_where_it_began(cell):
    layer, x = made(cell), random(*SHAPE)
    start = tuple(random(CELLS[cell].states, SHAPE[0], UNITS, seed=1))
    for states in (None, start):
        _, last = layer(x, mask=np.zeros(SHAPE[:2], bool), states=states)
        for ours, theirs in zip(last, states or np.zeros_like(start)):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("cell", CELLS)
def test_sequence_can_be_read_in_two_parts(cell):
    layer, x = made(cell), random(*SHAPE)
    whole, last = layer(x)
    first, states = layer(x[:, :2])
    second, states = layer(x[:, 2:], states=states)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(states[0], last[0], atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_one_step_alone_is_taken(cell):
    outputs, states = made(cell)(random(1, 1, SHAPE[-1]))
    assert outputs.shape == (1, 1, UNITS)
    np.testing.assert_array_equal(outputs[:, 0], states[0])


def test_mask_goes_no_further_by_itself():
    inputs = keras.layers.Masking()(keras.Input(SHAPE[1:]))
    outputs, _ = made("lstm")(inputs)
    assert getattr(outputs, "_keras_mask", None) is None
    masked = keras.layers.Masking(9.0)(np.where(MASK[..., None], random(*SHAPE), 9.0).astype("float32"))
    layer = made("lstm")
    outputs, _ = layer(masked)  # Keras hands the mask of `masked` over
    assert getattr(outputs, "_keras_mask", None) is None
    np.testing.assert_array_equal(outputs, layer(masked, mask=MASK)[0])


def test_unrolled_layer_computes_the_same():
    x = random(*SHAPE)
    rolled, unrolled = made("lstm", backwards=True), made("lstm", backwards=True, unroll=True)
    np.testing.assert_allclose(rolled(x, mask=MASK)[0], unrolled(x, mask=MASK)[0], atol=1e-6)


def test_bidirectional_is_that_of_keras(tmp_path):
    x = random(*SHAPE)
    inputs, mask = keras.Input(SHAPE[1:], name="x"), keras.Input(SHAPE[1:2], dtype="bool", name="mask")
    y, (last, first) = bidirectional(inputs, UNITS, "gru", mask=mask, name="gru")
    model = keras.Model([inputs, mask], [y, last[0], first[0]])
    theirs = keras.layers.Bidirectional(keras.layers.GRU(UNITS, return_sequences=True, return_state=True))
    theirs.build(SHAPE)
    forward, backward = (of_keras(model.get_layer(f"gru_{name}")) for name in ("forward", "backward"))
    theirs.set_weights([*forward.get_weights(), *backward.get_weights()])
    expected = theirs(x, mask=MASK)
    outputs = model([x, MASK])
    np.testing.assert_allclose(np.array(outputs[0])[MASK], np.array(expected[0])[MASK], atol=1e-5)
    for ours, other in zip(outputs[1:], expected[1:]):
        np.testing.assert_allclose(ours, other, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded([x, MASK])[0], outputs[0], atol=1e-6)


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="no recurrent cell 'ltsm'; choose one of rnn, lstm, gru, gru_original"):
        Recurrent(3, "ltsm")
    with pytest.raises(ValueError, match="units must be at least 1, not 0"):
        Recurrent(0)
