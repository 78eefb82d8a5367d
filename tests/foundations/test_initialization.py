import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras.src.initializers.random_initializers import compute_fans
from scipy.stats import truncnorm

from tests.magnitudes import magnitudes, quick, seeds
from tfdl.foundations import initialization as init

WIDE = dict(depth=30, width=192, networks=12)  # narrow networks wander far from the mean


def test_variances_are_those_of_the_papers():
    fan_in, fan_out = 300, 100
    found = {name: variance(fan_in, fan_out) for name, variance in init.VARIANCES.items()}
    assert found["lecun"] == 1 / 300 and found["glorot"] == 2 / 400 and found["he"] == 2 / 300
    assert found["zeros"] == 0 and found["constant"] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    "shape, expected",
    [((7, 5), (7, 5)), ((3, 2, 5, 7), (30, 42)), ((3, 5, 7), (15, 21)), ((2, 3, 4, 5, 6), (120, 144))],
)
def test_fans_are_those_of_keras(shape, expected):
    assert init.fans(shape) == expected == compute_fans(shape)


KERAS = {
    ("glorot", "uniform"): keras.initializers.GlorotUniform,
    ("glorot", "truncated_normal"): keras.initializers.GlorotNormal,
    ("he", "truncated_normal"): keras.initializers.HeNormal,
    ("he", "uniform"): keras.initializers.HeUniform,
    ("lecun", "truncated_normal"): keras.initializers.LecunNormal,
}


@pytest.mark.parametrize("shape", [(400, 300), (3, 3, 90, 110)])
@pytest.mark.parametrize("key", KERAS, ids="_".join)
def test_draws_have_keras_moments_and_range(key, shape):
    scheme, distribution = key
    ours = init.initialize(scheme, shape, distribution=distribution, seed=1)
    theirs = np.asarray(KERAS[key](seed=2)(shape), "float64")
    variance = init.VARIANCES[scheme](*init.fans(shape))
    error = np.sqrt(2 / ours.size)  # of a sample variance of a normal, relative; the others' is smaller
    assert ours.var() == pytest.approx(variance, rel=4 * error)
    assert ours.var() == pytest.approx(theirs.var(), rel=6 * error)
    assert (ours**4).mean() == pytest.approx((theirs**4).mean(), rel=0.05)
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.01)
    assert abs(ours.mean()) < 4 * np.sqrt(variance / ours.size)


def test_deviation_of_the_cut_normal_is_scipys():
    assert pytest.approx(truncnorm(-2, 2).std(), abs=1e-14) == init.TRUNCATED_STANDARD_DEVIATION


@pytest.mark.parametrize("shape", [(7, 7), (9, 5), (5, 9), (3, 2, 4, 11), (2, 2, 3, 19)])
def test_orthogonal_kernels_are_orthonormal_as_kerass_are(shape):
    for kernel in (init.initialize("orthogonal", shape), np.asarray(keras.initializers.Orthogonal(seed=0)(shape))):
        matrix = kernel.reshape(-1, shape[-1])
        gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6 if kernel.dtype == "float32" else 1e-12)
        assert (matrix**2).mean() == pytest.approx(init.VARIANCES["orthogonal"](*matrix.shape), rel=1e-5)


def test_orthogonal_matrices_are_uniform_only_with_the_signs_fixed():
    """The trace of a uniform orthogonal matrix has mean 0 and variance 1; LAPACK's signs shift it."""
    generator = np.random.default_rng(0)
    traces = np.array([np.trace(init.orthogonal((4, 4), generator)) for _ in range(4000)])
    assert abs(traces.mean()) < 4 / np.sqrt(4000) and traces.var() == pytest.approx(1, abs=0.1)
    raw = [np.trace(np.linalg.qr(generator.standard_normal((4, 4)))[0]) for _ in range(4000)]
    assert abs(np.mean(raw)) > 20 / np.sqrt(4000)


