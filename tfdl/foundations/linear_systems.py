"""Solving A x = b: factor A into triangular and orthogonal matrices, then substitute.

    P A = L U      solve, determinant, inverse     any regular square matrix
    A = L L^T      cholesky_solve                  symmetric and positive definite, at half the cost
    A = Q R        least_squares                   tall matrices: the x of smallest residual

All matrices are (..., m, n): the last two axes are rows and columns, all others are a batch.  float32 and float64
inputs keep their dtype, integers become float64.  A right-hand side is (m,) for a vector, else (..., m, k): k columns.

Products and squares of entries above 1e154 or below 1e-154 leave the range of float64 (of float32, from 1e19), although
the results do not.  So each algorithm first multiplies rows or columns by powers of two that bring the largest entry to
1/2 ... 1 and multiplies the result back in the end: both steps change exponents only and round nothing.
Source: Golub and Van Loan 2013, Matrix Computations, 4th ed., chapters 3 to 5.
"""

from typing import NamedTuple

import numpy as np

# --- input validation ----------------------------------------------------------------------------------------------


def as_floats(x, name):
    """`x` as a finite float32 or float64 array: integers become float64, float16 becomes float32.

    Raises:
        ValueError: not real numbers (complex, text), no elements, or NaN or infinity.
    """
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        x = x.astype("float64")
    elif x.dtype == np.float16:
        x = x.astype("float32")
    if x.dtype not in (np.float32, np.float64):
        raise ValueError(f"The {name} has dtype {x.dtype}; give real numbers, float32 or float64.")
    if x.size == 0:
        raise ValueError(f"The {name} is empty: its shape is {x.shape}.")
    if not np.isfinite(x).all():
        raise ValueError(f"The {name} holds a value that is not finite: {x[~np.isfinite(x)][0]}. Remove or replace it.")
    return x


def as_matrix(matrix, *, square=False, symmetric=False):
    """`matrix` as finite floats (..., m, n), checked to be square or symmetric if asked.

    Raises:
        ValueError: as `as_floats`; fewer than two axes, or not square, or not symmetric.
    """
    a = as_floats(matrix, "matrix")
    if a.ndim < 2:
        raise ValueError(f"A matrix has rows and columns, shape (..., m, n); got shape {a.shape}.")
    if (square or symmetric) and a.shape[-2] != a.shape[-1]:
        raise ValueError(f"The matrix must be square; it has {a.shape[-2]} rows and {a.shape[-1]} columns.")
    if symmetric:
        scaled, exponents = normalized(a, (-2, -1))
        difference = np.abs(scaled - np.swapaxes(scaled, -2, -1)).max((-2, -1))
        # 100 rounding errors: enough for a product like Q D Q^T.
        refuse(
            difference > 100 * np.finfo(a.dtype).eps,
            f"is not symmetric: a_ij and a_ji differ by up to {np.ldexp(difference, exponents[..., 0, 0]).max():.3g}. "
            "Try (A + A^T) / 2.",
        )
        mirrored = np.swapaxes(a, -2, -1)
        a = np.where(a == mirrored, a, a / 2 + mirrored / 2)
    return a


def as_right_side(right, matrix):
    """`right` as columns (..., m, k) for the checked `matrix` (..., m, n), and whether it was one vector (m,)."""
    b = as_floats(right, "right-hand side")
    vector = b.ndim == 1
    b = b[:, None] if vector else b
    if b.ndim == 0 or b.shape[-2] != matrix.shape[-2]:
        raise ValueError(f"The right-hand side has shape {np.shape(right)}, the matrix {matrix.shape}: "
                         f"give ({matrix.shape[-2]},) or (..., {matrix.shape[-2]}, k).")  # fmt: skip
    try:
        np.broadcast_shapes(b.shape[:-2], matrix.shape[:-2])
    except ValueError:
        raise ValueError(
            f"The batches of the right-hand side {b.shape} and the matrix {matrix.shape} do not fit."
        ) from None
    return b, vector


