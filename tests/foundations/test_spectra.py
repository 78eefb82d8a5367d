import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import quick, seeds, units
from tfdl.data.embedded import photo
from tfdl.foundations import spectra

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}  # relative, against numpy.linalg in float64
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


def normal(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def orthogonal(n, seed=0):
    return np.linalg.qr(normal((n, n), seed=seed))[0]


def transposed(a):
    return np.swapaxes(a, -2, -1)


def symmetric(shape, dtype="float64", seed=0):
    a = normal(shape, seed=seed)
    return (a + transposed(a)).astype(dtype)


def assert_orthonormal(columns, dtype):
    assert columns.dtype == dtype
    assert np.abs(transposed(columns) @ columns - np.eye(columns.shape[-1])).max() <= TOLERANCE[dtype]


# --- SVD -------------------------------------------------------------------------------------------------------------

MATRICES = {
    "one by one": lambda: normal((1, 1)),
    "one row": lambda: normal((1, 6)),
    "one column": lambda: normal((6, 1)),
    "tall": lambda: normal((11, 4)),
    "wide": lambda: normal((4, 11)),
    "square": lambda: normal((9, 9)),
    "batch": lambda: normal((2, 3, 5, 4)),
    "large": lambda: normal((70, 50)),
    "rank two": lambda: normal((8, 2)) @ normal((2, 6), seed=1),
    "all ones": lambda: np.ones((5, 4)),
    "zero": lambda: np.zeros((3, 4)),
    "identity": lambda: np.eye(6),
    "repeated values": lambda: orthogonal(7) @ np.diag([3, 3, 3, 1, 1, 0, 0]) @ orthogonal(7, seed=1),
    "orthogonal": lambda: orthogonal(8),
    "graded": lambda: normal((6, 6)) * 10.0 ** -np.arange(0, 12, 2),
    "columns of very different size": lambda: normal((6, 5)) * 10.0 ** -np.array([30, 0, 40, 20, 10]),
    "hilbert": lambda: 1 / (np.arange(12)[:, None] + np.arange(12) + 1.0),
    "large numbers": lambda: 1e30 * normal((4, 3)),
    "small numbers": lambda: 1e-30 * normal((3, 4)),
}


@DTYPES
@pytest.mark.parametrize("name", MATRICES)
def test_svd_is_one_and_its_values_are_numpys(name, dtype):
    a = MATRICES[name]().astype(dtype)
    u, values, vt = spectra.svd(a)
    expected = np.linalg.svd(a.astype("float64"), compute_uv=False)
    limit = TOLERANCE[dtype] * expected.max()
    assert values.dtype == dtype and values.shape == expected.shape
    assert np.abs(values - expected).max() <= limit
    assert np.abs((u * values[..., None, :]) @ vt - a).max() <= limit
    assert (np.diff(values, axis=-1) <= 0).all() and (values >= 0).all()
    assert_orthonormal(u, dtype)
    assert_orthonormal(transposed(vt), dtype)
    assert u.shape == (*a.shape[:-1], values.shape[-1]) and vt.shape == (*values.shape, a.shape[-1])


@DTYPES
def test_singular_vectors_are_numpys_where_they_are_unique(dtype):
    a = (orthogonal(9)[:, :5] * [5, 4, 3, 2, 1]) @ orthogonal(5, seed=1)
    found, expected = spectra.svd(a.astype(dtype)), np.linalg.svd(a, full_matrices=False)
    sign = np.sign((found.vt * expected.Vh).sum(-1))
    np.testing.assert_allclose(found.vt, expected.Vh * sign[:, None], atol=TOLERANCE[dtype])
    np.testing.assert_allclose(found.u, expected.U * sign, atol=TOLERANCE[dtype])


def test_svd_does_not_change_with_rotations_transposition_or_scale():
    a = normal((6, 4))
    values = spectra.svd(a).values
    for other in (orthogonal(6) @ a, a @ orthogonal(4), a.T, -a, a[::-1]):
        np.testing.assert_allclose(spectra.svd(other).values, values, rtol=1e-13)
    np.testing.assert_allclose(spectra.svd(1e-300 * a).values, 1e-300 * values, rtol=1e-13)
    np.testing.assert_allclose(spectra.svd(1e300 * a).values, 1e300 * values, rtol=1e-13)


def test_svd_of_a_photograph():
    """More columns than anything above, and singular values over six orders of magnitude."""
    image = photo()
    assert image.shape == (427, 640, 3) and image.dtype == "uint8"
    matrix = image[::2, ::2].mean(-1)
    u, values, vt = spectra.svd(matrix)
    expected = np.linalg.svd(matrix, compute_uv=False)
    assert np.abs(values - expected).max() <= 1e-12 * expected[0]
    assert np.abs((u * values) @ vt - matrix).max() <= 1e-12 * expected[0]
    assert_orthonormal(u, "float64")


def test_batch_is_the_same_as_one_by_one():
    a = normal((3, 6, 5))
    a[1] = 0
    together = spectra.svd(a)
    for i in range(3):
        for whole, alone in zip(together, spectra.svd(a[i])):
            np.testing.assert_allclose(whole[i], alone, atol=1e-13)


def test_largest_entry_of_each_vector_is_positive():
    for rows in (spectra.svd(normal((7, 5))).vt, spectra.svd(normal((5, 7))).vt,
                 spectra.symmetric_eigen(symmetric((6, 6))).vectors.T):  # fmt: skip
        assert (rows[np.arange(len(rows)), np.abs(rows).argmax(-1)] > 0).all()


# --- symmetric eigenvalues -------------------------------------------------------------------------------------------

SYMMETRIC = {
    "one by one": lambda: normal((1, 1)),
    "two by two": lambda: np.array([[2.0, 1.0], [1.0, 2.0]]),
    "odd": lambda: symmetric((7, 7)),
    "batch": lambda: symmetric((2, 3, 4, 4)),
    "large": lambda: symmetric((60, 60)),
    "rank two": lambda: normal((8, 2)) @ normal((8, 2)).T,
    "opposite values": lambda: np.array([[0.0, 1.0], [1.0, 0.0]]),
    "repeated values": lambda: orthogonal(6) @ np.diag([2, 2, 2, -1, -1, 0]) @ orthogonal(6).T,
    "zero": lambda: np.zeros((4, 4)),
    "diagonal": lambda: np.diag([1.0, 3.0, -2.0]),
    "large numbers": lambda: 1e30 * symmetric((5, 5)),
}


@DTYPES
@pytest.mark.parametrize("name", SYMMETRIC)
def test_eigenvalues_are_numpys_and_vectors_satisfy_the_definition(name, dtype):
    a = SYMMETRIC[name]().astype(dtype)
    a = (a + transposed(a)) / 2
    values, vectors = spectra.symmetric_eigen(a)
    expected = np.linalg.eigvalsh(a.astype("float64"))[..., ::-1]
    limit = TOLERANCE[dtype] * np.abs(expected).max()
    assert values.dtype == dtype
    assert np.abs(values - expected).max() <= limit
    assert np.abs(a @ vectors - vectors * values[..., None, :]).max() <= limit
    assert np.abs((vectors * values[..., None, :]) @ transposed(vectors) - a).max() <= limit
    assert_orthonormal(vectors, dtype)


def test_trace_and_determinant_are_sum_and_product_of_the_eigenvalues():
    a = symmetric((3, 6, 6))
    values = spectra.symmetric_eigen(a).values
    np.testing.assert_allclose(values.sum(-1), np.trace(a, axis1=-2, axis2=-1), rtol=1e-12)
    np.testing.assert_allclose(values.prod(-1), np.linalg.det(a), rtol=1e-11)


def test_eigenvalues_of_the_gram_matrix_are_squared_singular_values():
    a = normal((9, 5))
    np.testing.assert_allclose(spectra.symmetric_eigen(a.T @ a).values, spectra.svd(a).values ** 2, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 11])
