"""The perceptron: a linear classifier that learns only from its mistakes, and the proof of how few they are.

Sources: Rosenblatt 1958, Psychological Review 65(6), the rule; Novikoff 1962, "On convergence proofs for
perceptrons", the bound; Block & Levin 1970, "On the boundedness of an iterative procedure for solving a system of
linear inequalities", what happens where no line separates; Wolfe 1976, "Finding the nearest point in a polytope".

Shapes: N points of F features; labels -1 or +1; weights (F + 1), of which the last is the bias.  The bias is the weight
of a coordinate that is always 1, so that a hyperplane anywhere is one through the origin of one more dimension.
"""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-12  # of squared norms, the largest scaled to 1: below it float64 cannot tell a point from the origin


@dataclass(frozen=True, eq=False)
class Perceptron:
    """What `train` found.

    Attributes:
        history: (M + 1, F + 1) weights at the start (zeros) and after each of the M mistakes.
        mistakes: tuple of the mistakes made in each epoch; the last is 0 where it converged.
        converged: an epoch passed without a mistake.
        cycle: epochs after which the weights repeat themselves forever, the proof that it never converges;
            None where they were not seen to.
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
    """Rosenblatt's rule: while a point x of label y lies on the wrong side, w <- w + y x.

    The points come in the given order, the same in every epoch.  No step size: starting from zero weights it would
    scale all weights alike, and change no prediction.

    Args:
        points: (N, F) finite.
        labels: (N), -1 or +1.
        epochs: at most so many passes.  All weights on the way are kept: of a large set that may be inseparable, a few.

    Raises:
        ValueError: a wrong shape or label, no points, a value that is not finite, or epochs below 1.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; give 1 or more.")
    signed = signed_points(points, labels)  # (N, F + 1): w is right about point i where signed[i] @ w > 0
    weights = np.zeros(signed.shape[1])
    history, mistakes, seen, cycle = [weights], [], {tuple(weights): 0}, None
    for epoch in range(1, epochs + 1):
        before, row = len(history), 0
        while (wrong := np.flatnonzero(signed[row:] @ weights <= 0)).size:  # 0, on the line, is a mistake too
            row += wrong[0] + 1
            weights = weights + signed[row - 1]
            history.append(weights)
        mistakes.append(len(history) - before)
        if mistakes[-1] == 0:
            break
        first = seen.setdefault(tuple(weights), epoch)
        if first < epoch:  # same weights, same order of points: the same epochs again, without end
            cycle = epoch - first
            break
    return Perceptron(np.stack(history), tuple(mistakes), converged=mistakes[-1] == 0, cycle=cycle)


