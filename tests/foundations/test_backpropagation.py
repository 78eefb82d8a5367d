import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from tests.magnitudes import numbers, quick, seeds
from tfdl.data.embedded import digits
from tfdl.data.images import load
from tfdl.foundations import backpropagation as bp
from tfdl.foundations.optimizers import SGD, Adam

WIDTHS = (7, 6, 5, 4, 3)


def batch(count=11, features=7, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, features)), generator.integers(0, classes, count)


def pixels(split):
    images, labels = digits()[0][split]
    return images / 255.0, labels


def shuffled(x, y, size, generator):
    order = generator.permutation(len(x))
    return [(x[rows], y[rows]) for rows in np.split(order, np.arange(size, len(x), size))]


def keras_twin(network, activation):
    """The same network in Keras, float64."""
    *hidden, last = [len(layer.bias) for layer in network.dense]
    units = [keras.layers.Dense(width, activation, dtype="float64") for width in hidden]
    model = keras.Sequential([keras.Input((len(network.dense[0].weights),), dtype="float64"), *units,
                              keras.layers.Dense(last, dtype="float64")])  # fmt: skip
    model.set_weights(network.parameters)
    return model


@pytest.mark.parametrize("activation", bp.ACTIVATIONS)
@pytest.mark.parametrize("widths", [WIDTHS, (7, 3)], ids=len)
def test_loss_and_gradients_are_those_of_keras(activation, widths):
    network, (x, y) = bp.mlp(widths, activation=activation, seed=1), batch()
    for layer in network.dense:
        layer.bias += np.random.default_rng(2).normal(size=layer.bias.shape)
    model = keras_twin(network, activation)
    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(inputs), from_logits=True))
    expected = tape.gradient(loss, [*model.trainable_variables, inputs])
    _, top = bp.softmax_cross_entropy(network.forward(x), y)
    found = [network.backward(top), *network.gradients]
    assert network.loss(x, y) == pytest.approx(float(loss), abs=1e-12)
    for ours, theirs in zip(found[1:] + found[:1], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", bp.ACTIVATIONS)
def test_gradients_are_those_of_central_differences(activation):
    network, (x, y) = bp.mlp(WIDTHS, activation=activation, seed=3), batch()
    before = [array.copy() for array in network.parameters]
    assert bp.gradient_check(network, x, y) < 1e-6
    for array, was in zip(network.parameters, before):
        np.testing.assert_array_equal(array, was)


def test_gradient_check_sees_a_wrong_backward_pass(monkeypatch):
    monkeypatch.setattr(bp.Tanh, "backward", lambda self, gradient: gradient * (1.0 - self.y))
    network, (x, y) = bp.mlp(WIDTHS, activation="tanh"), batch()
    assert bp.gradient_check(network, x, y) > 1e-2


def test_gradient_of_the_batch_is_the_mean_of_the_examples():
    network, (x, y) = bp.mlp(WIDTHS), batch(count=5)
    network.loss(x, y)
    together = [g.copy() for g in network.gradients]
    singles = []
    for i in range(5):
        network.loss(x[i : i + 1], y[i : i + 1])
        singles.append([g.copy() for g in network.gradients])
    for whole, parts in zip(together, zip(*singles)):
        np.testing.assert_allclose(whole, np.mean(parts, axis=0), atol=1e-14)


def test_cross_entropy_does_not_overflow_nor_lose_small_numbers():
    loss, gradient = bp.softmax_cross_entropy(np.array([[1e4, 0.0, -1e4], [0.0, 1e4, 0.0]]), np.array([0, 0]))
    assert loss == pytest.approx(0.5e4) and np.isfinite(gradient).all()
    loss, gradient = bp.softmax_cross_entropy(np.zeros((4, 10)), np.arange(4))
    assert loss == pytest.approx(np.log(10)) and np.abs(gradient.sum(axis=1)).max() < 1e-15


def test_sigmoid_is_exact_at_both_ends():
    x = np.array([[-1000.0, -3.0, 0.0, 3.0, 1000.0]])
    np.testing.assert_allclose(bp.Sigmoid().forward(x)[0], [0, 1 / (1 + np.exp(3)), 0.5, 1 / (1 + np.exp(-3)), 1])


@pytest.mark.parametrize(
    "rule, theirs",
    [(SGD(momentum=0.8), keras.optimizers.SGD(0.01, momentum=0.8)), (Adam(), keras.optimizers.Adam(0.01))],
    ids=["sgd", "adam"],
)
def test_twenty_updates_are_those_of_keras(rule, theirs):
    network, (x, y) = bp.mlp(WIDTHS, activation="tanh", seed=4), batch()
    model, optimizer = keras_twin(network, "tanh"), bp.Optimizer(network, rate=0.01, rule=rule)
    theirs.build(model.trainable_variables)
    for _ in range(20):
        network.loss(x, y)
        theirs.apply([keras.ops.convert_to_tensor(g) for g in network.gradients])
        optimizer.step()
    for ours, keras_weights in zip(network.parameters, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras_weights, atol=2e-6)  # Keras keeps rates and powers in float32


def test_a_small_network_learns_exclusive_or():
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float64"), np.array([0, 1, 1, 0])
    found = bp.train(*everything(bp.mlp((2, 4, 2), activation="tanh"), x, y), epochs=300)
    assert found.losses[-1] < 0.05 and found.errors[-1] == 0 and found.errors[0] > 0


def everything(network, x, y, rate=0.1):
    """Optimizer, batches and held-out batches: all examples at once, and the same again."""
    return bp.Optimizer(network, rate=rate), lambda: [(x, y)], lambda: [(x, y)]


def test_history_is_of_the_epochs():
    (x, y), network = batch(), bp.mlp(WIDTHS, activation="tanh")
    halves = [(x[:6], y[:6]), (x[6:], y[6:])]
    twin, optimizer = bp.Optimizer(bp.mlp(WIDTHS, activation="tanh"), rate=0.3), bp.Optimizer(network, rate=0.3)
    found = bp.train(optimizer, lambda: iter(halves), lambda: iter(halves[1:]), epochs=3)
    for epoch in range(3):
        losses, sizes = [], []
        for half in halves:
            losses.append(twin.network.loss(*half))
            sizes.append(bp.gradient_sizes(twin.network))
            twin.step()
        wrong = (twin.network.forward(x[6:]).argmax(axis=1) != y[6:]).mean()
        assert found.losses[epoch] == pytest.approx(np.mean(losses)) and found.errors[epoch] == pytest.approx(wrong)
        np.testing.assert_allclose(found.gradients[epoch], np.mean(sizes, axis=0))


def test_digits_are_learned_in_seconds():
    optimizer, generator = bp.Optimizer(bp.mlp((64, 64, 32, 10)), rate=0.05), np.random.default_rng(0)
    found = bp.train(optimizer, lambda: shuffled(*pixels("train"), 32, generator), lambda: [pixels("test")], epochs=15)
    assert found.losses[-1] < 0.05 * found.losses[0] and found.errors[-1] < 0.05


@pytest.mark.data
def test_mnist_is_learned_to_eight_percent_from_a_tenth_of_it(data_dir):
    data = load("mnist", batch_size=32, limit=6000, data_dir=data_dir)
    optimizer = bp.Optimizer(bp.mlp((784, 100, 50, 10), dtype="float32"), rate=0.03)
    found = bp.train(optimizer, data.train.as_numpy_iterator, data.test.as_numpy_iterator, epochs=3)
    assert found.errors[-1] < 0.08


def test_gradients_vanish_in_deep_sigmoid_networks_and_not_with_relu():
    x, y = pixels("train")
    sizes = {}
    for activation in ("sigmoid", "relu"):
        network = bp.mlp((64, *[48] * 9, 10), activation=activation)
        network.loss(x[:128], y[:128])
        sizes[activation] = bp.gradient_sizes(network)
        assert sizes[activation].shape == (10,)
    assert sizes["sigmoid"][0] < 1e-4 * sizes["sigmoid"][-1]
    assert sizes["relu"][0] > 0.1 * sizes["relu"][-1]


def test_gradient_sizes_are_root_mean_squares():
    network, (x, y) = bp.mlp((7, 5, 3)), batch()
    network.loss(x, y)
    expected = [np.linalg.norm(g) / np.sqrt(g.size) for g in network.gradients[::2]]
    np.testing.assert_allclose(bp.gradient_sizes(network), expected)


def test_float32_stays_float32():
    network, (x, y) = bp.mlp(WIDTHS, dtype="float32"), batch()
    optimizer, *batches = everything(network, x, y)
    bp.train(optimizer, *batches, epochs=1)
    assert {
        a.dtype.name
        for a in [*network.parameters, *network.gradients, *[a for state in optimizer.states for a in state.values()]]
    } == {"float32"}


def test_bad_input_is_refused():
    network, (x, y) = bp.mlp(WIDTHS), batch()
    for inputs, words in [
        (x[:, :5], r"shape \(11, 5\); give \(B, 7\)"),
        (x[0], r"shape \(7,\)"),
        (x[:0], r"shape \(0, 7\)"),
        (np.where(x > 1, np.nan, x), "not finite"),
    ]:
        with pytest.raises(ValueError, match=words):
            network.forward(inputs)
    for labels, words in [
        (y[:4], r"shape \(4,\); give integers \(11,\)"),
        (y + 0.5, "labels are float64"),
        (y - 1, "range from -1 to 1; give 0 to 2"),
        (y + 3, "to 5; give 0 to 2"),
    ]:
        with pytest.raises(ValueError, match=words):
            network.loss(x, labels)


@quick
@given(st.lists(numbers(), min_size=6, max_size=6), st.lists(st.integers(0, 2), min_size=2, max_size=2), seeds)
def test_loss_and_activations_are_scipys_at_every_magnitude(logits, labels, seed):
    x, labels = np.array(logits).reshape(2, 3), np.array(labels)
    loss, gradient = bp.softmax_cross_entropy(x, labels)
    log_p = special.log_softmax(x, axis=1)
    np.testing.assert_allclose(loss, -log_p[[0, 1], labels].mean(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradient, (np.exp(log_p) - np.eye(3)[labels]) / 2, atol=1e-15)
    exact = {"relu": np.maximum(x, 0), "sigmoid": special.expit(x), "tanh": np.tanh(x)}
    for name, layer in bp.ACTIVATIONS.items():
        np.testing.assert_allclose(layer().forward(x), exact[name], rtol=1e-12, atol=1e-16)
        assert np.isnan(layer().forward(np.array([np.nan])))
    scale = 10.0 ** (seed % 200 - 100)
    dense = bp.Dense(scale * np.random.default_rng(seed).normal(size=(3, 2)), np.zeros(2))
    y = np.random.default_rng(seed).normal(size=(2, 3))
    np.testing.assert_allclose(dense.forward(y) / scale, y @ (dense.weights / scale), rtol=1e-9, atol=1e-12)


def test_excluded_class_and_empty_batch():
    loss, gradient = bp.softmax_cross_entropy(np.array([[1.0, -np.inf, 0.0]]), np.array([2]))
    assert loss == pytest.approx(1.3133, abs=1e-4) and gradient[0, 1] == 0
    with pytest.raises(ValueError, match="batch is empty"):
        bp.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
    with pytest.raises(ValueError, match="no batches to measure"):
        bp.error_rate(bp.mlp((3, 2)), [])


def test_bad_arguments_are_refused():
    for widths in [(3,), (), (3, 0, 2)]:
        with pytest.raises(ValueError, match="widths is"):
            bp.mlp(widths)
    with pytest.raises(ValueError, match="no activation 'gelu'"):
        bp.mlp((3, 2), activation="gelu")
    for rate in (0.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"learning rate is {rate}"):
            bp.Optimizer(bp.mlp((3, 2)), rate=rate)
    optimizer = bp.Optimizer(bp.mlp((3, 2)), rate=0.1)
    with pytest.raises(ValueError, match="no batches"):
        bp.train(optimizer, list, list, epochs=1)
    with pytest.raises(ValueError, match="epochs is 0"):
        bp.train(optimizer, list, list, epochs=0)


def test_divergence_is_one_sentence():
    network, (x, y) = bp.mlp(WIDTHS), batch()
    with pytest.raises(ValueError, match="loss is nan in epoch 2; lower the learning rate 1e"):
        bp.train(*everything(network, x, y, rate=1e200), epochs=9)
