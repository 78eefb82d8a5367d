import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import quick, seeds, units
from tfdl.foundations import linear_systems as ls

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}  # relative, against numpy.linalg in float64
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)
SQUARES = pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 7, 7), (2, 3, 4, 4), (30, 30)], ids=str)


def normal(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def well_conditioned(shape, dtype="float64", seed=0):
    """Random, with singular values from 1 to 3, so that a comparison of solutions tests the method, not the matrix."""
    u, _, vt = np.linalg.svd(normal(shape, seed=seed), full_matrices=False)
    return ((u * np.linspace(3, 1, u.shape[-1])) @ vt).astype(dtype)


def positive_definite(shape, dtype="float64", seed=0):
    a = well_conditioned(shape, seed=seed)
    return (a @ np.swapaxes(a, -2, -1)).astype(dtype)


def assert_close(found, expected, dtype):
    """Same dtype, and the largest difference is small against the largest entry."""
    assert found.dtype == dtype and found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()


# --- LU --------------------------------------------------------------------------------------------------------------


@DTYPES
@SQUARES
def test_lu_gives_back_the_reordered_matrix(shape, dtype):
    a = normal(shape, dtype)
    order, lower, upper = ls.lu(a)
    assert_close(lower @ upper, np.take_along_axis(a, order[..., None], -2), dtype)
    assert (np.sort(order, -1) == np.arange(shape[-1])).all()
    assert (np.tril(upper, -1) == 0).all() and (np.triu(lower, 1) == 0).all()
    assert (np.diagonal(lower, axis1=-2, axis2=-1) == 1).all()
    assert np.abs(lower).max() <= 1, "partial pivoting keeps multipliers at 1 or below"


def test_pivoting_saves_what_elimination_alone_loses():
    """Golub and Van Loan, section 3.4: without exchange, 1e-20 wipes out the second row."""
    a = np.array([[1e-20, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(ls.solve(a, [1, 2]), [1, 1], rtol=1e-15)


@DTYPES
@SQUARES
def test_solve_agrees_with_numpy(shape, dtype):
    a = well_conditioned(shape, dtype)
    b = normal((*shape[:-1], 3), dtype, seed=1)
    x = np.linalg.solve(a.astype("float64"), b)
    assert_close(ls.solve(a, b), x, dtype)
    assert_close(ls.solve(a, b[(0,) * (len(shape) - 2)][:, 0]).reshape(-1)[: shape[-1]],
                 x[(0,) * (len(shape) - 2)][:, 0], dtype)  # fmt: skip


def test_residual_is_small_even_where_the_solution_is_not_known():
    hilbert = 1 / (np.arange(10)[:, None] + np.arange(10) + 1.0)  # condition number 2e13
    b = normal((10,))
    x = ls.solve(hilbert, b)
    assert np.abs(hilbert @ x - b).max() <= 1e-14 * np.abs(hilbert).sum(1).max() * np.abs(x).max()


def test_one_matrix_serves_many_right_sides_and_one_right_side_many_matrices():
    a, b = well_conditioned((4, 4)), normal((6, 4, 2), seed=1)
    np.testing.assert_allclose(a @ ls.solve(a, b), b, atol=1e-12)
    many = well_conditioned((5, 4, 4), seed=2)
    np.testing.assert_allclose(many @ ls.solve(many, b[0]), np.broadcast_to(b[0], (5, 4, 2)), atol=1e-12)
    assert ls.solve(many, b[0, :, 0]).shape == (5, 4)


def test_scaling_rows_and_columns_is_no_reason_to_call_a_matrix_singular():
    a, x, units = well_conditioned((5, 5)), normal((5,), seed=1), 10.0 ** np.arange(-40, 60, 20)
    np.testing.assert_allclose(ls.solve(units[:, None] * a, units * (a @ x)), x, rtol=1e-12)
    np.testing.assert_allclose(ls.solve(a * units, a @ x), x / units, rtol=1e-12)
    np.testing.assert_allclose(ls.solve(1e-200 * a, 1e-200 * (a @ x)), x, rtol=1e-12)


@DTYPES
@pytest.mark.parametrize("n", [2, 3, 5, 12, 40])
def test_every_matrix_of_lower_rank_is_called_singular(n, dtype):
    for seed in range(20):
        a = normal((n, n - 1), dtype, seed) @ normal((n - 1, n), dtype, seed + 100)
        with pytest.raises(ValueError, match="singular"):
            ls.solve(a, np.ones(n, dtype))


def test_the_singular_matrix_of_a_batch_is_named():
    a = np.stack([np.eye(3), np.arange(9.0).reshape(3, 3), np.eye(3)])
    with pytest.raises(ValueError, match=r"Matrix \[1\] of the batch is singular.*pseudo_inverse"):
        ls.inverse(a)


@DTYPES
@SQUARES
def test_determinant_and_inverse_agree_with_numpy(shape, dtype):
    a = well_conditioned(shape, dtype)
    expected = np.linalg.det(a.astype("float64"))
    np.testing.assert_allclose(ls.determinant(a), expected, rtol=TOLERANCE[dtype])
    assert ls.determinant(a).dtype == dtype
    assert_close(ls.inverse(a), np.linalg.inv(a.astype("float64")), dtype)


def test_determinant_is_multiplicative_and_changes_sign_with_a_swap():
    a, b = normal((6, 6)), normal((6, 6), seed=1)
    np.testing.assert_allclose(ls.determinant(a @ b), ls.determinant(a) * ls.determinant(b), rtol=1e-12)
    np.testing.assert_allclose(ls.determinant(a[[0, 4, 2, 3, 1, 5]]), -ls.determinant(a), rtol=1e-12)
    assert ls.determinant([[2, 4], [1, 2]]) == 0
    assert ls.determinant(np.diag([2, 3, 5])) == 30, "integers become float64"


def test_determinant_beyond_the_range_is_an_error():
    with pytest.raises(OverflowError, match="float32"):
        ls.determinant(1e20 * np.eye(3, dtype="float32"))


# --- Cholesky --------------------------------------------------------------------------------------------------------


@DTYPES
@SQUARES
def test_cholesky_agrees_with_numpy(shape, dtype):
    a, b = positive_definite(shape, dtype), normal((*shape[:-1], 2), dtype, seed=1)
    assert_close(ls.cholesky(a), np.linalg.cholesky(a.astype("float64")), dtype)
    assert_close(ls.cholesky_solve(a, b), np.linalg.solve(a.astype("float64"), b), dtype)
    assert ls.cholesky_solve(a, np.ones(shape[-1], dtype)).shape == shape[:-1]


def test_cholesky_does_not_depend_on_the_unit_of_measurement():
    a, units = positive_definite((4, 4)), np.diag([1e-150, 1e-3, 1.0, 1e120])
    np.testing.assert_allclose(ls.cholesky(units @ a @ units), units @ ls.cholesky(a), rtol=1e-10)


@pytest.mark.parametrize("matrix", [[[1, 2], [2, 1]], np.zeros((3, 3)), np.ones((2, 2)), -np.eye(2)])
def test_cholesky_refuses_what_is_not_positive_definite(matrix):
    with pytest.raises(ValueError, match="not positive definite: pivot"):
        ls.cholesky(matrix)


def test_cholesky_refuses_what_is_not_symmetric_but_forgives_rounding():
    with pytest.raises(ValueError, match="not symmetric.*by up to 0.5"):
        ls.cholesky_solve([[2, 0.5], [0, 2]], [1, 1])
    a = positive_definite((9, 9), "float32")
    nudged = a * (1 + np.finfo("float32").eps * normal((9, 9), "float32"))
    np.testing.assert_allclose(ls.cholesky(nudged), ls.cholesky(a), rtol=1e-4, atol=1e-5)


# --- QR --------------------------------------------------------------------------------------------------------------


@DTYPES
def test_householder_reflector_zeroes_the_column(dtype):
    x = normal((4, 6), dtype)
    x[1] *= 1e-30  # its squares are below float32's range
    x[2] = 0
    x[3] = [1, *[1e-5] * 5]  # almost on the axis already: 1 - |x| would cancel
    v, beta = ls.householder(x)
    mirror = np.eye(6) - beta[:, None, None] * v[:, :, None] * v[:, None, :]
    image = (mirror @ x[..., None].astype("float64"))[..., 0]
    length = np.linalg.norm(x.astype("float64"), axis=-1)
    np.testing.assert_allclose(np.abs(image[:, 0]), length, rtol=TOLERANCE[dtype])
    assert (np.abs(image[:, 1:]) <= 1e-6 * length[:, None]).all()
    np.testing.assert_allclose(mirror @ mirror, np.broadcast_to(np.eye(6), (4, 6, 6)), atol=1e-6)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (1, 6), (7, 4), (4, 7), (3, 2, 5, 5), (2, 40, 25)], ids=str)
def test_qr_is_orthonormal_and_triangular_and_agrees_with_numpy(shape, dtype):
    a = normal(shape, dtype)
    q, r = ls.qr(a)
    reference_q, reference_r = np.linalg.qr(a.astype("float64"))
    sign = np.sign(np.diagonal(r, axis1=-2, axis2=-1) * np.diagonal(reference_r, axis1=-2, axis2=-1))
    assert_close(q, reference_q * sign[..., None, :], dtype)
    assert_close(r, reference_r * sign[..., None], dtype)
    assert_close(q @ r, a, dtype)
    assert np.abs(np.swapaxes(q, -2, -1) @ q - np.eye(q.shape[-1])).max() <= TOLERANCE[dtype]
    assert (np.tril(r, -1) == 0).all()


@DTYPES
def test_qr_stays_orthonormal_where_columns_depend_or_vanish(dtype):
    a = normal((8, 2), dtype) @ normal((2, 5), dtype, seed=1)
    for matrix in (a, np.zeros((6, 3), dtype), np.ones((6, 3), dtype), a * np.finfo(dtype).tiny):
        q, r = ls.qr(matrix)
        assert np.abs(q.T @ q - np.eye(q.shape[1])).max() <= TOLERANCE[dtype]
        assert np.abs(q @ r - matrix).max() <= TOLERANCE[dtype] * np.abs(matrix).max()


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (9, 3), (4, 8, 2), (60, 20)], ids=str)
def test_least_squares_agrees_with_numpy_and_leaves_an_orthogonal_residual(shape, dtype):
    a, b = well_conditioned(shape, dtype), normal((*shape[:-1], 2), dtype, seed=1)
    x = ls.least_squares(a, b)
    assert_close(x, np.linalg.pinv(a.astype("float64")) @ b, dtype)
    transposed = np.swapaxes(a, -2, -1)
    assert np.abs(transposed @ (a @ x - b)).max() <= TOLERANCE[dtype] * np.abs(transposed @ b).max() * 10
    assert ls.least_squares(a, np.ones(shape[-2], dtype)).shape == (*shape[:-2], shape[-1])