def test_tournament_pairs_everyone_once_and_nobody_twice_in_a_round(n):
    rounds = spectra.tournament(n)
    pairs = [(int(p), int(q)) for ps, qs in rounds for p, q in zip(ps, qs)]
    assert sorted(pairs) == [(p, q) for p in range(n) for q in range(p + 1, n)]
    for p, q in rounds:
        assert len({*p, *q}) == 2 * len(p)


def test_rotation_diagonalizes_two_by_two_with_an_angle_of_at_most_45_degrees():
    alpha, beta, gamma = normal((3, 200))
    alpha[:3], beta[:3], gamma[:4] = [1, 1, 0], [1, 1, 0], [1, -1, 0, 0]
    cosine, sine = spectra.jacobi_rotation(alpha, beta, gamma)
    np.testing.assert_allclose(cosine**2 + sine**2, 1)
    np.testing.assert_allclose((cosine**2 - sine**2) * gamma + cosine * sine * (alpha - beta), 0, atol=1e-14)
    assert (cosine >= np.sqrt(0.5) - 1e-15).all()
    assert sine[2] == sine[3] == 0


# --- power iteration -------------------------------------------------------------------------------------------------


def spectrum(*values, seed=0):
    q = orthogonal(len(values), seed)
    return q @ np.diag(values) @ q.T


@DTYPES
def test_power_iteration_finds_the_eigenvalue_of_largest_size(dtype):
    a = np.stack([spectrum(5, 2, 1, 0), spectrum(-7, 3, 1, 0, seed=1)]).astype(dtype)
    found = spectra.power_iteration(a, steps=60, seed=0)
    assert found.value.dtype == found.vector.dtype == dtype
    np.testing.assert_allclose(found.value, [5, -7], rtol=TOLERANCE[dtype])
    np.testing.assert_allclose((a @ found.vector[..., None])[..., 0], found.value[:, None] * found.vector,
                               atol=7 * TOLERANCE[dtype])  # fmt: skip
    assert found.values.shape == found.residuals.shape == (60, 2)
    assert (found.values[-1] == found.value).all()


