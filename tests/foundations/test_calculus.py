"""Differences, Taylor and descent against closed forms and the rates that the textbooks promise."""

from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import magnitudes, quick
from tfdl.foundations.autodiff import Tensor, cos, exp, grad, log, sin, tanh
from tfdl.foundations.calculus import (
    SURFACES,
    difference_errors,
    gradcheck,
    gradient_descent,
    newton,
    numeric_gradient,
    numeric_hessian,
    numeric_jacobian,
    taylor,
)

KAPPA = 25.0  # condition number of the ravine


def hand_gradient(x, y):
    """Of Rosenbrock's function."""
    return [-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)]


def hand_hessian(x, y):
    """Of Rosenbrock's function."""
    return [[2 - 400 * y + 1200 * x**2, -400 * x], [-400 * x, 200]]


# --- differences -----------------------------------------------------------------------------------------------------


def test_numeric_derivatives_are_those_of_the_closed_form():
    point = np.array([0.7, -0.4, 1.3])
    a = np.arange(9.0).reshape(3, 3)

    def function(x):
        return np.sin(x[0]) * np.exp(x[1]) + x @ a @ x

    x, y, _ = point
    bend = np.zeros((3, 3))
    bend[:2, :2] = np.exp(y) * np.array([[-np.sin(x), np.cos(x)], [np.cos(x), np.sin(x)]])
    slope = np.array([np.cos(x) * np.exp(y), np.sin(x) * np.exp(y), 0])
    np.testing.assert_allclose(numeric_gradient(function, point), slope + (a + a.T) @ point, rtol=1e-8)
    np.testing.assert_allclose(numeric_hessian(function, point), bend + a + a.T, rtol=1e-6)


def test_numeric_jacobian_has_the_shapes_of_output_then_input():
    x = np.arange(1.0, 7.0).reshape(2, 3)
    jacobian = numeric_jacobian(lambda x: np.outer(x[0], x[1])[:, :2], x)
    assert jacobian.shape == (3, 2, 2, 3)
    assert jacobian[2, 1, 0, 2] == pytest.approx(x[1, 1]) and jacobian[2, 1, 1, 1] == pytest.approx(x[0, 2])


def test_step_grows_with_large_coordinates():
    assert numeric_gradient(lambda x: x[0] ** 2, [1e9])[0] == pytest.approx(2e9, rel=1e-9)


def test_error_of_central_differences_falls_with_the_square_of_the_step():
    errors = [abs(numeric_gradient(np.sin, 0.5, step=h) - np.cos(0.5)) for h in (1e-1, 1e-2)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)
    assert errors[1] == pytest.approx(1e-4 * np.cos(0.5) / 6, rel=0.01)  # h^2 |f'''| / 6


def test_differences_trade_truncation_for_rounding():
    errors = difference_errors(np.sin, np.cos, 1.0, np.logspace(-12, -1, 12))
    for scheme, order in (("forward", 1), ("central", 2)):
        steps, error = errors[scheme]
        assert error[-1] / error[-2] == pytest.approx(10**order, rel=0.1)  # truncation: a power of the step
        assert error[0] > 1e-6  # rounding: 1e-16 / 1e-12
        assert 1 < error.argmin() < 10
    assert errors["central"][1].min() < errors["forward"][1].min() / 10


def test_gradcheck_passes_right_rules_and_catches_a_wrong_one():
    x, y = np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(1, 2, 3)
    assert gradcheck(lambda x, y: (tanh(x) / y).sum(1), x, y) < 1e-8

    def wrong_square(x):
        return Tensor(x.value**2, ((x, lambda g, y: g * x),))  # the 2 is missing

    assert gradcheck(wrong_square, x) > 0.4
    for wrong in (lambda x, y: x * y.value, lambda x, y: x.value * y):  # no gradient for one of the two
        assert gradcheck(wrong, x, y) > 0.4


@quick
@given(magnitudes(-290, 290), st.floats(-3, 3), magnitudes(-140, 140))
def test_gradcheck_is_relative_at_every_magnitude(scale, x, size):
    x = np.array([x, 1.0])

    def twice_too_large(x):
        y = scale * tanh(x)
        return Tensor(y.value, ((x, lambda g, y: 2 * g * scale * (1 - tanh(x) ** 2)),))

    assert gradcheck(lambda x: scale * tanh(x), x) < 1e-8
    assert gradcheck(twice_too_large, x) == pytest.approx(1, rel=1e-6)
    slope = numeric_gradient(lambda x: (x * x).sum(), [size])
    np.testing.assert_allclose(slope, [2 * size], rtol=1e-8, atol=1e-20)


