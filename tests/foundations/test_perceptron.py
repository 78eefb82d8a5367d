import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls
from sklearn.svm import SVC

from tests.magnitudes import quick, seeds
from tfdl.data.embedded import iris
from tfdl.foundations import perceptron

CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], "float64")
XOR = np.array([-1, 1, 1, -1])


def separable(seed, count=37, features=3):
    """Points of both labels with a gap around a random plane."""
    rng = np.random.default_rng(seed)
    points, plane = rng.normal(size=(count, features)), rng.normal(size=features + 1)
    score = points @ plane[:-1] + plane[-1]
    labels = np.where(score > 0, 1, -1)
    return points + 0.3 * labels[:, None] * plane[:-1], labels


def setosa_and_versicolor():
    points, species, names = iris()
    assert names[:2] == ("setosa", "versicolor")
    return points[species < 2], 2 * species[species < 2] - 1


def test_setosa_and_versicolor_are_told_apart_within_the_bound():
    points, labels = setosa_and_versicolor()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(points))
        found = perceptron.train(points[order], labels[order])
        assert found.converged and found.cycle is None
        assert perceptron.accuracy(found.weights, points, labels) == 1.0
        assert 0 < sum(found.mistakes) <= perceptron.novikoff_bound(points, labels)


@pytest.mark.parametrize("seed", range(8))
def test_mistakes_never_pass_novikoffs_bound(seed):
    points, labels = separable(seed)
    found = perceptron.train(points, labels)
    tightest, own = (perceptron.novikoff_bound(points, labels, w) for w in (None, found.weights))
    assert sum(found.mistakes) == len(found.history) - 1 <= tightest <= own


def test_margin_of_unit_vectors_is_known():
    """The hull of (e_i, 1) is nearest to the origin at its center, (1/4, 1/4, 1/4, 1/4, 1)."""
    weights, gamma = perceptron.widest_margin(np.eye(4), np.ones(4))
    np.testing.assert_allclose(gamma**2, 4 * (1 / 4) ** 2 + 1, rtol=1e-12)
    np.testing.assert_allclose(weights * gamma, [1 / 4] * 4 + [1], rtol=1e-12)
    assert perceptron.novikoff_bound(np.eye(4), np.ones(4)) == pytest.approx(2 / (5 / 4), rel=1e-12)


def test_bound_is_reached():
    """One point is one mistake, and R = gamma."""
    points, labels = np.array([[3.0, 4.0]]), [-1]
    assert sum(perceptron.train(points, labels).mistakes) == 1
    assert perceptron.novikoff_bound(points, labels) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_rule_is_the_textbook_loop(seed):
    points, labels = separable(seed, count=11, features=2)
    lifted, weights, history = np.column_stack([points, np.ones(11)]), np.zeros(3), [np.zeros(3)]
    mistakes = [1]
    while mistakes[-1]:
        mistakes.append(0)
        for x, y in zip(lifted, labels):
            if y * (weights @ x) <= 0:
                weights = weights + y * x
                history.append(weights)
                mistakes[-1] += 1
    found = perceptron.train(points, labels)
    np.testing.assert_allclose(found.history, history, rtol=1e-12, atol=1e-12)
    assert found.mistakes == tuple(mistakes[1:])


def test_weights_change_only_by_a_mistaken_point():
    points, labels = separable(3)
    history = perceptron.train(points, labels).history
    signed = labels[:, None] * np.column_stack([points, np.ones(len(points))])
    for before, after in itertools.pairwise(history):
        (row,) = np.flatnonzero(np.isclose(signed, after - before, atol=1e-9).all(axis=1))
        assert signed[row] @ before <= 0


@pytest.mark.parametrize("seed", range(6))
def test_widest_margin_is_that_of_the_support_vector_machine(seed):
    points, labels = separable(seed)
    weights, gamma = perceptron.widest_margin(points, labels)
    signed = labels[:, None] * np.column_stack([points, np.ones(len(points))])
    # The machine without an intercept, as sklearn has it not: min |S' a|^2 with a >= 0, sum a = 1, by least squares.
    shares, _ = nnls(np.vstack([signed.T, np.ones(len(signed))]), np.append(np.zeros(4), 1.0))
    normal = signed.T @ (shares / shares.sum())
    np.testing.assert_allclose(gamma, np.linalg.norm(normal), rtol=1e-9)
    np.testing.assert_allclose(weights, normal / np.linalg.norm(normal), atol=1e-9)
    assert gamma == pytest.approx((signed @ weights).min(), rel=1e-9)


