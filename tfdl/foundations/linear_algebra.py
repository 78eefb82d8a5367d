"""Linear algebra: norms, subspaces, linear maps, principal components.

A matrix maps the unit sphere to an ellipsoid.  Its singular values are the semi-axes and describe most of its
properties: how far it stretches (norms), the dimension of its image (rank, null space), how close it is to being
singular (condition number), and the directions of largest variance of a set of points (PCA).

    linear_systems.py   LU, Cholesky, QR; solve, inverse, least squares
    spectra.py          power iteration, eigenvalues, singular values
    this file           norms, subspaces, linear maps, PCA

Matrices are (..., m, n), vectors (..., n), leading axes are a batch; float32 and float64 inputs keep their dtype.
Source: Golub and Van Loan 2013, Matrix Computations, 4th ed., sections 2.2 to 2.6, 5.5; Strang 2016, Introduction to
Linear Algebra, 5th ed., chapters 4 and 7.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfdl.foundations.linear_systems import as_floats, as_matrix, normalized, orthonormal, refuse, rescaled
from tfdl.foundations.spectra import SVD, svd

# --- norms -----------------------------------------------------------------------------------------------------------


VECTOR_NORMS = {
    1: lambda x: np.abs(x).sum(-1),
    2: lambda x: np.sqrt((x * x).sum(-1)),
    np.inf: lambda x: np.abs(x).max(-1),
}


def vector_norm(x, order=2):
    """Length of each vector, section 2.2.  (..., n) -> (...).

    Args:
        order: 1, the sum of absolute values; 2, Euclidean; np.inf, the largest absolute value.

    Raises:
        ValueError: another order, or a number in place of a vector.
        OverflowError: larger than the largest number of the dtype.
    """
    if order not in VECTOR_NORMS:
        raise ValueError(f"Unknown order {order!r} of a vector norm; give 1, 2 or np.inf.")
    x = as_floats(x, "vector")
    if x.ndim == 0:
        raise ValueError(f"A vector needs at least one axis; got the number {x}.")
    scaled, exponents = normalized(x, -1)  # squares of 1e200 or 1e-200 would leave the range
    return rescaled(VECTOR_NORMS[order](scaled), exponents[..., 0], "norm")


def matrix_norm(matrix, order="frobenius"):
    """Size of each matrix, section 2.3.  (..., m, n) -> (...).

    Args:
        order: 1, the largest column sum of absolute values, induced by |x|_1; np.inf, the largest row sum, induced by
            |x|_inf; "spectral", the largest singular value, induced by |x|_2; "nuclear", the sum of the singular
            values; "frobenius", the root of the sum of their squares, or of the squares of all entries.

    Raises:
        ValueError: another order.
        OverflowError: larger than the largest number of the dtype.
    """
    a = as_matrix(matrix)
    if order == 1:
        return vector_norm(np.swapaxes(a, -2, -1), 1).max(-1)
    if order == np.inf:
        return vector_norm(a, 1).max(-1)
    if order == "spectral":
        return svd(a).values[..., 0]
    if order == "nuclear":
        return vector_norm(svd(a).values, 1)
    if order == "frobenius":
        return vector_norm(a.reshape(*a.shape[:-2], -1))
    raise ValueError(f"Unknown order {order!r} of a matrix norm; give 1, np.inf, 'frobenius', 'spectral' or 'nuclear'.")


# --- rank, conditioning, approximation -------------------------------------------------------------------------------


def rank(matrix):
    """Dimension of the image: the number of singular values above rounding error.  (..., m, n) -> (...) int."""
    a = as_matrix(matrix)
    return np.count_nonzero(above_rounding(svd(a)), axis=-1)


def above_rounding(decomposition):
    """Which singular values are not zero to the precision of their dtype.  SVD -> (..., k) bool."""
    u, values, vt = decomposition
    scaled, _ = normalized(values, -1)
    return scaled > max(u.shape[-2], vt.shape[-1]) * np.finfo(values.dtype).eps * scaled[..., :1]


def condition_number(matrix):
    """Largest divided by smallest singular value, section 2.6: the worst-case growth of relative errors in A x = b.

    1 for rotations; infinite, or above 1 / eps, for singular matrices.  (..., m, n) -> (...).
    """
    values = svd(matrix).values
    smallest = values[..., -1]
    with np.errstate(over="ignore"):  # overflow gives infinity, as intended
        ratio = values[..., 0] / np.where(smallest == 0, 1, smallest)
    return np.where(smallest == 0, np.inf, ratio).astype(values.dtype)[()]


def pseudo_inverse(matrix):
    """Moore-Penrose inverse V S^+ U^T: x = A^+ b is the shortest of all x that minimize |A x - b|, section 5.5.

    (..., m, n) -> (..., n, m), for any rank.

    Raises:
        OverflowError: an entry exceeds the largest number of the dtype.
    """
    scaled, exponents = normalized(as_matrix(matrix), (-2, -1))
    u, values, vt = decomposition = svd(scaled)
    kept = above_rounding(decomposition)
    reciprocal = np.where(kept, 1 / np.where(kept, values, 1), 0)
    return rescaled(
        np.swapaxes(vt, -2, -1) @ (reciprocal[..., None] * np.swapaxes(u, -2, -1)), -exponents, "pseudo-inverse"
    )


def low_rank(decomposition, keep):
    """The closest matrix of rank `keep`, in the spectral and the Frobenius norm (Eckart and Young 1936; section 2.4).

    Args:
        decomposition: from `svd`, so that one decomposition serves many ranks.
        keep: 1 to min(m, n).

    Returns:
        (..., m, n).  Its distance is the next singular value, or the root of the sum of squares of all dropped ones.

    Raises:
        ValueError: no such rank.
    """
    u, values, vt = SVD(*decomposition)
    if not 1 <= keep <= values.shape[-1]:
        raise ValueError(f"There is no rank {keep} approximation: give 1 to {values.shape[-1]}.")
    return (u[..., :keep] * values[..., None, :keep]) @ vt[..., :keep, :]


class Compressed(NamedTuple):
    """Low-rank approximations of an image, for R ranks."""

    images: np.ndarray  # (R, H, W, C), clipped to 0 ... 1
    psnr: np.ndarray  # (R,) peak signal to noise ratio in dB: -10 log10 of the mean squared error
    savings: np.ndarray  # (R,) compression ratio: numbers in the image / numbers stored
    values: np.ndarray  # all singular values


def compress(image, ranks):
    """Closest matrix of each rank to an image, its C colors side by side: rank k stores k (H + W C + 1) numbers.

    Args:
        image: (H, W, C), values 0 to 1.

    Raises:
        ValueError: another shape or range, or a rank above min(H, W C).
    """
    image = as_floats(image, "image")
    if image.ndim != 3 or image.min() < 0 or image.max() > 1:
        span = f"{image.min():.4g} to {image.max():.4g}"
        raise ValueError(f"compress takes an image (H, W, C) with values 0 to 1; this has shape {image.shape}, {span}.")
    matrix = image.reshape(len(image), -1)
    decomposition = svd(matrix)
    closest = np.stack([np.clip(low_rank(decomposition, keep), 0, 1) for keep in ranks])
    error = ((closest - matrix) ** 2).mean((1, 2))
    psnr = np.full(error.shape, np.inf)  # for an image without error
    psnr[error > 0] = -10 * np.log10(error[error > 0])
    savings = image.size / (np.array(ranks) * (sum(matrix.shape) + 1))
    return Compressed(closest.reshape(-1, *image.shape), psnr, savings, decomposition.values)


def column_space(matrix):
    """An orthonormal basis of all A x.  (..., m, n) -> (..., m, rank).

    Raises:
        ValueError: A = 0, whose column space is the origin, or a batch of different ranks.
    """
    decomposition = svd(matrix)
    dimension = common_rank(decomposition)
    if dimension == 0:
        raise ValueError("The matrix is zero: its column space is the origin, which has no basis.")
    return decomposition.u[..., :dimension]


def null_space(matrix):
    """An orthonormal basis of all x with A x = 0.  (..., m, n) -> (..., n, n - rank), without columns if x = 0 only.

    Raises:
        ValueError: a batch of different ranks.
    """
    a = as_matrix(matrix)
    m, n = a.shape[-2:]
    # Rows of zeros do not change the solutions; with them V^T has all n rows.
    padded = np.concatenate([a, np.zeros((*a.shape[:-2], max(n - m, 0), n), a.dtype)], -2)
    decomposition = svd(padded)
    return np.swapaxes(decomposition.vt[..., common_rank(decomposition) :, :], -2, -1)


def common_rank(decomposition):
    """The common rank of all matrices of a batch; bases of different sizes could not be stacked."""
    ranks = np.count_nonzero(above_rounding(decomposition), axis=-1)
    refuse(ranks != np.ravel(ranks)[0], "has another rank than the first. Process them one at a time.")
    return int(np.ravel(ranks)[0])


# --- linear maps -----------------------------------------------------------------------------------------------------


def rotation(angle):
    """Rotates the plane counterclockwise about the origin.  Radians (...) -> (..., 2, 2)."""
    angle = as_floats(angle, "angle")
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)


def shear(slope):
    """Adds slope * y to x: squares become parallelograms of the same area.  (...) -> (..., 2, 2)."""
    slope = as_floats(slope, "slope")
    one, zero = np.ones_like(slope), np.zeros_like(slope)
    return np.stack([np.stack([one, slope], -1), np.stack([zero, one], -1)], -2)


def projection(basis):
    """Maps each point to the nearest point in the span of the columns: P = Q Q^T.  (..., n, k) -> (..., n, n).

    Raises:
        ValueError: linearly dependent columns.
    """
    q, _ = orthonormal(basis)
    return q @ np.swapaxes(q, -2, -1)


def reflection(basis):
    """Reflects across the span of the columns: 2 P - I, its own inverse.  (..., n, k) -> (..., n, n).

    Raises:
        ValueError: linearly dependent columns.
    """
    p = projection(basis)
    return 2 * p - np.eye(p.shape[-1], dtype=p.dtype)


# --- principal components --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PCA:
    """Directions of largest variance: right singular vectors of the centered points.  Pearson 1901.

    Projecting points (..., N, D) to K coordinates along these K directions minimizes the squared error.
    """

    mean: np.ndarray  # (..., 1, D)
    components: np.ndarray  # (..., K, D), orthonormal rows, largest variance first
    # (..., K) sample variance along each component, divided by N - 1; inf or 0 beyond the range of the dtype
    variances: np.ndarray
    ratios: np.ndarray  # (..., K) fractions of the total variance of all D coordinates

    @classmethod
    def fit(cls, points, components):
        """Points (..., N, D) -> PCA with K = `components`, at most min(N, D).

        Raises:
            ValueError: fewer than two points, all points equal, or no such number of components.
        """
        x = as_matrix(points)
        if not 1 <= components <= min(x.shape[-2:]):
            raise ValueError(f"Points of shape {x.shape} have 1 to {min(x.shape[-2:])} components, not {components}.")
        if x.shape[-2] < 2:
            raise ValueError(f"PCA needs two points or more; these have shape {x.shape}.")
        refuse((x == x[..., :1, :]).all((-2, -1)), "of points holds the same point N times: it has no variance.")
        x, exponents = normalized(x, (-2, -1))
        mean = x.mean(-2, keepdims=True)
        centered, spread = normalized(x - mean, (-2, -1))  # squares of 1e200 or 1e-200 would leave the range
        _, values, vt = svd(centered)
        variances = values**2 / (x.shape[-2] - 1)
        ratios = variances / variances.sum(-1, keepdims=True)
        with np.errstate(over="ignore"):
            variances = np.ldexp(variances, 2 * (exponents + spread)[..., 0])
        mean = np.ldexp(mean, exponents)
        return cls(mean, vt[..., :components, :], variances[..., :components], ratios[..., :components])

    def transform(self, points):
        """Coordinates along the components, uncorrelated over the fitted points.  (..., N, D) -> (..., N, K)."""
        return (self.checked(points, self.mean.shape[-1]) - self.mean) @ np.swapaxes(self.components, -2, -1)

    def inverse(self, coordinates):
        """The points with these coordinates, in the span of the components.  (..., N, K) -> (..., N, D)."""
        return self.checked(coordinates, self.components.shape[-2]) @ self.components + self.mean

    def keep(self, count):
        """A PCA with the first `count` components only.  ValueError if there are fewer."""
        if not 1 <= count <= self.components.shape[-2]:
            raise ValueError(f"This PCA has {self.components.shape[-2]} components; cannot keep {count}.")
        return PCA(self.mean, self.components[..., :count, :], self.variances[..., :count], self.ratios[..., :count])

    def rebuild(self, points):
        """Points reconstructed from K coordinates: the nearest ones in the span of the components."""
        return self.inverse(self.transform(points))

    def error(self, points):
        """Root mean squared difference between points and their reconstructions.  (..., N, D) -> (...)."""
        difference = self.rebuild(points) - points
        return matrix_norm(difference) / difference.dtype.type(np.sqrt(np.prod(difference.shape[-2:])))

    def checked(self, x, width):
        """`x` as (..., N, width); ValueError if it is not."""
        x = as_matrix(x)
        if x.shape[-1] != width:
            raise ValueError(f"This PCA expects {width} numbers per point; the shape is {x.shape}.")
        return x