def test_gradcheck_of_a_rule_that_is_nan_is_nan():
    assert np.isnan(gradcheck(lambda x: Tensor(x.value, ((x, lambda g, y: g * np.nan),)), np.ones(2)))
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(gradcheck(lambda x: x**0.5, np.array([0.0])))
        assert np.isnan(gradcheck(lambda x, y: log(x) * y, np.array([-1.0, 1.0]), np.ones(2)))


def test_gradcheck_passes_a_function_that_does_not_change():
    assert gradcheck(lambda x: 0 * x, np.ones(3)) == 0
    assert gradcheck(lambda x: exp(x) / exp(x).sum(), np.zeros(1)) < 1e-7


def test_gradcheck_of_a_gradient_checks_second_derivatives():
    def slope(x):
        return grad((exp(x) * x).sum(), x, create_graph=True)

    assert gradcheck(slope, np.linspace(-1, 1, 4)) < 1e-8


# --- Taylor ----------------------------------------------------------------------------------------------------------

ORDER = 9
SERIES = {
    "exp": (exp, 0.0, [1 / factorial(k) for k in range(ORDER + 1)]),
    "sin": (sin, 0.0, [[0, 1, 0, -1][k % 4] / factorial(k) for k in range(ORDER + 1)]),
    "cos": (cos, 0.0, [[1, 0, -1, 0][k % 4] / factorial(k) for k in range(ORDER + 1)]),
    "log at 2": (log, 2.0, [np.log(2)] + [-((-0.5) ** k) / k for k in range(1, ORDER + 1)]),
    "1/(1-x)": (lambda x: 1 / (1 - x), 0.0, [1] * 7),
    "tanh": (tanh, 0.0, [0, 1, 0, -1 / 3, 0, 2 / 15, 0, -17 / 315]),
    "cubic": (lambda x: 2 + 3 * x - x**3, 0.0, [2, 3, 0, -1, 0, 0]),
}


@pytest.mark.parametrize("function, center, series", SERIES.values(), ids=SERIES)
def test_taylor_coefficients_are_the_known_series(function, center, series):
    np.testing.assert_allclose(taylor(function, center, len(series) - 1), series, rtol=1e-12, atol=1e-14)


def test_taylor_at_several_centers_at_once():
    centers = np.array([0.0, 1.0, -2.0])
    coefficients = taylor(exp, centers, 3)
    np.testing.assert_allclose(coefficients, np.exp(centers) / np.array([1, 1, 2, 6])[:, None])


# --- ways down -------------------------------------------------------------------------------------------------------


def errors_of(descent, minimum):
    return np.linalg.norm(descent.points - minimum, axis=1)


def test_best_rate_on_a_quadratic_shrinks_the_error_by_the_textbook_factor():
    ravine = SURFACES["ravine"]  # curvatures 1 and 25
    descent = gradient_descent(ravine.gradient, ravine.start, rate=2 / (1 + KAPPA))
    ratios = np.divide(*(e := errors_of(descent, (0, 0)), np.roll(e, 1)))[1:]
    np.testing.assert_allclose(ratios, (KAPPA - 1) / (KAPPA + 1))
    assert descent.converged


def test_momentum_needs_the_square_root_of_the_condition_number():
    ravine = SURFACES["ravine"]
    factor = (np.sqrt(KAPPA) - 1) / (np.sqrt(KAPPA) + 1)  # Polyak 1964
    rate = 4 / (1 + np.sqrt(KAPPA)) ** 2
    descent = gradient_descent(ravine.gradient, ravine.start, rate=rate, momentum=factor**2, tolerance=1e-12)
    errors = errors_of(descent, (0, 0))
    assert (errors[60] / errors[20]) ** (1 / 40) == pytest.approx(factor, abs=0.02)


def test_newton_squares_the_error_near_the_minimum():
    # f = sum(e^x - 2x) is lowest at log 2, where the error becomes f'''/(2f'') = 1/2 of its square.
    descent = newton(lambda x: np.exp(x) - 2, lambda x: np.diag(np.exp(x)), (0.5, 1.0), tolerance=1e-12)
    errors = np.abs(descent.points - np.log(2))
    np.testing.assert_allclose(errors[2:4] / errors[1:3] ** 2, 0.5, rtol=0.02)
    assert errors[-1].max() < 1e-12 and descent.steps == 4


