"""Eigenvalues and singular values: power iteration and Jacobi rotations.

    A v = l v        power_iteration     the largest eigenvalue alone
    A = V L V^T      symmetric_eigen     two-sided Jacobi: rotate pairs of axes until A is diagonal
    A = U S V^T      svd                 one-sided Jacobi: rotate pairs of columns until all are orthogonal

All matrices are (..., m, n), leading axes are a batch; float32 and float64 inputs keep their dtype.  Eigenvalues and
singular values come largest first.  Signs of vectors are arbitrary: here, the largest entry is positive.
Source: Golub and Van Loan 2013, Matrix Computations, 4th ed., sections 7.3, 8.5 and 8.6.
"""

from typing import NamedTuple

import numpy as np

from tfdl.foundations.linear_systems import as_matrix, normalized, qr, rescaled

MAX_SWEEPS = 60  # Jacobi needs about log2(n) + 4 sweeps; a limit, so that a bug cannot loop forever


# --- one eigenvalue --------------------------------------------------------------------------------------------------


class PowerIteration(NamedTuple):
    """The last estimate, and the estimates of all steps."""

    value: np.ndarray  # (...)
    vector: np.ndarray  # (..., n), length 1
    values: np.ndarray  # (steps, ...) the estimate after each step
    residuals: np.ndarray  # (steps, ...) |A v - value v| after each step


def power_iteration(matrix, *, steps, seed):
    """Repeated multiplication by A and normalization gives the eigenvector of the largest |l|, section 7.3.1.

    For a symmetric matrix the residual shrinks by |l2 / l1| in each step, and the error of the value, a Rayleigh
    quotient v^T A v, by its square.  It does not converge if two different eigenvalues are largest, such as l and -l.

    Args:
        matrix: (..., n, n).
        seed: of the normally distributed starting vector.

    Raises:
        ValueError: not square, or no steps.
    """
    a, exponents = normalized(as_matrix(matrix, square=True), (-2, -1))  # squares of 1e160 would leave the range
    if steps < 1:
        raise ValueError(f"power_iteration got {steps} steps; give 1 or more.")
    start = np.random.default_rng(seed).normal(size=a.shape[-1]).astype(a.dtype)
    image = np.broadcast_to(start, a.shape[:-1])
    vector, values, residuals = image, [], []
    for _ in range(steps):
        length = np.sqrt((image * image).sum(-1, keepdims=True))
        vector = np.where(length > 0, image / np.where(length > 0, length, 1), vector)  # A v = 0: v is an eigenvector
        image = (a @ vector[..., None])[..., 0]
        values.append((vector * image).sum(-1))
        residuals.append(np.sqrt(((image - values[-1][..., None] * vector) ** 2).sum(-1)))
    values, residuals = (rescaled(np.stack(x), exponents[..., 0, 0], "eigenvalue") for x in (values, residuals))
    return PowerIteration(values[-1], vector, values, residuals)


# --- all of them: Jacobi ---------------------------------------------------------------------------------------------