@pytest.mark.parametrize(
    "scheme, gain, factor",
    [("he", 1.0, 1.0), ("glorot", 1.0, 0.5), ("lecun", 1.0, 0.5), ("he", 2**0.5, 2.0), ("orthogonal", 2**0.5, 1.0)],
)
def test_relu_layers_scale_signal_and_gradient_as_he_say(scheme, gain, factor):
    """E[x^2] and E[g^2] change by half of fan * Var(w) in every layer: 2^-30 in all for Glorot."""
    found = init.propagate(init.deep_network(scheme, gain=gain, **WIDE), "relu")
    layers = np.arange(31)
    np.testing.assert_allclose(np.log2(found.signal), layers * np.log2(factor), atol=0.6)
    # Gradients, sent down with moment 1, rise or fall on their way to layer 0.
    np.testing.assert_allclose(np.log2(found.gradient), (30 - layers) * np.log2(factor), atol=0.6)
    assert (found.variance[1:] < 0.8 * found.signal[1:]).all()  # the mean of what ReLU lets pass is not 0


@pytest.mark.parametrize("scheme, factor", [("he", 2.0), ("glorot", 1.0), ("lecun", 1.0), ("constant", 192e-4)])
def test_linear_layers_keep_the_variance_where_glorot_says(scheme, factor):
    found = init.propagate(init.deep_network(scheme, **WIDE), "linear")
    layers = np.arange(31)
    np.testing.assert_allclose(np.log2(found.variance), layers * np.log2(factor), atol=0.6)
    np.testing.assert_allclose(np.log2(found.gradient), (30 - layers) * np.log2(factor), atol=0.6)


def test_one_layer_of_unequal_fans_changes_the_moment_by_the_formula():
    x = np.random.default_rng(0).standard_normal((64, 400))
    for scheme, forward in {"he": 2.0, "lecun": 1.0, "glorot": 2 * 400 / 500}.items():
        y = x @ init.initialize(scheme, (400, 100), seed=1)
        assert (y**2).mean() == pytest.approx(forward, rel=0.06)


def test_tanh_saturates_slowly_under_glorot_and_dies_under_a_constant():
    glorot, constant = (init.propagate(init.deep_network(s, **WIDE), "tanh") for s in ("glorot", "constant"))
    assert (np.diff(glorot.variance) < 0).all() and glorot.variance[-1] > 0.01
    assert constant.variance[-1] < 1e-50 and constant.gradient[0] < 1e-50


def test_zeros_stop_signal_and_gradient():
    found = init.propagate(init.deep_network("zeros", depth=2, width=5), "tanh", examples=3)
    np.testing.assert_array_equal(found.signal[1:], 0)
    np.testing.assert_array_equal(found.gradient[:-1], 0)


def test_orthogonal_linear_networks_keep_every_length():
    found = init.propagate(init.deep_network("orthogonal", depth=30, width=17), "linear", examples=5)
    np.testing.assert_allclose(found.signal, found.signal[0], rtol=1e-12)
    np.testing.assert_allclose(found.gradient, found.gradient[-1], rtol=1e-12)


def test_every_network_has_inputs_of_its_own():
    found = init.propagate(init.deep_network("he", depth=1, width=2, networks=1000), "relu", examples=1)
    assert found.signal[0] == pytest.approx(1, abs=0.1)  # of 2,000 normal numbers, not of 2


def test_dynamical_isometry_is_orthogonal_and_not_gaussian():
    arguments = dict(depth=30, width=40, networks=20)
    orthogonal = init.jacobian_singular_values(init.deep_network("orthogonal", **arguments), "linear")
    np.testing.assert_allclose(orthogonal, np.ones((20, 40)), rtol=1e-12)
    gaussian = init.jacobian_singular_values(init.deep_network("lecun", **arguments), "linear")
    assert gaussian.max() > 3 and np.median(gaussian) < 1e-2 and gaussian.min() < 1e-8
    one = init.jacobian_singular_values(init.deep_network("lecun", depth=1, width=200, networks=1), "linear")
    assert one.max() == pytest.approx(2, abs=0.1)  # the edge of Marchenko and Pastur's law


