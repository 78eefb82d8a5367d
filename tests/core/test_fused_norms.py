import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdl
from tfdl.core.fused_norms import fuse_batch_norms
from tfdl.train.step import exact

SHAPE = (7, 5, 3, 4)  # B, H, W, C


def maps(seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, SHAPE).astype("float32")


def network(**options):
    """One BatchNormalization with scattered weights."""
    model = keras.Sequential([keras.Input(SHAPE[1:]), keras.layers.BatchNormalization(**options)])
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.5, 1.5, w.shape) for w in model.weights])
    return model


def step(model, x):
    """Output, gradients and new moving statistics of one training step."""

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=True)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
        return y, *tape.gradient(loss, [x, *(v.value for v in model.trainable_variables)])

    return [np.asarray(t, "float32") for t in (*run(tf.constant(x)), *(w.value for w in model.layers[-1].weights[2:]))]


def as_float(tensor):
    return np.asarray(tf.cast(tensor, tf.float32))


@pytest.mark.parametrize("options", [{}, {"epsilon": 1e-5, "momentum": 0.9}, {"scale": False}, {"center": False}])
def test_fused_kernel_computes_what_keras_computes(options):
    plain, fused = network(**options), network(**options)
    fuse_batch_norms(fused)
    np.testing.assert_allclose(fused(maps()), plain(maps()), rtol=1e-5, atol=1e-5)
    for expected, found in zip(step(plain, maps()), step(fused, maps())):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # sums of 105 terms


@pytest.mark.parametrize(("policy", "digit"), [("mixed_bfloat16", 2**-7), ("mixed_float16", 2**-10)])
def test_low_precision_differs_by_its_last_digit(policy, digit):
    plain, fused = network(dtype=policy), network(dtype=policy)
    fuse_batch_norms(fused)
    expected, found = step(plain, maps()), step(fused, maps())
    np.testing.assert_allclose(found[0], expected[0], rtol=2 * digit, atol=2 * digit)
    np.testing.assert_allclose(found[-2:], expected[-2:], rtol=digit)
    for training in (True, False):
        assert fused(maps(), training=training).dtype == plain(maps(), training=training).dtype
    np.testing.assert_allclose(as_float(fused(maps())), as_float(plain(maps())), rtol=2 * digit, atol=2 * digit)


@pytest.mark.parametrize("training", [True, False])
def test_built_network_holds_the_fused_kernel(training):
    model = tfdl.build("mobilenet", "nano", image_shape=(32, 32, 3))
    graph = tf.function(lambda x: model(x, training=training)).get_concrete_function(tf.zeros((2, 32, 32, 3))).graph
    kernels = [node for node in graph.get_operations() if node.type == "FusedBatchNormV3"]
    assert len(kernels) == sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    assert all(node.get_attr("is_training") == training for node in kernels)


def test_frozen_layer_keeps_its_statistics_and_uses_them():
    model = network()
    fuse_batch_norms(model)
    model.layers[-1].trainable = False
    before = model.get_weights()
    np.testing.assert_allclose(model(maps(), training=True), model(maps(), training=False))
    np.testing.assert_array_equal(np.concatenate(before), np.concatenate(model.get_weights()))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_the_kernel_does_not_take_is_left_to_keras(dtype):
    """Vectors, another axis, 64 bits."""
    shape, axis = ((3, 4), 1) if dtype == "float32" else ((5, 3, 4), -1)
    model = keras.Sequential([keras.Input(shape), keras.layers.BatchNormalization(axis=axis, dtype=dtype)])
    x = np.random.default_rng(2).normal(size=(6, *shape))
    expected = model.layers[-1].call(tf.constant(x, dtype), training=True)
    fuse_batch_norms(model)
    np.testing.assert_allclose(model.layers[-1](tf.constant(x, dtype), training=True), expected, rtol=1e-6)


def test_accumulation_trains_by_statistics_of_its_own_and_infers_by_the_kernel():
    model = exact(compiled(network()), accumulate=2)
    for training in (True, False):
        graph = tf.function(lambda x: model(x, training=training)).get_concrete_function(maps()).graph  # noqa: B023
        assert ("FusedBatchNormV3" in {node.type for node in graph.get_operations()}) != training


def test_saved_file_knows_nothing_of_the_kernel(tmp_path):
    model = exact(compiled(network()))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert "call" not in vars(loaded.layers[-1])
    np.testing.assert_allclose(loaded(maps()), model(maps()), atol=1e-6)


def compiled(model):
    model.compile("sgd", "mse", jit_compile=False)
    return model
