"""Every token gets the sum of its chosen experts, and the load is measured as in the paper."""

import keras
import numpy as np
import pytest

from tfdl.layers.mixture_of_experts import MixtureOfExperts, load, routed

R = np.random.default_rng(0)
X = R.normal(size=(2, 5, 12)).astype("float32")


def mixture(**options):
    keras.utils.set_random_seed(0)
    layer = MixtureOfExperts(4, expansion=2.0, **options)
    layer.build((None, None, 12))
    for variable in layer.weights:
        variable.assign(R.normal(0, 0.5, variable.shape))
    return layer


@pytest.mark.parametrize("chosen", [1, 2, 4])
def test_each_token_gets_the_weighted_sum_of_its_experts(chosen):
    layer = mixture(chosen=chosen)
    expected = np.zeros_like(X)
    for batch, token in np.ndindex(2, 5):
        x = X[batch, token]
        scores = x @ np.array(layer.router.kernel)
        probabilities = np.exp(scores - scores.max())
        best = np.argsort(-probabilities)[:chosen]
        for expert in best:
            weight = probabilities[expert] / probabilities[best].sum()
            expected[batch, token] += weight * np.array(layer.experts[expert](x[None]))[0]
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)


def test_weights_of_a_token_sum_to_one_over_the_chosen():
    weights = np.array(routed(np.array([[0.1, 0.4, 0.3, 0.2]], "float32"), 2))
    np.testing.assert_allclose(weights, [[0, 4 / 7, 3 / 7, 0]], atol=1e-6)


def test_load_is_1_where_it_is_equal_and_larger_where_it_is_not():
    even = np.eye(4, dtype="float32")
    assert float(load(even, even)) == pytest.approx(1)
    one = np.tile(np.array([[1, 0, 0, 0]], "float32"), (4, 1))
    assert float(load(one, one)) == pytest.approx(4)


def test_load_counts_choices_whatever_their_weights():
    weights = np.array([[0.9, 0.1, 0, 0], [0.9, 0, 0.1, 0]], "float32")
    probabilities = np.array([[0.6, 0.2, 0.1, 0.1], [0.5, 0.1, 0.3, 0.1]], "float32")
    fractions = np.array([2, 1, 1, 0]) / 4
    assert float(load(probabilities, weights)) == pytest.approx(4 * fractions @ probabilities.mean(0))


def test_loss_of_the_load_is_there_in_training_alone():
    layer = mixture(balance=0.1)
    layer(X)
    assert not layer.losses
    layer(X, training=True)
    probabilities = keras.ops.softmax(layer.router(X))
    assert float(layer.losses[0]) == pytest.approx(0.1 * float(load(probabilities, routed(probabilities, 2))))


def test_no_more_experts_are_chosen_than_there_are():
    with pytest.raises(ValueError, match="5 experts cannot be chosen among 4"):
        mixture(chosen=5)
