"""The perceptron: a linear classifier that learns only from its mistakes, and Novikoff's bound on their number.

Sources: Rosenblatt 1958, Psychological Review 65(6), the rule; Novikoff 1962, "On convergence proofs for
perceptrons", the bound; Block & Levin 1970, "On the boundedness of an iterative procedure for solving a system of
linear inequalities", inseparable data; Wolfe 1976, "Finding the nearest point in a polytope".

Shapes: N points of F features; labels -1 or +1; weights (F + 1), of which the last is the bias.  The bias is the weight
of a coordinate that is always 1, so every hyperplane passes through the origin of a space of one more dimension.
"""

from dataclasses import dataclass

import numpy as np

from tfdl.foundations.linear_systems import normalized

# Of norms, relative to the largest point: float64 computes to 1e-16, and a sum of points to a few of these.
ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class Perceptron:
    """The result of `train`.

    Attributes:
        history: (M + 1, F + 1) weights at the start (zeros) and after each of the M mistakes.
        mistakes: tuple of the mistakes made in each epoch; the last is 0 where it converged.
        converged: whether an epoch passed without a mistake.
        cycle: period, in epochs, with which the weights repeat, which proves that training never converges;
            None if no repetition was found.
    """

    history: np.ndarray
    mistakes: tuple[int, ...]
    converged: bool
    cycle: int | None

    @property
    def weights(self):
        """(F + 1) after the last mistake."""
        return self.history[-1]


