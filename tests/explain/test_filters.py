"""Filters are the weights as pictures, and feature maps those that the network itself computes."""

import keras
import numpy as np
import pytest

from tfdl.explain.filters import feature_maps, first_filters, last_map, map_tensors
from tfdl.models.convnets.lenet import lenet
from tfdl.models.convnets.mobilenet import mobilenet
from tfdl.models.foundation.mlp import mlp


def images_of(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def test_filters_are_the_first_kernels_with_zero_as_gray():
    model = lenet("nano", image_shape=(28, 28, 1), num_classes=3)
    convolution = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    kernel = convolution.kernel.numpy()
    kernel[..., 1] = 0
    kernel[0, 0, 0, 0] = -9
    convolution.kernel.assign(kernel)
    pictures = first_filters(model)
    assert pictures.shape == (kernel.shape[3], *kernel.shape[:3])
    assert pictures[0].min() == 0 and (pictures[1] == 0.5).all() and pictures.max() <= 1
    np.testing.assert_allclose(pictures[0], 0.5 + kernel[..., 0] / 18, atol=1e-6)


def test_one_map_of_each_resolution_the_finest_first():
    model = mobilenet("nano", image_shape=(64, 48, 3), num_classes=4)
    maps = feature_maps(model, images_of(2, 64, 48, 3))
    assert [m.shape[1:3] for m in maps.values()] == [(32, 24), (16, 12), (8, 6), (4, 3), (2, 2)]
    assert {m.shape[0] for m in maps.values()} == {2}


def test_maps_are_what_the_network_computes():
    inputs = keras.Input((6, 5, 3))
    first = keras.layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    second = keras.layers.Conv2D(5, 3, padding="same", name="second")(first)
    padded = keras.layers.ZeroPadding2D(1)(second)
    half = keras.ops.relu(keras.layers.Conv2D(7, 3, strides=2, name="half")(padded))
    pixel = keras.layers.GlobalAveragePooling2D(keepdims=True)(half)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(pixel)))
    images = images_of(3, 6, 5, 3)
    fine, coarse = feature_maps(model, images).values()
    expected = model.get_layer("second")(model.get_layer("first")(images))
    np.testing.assert_allclose(fine, expected, atol=1e-6)
    assert coarse.shape == (3, 3, 3, 7) and coarse.min() == 0, "the map after its ReLU"


def test_pixels_before_the_first_convolution_are_no_feature_maps():
    names = list(map_tensors(mobilenet("nano", image_shape=(32, 32, 3), num_classes=4)))
    assert names[0] == "stem_conv" and "images" not in names and "normalize" not in names


def test_sequential_model_is_looked_into_up_to_the_last_pooling():
    layers = [keras.layers.Conv2D(2, 3), keras.layers.MaxPooling2D(), keras.layers.Conv2D(5, 2)]
    model = keras.Sequential([keras.Input((12, 12, 1)), *layers, keras.layers.AveragePooling2D(2)])
    assert last_map(model) == layers[-1].name
    assert model.output_shape == (None, 2, 2, 5)
    maps = feature_maps(model, images_of(1, 12, 12, 1)).values()
    assert [m.shape for m in maps] == [(1, 10, 10, 2), (1, 5, 5, 2), (1, 4, 4, 5)]


def test_model_without_maps_or_filters_is_refused():
    model = mlp("nano", image_shape=(8, 8, 1), num_classes=3)
    with pytest.raises(ValueError, match="'mlp' has no feature maps"):
        feature_maps(model, images_of(1, 8, 8, 1))
    with pytest.raises(ValueError, match="'mlp' has no convolution"):
        first_filters(model)


def test_model_without_a_graph_is_refused():
    with pytest.raises(ValueError, match="The layers of 'unbuilt' cannot be read"):
        first_filters(keras.Sequential([keras.layers.Conv2D(2, 3)], name="unbuilt"))
