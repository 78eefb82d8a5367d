"""Convolution and pooling from windows: values are Keras's, gradients TensorFlow's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from tests.magnitudes import quick, seeds, units
from tfdl.foundations import convolution as conv
from tfdl.foundations.autodiff import Tensor, grad
from tfdl.foundations.calculus import gradcheck


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def float32(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# images, kernel, stride, padding, dilation, groups
CONVOLUTIONS = [
    ((2, 9, 8, 3), (3, 2, 3, 4), 1, "valid", 1, 1),
    ((2, 9, 8, 3), (3, 2, 3, 4), 2, "same", 1, 1),
    ((2, 9, 8, 3), (2, 3, 3, 4), 1, "same", 2, 1),
    ((1, 9, 11, 2), (2, 3, 2, 3), 1, "valid", 4, 1),
    ((2, 7, 5, 4), (3, 2, 2, 6), 1, "valid", 1, 2),
    ((2, 7, 6, 6), (2, 3, 2, 9), 3, "same", 1, 3),
    ((1, 8, 9, 5), (3, 3, 1, 5), 2, "same", 1, 5),  # depthwise
    ((1, 8, 9, 4), (3, 2, 2, 2), 1, "same", 3, 2),
]


@pytest.mark.parametrize("images, kernel, stride, padding, dilation, groups", CONVOLUTIONS)
def test_convolution_and_its_gradients_are_kerass_and_tensorflows(images, kernel, stride, padding, dilation, groups):
    x, k = float32(*images), float32(*kernel, seed=1)
    options = dict(padding=padding, dilation=dilation, groups=groups)
    ours, weights = [Tensor(x), Tensor(k)], None
    y = conv.conv2d(*ours, stride=stride, **options)
    with tf.GradientTape() as tape:
        theirs = [tf.constant(x), tf.constant(k)]
        tape.watch(theirs)
        z = keras.ops.conv(*theirs, strides=stride, padding=padding, dilation_rate=dilation) if groups == 1 else (
            grouped(*theirs, stride, padding, dilation, groups)
        )  # fmt: skip
        weights = float32(*y.shape, seed=2)
        loss = tf.reduce_sum(z * weights)
    np.testing.assert_allclose(y.value, z, atol=1e-5)
    for mine, slope in zip(grad((y * weights).sum(), ours), tape.gradient(loss, theirs)):
        np.testing.assert_allclose(mine.value, slope, atol=2e-5)


def grouped(x, kernel, stride, padding, dilation, groups):
    """What grouping means, by convolutions without groups: TensorFlow differentiates no grouped ones on a CPU."""
    parts = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1))
    options = dict(strides=stride, padding=padding, dilation_rate=dilation)
    return tf.concat([keras.ops.conv(*part, **options) for part in parts], -1)


@pytest.mark.parametrize("layer, groups", [
    (keras.layers.Conv2D(6, (3, 2), strides=2, padding="same", groups=2, use_bias=False), 2),
    (keras.layers.Conv2D(5, 3, dilation_rate=2, use_bias=False), 1),
    (keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False), 4),
])  # fmt: skip
def test_layers_of_keras_compute_the_same(layer, groups):
    x = float32(2, 9, 7, 4)
    theirs = layer(x)
    kernel = layer.kernel.numpy()
    kernel = kernel if groups < 4 else kernel.transpose(0, 1, 3, 2)  # (K, L, C, 1) -> (K, L, 1, C)
    options = dict(stride=layer.strides[0], padding=layer.padding, dilation=layer.dilation_rate[0], groups=groups)
    np.testing.assert_allclose(conv.conv2d(Tensor(x), Tensor(kernel), **options).value, theirs, atol=1e-5)


POOLS = {
    "max": (conv.max_pool2d, keras.ops.max_pool),
    "average": (conv.average_pool2d, keras.ops.average_pool),
}


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("window, stride, padding", [
    (2, None, "valid"), (3, 2, "same"), (3, 1, "same"), (2, 3, "valid"), (4, 3, "same"),
])  # fmt: skip
def test_pooling_and_its_gradient_are_kerass_and_tensorflows(kind, window, stride, padding):
    ours, theirs = POOLS[kind]
    x = float32(2, 8, 7, 3) - 9.0  # all negative: a zero of the padding would win
    leaf, other = Tensor(x), tf.constant(x)
    y = ours(leaf, window, stride=stride, padding=padding)
    weights = float32(*y.shape, seed=2)
    with tf.GradientTape() as tape:
        tape.watch(other)
        z = theirs(other, window, strides=stride, padding=padding)
        loss = tf.reduce_sum(z * weights)
    np.testing.assert_allclose(y.value, z, atol=1e-5)
    np.testing.assert_allclose(grad((y * weights).sum(), leaf).value, tape.gradient(loss, other), atol=1e-5)


def test_first_of_equal_pixels_gets_the_whole_gradient_of_a_maximum():
    x = Tensor(np.zeros((1, 2, 4, 1)))
    slope = grad(conv.max_pool2d(x, 2).sum(), x).value
    np.testing.assert_array_equal(slope[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("ours, layer", [
    (conv.global_average_pool, keras.layers.GlobalAveragePooling2D()),
    (conv.global_max_pool, keras.layers.GlobalMaxPooling2D()),
])  # fmt: skip
def test_global_pooling_is_kerass(ours, layer):
    x = float32(2, 5, 4, 3)
    leaf, other, weights = Tensor(x), tf.constant(x), float32(2, 3, seed=2)
    y = ours(leaf)
    with tf.GradientTape() as tape:
        tape.watch(other)
        z = layer(other)
        loss = tf.reduce_sum(z * weights)
    np.testing.assert_allclose(y.value, z, atol=1e-6)
    np.testing.assert_allclose(grad((y * weights).sum(), leaf).value, tape.gradient(loss, other), atol=1e-6)


def test_second_derivatives_pass_through_groups_gaps_and_pools():
    def network(x, k):
        y = conv.conv2d(x, k, stride=2, padding="same", dilation=2, groups=2)
        y = conv.average_pool2d(conv.max_pool2d(y, 2, stride=1), 2, stride=1, padding="same")
        return grad((y * y).sum(), x, create_graph=True)

    assert gradcheck(network, normal(1, 8, 6, 4), normal(3, 2, 2, 4, seed=1)) < 1e-6


def test_windows_and_their_sum_are_adjoint():
    x = Tensor(normal(2, 9, 8, 3))
    columns = conv.im2col(x, (2, 3), 2, 3)
    y = normal(*columns.shape, seed=1)
    back = conv.col2im(Tensor(y), 2, 3, x.shape)
    np.testing.assert_allclose((columns.value * y).sum(), (x.value * back.value).sum())


def test_blurs_keep_the_brightness_and_edges_of_a_plain_image_are_zero():
    sums = {name: kernel.sum() for name, kernel in conv.KERNELS.items()}
    kept = {"identity", "box blur", "binomial blur", "sharpen"}
    assert {name for name, x in sums.items() if abs(x - 1) < 1e-12} == kept
    assert {name for name, x in sums.items() if abs(x) < 1e-12} == sums.keys() - kept


def test_sobel_measures_a_slope_and_laplace_a_curvature():
    row, column = np.mgrid[:5.0, :6.0]
    image = Tensor((3 * column + 2 * row + row**2)[None, :, :, None])
    out = {n: conv.conv2d(image, Tensor(k[:, :, None, None])).value[0, :, :, 0] for n, k in conv.KERNELS.items()}
    np.testing.assert_allclose(out["Sobel across"], 8 * 3)  # its weights add up to 8 pixels
    np.testing.assert_allclose(out["Sobel down"], 8 * (2 + 2 * row[1:-1, 1:-1]))
    np.testing.assert_allclose(out["Laplace"], 2)


NETWORKS = {  # (kernel, stride, dilation) of each layer, side of the receptive field after it
    "VGG's three small kernels see as much as one of 7": ([(3, 1, 1)] * 3, [3, 5, 7]),
    "strides multiply": ([(3, 2, 1), (2, 2, 1), (3, 1, 1)], [3, 5, 13]),
    "dilation doubles": ([(3, 1, 1), (3, 1, 2), (3, 1, 4)], [3, 7, 15]),
    "a stride and a gap": ([(2, 3, 1), (3, 1, 2)], [2, 14]),
}


@pytest.mark.parametrize("layers, sides", NETWORKS.values(), ids=NETWORKS)
def test_receptive_field_is_where_the_gradient_is_not_zero(layers, sides):
    assert conv.receptive_field(layers).tolist() == sides
    for seen, side in zip(conv.seen_by_center(layers, 33), sides):
        rows, columns = np.nonzero(seen)
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == side
        assert seen.max() == 1


def test_middle_of_the_receptive_field_acts_most():
    for seen, side in zip(conv.seen_by_center([(3, 1, 1)] * 4, 21), (3, 5, 7, 9)):
        profile = seen.sum(0)[10 : 10 + side // 2 + 1]
        assert (np.diff(profile) < 1e-12).all() and profile[-1] > 0


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images, kernel, options, word", [
    ((1, 5, 5, 4), (3, 3, 4, 6), {"groups": 2}, "with 2 groups"),
    ((1, 5, 5, 4), (3, 3, 2, 3), {"groups": 2}, r"\(3, 3, 2, 3\) with 2 groups"),
    ((1, 5, 5, 4), (3, 3, 4, 3), {"groups": 0}, "with 0 groups"),
    ((1, 5, 5, 1), (3, 3, 1, 1), {"dilation": 0}, "dilation >= 1"),
    ((1, 6, 5, 1), (3, 3, 1, 1), {"dilation": 3}, "7 x 7 does not fit"),
])  # fmt: skip
def test_convolution_that_does_not_fit_is_refused(images, kernel, options, word):
    with pytest.raises(ValueError, match=word):
        conv.conv2d(Tensor(normal(*images)), Tensor(normal(*kernel)), **options)


@quick
@given(seeds, units, st.integers(1, 4), st.integers(1, 4))
def test_convolution_and_pools_are_scipys_at_every_magnitude(seed, unit, height, width):
    dtype, scale = unit
    images, kernel = (
        np.random.default_rng(seed).normal(size=s).astype(dtype) for s in ((1, 5, 4, 1), (height, width, 1, 1))
    )
    x, k = Tensor(scale * images), Tensor(kernel)
    expected = signal.correlate2d(images[0, :, :, 0].astype("float64"), kernel[:, :, 0, 0], "valid")
    close = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-5}
    y = conv.conv2d(x, k)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.value[0, :, :, 0] / scale, expected, **close)
    np.testing.assert_allclose(grad(y.sum(), k).value[:, :, 0, 0] / scale,
                               grad(conv.conv2d(Tensor(images), k).sum(), k).value[:, :, 0, 0], **close)  # fmt: skip
    windows = images[0, :4, :4, 0].reshape(2, 2, 2, 2)
    np.testing.assert_array_equal(conv.max_pool2d(x, 2).value[0, :, :, 0], scale * windows.max((1, 3)))
    np.testing.assert_allclose(conv.average_pool2d(x, 2).value[0, :, :, 0] / scale, windows.mean((1, 3)), **close)


def test_nan_goes_into_a_pool_and_comes_out():
    image = np.zeros((1, 2, 4, 1))
    image[0, 1, 0, 0] = np.nan
    for pool in (conv.max_pool2d, conv.average_pool2d):
        assert np.isnan(pool(Tensor(image), 2).value.ravel()).tolist() == [True, False]


def test_plain_arrays_are_refused():
    image = np.ones((1, 4, 4, 1))
    with pytest.raises(ValueError, match="conv2d takes Tensors, not ndarray"):
        conv.conv2d(image, Tensor(np.ones((2, 2, 1, 1))))
    with pytest.raises(ValueError, match="average_pool2d takes Tensors"):
        conv.average_pool2d(image, 2)


@pytest.mark.parametrize("pool", [conv.max_pool2d, conv.average_pool2d])
def test_pool_that_does_not_fit_is_refused(pool):
    with pytest.raises(ValueError, match=r"\(5, 5\)"):
        pool(Tensor(normal(5, 5)), 2)
    with pytest.raises(ValueError, match="stride >= 1"):
        pool(Tensor(normal(1, 5, 5, 1)), 2, stride=0)
    with pytest.raises(ValueError, match="full"):
        pool(Tensor(normal(1, 5, 5, 1)), 2, padding="full")
    with pytest.raises(ValueError, match="6 x 6 does not fit"):
        pool(Tensor(normal(1, 5, 7, 1)), 6)


@pytest.mark.parametrize("layers", [[3, 1, 1], [], [(3, 0, 1)], [(3.5, 1, 1)]])
def test_receptive_field_of_no_layers_is_refused(layers):
    with pytest.raises(ValueError, match=r"kernel, stride, dilation\)"):
        conv.receptive_field(layers)