def train(points, labels, *, epochs=10_000):
    """Rosenblatt's rule: while a point x of label y is on the wrong side, w <- w + y x.

    The points come in the given order, the same in every epoch.  There is no learning rate: with zero
    initial weights it would only scale the weights and change no prediction.

    Args:
        points: (N, F) finite.
        labels: (N), -1 or +1.
        epochs: maximum number of passes.  All weights are stored: use few for large sets that may be inseparable.

    Raises:
        ValueError: invalid shapes or labels, no points, a value that is not finite, or epochs below 1.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; give 1 or more.")
    # (N, F + 1): w classifies point i correctly if signed[i] @ w > 0.  Scaled, since the scale of the points is that of
    # the weights and changes no decision.
    signed, exponent = scaled_points(points, labels)
    weights = np.zeros(signed.shape[1])
    history, mistakes, seen, cycle = [weights], [], {tuple(weights): 0}, None
    for epoch in range(1, epochs + 1):
        before, row = len(history), 0
        while (wrong := np.flatnonzero(signed[row:] @ weights <= 0)).size:  # a score of 0 is a mistake too
            row += wrong[0] + 1
            weights = weights + signed[row - 1]
            history.append(weights)
        mistakes.append(len(history) - before)
        if mistakes[-1] == 0:
            break
        first = seen.setdefault(tuple(weights), epoch)
        if first < epoch:  # same weights and order of points: the epochs repeat forever
            cycle = epoch - first
            break
    return Perceptron(np.ldexp(np.stack(history), exponent), tuple(mistakes), converged=mistakes[-1] == 0, cycle=cycle)


def predict(weights, points):
    """The side of the hyperplane, -1 or +1; -1 on it.

    Args:
        weights: (..., F + 1), a batch of hyperplanes.
        points: (N, F).

    Returns:
        (..., N) int64.

    Raises:
        ValueError: the shapes of weights and points do not fit.
    """
    return np.where(scores(weights, points) > 0, 1, -1)


def scores(weights, points):
    """w . (x, 1): positive on one side, 0 on the hyperplane.  (..., F + 1) and (N, F) -> (..., N)."""
    points, weights = finite_matrix(points), np.asarray(weights, "float64")
    if weights.ndim == 0 or weights.shape[-1] != points.shape[1] + 1:
        raise ValueError(
            f"Weights of shape {weights.shape} do not fit points of shape {points.shape}; give one weight for each of "
            f"the {points.shape[1]} features, then the bias."
        )
    return weights @ homogeneous(points).T


def accuracy(weights, points, labels):
    """Fraction of correctly classified points.  Weights (..., F + 1) -> (...)."""
    return (scores(weights, points) * check_labels(labels, len(points)) > 0).mean(axis=-1)


# Novikoff's bound


def widest_margin(points, labels):
    """The separating hyperplane of largest margin, in the space with the constant coordinate.

    A hyperplane through the origin has all signed points z = y (x, 1) on one side if and only if their convex hull
    does not contain the origin.  The hull's point nearest to the origin is then the normal of the widest margin, and
    its norm is the margin: the dual of the hard-margin support vector machine.

    Returns:
        (weights (F + 1) of norm 1, gamma): every signed point has `weights @ z >= gamma > 0`.

    Raises:
        ValueError: no hyperplane separates the labels, or invalid input as in `train`.
    """
    signed, exponent = scaled_points(points, labels)
    nearest = nearest_to_origin(signed)
    gamma = smallest_distance(signed, nearest) if nearest.any() else 0.0
    if gamma <= 20 * ROUNDING * radius(signed):
        raise ValueError(
            f"No hyperplane separates these {len(signed)} points: the convex hulls of the two labels meet. "
            "The perceptron will never stop making mistakes on them."
        )
    return nearest / np.linalg.norm(nearest), float(np.ldexp(gamma, exponent))


def margin(weights, points, labels):
    """Smallest signed distance y w . (x, 1) / |w| of a point, in the space with the constant coordinate."""
    signed, exponent = scaled_points(points, labels)
    return float(np.ldexp(smallest_distance(signed, np.asarray(weights, "float64")), exponent))


def smallest_distance(signed, weights):
    """Smallest z . w / |w| over the signed points z (N, D)."""
    weights = normalized(weights, -1)[0]
    return (signed @ weights).min() / np.linalg.norm(weights)


def novikoff_bound(points, labels, weights=None):
    """Novikoff's bound on the mistakes, (R / gamma)^2, for any order of the points.

    R is the largest norm of a point (x, 1), gamma the margin of a hyperplane that separates them.  Each mistake adds
    at least gamma to the weights along that hyperplane's normal and at most R^2 to their squared norm, so after M
    mistakes M gamma <= |w| <= sqrt(M) R.

    Args:
        weights: (F + 1) of any separating hyperplane; None for the one of widest margin, the tightest bound.

    Raises:
        ValueError: the weights do not separate the labels, or nothing does.
    """
    gamma = widest_margin(points, labels)[1] if weights is None else margin(weights, points, labels)
    if not gamma > 0:
        raise ValueError(f"These weights have margin {gamma:.3g}; give weights that separate the labels.")
    signed, exponent = scaled_points(points, labels)
    return float((radius(signed) / np.ldexp(gamma, -exponent)) ** 2)


def nearest_to_origin(points):
    """The point of the convex hull of `points` (N, D) with the smallest norm, (D): Wolfe 1976.

    It is stored as a convex combination of a few corners.  Each iteration adds the corner of smallest inner product
    with the current point, then moves to the nearest point of the corners' affine hull, dropping corners whose
    coefficient reaches 0.  The norm falls in every iteration, so no set of corners repeats and the result is exact.
    """
    scale = radius(points)
    if scale == 0:
        return points[0]
    points = points / scale
    corners, coefficients = [int(np.argmin((points**2).sum(axis=1)))], np.ones(1)
    nearest = points[corners[0]]
    while True:
        reach = points @ nearest
        farthest, square = int(np.argmin(reach)), nearest @ nearest
        if square - reach[farthest] <= max(1e-12 * square, ROUNDING * np.sqrt(square)):  # of a point of norm 1
            return scale * nearest
        corners, coefficients = corners + [farthest], np.append(coefficients, 0.0)
        while (wanted := affine_coefficients(points[corners])).min() <= 0:
            falling = wanted <= 0  # the first coefficient to reach 0 sets the length of the step
            step = (coefficients[falling] / np.maximum(coefficients[falling] - wanted[falling], ROUNDING)).min()
            coefficients = coefficients + step * (wanted - coefficients)
            kept = (coefficients > ROUNDING) | ~falling
            corners = [corner for corner, keep in zip(corners, kept) if keep]
            coefficients = coefficients[kept] / coefficients[kept].sum()
        before, coefficients = nearest, wanted
        nearest = coefficients @ points[corners]
        # A small sum of large points has few right digits; orthogonal to their differences, it has them all again.
        directions, _ = np.linalg.qr((points[corners[1:]] - points[corners[0]]).T)
        nearest = nearest - directions @ (directions.T @ nearest)
        if nearest @ nearest >= square:  # no progress beyond rounding
            return scale * before


def affine_coefficients(corners):
    """Coefficients of sum 1, of any sign, whose combination of `corners` (K, D) has the smallest norm.  -> (K).

    Least squares in the differences to the first corner: their products would square the condition number.
    """
    others = np.linalg.lstsq((corners[1:] - corners[0]).T, -corners[0])[0]
    return np.append(1 - others.sum(), others)


# Input validation


def homogeneous(points):
    """(N, F) -> (N, F + 1), the last coordinate 1."""
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def signed_points(points, labels):
    """y (x, 1): w . z > 0 for all of them if w separates the labels.  (N, F) and (N) -> (N, F + 1)."""
    points = finite_matrix(points)
    return check_labels(labels, len(points))[:, None] * homogeneous(points)


def scaled_points(points, labels):
    """`signed_points` times the power of two that brings the largest coordinate to 1/2 ... 1, and its exponent.

    Squares of coordinates above 1e154 would leave the range.
    """
    signed, exponents = normalized(signed_points(points, labels), (0, 1))
    return signed, exponents[0, 0]


def radius(points):
    """Largest norm of the points (N, D)."""
    return np.sqrt((points**2).sum(axis=1).max())


def finite_matrix(points):
    """`points` as float64 (N, F); ValueError if they do not fit."""
    points = np.asarray(points, "float64")
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"The points have shape {points.shape}; give (N, F), with at least one point and one feature.")
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        raise ValueError(f"Point {row} has {points[row, column]} in feature {column}; remove or replace such values.")
    return points


def check_labels(labels, count):
    """`labels` as float64 (count); ValueError if they do not fit."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"The labels have shape {labels.shape}; give one for each of the {count} points.")
    if not np.isin(labels, (-1, 1)).all():
        raise ValueError(f"The labels hold {np.unique(labels)[:5]}; give -1 and +1 (labels of 0 and 1: 2 * y - 1).")
    return labels.astype("float64")