def predict(weights, points):
    """The side of the hyperplane, -1 or +1; -1 on it.

    Args:
        weights: (..., F + 1), one hyperplane or many at once.
        points: (N, F).

    Returns:
        (..., N) int64.

    Raises:
        ValueError: weights and points do not fit together.
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
    """Share of points on their side.  Weights (..., F + 1) -> (...)."""
    return (scores(weights, points) * check_labels(labels, len(points)) > 0).mean(axis=-1)


# Novikoff's bound


def widest_margin(points, labels):
    """The hyperplane farthest from its nearest point, in the space with the constant coordinate.

    All signed points z = y (x, 1) lie on one side of a hyperplane through the origin just where their convex hull
    does not contain the origin.  The nearest point of the hull is then the normal of the widest margin, and its
    distance is the margin: the dual of the hard-margin support vector machine.

    Returns:
        (weights (F + 1) of norm 1, gamma): every signed point has `weights @ z >= gamma > 0`.

    Raises:
        ValueError: no hyperplane separates the labels, or bad input as in `train`.
    """
    signed = signed_points(points, labels)
    nearest = nearest_to_origin(signed)
    gamma = margin(nearest, points, labels) if (nearest**2).sum() > TOLERANCE * squared_radius(signed) else 0.0
    if gamma <= 0:
        raise ValueError(
            f"No hyperplane separates these {len(signed)} points: the convex hulls of the two labels meet. "
            "The perceptron will never stop making mistakes on them."
        )
    return nearest / np.linalg.norm(nearest), gamma


def margin(weights, points, labels):
    """Smallest signed distance y w . (x, 1) / |w| of a point, in the space with the constant coordinate."""
    return float((signed_points(points, labels) @ weights).min() / np.linalg.norm(weights))


def novikoff_bound(points, labels, weights=None):
    """At most (R / gamma)^2 mistakes, in whatever order the points come.

    R is the largest norm of a point (x, 1), gamma the margin of a hyperplane that separates them.  Each mistake adds
    at least gamma to the weights along that hyperplane's normal, but at most R^2 to their squared norm, and after M
    mistakes M gamma <= |w| <= sqrt(M) R.

    Args:
        weights: (F + 1) of any separating hyperplane; None for that of the widest margin, which bounds tightest.

    Raises:
        ValueError: the weights do not separate the labels, or nothing does.
    """
    gamma = widest_margin(points, labels)[1] if weights is None else margin(weights, points, labels)
    if not gamma > 0:
        raise ValueError(f"These weights have the margin {gamma:.3g}; give weights that separate the labels.")
    return squared_radius(signed_points(points, labels)) / gamma**2


def nearest_to_origin(points):
    """The point of the convex hull of `points` (N, D) with the smallest norm, (D): Wolfe 1976.

    It is held as a mixture of a few corners.  Each round takes in the corner that reaches farthest back to the
    origin, then moves to the nearest point of the flat through the corners, dropping those that it meets on the way
    out of their hull.  The norm falls with every round, so no set of corners comes twice and the end is exact.
    """
    scale = np.sqrt(squared_radius(points))
    if scale == 0:
        return points[0]
    points = points / scale
    corners, shares = [int(np.argmin((points**2).sum(axis=1)))], np.ones(1)
    nearest = points[corners[0]]
    while True:
        reach = points @ nearest
        farthest = int(np.argmin(reach))
        if nearest @ nearest - reach[farthest] <= TOLERANCE:
            return scale * nearest
        corners, shares = corners + [farthest], np.append(shares, 0.0)
        while (wanted := flat_shares(points[corners])).min() <= 0:
            falling = wanted <= 0  # the first of these to reach a share of 0 sets the length of the step
            step = (shares[falling] / np.maximum(shares[falling] - wanted[falling], TOLERANCE)).min()
            shares = shares + step * (wanted - shares)
            kept = (shares > TOLERANCE) | ~falling
            corners = [corner for corner, keep in zip(corners, kept) if keep]
            shares = shares[kept] / shares[kept].sum()
        before, shares = nearest, wanted
        nearest = shares @ points[corners]
        if nearest @ nearest >= before @ before:  # rounding has eaten the progress
            return scale * before


def flat_shares(corners):
    """Shares of sum 1, of either sign, whose mixture of `corners` (K, D) has the smallest norm.  -> (K).

    With G = corners corners', stationary means G shares = a multiple of the ones, and so does (G + 1 1') shares.
    """
    shares = np.linalg.lstsq(corners @ corners.T + 1.0, np.ones(len(corners)))[0]
    return shares / shares.sum()


# Input


def homogeneous(points):
    """(N, F) -> (N, F + 1), the last coordinate 1."""
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def signed_points(points, labels):
    """y (x, 1): a separating w has w . z > 0 for all of them.  (N, F) and (N) -> (N, F + 1)."""
    points = finite_matrix(points)
    return check_labels(labels, len(points))[:, None] * homogeneous(points)


def squared_radius(points):
    return (points**2).sum(axis=1).max()


def finite_matrix(points):
    """As float64 (N, F), or ValueError."""
    points = np.asarray(points, "float64")
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"The points have shape {points.shape}; give (N, F), at least one point of one feature.")
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        raise ValueError(f"Point {row} has {points[row, column]} in feature {column}; remove or fill such values.")
    return points


def check_labels(labels, count):
    """As float64 (count), or ValueError."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(f"The labels have shape {labels.shape}; give one for each of the {count} points.")
    if not np.isin(labels, (-1, 1)).all():
        raise ValueError(f"The labels hold {np.unique(labels)[:5]}; give -1 and +1 (labels of 0 and 1: 2 * y - 1).")
    return labels.astype("float64")
