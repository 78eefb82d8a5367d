import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import quick, seeds, units
from tfdl.foundations import linear_algebra as la
from tfdl.foundations.spectra import svd

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}  # relative, against numpy.linalg in float64
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


def normal(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def transposed(a):
    return np.swapaxes(a, -2, -1)


def of_rank(r, shape, dtype="float64", seed=0):
    """Random (..., m, n) whose r singular values that are not zero run from 4 to 1."""
    u, _, vt = np.linalg.svd(normal(shape, seed=seed), full_matrices=False)
    return ((u[..., :r] * np.linspace(4, 1, r)) @ vt[..., :r, :]).astype(dtype)


def assert_close(found, expected, dtype):
    assert found.dtype == dtype and found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE[dtype] * max(np.abs(expected).max(), 1)


# --- norms -----------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_vector_norms_are_numpys(order, dtype):
    x = normal((3, 4, 5), dtype)
    assert_close(la.vector_norm(x, order), np.linalg.norm(x.astype("float64"), order, axis=-1), dtype)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (6, 3), (3, 6), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("order", [1, np.inf, "spectral", "nuclear", "frobenius"])
def test_matrix_norms_are_numpys(order, shape, dtype):
    a, numpys = normal(shape, dtype), {"spectral": 2, "nuclear": "nuc", "frobenius": "fro"}.get(order, order)
    assert_close(la.matrix_norm(a, order), np.linalg.norm(a.astype("float64"), numpys, axis=(-2, -1)), dtype)


def test_length_of_very_long_and_very_short_vectors():
    np.testing.assert_allclose(la.vector_norm([[3e200, 4e200], [3e-200, 4e-200], [0, 0]]), [5e200, 5e-200, 0])


@pytest.mark.parametrize("order", [1, np.inf, "spectral", "nuclear", "frobenius"])
def test_matrix_norms_obey_the_laws_of_norms(order):
    a, b = normal((50, 4, 4)), normal((50, 4, 4), seed=1)
    size_a, size_b = la.matrix_norm(a, order), la.matrix_norm(b, order)
    assert (la.matrix_norm(a + b, order) <= size_a + size_b).all()
    assert (la.matrix_norm(a @ b, order) <= size_a * size_b).all()
    np.testing.assert_allclose(la.matrix_norm(-3 * a, order), 3 * size_a)


@pytest.mark.parametrize("order, vectors", [(1, 1), ("spectral", 2), (np.inf, np.inf)])
def test_operator_norm_is_the_most_that_a_vector_can_grow(order, vectors):
    a, x = normal((3, 4)), normal((4, 2000), seed=1)
    growth = la.vector_norm((a @ x).T, vectors) / la.vector_norm(x.T, vectors)
    assert 0.8 * la.matrix_norm(a, order) < growth.max() <= la.matrix_norm(a, order)


# --- rank, condition, pseudo-inverse, low rank -----------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("r", [1, 3, 5])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (5, 5)], ids=str)
def test_rank_counts_the_directions_that_survive(shape, r, dtype):
    a = of_rank(r, shape, dtype)
    assert la.rank(a) == r == np.linalg.matrix_rank(a)
    assert la.rank(1e-30 * a) == r, "rank knows no units"
    assert (la.rank(np.stack([a, 0 * a])) == [r, 0]).all()


@DTYPES
def test_condition_number_is_numpys_and_infinite_for_singular_matrices(dtype):
    a = normal((3, 6, 4), dtype)
    found = la.condition_number(a)
    np.testing.assert_allclose(found, np.linalg.cond(a.astype("float64")), rtol=10 * TOLERANCE[dtype])
    assert found.dtype == dtype
    assert la.condition_number(np.diag([3, 0]).astype(dtype)) == np.inf
    np.testing.assert_allclose(la.condition_number(la.rotation(0.3)), 1)


@DTYPES
@pytest.mark.parametrize("shape, r", [((1, 1), 1), ((7, 4), 4), ((4, 7), 4), ((3, 6, 5), 2), ((5, 5), 3)], ids=str)
def test_pseudo_inverse_is_numpys_and_obeys_the_four_conditions_of_penrose(shape, r, dtype):
    a = of_rank(r, shape, dtype)
    p = la.pseudo_inverse(a)
    assert_close(p, np.linalg.pinv(a.astype("float64"), rcond=1e-4), dtype)
    for left, right in ((a @ p @ a, a), (p @ a @ p, p), (transposed(a @ p), a @ p), (transposed(p @ a), p @ a)):
        assert_close(left, right, dtype)


def test_pseudo_inverse_gives_the_shortest_of_all_solutions():
    a, b = of_rank(2, (4, 5)), normal((4,), seed=1)
    x = la.pseudo_inverse(a) @ b
    np.testing.assert_allclose(x, np.linalg.lstsq(a, b, rcond=1e-10)[0], atol=1e-12)
    assert (la.pseudo_inverse(np.zeros((2, 3))) == np.zeros((3, 2))).all()


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_no_matrix_of_that_rank_is_closer_than_the_truncated_svd(keep):
    """Eckart and Young 1936; rivals are random ones, and the best one's own neighbors."""
    a = normal((7, 5))
    decomposition = svd(a)
    best = la.low_rank(decomposition, keep)
    assert la.rank(best) == keep
    cut = decomposition.values[keep:]
    np.testing.assert_allclose(la.matrix_norm(a - best), np.sqrt((cut**2).sum()), atol=1e-13)
    np.testing.assert_allclose(la.matrix_norm(a - best, "spectral"), cut[0] if len(cut) else 0, atol=1e-13)
    u, values, vt = decomposition
    left, right = u[:, :keep] * values[:keep], vt[:keep]
    for size in (1e-3, 1e-1, 10):
        rivals = (left + size * normal((200, 7, keep), seed=1)) @ (right + size * normal((200, keep, 5), seed=2))
        assert (la.matrix_norm(a - rivals) >= la.matrix_norm(a - best)).all()


def test_full_rank_gives_back_the_matrix_and_other_ranks_do_not_exist():
    a = normal((2, 4, 6), "float32")
    assert_close(la.low_rank(svd(a), 4), a, "float32")
    for keep in (0, 5, -1):
        with pytest.raises(ValueError, match=f"rank {keep} approximation: give 1 to 4"):
            la.low_rank(svd(a), keep)


def test_compressed_picture_is_the_closest_of_its_rank_and_its_size_is_counted():
    image = np.random.default_rng(0).random((6, 5, 3))
    matrix = image.reshape(6, 15)
    images, psnr, savings, found = la.compress(image, (1, 3, 6))
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(found, values)
    np.testing.assert_allclose(images[1], np.clip((u[:, :3] * values[:3]) @ vt[:3], 0, 1).reshape(6, 5, 3), atol=1e-12)
    np.testing.assert_allclose(psnr[:2], [10 * np.log10(1 / ((x - image) ** 2).mean()) for x in images[:2]])
    assert psnr[2] > 250, "full rank: nothing but rounding is lost"
    np.testing.assert_allclose(savings, [90 / 22, 90 / 66, 90 / 132])
    assert (la.compress(np.zeros((2, 2, 1)), [1]).psnr == np.inf).all()


# --- subspaces and maps ----------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("shape, r", [((4, 7), 4), ((4, 7), 2), ((7, 4), 3), ((5, 5), 5), ((3, 6, 5), 2)], ids=str)
def test_null_and_column_space_split_the_dimensions(shape, r, dtype):
    a = of_rank(r, shape, dtype)
    image, kernel = la.column_space(a), la.null_space(a)
    assert image.shape == (*shape[:-1], r) and kernel.shape == (*shape[:-2], shape[-1], shape[-1] - r)
    for basis in (image, kernel):
        assert basis.dtype == dtype
        np.testing.assert_allclose(
            transposed(basis) @ basis,
            np.broadcast_to(np.eye(basis.shape[-1]), (*shape[:-2], *basis.shape[-1:] * 2)),
            atol=1e-5,
        )
    assert np.abs(a @ kernel).max(initial=0) <= 4 * TOLERANCE[dtype]
    assert_close(image @ (transposed(image) @ a), a, dtype)


def test_bases_of_zero_and_of_a_batch_of_different_ranks():
    np.testing.assert_allclose(np.abs(np.linalg.det(la.null_space(np.zeros((2, 3))))), 1)
    with pytest.raises(ValueError, match="origin"):
        la.column_space(np.zeros((2, 3)))
    for basis in (la.column_space, la.null_space):
        with pytest.raises(ValueError, match=r"Matrix \[1\] of the batch has another rank"):
            basis(np.stack([np.eye(2), np.ones((2, 2))]))


def test_rotations_add_up_keep_lengths_and_turn_counterclockwise():
    angles = np.array([[0.3, -1.2, 2.0]])
    r = la.rotation(angles)
    assert r.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(r @ la.rotation(0.4), la.rotation(angles + 0.4), atol=1e-15)
    np.testing.assert_allclose(transposed(r) @ r, np.broadcast_to(np.eye(2), r.shape), atol=1e-15)
    np.testing.assert_allclose(la.rotation(np.pi / 2) @ [1, 0], [0, 1], atol=1e-15)
    assert la.rotation(np.float32(0.1)).dtype == "float32" and la.rotation(1).dtype == "float64"


def test_shear_slides_sideways_and_keeps_areas():
    np.testing.assert_array_equal(la.shear(2) @ [[1, 0, 1], [0, 1, 3]], [[1, 2, 7], [0, 1, 3]])
    np.testing.assert_allclose(np.linalg.det(la.shear(normal((5,)))), 1)


def test_projection_is_idempotent_and_reaches_the_nearest_point():
    basis, x = normal((4, 6, 2)), normal((4, 6, 3), seed=1)
    p = la.projection(basis)
    np.testing.assert_allclose(p @ p, p, atol=1e-14)
    np.testing.assert_allclose(p, transposed(p), atol=1e-15)
    np.testing.assert_allclose(p @ basis, basis, atol=1e-14)
    np.testing.assert_allclose(transposed(basis) @ (x - p @ x), 0, atol=1e-13)


def test_reflection_undoes_itself_and_turns_the_normal_around():
    basis = normal((5, 2))
    mirror = la.reflection(basis)
    np.testing.assert_allclose(mirror @ mirror, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(mirror @ basis, basis, atol=1e-14)
    normals = la.null_space(basis.T)
    np.testing.assert_allclose(mirror @ normals, -normals, atol=1e-14)


def test_two_reflections_are_a_rotation_by_twice_the_angle_between_the_mirrors():
    first, second = (la.reflection([[np.cos(t)], [np.sin(t)]]) for t in (0.2, 0.9))
    np.testing.assert_allclose(second @ first, la.rotation(1.4), atol=1e-15)


def test_projection_on_dependent_columns_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\) has linearly dependent columns"):
        la.projection(np.ones((3, 2)))


# --- PCA -------------------------------------------------------------------------------------------------------------


def cloud(count=200, dtype="float64"):
    """Points around (5, -3, 0, 7) with standard deviations 4, 2, 1 and 0.5 along rotated axes."""
    axes = np.linalg.qr(normal((4, 4), seed=1))[0]
    return ((normal((count, 4)) * [4, 2, 1, 0.5]) @ axes.T + [5, -3, 0, 7]).astype(dtype)


@DTYPES
def test_pca_diagonalizes_the_covariance(dtype):
    x = cloud(dtype=dtype)
    pca = la.PCA.fit(x, 4)
    values, vectors = np.linalg.eigh(np.cov(x.T.astype("float64")))
    np.testing.assert_allclose(pca.variances, values[::-1], rtol=TOLERANCE[dtype] * 10)
    np.testing.assert_allclose(np.abs((pca.components * vectors.T[::-1]).sum(-1)), 1, rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(pca.ratios.sum(), 1, rtol=1e-6)
    covariance = np.cov(pca.transform(x).T)
    np.testing.assert_allclose(covariance, np.diag(values[::-1]), atol=TOLERANCE[dtype] * values[-1] * 10)
    assert {pca.mean.dtype, pca.components.dtype, pca.variances.dtype, pca.ratios.dtype} == {np.dtype(dtype)}


def test_pca_agrees_with_scikit_learn():
    from sklearn.decomposition import PCA

    x = cloud()
    ours, theirs = la.PCA.fit(x, 2), PCA(2).fit(x)
    np.testing.assert_allclose(ours.ratios, theirs.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(
        ours.inverse(ours.transform(x)), theirs.inverse_transform(theirs.transform(x)), atol=1e-10
    )


def test_reconstruction_error_is_the_variance_that_was_cut():
    x = cloud()
    whole = la.PCA.fit(x, 4)
    for keep in (1, 2, 3, 4):
        pca = whole.keep(keep)
        np.testing.assert_array_equal(pca.components, la.PCA.fit(x, keep).components)
        error = ((pca.inverse(pca.transform(x)) - x) ** 2).sum() / (len(x) - 1)
        np.testing.assert_allclose(error, whole.variances[keep:].sum(), atol=1e-12)
        np.testing.assert_allclose(pca.error(x), np.sqrt(error * (len(x) - 1) / x.size), atol=1e-12)


def test_pca_follows_shifts_and_rotations_of_the_points():
    x, turn = cloud(), np.linalg.qr(normal((4, 4), seed=5))[0]
    plain, moved = la.PCA.fit(x, 3), la.PCA.fit(x @ turn.T + [1, 2, 3, 4], 3)
    np.testing.assert_allclose(moved.variances, plain.variances, rtol=1e-12)
    np.testing.assert_allclose(moved.mean, plain.mean @ turn.T + [1, 2, 3, 4], atol=1e-12)
    np.testing.assert_allclose(np.abs((moved.components @ turn * plain.components).sum(-1)), 1, rtol=1e-12)


def test_pca_of_a_batch_is_the_same_as_one_by_one():
    x = np.stack([cloud(30), 2 * cloud(30)[::-1]])
    together = la.PCA.fit(x, 2)
    for i in range(2):
        alone = la.PCA.fit(x[i], 2)
        np.testing.assert_allclose(together.transform(x)[i], alone.transform(x[i]), atol=1e-12)
        np.testing.assert_allclose(together.inverse(together.transform(x))[i], alone.inverse(alone.transform(x[i])))


# --- magnitudes ------------------------------------------------------------------------------------------------------


@quick
@given(seeds, st.integers(2, 5), st.integers(1, 4), units)
def test_everything_is_numpys_at_every_magnitude(seed, m, n, unit):
    dtype, scale = unit
    a, close = normal((m, n), dtype, seed), {"atol": 100 * TOLERANCE[dtype]}
    exact = a.astype("float64")
    for order, numpys in ((1, 1), (np.inf, np.inf), ("spectral", 2), ("nuclear", "nuc"), ("frobenius", "fro")):
        np.testing.assert_allclose(la.matrix_norm(scale * a, order) / scale, np.linalg.norm(exact, numpys), **close)
    for order in (1, 2, np.inf):
        np.testing.assert_allclose(la.vector_norm(scale * a, order) / scale, np.linalg.norm(exact, order, 1), **close)
    tall = of_rank(n, (n + 2, n), dtype, seed)
    assert la.rank(scale * tall) == n
    np.testing.assert_allclose(la.condition_number(scale * tall), np.linalg.cond(tall.astype("float64")), rtol=1e-4)
    np.testing.assert_allclose(la.pseudo_inverse(scale * tall) * scale, np.linalg.pinv(tall), **close)
    q = np.linalg.qr(tall.astype("float64"))[0]
    np.testing.assert_allclose(la.projection(scale * tall), q @ q.T, **close)
    plain, scaled = la.PCA.fit(tall, n), la.PCA.fit(scale * tall, n)
    np.testing.assert_allclose(scaled.ratios, plain.ratios, **close)
    np.testing.assert_allclose(scaled.transform(scale * tall) / scale, plain.transform(tall), **close)
    np.testing.assert_allclose(scaled.keep(1).error(scale * tall) / scale, plain.keep(1).error(tall), **close)


def test_a_norm_beyond_the_range_is_an_error():
    with pytest.raises(OverflowError, match="norm exceeds float32's range"):
        la.vector_norm(np.full(2, 3e38, "float32"), 1)
    with pytest.raises(OverflowError, match="pseudo-inverse exceeds"):
        la.pseudo_inverse([[1e-310]])


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, complaint",
    [
        (lambda: la.vector_norm([1, 2], 3), "order 3.*1, 2 or np.inf"),
        (lambda: la.vector_norm(7), "at least one axis.*7"),
        (lambda: la.matrix_norm(np.eye(2), 2), "order 2.*'spectral'"),
        (lambda: la.matrix_norm([1, 2]), r"rows and columns.*\(2,\)"),
        (lambda: la.rank([[np.nan]]), "not finite: nan"),
        (lambda: la.rotation(np.inf), "angle.*not finite"),
        (lambda: la.shear("a"), "slope has dtype"),
        (lambda: la.compress(np.full((4, 5, 3), 255), [1]), r"values 0 to 1.*\(4, 5, 3\), 255 to 255"),
        (lambda: la.compress(np.ones((4, 5)), [1]), r"\(H, W, C\).*\(4, 5\)"),
        (lambda: la.compress(np.ones((4, 5, 1)), [5]), "rank 5 approximation: give 1 to 4"),
        (lambda: la.PCA.fit(cloud(9), 5), r"shape \(9, 4\) have 1 to 4 components, not 5"),
        (lambda: la.PCA.fit(cloud(9), 0), "not 0"),
        (lambda: la.PCA.fit(np.ones((1, 3)), 1), "two points or more"),
        (lambda: la.PCA.fit(np.ones((5, 3)), 1), "same point"),
        (lambda: la.PCA.fit(cloud(9), 2).keep(3), "has 2 components; cannot keep 3"),
        (lambda: la.PCA.fit(cloud(9), 2).transform(np.ones((3, 5))), r"expects 4 numbers per point.*\(3, 5\)"),
        (lambda: la.PCA.fit(cloud(9), 2).inverse(np.ones((3, 4))), r"expects 2 numbers per point.*\(3, 4\)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