def refuse(bad, complaint):
    """Raises a ValueError that names the first matrix of the batch where `bad` (...) is true."""
    if np.any(bad):
        index = ", ".join(str(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"Matrix [{index}] of the batch {complaint}" if index else f"The matrix {complaint}")


def normalized(a, axes):
    """`a` times the power of two that brings its largest entry along `axes` to 1/2 ... 1.

    Returns:
        the scaled array, and the exponents, with `axes` kept: a = ldexp(scaled, exponents).
    """
    exponents = np.frexp(np.abs(a).max(axes, keepdims=True))[1]
    return np.ldexp(a, -exponents), exponents


def rescaled(scaled, exponents, name):
    """ldexp(scaled, exponents); OverflowError if it exceeds the largest number of the dtype."""
    with np.errstate(over="ignore"):
        values = np.ldexp(scaled, exponents)
    if np.isinf(values).any():
        raise OverflowError(f"The {name} exceeds {values.dtype}'s range; scale the input down first.")
    return values


SINGULAR = "is singular, so A x = b has no unique solution. Try pseudo_inverse."


# --- P A = L U: Gaussian elimination -------------------------------------------------------------------------------


class LU(NamedTuple):
    """Row `order[i]` of A is row i of `lower @ upper`."""

    order: np.ndarray  # (..., n) a permutation of 0 ... n-1
    lower: np.ndarray  # (..., n, n), ones on the diagonal, no absolute value above 1
    upper: np.ndarray  # (..., n, n)


def lu(matrix):
    """Gaussian elimination with partial pivoting, Algorithm 3.4.1.  (..., n, n) -> LU.

    A singular matrix has one too, with a pivot that is zero up to rounding.

    Raises:
        ValueError: not square, not finite.
    """
    a = as_matrix(matrix, square=True)  # its copies become U on and above the diagonal, L below it
    n = a.shape[-1]
    order = np.broadcast_to(np.arange(n), a.shape[:-1])
    for k in range(n - 1):
        # The largest entry goes to the diagonal: no multiplier exceeds 1, so rounding errors don't grow.
        pivot = k + np.abs(a[..., k:, k]).argmax(-1)[..., None]
        rows = np.broadcast_to(np.arange(n), a.shape[:-1]).copy()
        rows[..., k] = pivot[..., 0]
        np.put_along_axis(rows, pivot, k, -1)
        a = np.take_along_axis(a, rows[..., None], -2)
        order = np.take_along_axis(order, rows, -1)
        top = a[..., k, k][..., None]
        multipliers = a[..., k + 1 :, k] / np.where(top == 0, 1, top)  # a zero pivot has only zeros below it
        a[..., k + 1 :, k] = multipliers
        a[..., k + 1 :, k + 1 :] -= multipliers[..., :, None] * a[..., k, None, k + 1 :]
    return LU(order, np.tril(a, -1) + np.eye(n, dtype=a.dtype), np.triu(a))


def solve(matrix, right):
    """The x with matrix @ x = right.  (..., n, n), (n,) or (..., n, k) -> x shaped like `right`.

    Raises:
        ValueError: singular (to the precision of the dtype), not square, or shapes that don't fit.
    """
    a = as_matrix(matrix, square=True)
    b, vector = as_right_side(right, a)
    scaled, rows = normalized(a, -1)  # equations of equal size, then unknowns of equal size
    scaled, columns = normalized(scaled, -2)
    b, size = normalized_right_side(b, rows)
    order, lower, upper = regular_lu(scaled)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    b, order = np.broadcast_to(b, batch + b.shape[-2:]), np.broadcast_to(order, batch + order.shape[-1:])
    x = substitute(upper, substitute(lower, np.take_along_axis(b, order[..., None], -2), lower=True), lower=False)
    x = rescaled(x, size - np.swapaxes(columns, -2, -1), "solution")
    return x[..., 0] if vector else x


def normalized_right_side(b, rows):
    """Right-hand sides (..., m, k) times 2^-rows, (..., m, 1), then each column `normalized`.

    Returns:
        the scaled columns (..., m, k) and their exponents (..., 1, k).
    """
    mantissas, exponents = np.frexp(b)
    exponents = exponents - rows
    size = exponents.max(-2, keepdims=True, where=mantissas != 0, initial=-4096)  # -4096: a column of zeros
    return np.ldexp(mantissas, exponents - size), size


def regular_lu(a):
    """`lu` of a matrix with rows and columns of equal size; ValueError if it is singular to the precision of its dtype.

    Entries have a rounding error |dA| <= eps |A|; Skeel's condition number | |A^-1| |A| | (1979) bounds its effect.
    """
    order, lower, upper = lu(a)
    pivots = np.abs(np.diagonal(upper, axis1=-2, axis2=-1))
    refuse((pivots == 0).any(-1), SINGULAR)
    rows = np.take_along_axis(a, order[..., None], -2)
    identity = np.eye(a.shape[-1], dtype=a.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        inverted = substitute(upper, substitute(lower, identity, lower=True), lower=False)
        magnified = (np.abs(inverted) @ np.abs(rows)).sum(-1).max(-1)
    refuse(~(a.shape[-1] * np.finfo(a.dtype).eps * magnified < 1), SINGULAR)
    return order, lower, upper


def substitute(triangle, columns, *, lower):
    """Solves a triangular system row by row, Algorithms 3.1.1 and 3.1.2.

    Args:
        triangle: (..., n, n) floats without a zero on the diagonal; the other half is not read.
        columns: (..., n, k).
        lower: whether the triangle is the lower one, solved from the first row; else from the last row.
    """
    n = triangle.shape[-1]
    batch = np.broadcast_shapes(triangle.shape[:-2], columns.shape[:-2])
    x = np.empty((*batch, *columns.shape[-2:]), np.result_type(triangle, columns))
    for i in range(n) if lower else reversed(range(n)):
        done = slice(0, i) if lower else slice(i + 1, n)
        known = triangle[..., i, None, done] @ x[..., done, :]  # (..., 1, k)
        x[..., i, :] = (columns[..., i, :] - known[..., 0, :]) / triangle[..., i, i, None]
    return x


def determinant(matrix):
    """Signed volume of the unit cube's image: plus or minus the product of the pivots.  (..., n, n) -> (...).

    Raises:
        ValueError: not square.
        OverflowError: larger than the largest number of the dtype.
    """
    scaled, rows = normalized(as_matrix(matrix, square=True), -1)
    order, _, upper = lu(scaled)
    inversions = np.triu(order[..., :, None] > order[..., None, :]).sum((-2, -1))
    product, exponent = np.where(inversions % 2, -1, 1).astype(upper.dtype), rows.sum((-2, -1))
    for pivot in np.moveaxis(np.diagonal(upper, axis1=-2, axis2=-1), -1, 0):
        product, shift = np.frexp(product * pivot)  # the product of some pivots may leave the range, that of all not
        exponent = exponent + shift
    return rescaled(product, exponent, "determinant")[()]


def inverse(matrix):
    """A^-1, column by column from A x = e_i.  To apply it to a vector, `solve` is more accurate.

    Raises:
        ValueError: singular, not square.
    """
    a = as_matrix(matrix, square=True)
    return solve(a, np.eye(a.shape[-1], dtype=a.dtype))


# --- A = L L^T -------------------------------------------------------------------------------------------------------


def cholesky(matrix):
    """Lower triangular L with A = L L^T and a positive diagonal, section 4.2.  (..., n, n) -> (..., n, n).

    Raises:
        ValueError: not symmetric, or not positive definite (to the precision of the dtype).
    """
    scaled, halves = unit_diagonal(as_matrix(matrix, symmetric=True))
    return rescaled(normalized_cholesky(scaled), halves, "Cholesky factor")


def unit_diagonal(a):
    """A symmetric matrix A = D S D with powers of two D that bring the diagonal of S to 1/2 ... 2.

    Returns:
        S (..., n, n) and the exponents of D (..., n, 1).
    """
    halves = np.frexp(np.diagonal(a, axis1=-2, axis2=-1))[1][..., None] // 2
    with np.errstate(over="ignore"):  # only if a_ij^2 > a_ii a_jj, which makes a later pivot negative
        return np.ldexp(a, -halves - np.swapaxes(halves, -2, -1)), halves


@np.errstate(invalid="ignore", over="ignore")  # of a matrix that is not positive definite: a pivot is then refused
def normalized_cholesky(a):
    """`cholesky` of a symmetric matrix whose diagonal is of size 1."""
    n, eps = a.shape[-1], np.finfo(a.dtype).eps
    lower = np.zeros_like(a)
    for j in range(n):
        column = a[..., j:, j] - (lower[..., j:, :j] @ lower[..., j, :j, None])[..., 0]  # the remainder A - L L^T
        pivot = column[..., 0]
        indefinite = ~(pivot > n * eps * np.abs(a[..., j, j]))
        refuse(
            indefinite, f"is not positive definite: pivot {j} is not above zero. Adding a small multiple of I may help."
        )
        lower[..., j:, j] = column / np.sqrt(pivot)[..., None]
    return lower


def cholesky_solve(matrix, right):
    """`solve` for a symmetric positive definite matrix: half the arithmetic, and no pivoting needed.

    Raises:
        ValueError: not symmetric, not positive definite, or shapes that don't fit.
    """
    a = as_matrix(matrix, symmetric=True)
    b, vector = as_right_side(right, a)
    scaled, halves = unit_diagonal(a)
    b, size = normalized_right_side(b, halves)
    lower = normalized_cholesky(scaled)
    x = substitute(np.swapaxes(lower, -2, -1), substitute(lower, b, lower=True), lower=False)
    x = rescaled(x, size - halves, "solution")
    return x[..., 0] if vector else x


# --- A = Q R ---------------------------------------------------------------------------------------------------------


def householder(x):
    """The reflection H = I - beta v v^T that maps x onto the first axis: H x = (±|x|, 0, ..., 0), section 5.1.

    Args:
        x: (..., m) floats.

    Returns:
        v (..., m) and beta (...); beta = 0, so H = I, for x = 0.
    """
    largest = np.abs(x).max(-1, keepdims=True)
    v = x / np.where(largest == 0, 1, largest)  # H depends on x's direction only; scaling avoids over- and underflow
    v[..., 0] += np.copysign(np.sqrt((v * v).sum(-1)), v[..., 0])  # this sign avoids cancellation
    square = (v * v).sum(-1)
    return v, np.where(square == 0, 0, 2 / np.where(square == 0, 1, square)).astype(x.dtype)


def reflect(a, v, beta):
    """H a in place, with H from `householder`, never formed.  a (..., m, n), v (..., m), beta (...)."""
    a -= (beta[..., None] * v)[..., :, None] * (v[..., None, :] @ a)


def qr(matrix):
    """Householder's QR, Algorithm 5.2.1.  (..., m, n) -> Q (..., m, k), R (..., k, n) with k = min(m, n).

    Q has orthonormal columns whatever the rank of the matrix; R is upper triangular, signs not normalized.

    Raises:
        ValueError: not a matrix, not finite.
    """
    a, columns = normalized(as_matrix(matrix), -2)
    m, n = a.shape[-2:]
    k = min(m, n)
    reflections = []
    for j in range(k):
        reflections.append(householder(a[..., j:, j]))
        reflect(a[..., j:, j:], *reflections[-1])
    q = np.broadcast_to(np.eye(m, k, dtype=a.dtype), (*a.shape[:-2], m, k)).copy()
    # Q = H_0 H_1 ... H_(k-1), starting with the last: columns before j are still those of I
    for j in reversed(range(k)):
        reflect(q[..., j:, j:], *reflections[j])
    return q, rescaled(np.triu(a[..., :k, :]), columns, "factor R")


def orthonormal(matrix):
    """`qr` of a matrix whose columns must be linearly independent.  (..., m, n) with m >= n -> Q, R.

    Raises:
        ValueError: more columns than rows, or a column that lies in the span of those before it.
    """
    a, columns = normalized(as_matrix(matrix), -2)
    m, n = a.shape[-2:]
    q, r = qr(a)
    distances = np.abs(np.diagonal(r, axis1=-2, axis2=-1))  # of each column from the span of those before it
    limit = m * np.finfo(a.dtype).eps * np.sqrt((r * r).sum(-2)[..., : min(m, n)])
    dependent = (n > m) | (distances <= limit).any(-1)
    refuse(dependent, f"of shape {(m, n)} has linearly dependent columns. Remove some, or use pseudo_inverse.")
    return q, rescaled(r, columns, "factor R")


def least_squares(matrix, right):
    """The x of smallest |A x - b|, section 5.3: R x = Q^T b.  (..., m, n), (m,) or (..., m, k) -> (n,) or (..., n, k).

    The normal equations A^T A x = A^T b give the same x but square the condition number.

    Raises:
        ValueError: dependent columns (also: fewer rows than columns), or shapes that don't fit.
    """
    a = as_matrix(matrix)
    b, vector = as_right_side(right, a)
    scaled, columns = normalized(a, -2)
    b, size = normalized(b, -2)
    q, r = orthonormal(scaled)
    x = substitute(r, np.swapaxes(q, -2, -1) @ b, lower=False)
    x = rescaled(x, size - np.swapaxes(columns, -2, -1), "solution")
    return x[..., 0] if vector else x
