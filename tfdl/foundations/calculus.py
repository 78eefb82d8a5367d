"""Calculus on the computer: derivatives by differences, Taylor polynomials, and paths of optimizers on a surface.

Differences need only values of the function but lose a third or more of the digits; here they check the exact
derivatives of autodiff.py.  The central difference (f(x + h) - f(x - h)) / 2h has a truncation error of h^2 f'''/6,
which shrinks with the step h, and a rounding error proportional to 1/h, which grows: the best step balances the two.

Source: Nocedal and Wright 2006, "Numerical Optimization", 2nd ed., chapters 2, 3 and 8.
Shapes: N coordinates of a point, T steps of a path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import NamedTuple

import numpy as np

from tfdl.foundations.autodiff import Tensor, grad, hessian, jacobian

EPSILON = np.finfo(np.float64).eps
FIRST, SECOND = EPSILON ** (1 / 3), EPSILON ** (1 / 4)  # steps that balance the errors (Nocedal & Wright, eq. 8.6, 8.9)


# --- derivatives by central differences ------------------------------------------------------------------------------


def numeric_jacobian(function, x, step=FIRST):
    """dy_i/dx_j by central differences, two calls for each element of `x`.

    Args:
        function: array -> array of any shape (or number).
        x: array.
        step: h for coordinates of size up to 1, h |x_j| for larger ones.

    Returns:
        float64 array of shape y.shape + x.shape.
    """
    x = np.asarray(x, np.float64)
    columns = []
    for j in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[j] += step * max(1.0, abs(x[j]))
        behind[j] -= step * max(1.0, abs(x[j]))
        rise = np.asarray(function(ahead), np.float64) - np.asarray(function(behind), np.float64)
        columns.append(rise / (ahead[j] - behind[j]))  # the actual step, after rounding
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


def numeric_gradient(function, x, step=FIRST):
    """Gradient of a scalar function, array -> number, by central differences.  -> array of the shape of `x`.

    Raises:
        ValueError: the function's value is not a scalar.
    """
    if (shape := np.shape(function(np.asarray(x, np.float64)))) != ():
        raise ValueError(f"The function returns shape {shape}, not a scalar: use numeric_jacobian.")
    return numeric_jacobian(function, x, step)


def numeric_hessian(function, x, step=SECOND):
    """Second derivatives of a scalar function: differences of differences.  -> array of shape x.shape + x.shape."""
    return numeric_jacobian(lambda point: numeric_gradient(function, point, step), x, step)


def difference_errors(function, derivative, x, steps):
    """Relative errors of one-sided and central differences: truncation for large steps, rounding for small ones.

    Args:
        function, derivative: array -> array, elementwise.
        x: number, where the derivative is not 0.
        steps: (K,) values of h.

    Returns:
        {"forward": (steps, errors), "central": (steps, errors)}, relative errors (K,).
    """
    steps = np.asarray(steps, np.float64)
    forward = (function(x + steps) - function(x)) / steps
    central = (function(x + steps) - function(x - steps)) / (2 * steps)
    slopes = {"forward": forward, "central": central}
    return {scheme: (steps, np.abs(slope / derivative(x) - 1)) for scheme, slope in slopes.items()}


def gradcheck(function, *inputs, step=FIRST):
    """Largest relative error of autodiff's Jacobians against central differences.

    Checking a gradient function checks second derivatives:
    `gradcheck(lambda x: grad(f(x), x, create_graph=True), x)`.

    Args:
        function: Tensors -> Tensor of any shape.
        inputs: a float64 array for each argument of the function.

    Returns:
        max |exact - numeric| / max |numeric|, the largest over all inputs; NaN if a value or derivative is NaN.  Where
        the function changes by less than 1/1000 of its value max |y|, the divisor is max |y| / 1000, because the
        differences then are mostly rounding error.  Correct rules give 1e-8 or less for smooth functions; a wrong one
        gives 0.01 or more.

    Raises:
        ValueError: an input is not float64; rounding in float32 would hide errors.
    """
    if other := [np.asarray(x).dtype.name for x in inputs if np.asarray(x).dtype != np.float64]:
        raise ValueError(f"gradcheck needs float64 inputs, not {', '.join(other)}: use x.astype('float64').")
    errors = []
    for i, x in enumerate(inputs):

        def of_one(tensor, i=i):
            return function(*map(Tensor, inputs[:i]), tensor, *map(Tensor, inputs[i + 1 :]))

        exact = jacobian(of_one, x)
        numeric = numeric_jacobian(lambda point, f=of_one: f(Tensor(point)).value, x, step)
        size = np.maximum(np.abs(numeric).max(), np.abs(of_one(Tensor(x)).value).max() / 1000)
        error = np.abs(exact - numeric).max()
        errors.append(error / size if error != 0 else 0.0)
    return float(np.max(errors))  # unlike Python's max, it passes NaN on


# --- Taylor ----------------------------------------------------------------------------------------------------------


def taylor(function, center, order):
    """Coefficients of the Taylor polynomial, by repeated differentiation.

    The recorded computation grows: each order takes three to five times as long as the one before (except for sin and
    exp, whose derivatives stay simple), so orders up to 8 or 10 are practical.

    Args:
        function: Tensor -> Tensor, elementwise.
        center: number or array, a, the point of expansion.
        order: degree of the polynomial.

    Returns:
        array (order + 1, *center.shape): f(a), f'(a), f''(a)/2, ..., for
        `numpy.polynomial.polynomial.polyval(x - center, coefficients)`.

    Raises:
        ValueError: a negative order, or a function that is not elementwise.
    """
    if order < 0:
        raise ValueError(f"The order of a Taylor polynomial is {order}; give 0 or more.")
    x = Tensor(np.asarray(center, np.float64))
    derivative = function(x)
    if derivative.shape != x.shape:
        raise ValueError(
            f"The function maps shape {x.shape} to {derivative.shape}: taylor needs an elementwise function."
        )
    coefficients = [derivative.value]
    for k in range(1, order + 1):
        derivative = grad(derivative.sum(), x, create_graph=True)
        coefficients.append(derivative.value / factorial(k))
    return np.stack(coefficients)


# --- optimization paths ----------------------------------------------------------------------------------------------


class Descent(NamedTuple):
    """The path of a minimizer.

    points: (T + 1, N), the start first.
    converged: whether the gradient's norm fell to the tolerance.
    """

    points: np.ndarray
    converged: bool

    @property
    def steps(self):
        """T."""
        return len(self.points) - 1


def gradient_descent(gradient, start, *, rate, momentum=0.0, steps=10_000, tolerance=1e-6):
    """x <- x - rate * gradient(x) + momentum * (previous step): steepest descent, or Polyak's heavy ball.

    On a quadratic of condition number kappa, the best learning rate without momentum multiplies the error by
    (kappa - 1) / (kappa + 1) in each step; with momentum, the best factor is (sqrt(kappa) - 1) / (sqrt(kappa) + 1)
    (Polyak 1964).

    Args:
        gradient: point (N,) -> (N,).
        start: point (N,).
        rate: the learning rate.
        steps: maximum number of steps.
        tolerance: norm of the gradient at which to stop.

    Returns:
        a `Descent`.

    Raises:
        ValueError: rate <= 0, momentum outside [0, 1), or a gradient on the path is not finite.
    """
    if rate <= 0 or not 0 <= momentum < 1:
        raise ValueError(f"Descent needs a learning rate above 0 and a momentum in [0, 1), not {rate} and {momentum}.")
    last = np.zeros(np.shape(start))

    def step(point, slope):
        nonlocal last
        last = momentum * last - rate * slope
        return last

    return follow(step, gradient, start, steps, tolerance, remedy=f"lower the learning rate, which is {rate}")


def newton(gradient, hessian, start, *, saddle_free=False, steps=100, tolerance=1e-6):
    """x <- x - H(x)^-1 gradient(x): jump to the local quadratic's stationary point (minimum, maximum or saddle).

    Converges quadratically near a stationary point with a regular Hessian.

    Args:
        gradient: point (N,) -> (N,).
        hessian: point (N,) -> (N, N).
        start: point (N,).
        saddle_free: use |H|, the Hessian with its eigenvalues' absolute values, so that directions of negative
            curvature lead away from a saddle (Dauphin et al. 2014, arXiv:1406.2572, section 5).
        steps, tolerance: as in `gradient_descent`.

    Returns:
        a `Descent`.

    Raises:
        ValueError: the Hessian is singular at a point of the path, or a gradient on the path is not finite.
    """

    def step(point, slope):
        curvatures, directions = np.linalg.eigh(hessian(point))  # H = Q diag(curvatures) Q^T
        if np.abs(curvatures).min() <= EPSILON * np.abs(curvatures).max():
            raise ValueError(f"Newton needs a regular Hessian, but at {point} its eigenvalues are {curvatures}.")
        curvatures = np.abs(curvatures) if saddle_free else curvatures
        return -directions @ (directions.T @ slope / curvatures)

    return follow(step, gradient, start, steps, tolerance, remedy="start nearer to the minimum")


def follow(step, gradient, start, steps, tolerance, *, remedy):
    """Adds step(point, gradient) to the point until the gradient is small.  -> `Descent`."""
    points = [np.asarray(start, np.float64)]
    while True:
        with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the remedy
            slope = gradient(points[-1])
            converged = bool(np.linalg.norm(slope) <= tolerance)
        if not np.isfinite(slope).all():
            raise ValueError(f"After {len(points) - 1} steps from {points[0]} the gradient is {slope}: {remedy}.")
        if converged or len(points) > steps:
            return Descent(np.stack(points), converged)
        points.append(points[-1] + step(points[-1], slope))


# --- surfaces --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A test function f(x, y) with a start for minimizers; its derivatives come from autodiff.py.

    Attributes:
        function: x, y (arrays or Tensors of one shape) -> values of that shape.
        start: (2,).
        minima: all of them, (K, 2).
        x_range, y_range: (low, high) of the region to plot.
    """

    function: Callable
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def gradient(self, point):
        """(2,) -> (2,)."""
        x = Tensor(point)
        return grad(self.function(x[0], x[1]), x).value

    def hessian(self, point):
        """(2,) -> (2, 2)."""
        return hessian(lambda x: self.function(x[0], x[1]), point)

    @property
    def picture(self):
        """The arguments of `tfdl.figures.surfaces` that describe this surface."""
        return {"x_range": self.x_range, "y_range": self.y_range, "minima": self.minima}

    def optimization_paths(self, *, rate, momentum, steps):
        """Name of the method -> its `Descent` from the start; the arguments apply to the first two methods."""
        return {
            "gradient descent": gradient_descent(self.gradient, self.start, rate=rate, steps=steps),
            "momentum": gradient_descent(self.gradient, self.start, rate=rate, momentum=momentum, steps=steps),
            "Newton": newton(self.gradient, self.hessian, self.start),
            "saddle-free Newton": newton(self.gradient, self.hessian, self.start, saddle_free=True),
        }


SURFACES = {
    "rosenbrock": Surface(  # Rosenbrock 1960: a flat curved valley between steep walls
        function=lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        start=(-1.2, 1.0), minima=((1.0, 1.0),), x_range=(-2.0, 2.0), y_range=(-1.0, 3.0),
    ),
    "saddle": Surface(  # ours: slopes down along y on both sides of the saddle at (0, 0), then up again
        function=lambda x, y: x**2 / 2 - y**2 / 2 + y**4 / 4,
        start=(-1.5, 0.05), minima=((0.0, -1.0), (0.0, 1.0)), x_range=(-2.0, 2.0), y_range=(-1.6, 1.6),
    ),
    "beale": Surface(  # Beale 1958: flat middle, steep corners
        function=lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        start=(1.0, 1.5), minima=((3.0, 0.5),), x_range=(-0.5, 4.5), y_range=(-1.5, 2.0),
    ),
    "ravine": Surface(  # a quadratic of condition number 25
        function=lambda x, y: (x**2 + 25 * y**2) / 2,
        start=(-4.0, 1.2), minima=((0.0, 0.0),), x_range=(-5.0, 5.0), y_range=(-2.0, 2.0),
    ),
}  # fmt: skip