def test_widest_margin_of_iris_is_that_of_sklearn():
    points, labels = setosa_and_versicolor()
    signed = labels[:, None] * np.column_stack([points, np.ones(100)])
    both = np.concatenate([signed, -signed])  # a symmetric problem has the intercept 0
    machine = SVC(kernel="linear", C=1e9, tol=1e-9).fit(both, np.repeat([1, -1], 100))
    assert machine.intercept_ == pytest.approx(0, abs=1e-6)
    _, gamma = perceptron.widest_margin(points, labels)
    assert gamma == pytest.approx(1 / np.linalg.norm(machine.coef_), rel=1e-5)


def test_xor_never_converges_and_its_weights_repeat():
    found = perceptron.train(CORNERS, XOR)
    assert not found.converged and found.cycle == 1 and len(found.mistakes) < 1000
    assert min(found.mistakes) > 0
    assert perceptron.accuracy(found.history, CORNERS, XOR).max() <= 0.75


def test_cycle_is_the_period_after_the_way_into_it():
    """Integer points: the bounded weights are finitely many, so they must come back."""
    points = np.array([[2, -2], [-3, -1], [-1, 2], [0, -3], [-1, 1], [2, 2]])
    found = perceptron.train(points, [1, -1, 1, -1, 1, -1])
    assert not found.converged and 1 < found.cycle < len(found.mistakes)
    ends = found.history[np.cumsum([0, *found.mistakes])]  # weights at the start and after each epoch
    np.testing.assert_array_equal(ends[-1], ends[-1 - found.cycle])
    assert len(np.unique(ends, axis=0)) == len(ends) - 1


def test_weights_of_the_inseparable_stay_bounded():
    """The perceptron cycling theorem, on points in general position."""
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(23, 2)), rng.choice([-1, 1], size=23)
    found = perceptron.train(points, labels, epochs=400)
    norms = np.linalg.norm(found.history, axis=1)
    assert not found.converged and len(norms) > 2000
    assert norms[len(norms) // 2 :].max() <= 1.5 * norms[: len(norms) // 2].max()


def test_lines_realize_fourteen_of_the_sixteen_functions_of_two_bits():
    failures = []
    for values in itertools.product((-1, 1), repeat=4):
        found = perceptron.train(CORNERS, np.array(values))
        try:
            perceptron.widest_margin(CORNERS, values)
            assert found.converged
        except ValueError:
            assert not found.converged
            failures.append(values)
    assert failures == [(-1, 1, 1, -1), (1, -1, -1, 1)]  # exclusive or, and its opposite


def test_no_line_gets_more_than_three_corners_of_xor():
    lines = np.random.default_rng(0).normal(size=(20000, 3))
    assert perceptron.accuracy(lines, CORNERS, XOR).max() == 0.75


@quick
@given(seeds, st.integers(2, 9), st.integers(1, 4), st.integers(-9, 9), st.booleans())
def test_margin_exists_if_a_linear_program_finds_a_hyperplane(seed, count, features, exponent, split):
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(count, features)), rng.choice([-1, 1], count)
    if split:
        labels = np.where(points @ rng.normal(size=features) > 0, 1, -1)
    signed = labels[:, None] * np.column_stack([points, np.ones(count)])
    program = linprog(np.zeros(features + 1), -signed, -np.ones(count), bounds=(None, None))
    points, signed = points * 10.0**exponent, signed * np.append(np.full(features, 10.0**exponent), 1)
    if program.status:
        with pytest.raises(ValueError, match="No hyperplane"):
            perceptron.widest_margin(points, labels)
        return
    weights, gamma = perceptron.widest_margin(points, labels)
    assert gamma > 0 and np.linalg.norm(weights) == pytest.approx(1)
    assert (signed @ weights).min() == pytest.approx(gamma, rel=1e-5)
    others = weights + rng.normal(size=(50, features + 1)) * 10.0 ** rng.uniform(-9, 0, (50, 1))
    reached = (others @ signed.T).min(1) / np.linalg.norm(others, axis=1)
    assert reached.max() <= gamma * (1 + 1e-9) + 1e-14 * np.linalg.norm(signed, axis=1).max()


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-10])
def test_margin_of_two_points_close_together_is_half_their_distance(distance):
    weights, gamma = perceptron.widest_margin([[0.0], [distance]], [-1, 1])
    assert gamma == pytest.approx(distance / 2, rel=1e-6)
    np.testing.assert_allclose(weights, [1, -distance / 2], rtol=1e-6)