@pytest.mark.parametrize("second, late", [(0.5, slice(10, 18)), (-0.8, slice(15, 30)), (0.9, slice(35, 60))])
def test_power_iteration_converges_at_the_theoretical_rate(second, late):
    """The residual by |l2 / l1| a step, the value by its square: sections 7.3.1 and 8.2.1."""
    found = spectra.power_iteration(spectrum(1, second, 0.1, 0.05), steps=60, seed=3)
    residuals, errors = found.residuals[late], np.abs(found.values - 1)[late]
    np.testing.assert_allclose(residuals[1:] / residuals[:-1], abs(second), rtol=0.01)
    np.testing.assert_allclose(errors[1:] / errors[:-1], second**2, rtol=0.01)


def test_power_iteration_depends_on_its_seed_alone():
    a = symmetric((5, 5))
    first, again, other = (spectra.power_iteration(a, steps=4, seed=s) for s in (1, 1, 2))
    assert (first.vector == again.vector).all() and (first.vector != other.vector).any()


def test_power_iteration_ends_on_a_vector_that_the_matrix_maps_to_zero():
    for a in (np.zeros((3, 3)), np.triu(np.ones((3, 3)), 1)):
        found = spectra.power_iteration(a, steps=8, seed=0)
        assert found.value == 0 and found.residuals[-1] == 0
        np.testing.assert_allclose(np.linalg.norm(found.vector), 1)


# --- magnitudes ------------------------------------------------------------------------------------------------------


@quick
@given(seeds, st.integers(1, 4), st.integers(1, 4), units)
def test_decompositions_are_numpys_at_every_magnitude(seed, m, n, unit):
    dtype, scale = unit
    a, square = normal((m, n), dtype, seed), symmetric((n, n), dtype, seed)
    u, values, vt = spectra.svd(scale * a)
    expected = np.linalg.svd(a.astype("float64"), compute_uv=False)
    np.testing.assert_allclose(values / scale, expected, atol=TOLERANCE[dtype] * expected[0])
    np.testing.assert_allclose((u * (values / scale)) @ vt, a, atol=TOLERANCE[dtype] * expected[0])
    expected = np.linalg.eigvalsh(square.astype("float64"))[::-1]
    found = spectra.symmetric_eigen(scale * square)
    np.testing.assert_allclose(found.values / scale, expected, atol=TOLERANCE[dtype] * np.abs(expected).max())
    assert_orthonormal(found.vectors, dtype)
    plain, scaled = (spectra.power_iteration(x, steps=9, seed=seed) for x in (square, scale * square))
    for name in ("values", "residuals"):
        np.testing.assert_allclose(getattr(scaled, name) / scale, getattr(plain, name), atol=9 * TOLERANCE[dtype])


def test_eigenvalues_near_the_largest_number_are_found_and_those_beyond_it_are_an_error():
    a = np.finfo("float64").max * np.array([[0.5, 0.25], [0.25, 0.75]])
    expected = np.linalg.eigvalsh(a / a.max())[::-1]
    np.testing.assert_allclose(spectra.symmetric_eigen(a).values / a.max(), expected, rtol=1e-14)
    np.testing.assert_allclose(spectra.power_iteration(a, steps=60, seed=0).value / a.max(), expected[0], rtol=1e-14)
    for function in (spectra.svd, spectra.symmetric_eigen, lambda x: spectra.power_iteration(x, steps=9, seed=0)):
        with pytest.raises(OverflowError, match="value exceeds float64's range"):
            function(1e308 * np.ones((2, 2)))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [spectra.svd, spectra.symmetric_eigen], ids=lambda f: f.__name__)
def test_what_is_no_matrix_is_refused(function):
    with pytest.raises(ValueError, match=r"rows and columns.*\(4,\)"):
        function(np.ones(4))
    with pytest.raises(ValueError, match="not finite: inf"):
        function([[1, 2], [2, np.inf]])


def test_eigenvalues_of_other_than_symmetric_matrices_are_refused():
    with pytest.raises(ValueError, match="must be square; it has 2 rows and 3 columns"):
        spectra.symmetric_eigen(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"Matrix \[1\] of the batch is not symmetric.*by up to 3"):
        spectra.symmetric_eigen([[[1, 2], [2, 1]], [[1, 2], [5, 1]]])


def test_power_iteration_refuses_rectangles_and_zero_steps():
    with pytest.raises(ValueError, match="square"):
        spectra.power_iteration(np.ones((2, 3)), steps=3, seed=0)
    with pytest.raises(ValueError, match="0 steps"):
        spectra.power_iteration(np.eye(2), steps=0, seed=0)


def test_a_method_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(spectra, "MAX_SWEEPS", 1)
    for function in (spectra.svd, spectra.symmetric_eigen):
        with pytest.raises(ArithmeticError, match=r"1 sweeps.*\(9, 9\)"):
            function(symmetric((9, 9)))