def test_jacobian_is_that_of_finite_differences():
    kernels = init.deep_network("lecun", depth=3, width=6, networks=1)
    x = np.random.default_rng(5).standard_normal((1, 6))

    def network(x):
        for kernel in kernels[:, 0]:
            x = np.tanh(x @ kernel)
        return x

    steps = 1e-5 * np.eye(6)
    jacobian = (network(x + steps) - network(x - steps)) / 2e-5
    found = init.jacobian_singular_values(kernels, "tanh", seed=5)
    np.testing.assert_allclose(found[0], np.linalg.svd(jacobian, compute_uv=False), rtol=1e-6)


@pytest.mark.parametrize("activation, function", [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_gradient_at_the_input_is_that_of_finite_differences(activation, function):
    """`propagate` of one example is checked through <g, f(x + d) - f(x - d)>."""
    kernels = init.deep_network("he", depth=4, width=5, networks=1, seed=1)
    generator = np.random.default_rng(7)
    x, top = generator.standard_normal((1, 5)), generator.standard_normal((1, 5))

    def network(x):
        for kernel in kernels[:, 0]:
            x = function(x @ kernel)
        return x

    steps = 1e-6 * np.eye(5)
    gradient = (network(x + steps) - network(x - steps)) @ top[0] / 2e-6
    assert np.abs(gradient).min() > 0
    found = init.propagate(kernels, activation, examples=1, seed=7)
    assert found.gradient[0] == pytest.approx((gradient**2).mean(), rel=1e-6)


def test_seeds_decide():
    assert np.array_equal(init.initialize("he", (3, 5), seed=4), init.initialize("he", (3, 5), seed=4))
    assert not np.array_equal(init.initialize("he", (3, 5), seed=4), init.initialize("he", (3, 5), seed=5))
    kernels = init.deep_network("he", depth=2, width=3, networks=2)
    assert len({kernel.tobytes() for row in kernels for kernel in row}) == 4


def test_gain_multiplies_the_weights():
    for scheme in ("orthogonal", "he"):
        plain, gained = (init.initialize(scheme, (6, 4), gain=g, seed=0) for g in (1.0, 3.0))
        np.testing.assert_allclose(gained, 3 * plain)


@quick
@given(seeds, magnitudes(-40, 40), st.sampled_from(sorted(init.VARIANCES)), st.integers(1, 6), st.integers(1, 6))
def test_scale_of_kernels_and_signals_at_every_magnitude(seed, gain, scheme, rows, columns):
    for distribution in init.DRAWS:
        plain, gained = (
            init.initialize(scheme, (rows, columns), distribution=distribution, gain=g, seed=seed) for g in (1, gain)
        )
        np.testing.assert_allclose(gained / gain, plain, rtol=1e-12)
    kernels = init.deep_network("orthogonal", depth=3, width=rows, networks=1, seed=seed)
    plain, scaled = init.propagate(kernels, "relu", seed=seed), init.propagate(gain * kernels, "relu", seed=seed)
    powers = gain ** (2.0 * np.arange(4))
    np.testing.assert_allclose(scaled.signal / powers, plain.signal, rtol=1e-9)
    np.testing.assert_allclose(scaled.gradient / powers[::-1], plain.gradient, rtol=1e-9)
    np.testing.assert_allclose(init.jacobian_singular_values(gain * kernels, "linear", seed=seed), gain**3, rtol=1e-9)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="no initialization 'xavier'; choose one of zeros"):
        init.initialize("xavier", (3, 4))
    with pytest.raises(ValueError, match="no distribution 'cauchy'"):
        init.initialize("he", (3, 4), distribution="cauchy")
    for shape in [(3,), (), (3, 0), (3, -1), (2.5, 3)]:
        with pytest.raises(ValueError, match="is not a kernel's shape"):
            init.initialize("he", shape)
    with pytest.raises(ValueError, match="depth 0"):
        init.deep_network("he", depth=0)
    with pytest.raises(ValueError, match="no activation 'gelu'"):
        init.propagate(np.ones((2, 3, 3)), "gelu")
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\); give \(layers"):
        init.propagate(np.ones((2, 3, 4)), "relu")
