"""Pooling repeatedly gives the largest of larger windows."""

import keras
import numpy as np

from tfdl.layers.pooled_pyramid import pooled_pyramid


def test_parts_are_the_largest_of_windows_of_5_9_and_13():
    x = np.random.default_rng(0).normal(size=(1, 17, 20, 4)).astype("float32")
    inputs = keras.Input(x.shape[1:])
    outputs = pooled_pyramid(inputs, lambda x, channels, name: x, name="p")  # without convolutions
    parts = np.split(np.array(keras.Model(inputs, outputs)(x)), 4, axis=-1)
    np.testing.assert_array_equal(parts[0], x)
    for part, side in zip(parts[1:], (5, 9, 13)):
        half = side // 2
        for row, column in ((0, 0), (8, 10), (16, 3)):
            window = x[0, max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
            np.testing.assert_array_equal(part[0, row, column], window.max((0, 1)))