def test_least_squares_is_safer_than_the_normal_equations():
    """Lauchli's matrix: the squares of 1e-9 vanish beside 1, so A^T A is singular, but A is not."""
    a = np.array([[1, 1], [1e-9, 0], [0, 1e-9]])
    np.testing.assert_allclose(ls.least_squares(a, a @ [1, 2]), [1, 2], rtol=1e-6)
    with pytest.raises(ValueError, match="not positive definite"):
        ls.cholesky_solve(a.T @ a, a.T @ (a @ [1, 2]))


@pytest.mark.parametrize("matrix", [[[1, 2], [2, 4], [3, 6]], np.ones((2, 3)), np.zeros((4, 1))], ids=str)
def test_least_squares_refuses_dependent_columns(matrix):
    with pytest.raises(ValueError, match="dependent columns.*pseudo_inverse"):
        ls.least_squares(matrix, np.ones(len(matrix)))


# --- magnitudes ------------------------------------------------------------------------------------------------------


@quick
@given(seeds, st.integers(1, 5), units)
def test_no_result_depends_on_the_unit_of_measurement(seed, n, unit):
    dtype, scale = unit
    a, b = positive_definite((n, n), dtype, seed), normal((n, 2), dtype, seed)
    x = np.linalg.solve(a.astype("float64"), b)
    assert_close(ls.solve(scale * a, scale * b), x, dtype)
    assert_close(ls.cholesky_solve(scale * a, scale * b), x, dtype)
    assert_close(ls.inverse(scale * a) * scale, np.linalg.inv(a.astype("float64")), dtype)
    assert_close(ls.cholesky(scale * a) / np.sqrt(scale), np.linalg.cholesky(a.astype("float64")), dtype)
    tall = a[:, : (n + 1) // 2]
    assert_close(ls.least_squares(scale * tall, scale * b), np.linalg.lstsq(tall.astype("float64"), b)[0], dtype)
    assert_close(ls.least_squares(tall, scale * b) / scale, np.linalg.lstsq(tall.astype("float64"), b)[0], dtype)
    q, r = ls.qr(scale * a)
    assert_close(q.T @ q, np.eye(n), dtype)
    assert_close(q @ (r / scale), a, dtype)
    balanced = scale ** (-1.0) ** np.arange(n + n % 2)[:n]  # factors that cancel in the determinant
    expected = np.linalg.det(a.astype("float64")) * (scale if n % 2 else 1)
    np.testing.assert_allclose(ls.determinant(balanced.astype(dtype)[:, None] * a), expected, rtol=TOLERANCE[dtype])


def test_determinant_whose_partial_products_leave_the_range():
    assert ls.determinant(np.diag([1e-200, 1e-200, 1e200, 1e200])) == pytest.approx(1, rel=1e-15)
    assert ls.determinant(np.diag([1e-300] * 4 + [1e300] * 4)) == pytest.approx(1, rel=1e-14)


def test_entries_near_the_smallest_and_the_largest_number_are_no_exception():
    tiny, huge = 1e-310, np.finfo("float64").max / 4
    np.testing.assert_array_equal(ls.solve(tiny * np.eye(2), tiny * np.array([1, 2])), [1, 2])
    a = huge * np.array([[2.0, 1], [1, 3]])
    np.testing.assert_allclose(ls.cholesky(a) / np.sqrt(huge), np.linalg.cholesky(a / huge), rtol=1e-14)
    np.testing.assert_allclose(ls.solve(a, a @ [0.25, 0.25]), [0.25, 0.25], rtol=1e-14)
    np.testing.assert_allclose(ls.least_squares(a, a @ [0.25, 0.25]), [0.25, 0.25], rtol=1e-14)


@pytest.mark.parametrize("solver", [ls.solve, ls.cholesky_solve, ls.least_squares], ids=lambda f: f.__name__)
def test_solution_beyond_the_range_is_an_error(solver):
    with pytest.raises(OverflowError, match="solution exceeds float64's range"):
        solver(1e-300 * np.eye(2), [1e300, 0])


# --- bad input -------------------------------------------------------------------------------------------------------

SQUARE_ONLY = (ls.lu, ls.determinant, ls.inverse, ls.cholesky)


@pytest.mark.parametrize("function", SQUARE_ONLY, ids=lambda f: f.__name__)
def test_matrix_that_is_not_square_is_refused(function):
    with pytest.raises(ValueError, match="must be square; it has 2 rows and 3 columns"):
        function(np.ones((4, 2, 3)))


@pytest.mark.parametrize(
    "matrix, complaint",
    [
        ([1.0, 2.0], r"rows and columns.*\(2,\)"),
        (np.ones((0, 0)), r"empty.*\(0, 0\)"),
        ([[1, np.nan], [0, 1]], "not finite: nan"),
        ([[1, np.inf], [0, 1]], "not finite: inf"),
        ([[1j, 0], [0, 1]], "complex128"),
        ([["a"]], "dtype <U1"),
    ],
    ids=["vector", "empty", "nan", "inf", "complex", "text"],
)
@pytest.mark.parametrize("function", [*SQUARE_ONLY, ls.qr], ids=lambda f: f.__name__)
def test_what_is_no_real_matrix_is_refused(function, matrix, complaint):
    with pytest.raises(ValueError, match=complaint):
        function(matrix)


@pytest.mark.parametrize("solver", [ls.solve, ls.cholesky_solve, ls.least_squares], ids=lambda f: f.__name__)
def test_right_side_that_does_not_fit_is_refused(solver):
    with pytest.raises(ValueError, match=r"shape \(2,\), the matrix \(3, 3\): give \(3,\)"):
        solver(np.eye(3), [1, 2])
    with pytest.raises(ValueError, match="batches"):
        solver(np.stack([np.eye(3)] * 2), np.ones((4, 3, 1)))
    with pytest.raises(ValueError, match="right-hand side.*not finite"):
        solver(np.eye(2), [1, np.nan])
    with pytest.raises(ValueError, match="right-hand side has shape"):
        solver(np.eye(2), 3.0)


def test_integers_and_booleans_become_float64_and_half_becomes_single():
    assert ls.solve([[2, 0], [0, 4]], [1, 1]).dtype == "float64"
    assert ls.qr(np.eye(2, dtype=bool))[0].dtype == "float64"
    assert ls.inverse(np.eye(2, dtype="float16")).dtype == "float32"


def test_arguments_are_left_as_they_were():
    a, b = positive_definite((4, 4)), normal((4,))
    before = a.copy(), b.copy()
    for function in (ls.lu, ls.cholesky, ls.qr, ls.inverse):
        function(a)
    for function in (ls.solve, ls.cholesky_solve, ls.least_squares):
        function(a, b)
    assert (a == before[0]).all() and (b == before[1]).all()
