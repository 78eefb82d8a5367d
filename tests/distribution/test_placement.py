"""Bytes per device, counted by hand; gradients run where the forward pass did."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.distribution import placement


def chain(x):
    """(4,) float32, 16 bytes: on one device a = 2 x, b = a + 1, c = b b; on another d = c[:2]."""
    with tf.device("CPU:0"):
        a = x * 2.0
        c = tf.square(a + 1.0)
    with tf.device("CPU:1"):
        return tf.slice(c, [0], [2])


def test_peak_counts_what_is_alive_at_once_where_it_is_used():
    x = tf.zeros(4)
    # CPU:0: x and a, then a and b, then b and c.  CPU:1: a copy of c, and d, which stays.
    assert placement.peak_bytes(lambda: chain(x)) == {"CPU:0": 32, "CPU:1": 16 + 8}


def test_peak_keeps_what_the_backward_pass_needs():
    x = tf.zeros((8, 16))  # 512 bytes

    def gradient(depth):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(depth):
                y = tf.tanh(y)  # its gradient needs its output
            loss = tf.reduce_sum(y)
        return tape.gradient(loss, x)

    three, five = (placement.peak_bytes(lambda n=n: gradient(n))["CPU:0"] for n in (3, 5))
    assert five - three == 2 * 512


def test_peak_counts_no_variable_and_no_view():
    v = tf.Variable(tf.zeros((8, 16)))
    assert placement.peak_bytes(lambda: tf.reshape(tf.identity(v), [16, 8]) * 1.0)["CPU:0"] == 512
    assert placement.peak_bytes(lambda: tf.identity(v))["CPU:0"] == 0


def test_unknown_size_is_refused():
    numbers = tf.constant([1, 2, 3])

    def step():
        return tf.cast(tf.boolean_mask(numbers, numbers > 1), tf.float32)

    with pytest.raises(ValueError, match=r"The shape of .* is not static. Use a batch of fixed size"):
        placement.peak_bytes(step)


def test_variables_are_counted_by_size_and_type():
    variables = [keras.Variable(np.zeros((3, 5), "float32")), keras.Variable(np.zeros(7), dtype="bfloat16")]
    assert placement.held(variables) == {"CPU:0": 3 * 5 * 4 + 7 * 2}


def test_gradients_run_where_the_forward_pass_did():
    x, w = tf.ones((2, 3)), tf.Variable(tf.ones((3, 4)))

    def devices(place):
        def step():
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(place(lambda x: tf.tanh(tf.matmul(x, w)))(x))
            return tape.gradient(loss, [x, w])

        graph = tf.function(step).get_concrete_function().graph
        return [op.device for op in graph.get_operations() if op.type in ("MatMul", "TanhGrad")]

    assert devices(lambda f: placement.on("CPU:1", f)) == ["/device:CPU:1"] * 4

    def scoped(f):
        def run(x):
            with tf.device("CPU:1"):
                return f(x)

        return run

    assert devices(scoped) == ["/device:CPU:1", "", "", ""], "a device scope alone would do by now: drop `on`"


def test_gpu_memory_is_measured_too(monkeypatch):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda device: {"peak": 123, "device": device})
    report = placement.memory_per_device(["CPU:0", "GPU:0"], model, np.ones((5, 3)), np.ones((5, 2)))
    assert report["GPU:0"] == {"parameters": 0, "optimizer": 0, "activations": 0, "measured": 123}
    assert report["CPU:0"].keys() == {"parameters", "optimizer", "activations"}
    assert report["CPU:0"]["parameters"] == 4 * (3 * 2 + 2)