def test_the_perceptron_decides_alike_for_points_of_any_size():
    points, labels = separable(3, count=9)
    for scale in (2.0**600, 2.0**-300):  # powers of two round nothing; at both ends the squares leave the range
        weights = np.random.default_rng(0).normal(size=4) * scale
        assert perceptron.margin(weights, points, labels) == perceptron.margin(weights / scale, points, labels)
    huge = points * 2.0**600
    found = perceptron.train(huge, labels, epochs=50)
    assert np.isfinite(found.history).all() and perceptron.accuracy(found.weights / 2.0**600, huge, labels) > 0.5
    assert np.isfinite(perceptron.novikoff_bound(1e200 * np.array([[1.0], [-1.0]]), [1, -1]))


def test_predictions_take_many_lines_at_once():
    weights = np.random.default_rng(0).normal(size=(5, 2, 4))
    points = np.random.default_rng(1).normal(size=(7, 3))
    together = perceptron.predict(weights, points)
    assert together.shape == (5, 2, 7) and set(np.unique(together)) == {-1, 1}
    np.testing.assert_array_equal(together[3, 1], [np.sign(weights[3, 1] @ [*x, 1]) for x in points])
    labels = np.array([1, -1, 1, 1, -1, -1, 1])
    np.testing.assert_allclose(perceptron.accuracy(weights, points, labels), (together == labels).mean(axis=-1))


def test_bias_shifts_the_line_off_the_origin():
    points, labels = np.array([[4.0], [5.0], [6.0], [7.0]]), np.array([-1, -1, 1, 1])
    found = perceptron.train(points, labels)
    assert found.converged and 5 <= -found.weights[1] / found.weights[0] < 6
    weights, _ = perceptron.widest_margin(points, labels)
    assert 5 < -weights[1] / weights[0] < 6


@pytest.mark.parametrize(
    "points, labels, words",
    [
        (CORNERS, [0, 1, 1, 0], r"hold \[0 1\]; give -1 and \+1"),
        (CORNERS, [1, 1, 1], r"shape \(3,\); give one for each of the 4"),
        (np.zeros((0, 2)), [], r"shape \(0, 2\)"),
        (np.zeros(3), [1, 1, 1], r"shape \(3,\); give \(N, F\)"),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), [1, -1], "Point 1 has nan in feature 1"),
        (np.array([[np.inf, 2.0]]), [1], "Point 0 has inf in feature 0"),
    ],
)
@pytest.mark.parametrize("function", [perceptron.train, perceptron.widest_margin, perceptron.novikoff_bound])
def test_bad_input_is_refused(function, points, labels, words):
    with pytest.raises(ValueError, match=words):
        function(points, labels)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="epochs is 0"):
        perceptron.train(CORNERS, XOR, epochs=0)
    with pytest.raises(ValueError, match=r"shape \(2,\) do not fit points of shape \(4, 2\)"):
        perceptron.predict([1.0, 2.0], CORNERS)
    with pytest.raises(ValueError, match="No hyperplane separates these 4 points"):
        perceptron.widest_margin(CORNERS, XOR)
    with pytest.raises(ValueError, match="margin -"):
        perceptron.novikoff_bound(CORNERS, [-1, -1, -1, 1], np.array([-1.0, -1.0, 0.0]))