def test_newton_solves_a_quadratic_in_one_step():
    ravine = SURFACES["ravine"]
    assert newton(ravine.gradient, ravine.hessian, ravine.start).steps == 1


def test_newton_needs_six_steps_on_rosenbrock_where_descent_needs_thousands():
    rosenbrock = SURFACES["rosenbrock"]
    assert newton(rosenbrock.gradient, rosenbrock.hessian, rosenbrock.start).steps == 6
    slow = gradient_descent(rosenbrock.gradient, rosenbrock.start, rate=1e-3, steps=2000)
    assert not slow.converged and slow.steps == 2000
    fast = gradient_descent(rosenbrock.gradient, rosenbrock.start, rate=1e-3, momentum=0.9, steps=4000)
    assert fast.converged
    np.testing.assert_allclose(fast.points[-1], (1, 1), atol=1e-5)


def test_newton_is_drawn_to_the_saddle_and_the_others_leave_it():
    saddle = SURFACES["saddle"]
    plain = newton(saddle.gradient, saddle.hessian, saddle.start)
    np.testing.assert_allclose(plain.points[-1], (0, 0), atol=1e-6)
    assert (np.linalg.eigvalsh(saddle.hessian(plain.points[-1])) * [-1, 1] > 0).all()
    ways = saddle.optimization_paths(rate=0.1, momentum=0.9, steps=500)
    np.testing.assert_array_equal(ways.pop("Newton").points, plain.points)
    assert len(ways) == 3 and all(path.converged for path in ways.values())
    for path in ways.values():
        np.testing.assert_allclose(path.points[-1], (0, 1), atol=1e-5)


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_surface_is_flat_and_curved_upward_at_its_minima(surface):
    for minimum in surface.minima:
        np.testing.assert_allclose(surface.gradient(minimum), 0, atol=1e-12)
        assert np.linalg.eigvalsh(surface.hessian(minimum)).min() > 0
    x, y = np.meshgrid(np.linspace(*surface.x_range, 60), np.linspace(*surface.y_range, 50))
    assert surface.function(x, y).min() >= surface.function(*np.array(surface.minima[0])) - 1e-12
    for point in (*surface.minima, surface.start):
        assert surface.x_range[0] < point[0] < surface.x_range[1]
        assert surface.y_range[0] < point[1] < surface.y_range[1]


def test_surface_derivatives_are_those_by_hand():
    rosenbrock = SURFACES["rosenbrock"]
    np.testing.assert_allclose(rosenbrock.gradient((-1.2, 1.0)), hand_gradient(-1.2, 1.0))
    np.testing.assert_allclose(rosenbrock.hessian((-1.2, 1.0)), hand_hessian(-1.2, 1.0))


def test_path_from_the_minimum_is_one_point():
    descent = gradient_descent(SURFACES["beale"].gradient, (3.0, 0.5), rate=0.1)
    assert descent.points.shape == (1, 2) and descent.converged and descent.steps == 0


# --- bad input -------------------------------------------------------------------------------------------------------


def test_rate_that_diverges_is_named():
    rosenbrock = SURFACES["rosenbrock"]
    with pytest.raises(ValueError, match="After .* steps .* lower the learning rate, which is 0.1"):
        gradient_descent(rosenbrock.gradient, rosenbrock.start, rate=0.1)


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"rate": -1.0}, {"rate": 0.1, "momentum": 1.0}])
def test_rate_and_momentum_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=str(options["rate"])):
        gradient_descent(SURFACES["ravine"].gradient, (1.0, 1.0), **options)


def test_singular_hessian_is_named_with_its_point():
    with pytest.raises(ValueError, match=r"regular Hessian.*\[2\. 3\.\]"):
        newton(lambda x: np.array([x[0], 0.0]) + 1, lambda x: np.diag([1.0, 0.0]), (2.0, 3.0))


def test_gradient_of_a_vector_function_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\).*numeric_jacobian"):
        numeric_gradient(np.sin, np.ones(3))


def test_gradcheck_in_float32_is_refused():
    with pytest.raises(ValueError, match="float64 inputs, not float32"):
        gradcheck(lambda x, y: x * y, np.ones(2), np.ones(2, "float32"))


@pytest.mark.parametrize("function, order, word", [(exp, -1, "-1"), (lambda x: x.sum(), 2, r"\(3,\) to \(\)")])
def test_taylor_refuses_negative_orders_and_reductions(function, order, word):
    with pytest.raises(ValueError, match=word):
        taylor(function, np.ones(3), order)
