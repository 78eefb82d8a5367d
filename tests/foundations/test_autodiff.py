"""The engine against TensorFlow's, against central differences, and against what calculus says."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from tests.magnitudes import LIMITS, numbers, quick
from tfdl.foundations import autodiff as ad
from tfdl.foundations.autodiff import Tensor, draw, grad, hessian, hvp, jacobian
from tfdl.foundations.calculus import gradcheck, numeric_hessian
from tfdl.foundations.convolution import conv2d

TIGHT = dict(rtol=1e-10, atol=1e-10)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def positive(*shape, seed=1):
    return np.random.default_rng(seed).uniform(0.5, 2.0, size=shape)


# name: (ours, TensorFlow's, inputs)
OPERATIONS = {
    "negative": (lambda x: -x, lambda x: -x, [normal(2, 3)]),
    "add a row": (lambda x, y: x + y, lambda x, y: x + y, [normal(2, 3), normal(3)]),
    "subtract a column": (lambda x, y: x - y, lambda x, y: x - y, [normal(2, 3), normal(2, 1)]),
    "subtract from a row": (lambda x, y: x - y, lambda x, y: x - y, [normal(3), normal(4, 1, 3)]),
    "multiply column by row": (lambda x, y: x * y, lambda x, y: x * y, [normal(2, 1), normal(1, 3)]),
    "divide a scalar": (lambda x, y: x / y, lambda x, y: x / y, [normal(), positive(2, 3)]),
    "divide by a middle axis": (lambda x, y: x / y, lambda x, y: x / y, [normal(2, 3, 4), positive(3, 1)]),
    "numbers left and right": (lambda x: 2 - 3 / x + 5 * x - 1, lambda x: 2 - 3 / x + 5 * x - 1, [positive(4)]),
    "cube": (lambda x: x**3, lambda x: x**3, [normal(2, 3)]),
    "square root": (lambda x: x**0.5, tf.sqrt, [positive(5)]),
    "power of tensors": (lambda x, y: x**y, lambda x, y: x**y, [positive(2, 1), normal(3)]),
    "number to a power": (lambda x: 2.0**x, lambda x: 2.0**x, [normal(3)]),
    "exp": (ad.exp, tf.exp, [normal(2, 3)]),
    "log": (ad.log, tf.math.log, [positive(2, 3)]),
    "sin": (ad.sin, tf.sin, [normal(4)]),
    "cos": (ad.cos, tf.cos, [normal(4)]),
    "tanh": (ad.tanh, tf.tanh, [normal(2, 3)]),
    "sigmoid": (ad.sigmoid, tf.sigmoid, [normal(2, 3)]),
    "relu": (ad.relu, tf.nn.relu, [normal(2, 3)]),
    "softmax": (ad.softmax, tf.nn.softmax, [normal(2, 3)]),
    "softmax of columns": (lambda x: ad.softmax(x, 0), lambda x: tf.nn.softmax(x, 0), [normal(2, 3)]),
    "log softmax": (ad.log_softmax, tf.nn.log_softmax, [normal(2, 3)]),
    "sum": (lambda x: x.sum(), tf.reduce_sum, [normal(2, 3)]),
    "sum of axes": (lambda x: x.sum((0, -1)), lambda x: tf.reduce_sum(x, (0, -1)), [normal(2, 3, 4)]),
    "sum kept": (lambda x: x.sum(1, keepdims=True), lambda x: tf.reduce_sum(x, 1, True), [normal(2, 3, 4)]),
    "mean": (lambda x: x.mean(1), lambda x: tf.reduce_mean(x, 1), [normal(2, 3, 4)]),
    "max": (lambda x: x.max((0, 2)), lambda x: tf.reduce_max(x, (0, 2)), [normal(2, 3, 4)]),
    "max kept": (lambda x: x.max(keepdims=True), lambda x: tf.reduce_max(x, None, True), [normal(2, 3)]),
    "reshape": (lambda x: x.reshape(4, -1), lambda x: tf.reshape(x, (4, -1)), [normal(2, 3, 4)]),
    "transpose": (lambda x: x.transpose(2, 0, 1), lambda x: tf.transpose(x, (2, 0, 1)), [normal(2, 3, 4)]),
    "transpose, last": (lambda x: x.transpose(-1, 0, 1), lambda x: tf.transpose(x, (2, 0, 1)), [normal(2, 3, 4)]),
    "slice": (lambda x: x[1:, ::2, None], lambda x: x[1:, ::2, None], [normal(3, 5)]),
    "gather with repeats": (lambda x: x[[2, 0, 2]], lambda x: tf.gather(x, [2, 0, 2]), [normal(3, 2)]),
    "where": (lambda x, y: ad.where(x > y, x, 3 * y), lambda x, y: tf.where(x > y, x, 3 * y),
              [normal(2, 3), normal(3, seed=5)]),
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y, [normal(2, 3), normal(3, 4)]),
    "matmul, batches": (lambda x, y: x @ y, lambda x, y: x @ y, [normal(5, 2, 3), normal(5, 3, 4)]),
    "matmul, batch by one": (lambda x, y: x @ y, lambda x, y: x @ y, [normal(5, 2, 3), normal(3, 4)]),
    "matmul, batches broadcast": (lambda x, y: x @ y, lambda x, y: x @ y, [normal(5, 1, 2, 3), normal(6, 3, 4)]),
    "matrix times vector": (lambda x, y: x @ y, tf.linalg.matvec, [normal(2, 3), normal(3)]),
    "vector times matrices": (lambda x, y: x @ y, lambda x, y: tf.einsum("k,bkm->bm", x, y),
                              [normal(3), normal(2, 3, 4)]),
    "vector times vector": (lambda x, y: x @ y, lambda x, y: tf.tensordot(x, y, 1), [normal(3), normal(3, seed=2)]),
}  # fmt: skip
CONVOLUTIONS = [  # images, kernel, stride, padding
    ((2, 5, 6, 3), (3, 2, 3, 4), 1, "valid"),
    ((2, 5, 6, 3), (3, 2, 3, 4), 1, "same"),
    ((1, 7, 6, 2), (3, 3, 2, 3), 2, "valid"),
    ((1, 7, 6, 2), (3, 3, 2, 3), 2, "same"),
    ((2, 8, 5, 1), (2, 4, 1, 2), 3, "same"),
    ((1, 6, 7, 2), (1, 1, 2, 3), 2, "same"),  # stride longer than the kernel: some pixels see no window
]
for _images, _kernel, _stride, _padding in CONVOLUTIONS:
    OPERATIONS[f"conv2d {_images} {_kernel} / {_stride} {_padding}"] = (
        lambda x, k, s=_stride, p=_padding: conv2d(x, k, stride=s, padding=p),
        lambda x, k, s=_stride, p=_padding: tf.nn.conv2d(x, k, s, p.upper()),
        [normal(*_images), normal(*_kernel)],
    )


@pytest.mark.parametrize("ours, theirs, inputs", OPERATIONS.values(), ids=OPERATIONS)
def test_value_first_and_second_derivatives_are_tensorflows(ours, theirs, inputs):
    mine, their = [Tensor(x) for x in inputs], [tf.constant(x) for x in inputs]
    y = ours(*mine)
    weights, directions = normal(*y.shape, seed=7), [normal(*x.shape, seed=8) for x in inputs]
    with tf.GradientTape() as outer:
        outer.watch(their)
        with tf.GradientTape() as inner:
            inner.watch(their)
            z = theirs(*their)
            loss = tf.reduce_sum(z * z * weights)  # squared: then a linear operation has a second derivative, too
        first = [tf.convert_to_tensor(g) for g in inner.gradient(loss, their)]  # a gather's are sparse
        slope = sum(tf.reduce_sum(g * d) for g, d in zip(first, directions))
    second = outer.gradient(slope, their, unconnected_gradients="zero")
    np.testing.assert_allclose(y.value, z, **TIGHT)
    slopes = grad((y * y * weights).sum(), mine, create_graph=True)
    for g, expected in zip(slopes, first):
        np.testing.assert_allclose(g.value, expected, **TIGHT)
    total = sum((g * d).sum() for g, d in zip(slopes, directions))
    for g, expected in zip(grad(total, mine), second):
        np.testing.assert_allclose(g.value, tf.convert_to_tensor(expected), rtol=1e-9, atol=1e-9)


# --- magnitudes ------------------------------------------------------------------------------------------------------

# (operation, value by NumPy or SciPy, derivative): elementwise, of numbers whose results stay in the range
ELEMENTWISE = {
    "exp": (ad.exp, np.exp, np.exp),
    "sin": (ad.sin, np.sin, np.cos),
    "tanh": (ad.tanh, np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (ad.sigmoid, special.expit, lambda x: special.expit(x) * special.expit(-x)),
    "relu": (ad.relu, lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1, 0)),
    "abs": (abs, np.abs, np.sign),
    "square": (lambda x: x**2, np.square, lambda x: 2 * x),
    "log": (lambda x: ad.log(abs(x) + 1), lambda x: np.log(np.abs(x) + 1), lambda x: np.sign(x) / (np.abs(x) + 1)),
}  # fmt: skip


@quick
@given(st.lists(numbers(), min_size=1, max_size=5), st.sampled_from(sorted(LIMITS)))
def test_values_and_derivatives_are_numpys_at_every_magnitude(values, dtype):
    limit = LIMITS[dtype]
    x = np.clip(np.array(values), -(10.0**limit), 10.0**limit).astype(dtype)
    close = {"rtol": 1e-12 if dtype == "float64" else 1e-5, "atol": 1e-300 if dtype == "float64" else 1e-7}
    with np.errstate(over="ignore"):  # of e^x and x^2: infinite in NumPy, too
        for name, (ours, expected, slope) in ELEMENTWISE.items():
            tensor = Tensor(x)
            y = ours(tensor)
            assert y.dtype == dtype
            np.testing.assert_allclose(y.value, expected(x), err_msg=name, **close)
            found = grad(y.sum(), tensor).value
            np.testing.assert_allclose(found, slope(x), err_msg=name, **close | {"atol": 1e-7 if limit < 99 else 1e-15})
    tensor = Tensor(x)
    np.testing.assert_allclose(ad.softmax(tensor).value, special.softmax(x), atol=1e-7)
    np.testing.assert_allclose(ad.log_softmax(tensor).value, special.log_softmax(x), rtol=1e-6)
    positive = Tensor(np.abs(x.astype("float64")) + 1e-300)
    np.testing.assert_allclose((positive**0.5).value, np.sqrt(positive.value), rtol=1e-15)
    np.testing.assert_allclose((positive / positive).value, 1, rtol=1e-15)


def test_comparisons_are_elementwise_and_nodes_stay_distinct():
    x = Tensor([0.0, 1.0])
    assert (x == 0).tolist() == [True, False] and (x != 0).tolist() == [False, True]
    assert (x == Tensor([0.0, 1.0])).all() and len({x, Tensor([0.0, 1.0])}) == 2
    np.testing.assert_array_equal(grad((x * x).sum(), [x])[0].value, [0, 2])


def test_nan_goes_in_and_nan_comes_out():
    for function in (ad.relu, ad.tanh, ad.sigmoid, ad.exp, abs, lambda x: x**2):
        assert np.isnan(function(Tensor([np.nan, 1.0])).value).tolist() == [True, False]


def test_derivatives_of_powers_of_zero_are_their_limits():
    base, exponent = Tensor([0.0, 0.0, 2.0]), Tensor([2.0, 0.0, 0.0])
    by_base, by_exponent = grad((base**exponent).sum(), [base, exponent])
    np.testing.assert_allclose(by_base.value, [0, 0, 0])
    np.testing.assert_allclose(by_exponent.value, [0, 0, np.log(2)])
    both = grad(grad((base**exponent).sum(), base, create_graph=True)[2], exponent).value
    assert both[2] == 0.5  # d^2 a^b / da db at b = 0 is 1 / a


@pytest.mark.parametrize("ours, theirs, inputs", OPERATIONS.values(), ids=OPERATIONS)
def test_jacobians_agree_with_central_differences(ours, theirs, inputs):
    assert gradcheck(ours, *inputs) <= 1e-7


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_derivatives_of_any_order_follow_the_power_rule(n):
    x = Tensor(np.array([0.0, 0.5, -2.0]))
    y = x**4
    for _ in range(n):
        y = grad(y.sum(), x, create_graph=True)
    falling = np.prod([4 - k for k in range(n)])
    np.testing.assert_allclose(y.value, falling * x.value ** (4 - n), **TIGHT)


def test_hessian_is_exact_symmetric_and_agrees_with_differences():
    inputs, weights = normal(4, 3), normal(3, 5, seed=3)

    def loss(w):
        return -ad.log_softmax(ad.tanh(inputs @ w))[np.arange(4), [0, 4, 2, 2]].mean()

    h = hessian(loss, weights)  # (3, 5, 3, 5)
    np.testing.assert_allclose(h, h.transpose(2, 3, 0, 1), atol=1e-14)
    np.testing.assert_allclose(h, numeric_hessian(lambda w: float(loss(Tensor(w)).value), weights), atol=1e-6)
    direction = normal(3, 5, seed=4)
    np.testing.assert_allclose(hvp(loss, weights, direction), np.tensordot(h, direction, 2), **TIGHT)


def test_hessian_of_a_quadratic_is_its_matrix_and_of_a_linear_map_zero():
    a = normal(4, 4)
    np.testing.assert_allclose(hessian(lambda x: x @ a @ x / 2, normal(4, seed=1)), (a + a.T) / 2, **TIGHT)
    assert not hessian(lambda x: (x * np.arange(3.0)).sum(), normal(3)).any()


def test_jacobian_of_a_linear_map_is_its_matrix():
    a = normal(2, 3)
    np.testing.assert_array_equal(jacobian(lambda x: a @ x, normal(3)), a)


def test_softmax_jacobian_is_diagonal_minus_outer_product():
    x = normal(5)
    p = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(jacobian(ad.softmax, x), np.diag(p) - np.outer(p, p), **TIGHT)


def test_max_shares_the_gradient_among_ties_as_tensorflow_does():
    x = np.array([[3.0, 1.0, 3.0], [2.0, 2.0, 2.0]])
    leaf = Tensor(x)
    ours = grad((leaf.max(1) * [5.0, 6.0]).sum(), leaf).value
    np.testing.assert_allclose(ours, [[2.5, 0, 2.5], [2, 2, 2]])
    with tf.GradientTape() as tape:
        tape.watch(their := tf.constant(x))
        y = tf.reduce_sum(tf.reduce_max(their, 1) * [5.0, 6.0])
    np.testing.assert_allclose(ours, tape.gradient(y, their))


def test_relu_has_slope_zero_at_its_kink():
    x = Tensor([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(grad(ad.relu(x).sum(), x).value, [0, 0, 1])


def test_extreme_logits_neither_overflow_nor_lose_their_gradient():
    x = Tensor([-1000.0, 0.0, 1000.0])
    np.testing.assert_array_equal(ad.softmax(x).value, [0, 0, 1])
    np.testing.assert_array_equal(ad.log_softmax(x).value, [-2000, -1000, 0])
    np.testing.assert_array_equal(ad.sigmoid(x).value, [0, 0.5, 1])
    np.testing.assert_array_equal(grad(-ad.log_softmax(x)[0], x).value, [-1, 0, 1])


def test_value_used_twice_gets_both_gradients():
    x = Tensor(3.0)
    y = x * x + x
    np.testing.assert_array_equal(grad(y * y, [x, y])[0].value, 2 * 12 * 7)
    np.testing.assert_array_equal(grad(y * y, [x, y])[1].value, 24)


def test_graph_of_5000_layers_needs_no_recursion():
    x = Tensor(1.0)
    y = x
    for _ in range(5000):
        y = y * 0.999 + 0.001
    np.testing.assert_allclose(grad(y, x).value, 0.999**5000)


def test_diamonds_are_walked_once_each():
    x = Tensor(1.0)
    y = x
    for _ in range(60):  # 2^60 paths lead back to x
        y = (y + y) / 2
    assert grad(y, x).value == 1


def test_input_that_does_not_matter_has_gradient_zero():
    x, other = Tensor(normal(2)), Tensor(normal(3, 4))
    np.testing.assert_array_equal(grad(x.sum(), [other, x])[0].value, np.zeros((3, 4)))


def test_gradient_without_graph_is_a_constant():
    x = Tensor(2.0)
    kept, plain = grad(x**3, x, create_graph=True), grad(x**3, x)
    assert kept.parents and not plain.parents
    assert grad(kept, x).value == 12 and grad(plain, x).value == 0


def test_vector_jacobian_product_is_the_seed_times_the_jacobian():
    a, seed = normal(2, 3), normal(2, seed=1)
    x = Tensor(normal(3, seed=2))
    np.testing.assert_allclose(grad(ad.tanh(a @ x), x, seed=seed).value,
                               seed @ jacobian(lambda x: ad.tanh(a @ x), x.value), **TIGHT)  # fmt: skip


def test_float32_stays_float32():
    x = Tensor(normal(2, 3).astype("float32"))
    y = (2 * ad.softmax(x @ Tensor(normal(3, 2).astype("float32"))) ** 2).mean(0).max()
    assert y.dtype == grad(y, x).dtype == np.float32
    assert (x * np.float64(2) ** 0.5 + 1).dtype == (x ** np.float64(2)).dtype == ad.relu(x).dtype == np.float32


def test_arrays_may_stand_left_of_tensors():
    x = Tensor(np.ones(3))
    for y in (np.ones((2, 3)) * x, np.ones((2, 3)) + x, np.ones((2, 3)) - x, np.ones((2, 3)) / x, np.ones((2, 3)) ** x):
        assert isinstance(y, Tensor) and y.shape == (2, 3)
    assert (np.zeros((2, 3)) @ x).shape == (2,)
    assert (np.zeros(3) < x).all() and (x >= 1).all() and (x <= 1).all() and not (x < 1).any()


def test_drawing_lists_operands_before_results_with_names_and_shapes():
    x, w = Tensor(normal(2, 3), name="x"), Tensor(normal(3, 4), name="w")
    lines = draw(ad.tanh(x @ w)).splitlines()
    assert [line.split()[:2] for line in lines] == [["%0", "x"], ["%1", "w"], ["%2", "matmul"], ["%3", "tanh"]]
    assert "(2, 4)" in lines[2] and lines[2].endswith("%0 %1")


def test_small_network_learns_xor():
    rng = np.random.default_rng(0)
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    weights = [rng.normal(size=(2, 8)), np.zeros(8), rng.normal(size=(8, 2)), np.zeros(2)]

    def loss(w1, b1, w2, b2):
        return -ad.log_softmax(ad.tanh(x @ w1 + b1) @ w2 + b2)[np.arange(4), y].mean()

    for _ in range(300):
        leaves = [Tensor(w) for w in weights]
        value = loss(*leaves)
        weights = [w - 0.5 * g.value for w, g in zip(weights, grad(value, leaves))]
    assert value.value < 0.02  # a linear classifier cannot pass log 2 = 0.69


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values, word", [([1, 2], "int64"), ([True], "bool"), (np.ones(2, "float16"), "float16"),
                                          (["a"], "U1"), (Tensor(1.0), "object")])  # fmt: skip
def test_only_floats_become_tensors(values, word):
    with pytest.raises(ValueError, match=word):
        Tensor(values)


def test_array_of_integers_is_refused_as_an_operand():
    with pytest.raises(ValueError, match=r"\(2,\).*int64"):
        Tensor([1.0, 2.0]) * np.array([1, 2])


@pytest.mark.parametrize("operation", [lambda x, y: x + y, lambda x, y: x / y, lambda x, y: x**y,
                                       lambda x, y: ad.where(True, x, y)])  # fmt: skip
def test_shapes_that_do_not_broadcast_are_named(operation):
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4,\)"):
        operation(Tensor(normal(2, 3)), Tensor(normal(4)))


@pytest.mark.parametrize("a, b", [((2, 3), (4, 5)), ((2, 3), (4,)), ((), (3,)), ((3,), ())])
def test_matrices_that_do_not_fit_are_named(a, b):
    with pytest.raises(ValueError, match="matrices.*" + str(a).replace("(", r"\(").replace(")", r"\)")):
        Tensor(normal(*a)) @ Tensor(normal(*b))


def test_dtypes_do_not_mix_silently():
    for operation in (lambda x, y: x + y, lambda x, y: x @ y):
        with pytest.raises(ValueError, match="float32.*float64"):
            operation(Tensor(np.ones(2, "float32")), Tensor(np.ones(2)))


def test_gradient_of_many_outputs_needs_a_seed_of_their_shape():
    x = Tensor(normal(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*sum.*seed"):
        grad(x * 2, x)
    with pytest.raises(ValueError, match=r"seed has shape \(3,\).*\(2, 3\)"):
        grad(x * 2, x, seed=np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        hessian(lambda x: x * x, normal(2, 3))


def test_gradient_for_an_array_is_refused():
    with pytest.raises(ValueError, match="ndarray"):
        grad(Tensor(1.0), [np.ones(2)])


@pytest.mark.parametrize("images, kernel, options, word", [
    ((5, 5, 3), (3, 3, 3, 4), {}, r"\(5, 5, 3\)"),
    ((1, 5, 5, 3), (3, 3, 2, 4), {}, r"\(3, 3, 2, 4\)"),
    ((1, 5, 5, 3), (3, 3, 3, 4), {"stride": 0}, "stride >= 1"),
    ((1, 5, 5, 3), (3, 3, 3, 4), {"padding": "full"}, "full"),
    ((1, 2, 5, 3), (3, 3, 3, 4), {}, "does not fit"),
])  # fmt: skip
def test_convolution_that_does_not_fit_is_refused(images, kernel, options, word):
    with pytest.raises(ValueError, match=word):
        conv2d(Tensor(normal(*images)), Tensor(normal(*kernel)), **options)


def test_empty_reductions_and_wrong_axes_are_refused():
    for reduce in (lambda x: x.mean(), lambda x: x.max()):
        with pytest.raises(ValueError):
            reduce(Tensor(np.ones((0, 3))))
    with pytest.raises(ValueError, match="axis 2"):
        Tensor(normal(2, 3)).sum(2)