def tournament(n):
    """Every pair of 0 ... n-1 once, in rounds of disjoint pairs that can be rotated at the same time.

    The circle method of tournaments: player 0 keeps its seat, the others move by one seat each round; for odd n one
    player pauses in each round.  Returns a list of (p, q), index arrays with p < q.
    """
    seats, rounds = np.arange(n + n % 2), []
    for _ in range(len(seats) - 1):
        p, q = np.sort([seats[: len(seats) // 2], seats[: len(seats) // 2 - 1 : -1]], axis=0)
        rounds.append((p[q < n], q[q < n]))
        seats = np.concatenate([seats[:1], np.roll(seats[1:], 1)])
    return rounds


def jacobi_rotation(alpha, beta, gamma):
    """Cosine and sine of the angle of at most 45 degrees that diagonalizes [[alpha, gamma], [gamma, beta]].

    With J = [[c, s], [-s, c]], J^T [[alpha, gamma], [gamma, beta]] J is diagonal; section 8.5.2, in a form that
    never divides by zero.
    """
    difference = beta - alpha
    denominator = np.abs(difference) + np.hypot(difference, 2 * gamma)
    tangent = np.where(difference < 0, -2, 2) * gamma / np.where(denominator == 0, 1, denominator)
    cosine = 1 / np.sqrt(1 + tangent * tangent)
    return cosine.astype(alpha.dtype), (cosine * tangent).astype(alpha.dtype)


def rotated_rows(first, second, cosine, sine):
    """Each pair of rows (..., k, m) in its plane: first becomes c first - s second, second s first + c second."""
    c, s = cosine[..., None], sine[..., None]
    return c * first - s * second, s * first + c * second


class Eigen(NamedTuple):
    """A = V diag(values) V^T."""

    values: np.ndarray  # (..., n), largest first
    vectors: np.ndarray  # (..., n, n), one per column


def symmetric_eigen(matrix):
    """All eigenvalues and orthonormal eigenvectors of a symmetric matrix, by Jacobi's method of 1846, section 8.5.

    Each rotation of two axes makes one pair of off-diagonal entries zero.  It changes others, but the sum of squares of
    all off-diagonal entries falls; sweeps over all pairs finally converge quadratically.

    Args:
        matrix: (..., n, n).

    Raises:
        ValueError: not symmetric, not square.
    """
    a, exponents = normalized(as_matrix(matrix, symmetric=True), (-2, -1))  # squares stay in the range
    n = a.shape[-1]
    rotated = np.broadcast_to(np.eye(n, dtype=a.dtype), a.shape).copy()  # rows become the eigenvectors
    small = np.finfo(a.dtype).eps * np.sqrt((a * a).sum((-2, -1)))[..., None]
    rounds = tournament(n)
    for _ in range(MAX_SWEEPS):
        done = True
        for p, q in rounds:
            alpha, beta, gamma = a[..., p, p], a[..., q, q], a[..., p, q]
            open_pairs = np.abs(gamma) > small
            if not open_pairs.any():
                continue
            done = False
            angle = jacobi_rotation(alpha, beta, np.where(open_pairs, gamma, 0))
            for x in (a, np.swapaxes(a, -2, -1), rotated):  # rows of A, columns of A, and the axes themselves
                x[..., p, :], x[..., q, :] = rotated_rows(x[..., p, :], x[..., q, :], *angle)
        if done:
            break
    else:
        raise ArithmeticError(f"{MAX_SWEEPS} sweeps did not diagonalize a matrix of shape {a.shape}.")
    values = rescaled(np.diagonal(a, axis1=-2, axis2=-1), exponents[..., 0], "largest eigenvalue")
    order = np.argsort(-values, axis=-1)
    rotated = np.take_along_axis(rotated, order[..., None], -2)
    return Eigen(np.take_along_axis(values, order, -1), np.swapaxes(rotated * signs(rotated), -2, -1))


def signs(rows):
    """+1 or -1 for each row (..., n, m) -> (..., n, 1): the sign of its largest entry."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(-1)[..., None], -1)
    return np.where(largest < 0, -1, 1).astype(rows.dtype)


class SVD(NamedTuple):
    """A = U diag(values) V^T, with k = min(m, n)."""

    u: np.ndarray  # (..., m, k), orthonormal columns
    values: np.ndarray  # (..., k), largest first, none negative
    vt: np.ndarray  # (..., k, n), orthonormal rows


def svd(matrix):
    """Singular value decomposition by one-sided Jacobi rotations, section 8.6.

    A rotation of two columns makes them orthogonal.  When all are, their lengths are the singular values.  Each round
    of `tournament` rotates n / 2 pairs at once.

    Args:
        matrix: (..., m, n), of any rank.

    Raises:
        ValueError: not a matrix, not finite.
    """
    a = as_matrix(matrix)
    if a.shape[-2] < a.shape[-1]:
        v, values, ut = svd(np.swapaxes(a, -2, -1))
        u, vt = np.swapaxes(ut, -2, -1), np.swapaxes(v, -2, -1)
    else:
        u, values, vt = tall_svd(a)
    sign = signs(vt)
    return SVD(u * np.swapaxes(sign, -2, -1), values, vt * sign)


def tall_svd(a):
    """SVD of a (..., m, n) with m >= n; signs are not normalized."""
    a, exponents = normalized(a, (-2, -1))
    # R is small and square, and the R of its transpose is closer to diagonal (Drmac and Veselic 2008): two more
    # QR decompositions halve the number of sweeps for a photograph.
    left, r = qr(a)
    right, r = qr(np.swapaxes(r, -2, -1))
    turn, r = qr(np.swapaxes(r, -2, -1))  # a = left turn r right^T
    rows, turned = orthogonalize(r)  # turned @ r = rows, so a = (left turn turned^T) rows right^T
    lengths = np.sqrt((rows * rows).sum(-1))
    order = np.argsort(-lengths, axis=-1)
    rows, turned = (np.take_along_axis(x, order[..., None], -2) for x in (rows, turned))
    # Orthogonal columns are their own QR up to signs, but Q is orthonormal even where the length is zero.
    v, diagonal = qr(np.swapaxes(rows, -2, -1))
    sign = np.where(np.diagonal(diagonal, axis1=-2, axis2=-1) < 0, -1, 1).astype(a.dtype)
    u = left @ (turn @ np.swapaxes(turned, -2, -1)) * sign[..., None, :]
    values = rescaled(np.take_along_axis(lengths, order, -1), exponents[..., 0], "largest singular value")
    return u, values, np.swapaxes(right @ v, -2, -1)


def orthogonalize(a):
    """Rotates pairs of rows until all are orthogonal.  (..., n, n) -> rows, J, both (..., n, n), with J a = rows."""
    n, eps = a.shape[-1], np.finfo(a.dtype).eps
    # The rotations are also applied to I.
    both = np.concatenate([a, np.broadcast_to(np.eye(n, dtype=a.dtype), a.shape)], -1)
    rounds = tournament(n)
    for _ in range(MAX_SWEEPS):
        done = True
        for p, q in rounds:
            first, second = both[..., p, :], both[..., q, :]
            alpha, beta, gamma = (
                np.einsum("...ij,...ij->...i", x[..., :n], y[..., :n])
                for x, y in ((first, first), (second, second), (first, second))
            )
            # Orthogonal to rounding: |cosine of the angle| <= sqrt(n) eps
            open_pairs = gamma * gamma > n * eps**2 * alpha * beta
            if open_pairs.any():
                done = False
                angle = jacobi_rotation(alpha, beta, np.where(open_pairs, gamma, 0))
                both[..., p, :], both[..., q, :] = rotated_rows(first, second, *angle)
        if done:
            return both[..., :n], both[..., n:]
    raise ArithmeticError(f"{MAX_SWEEPS} sweeps did not make the rows of a matrix of shape {a.shape} orthogonal.")
