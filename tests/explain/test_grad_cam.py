"""Grad-CAM equals its formula where gradients are known, and finds what decides the class."""

import keras
import numpy as np
import pytest

from tests.explain.planted import SIZE, found, planted, trained
from tfdl.explain.grad_cam import grad_cam
from tfdl.explain.occlusion import peaks
from tfdl.models.convnets.resnet import resnet
from tfdl.models.foundation.mlp import mlp


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def network(head):
    """Image (5, 4, 2) -> 1x1 convolution to 3 maps -> `head` -> logits of 4 classes."""
    images = keras.Input((5, 4, 2))
    maps = keras.layers.Conv2D(3, 1, name="maps")(images)
    model = keras.Model(images, head(maps), name="hand_made")
    model.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(model.get_weights())])
    return model


def test_behind_global_average_pooling_it_is_the_class_activation_map():
    pool, dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)
    model, images, classes = network(lambda x: dense(pool(x))), normal(6, 5, 4, 2, seed=7), [0, 1, 2, 3, 3, 0]
    maps = model.get_layer("maps")(images).numpy()
    weights = dense.kernel.numpy()[:, classes].T  # (6, 3)
    expected = np.maximum(np.einsum("bhwk,bk->bhw", maps, weights), 0) / (5 * 4)
    result = grad_cam(model, images, classes)
    assert (result == 0).any() and (result > 0).any()
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_behind_a_dense_layer_weights_are_means_of_its_rows():
    dense = keras.layers.Dense(4)
    model, images = network(lambda x: dense(keras.layers.Flatten()(x))), normal(2, 5, 4, 2, seed=7)
    maps = model.get_layer("maps")(images).numpy()
    weights = dense.kernel.numpy().reshape(5, 4, 3, 4).mean((0, 1))[:, [2, 0]].T  # (2, 3)
    expected = np.maximum(np.einsum("bhwk,bk->bhw", maps, weights), 0)
    np.testing.assert_allclose(grad_cam(model, images, [2, 0]), expected, atol=1e-6)


def test_curved_score_is_linearized_at_the_image():
    dense = keras.layers.Dense(4)
    model = network(lambda x: dense(keras.ops.square(keras.layers.GlobalAveragePooling2D()(x))))
    images = normal(2, 5, 4, 2, seed=7)
    maps = model.get_layer("maps")(images).numpy()
    weights = 2 * maps.mean((1, 2)) * dense.kernel.numpy()[:, [1, 3]].T / (5 * 4)
    expected = np.maximum(np.einsum("bhwk,bk->bhw", maps, weights), 0)
    np.testing.assert_allclose(grad_cam(model, images, [1, 3]), expected, atol=1e-6)


def test_any_layer_can_be_asked_and_the_last_is_the_default():
    images = normal(2, 5, 4, 2, seed=7)
    last = keras.layers.Conv2D(2, 2, name="last")
    model = network(lambda x: keras.layers.Dense(4)(keras.layers.Flatten()(last(x))))
    assert grad_cam(model, images, [0, 2]).shape == (2, 4, 3)
    assert grad_cam(model, images, [0, 2], layer="maps").shape == (2, 5, 4)


def test_neighbors_in_the_batch_do_not_matter():
    images, classes, _ = planted(5, 1)
    together, alone = (grad_cam(trained("convnet"), images[i], classes[i]) for i in (slice(0, 5), slice(3, 4)))
    np.testing.assert_allclose(together[3:4], alone, atol=1e-5 * together.max())


def test_square_that_decides_the_class_is_found():
    images, classes, corners = planted(60, 1)
    assert found(peaks(grad_cam(trained("convnet"), images, classes), SIZE, SIZE), corners) > 0.9


# --- bad input -------------------------------------------------------------------------------------------------------


def test_model_without_feature_maps_is_refused():
    with pytest.raises(ValueError, match="'mlp' has no feature maps"):
        grad_cam(mlp("nano", image_shape=(8, 8, 1), num_classes=3), normal(1, 8, 8, 1), [0])


def test_unknown_layer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no feature maps called 'mapz'; it has maps"):
        grad_cam(network(keras.layers.Flatten()), normal(1, 5, 4, 2), [0], layer="mapz")


def test_network_without_logits_is_refused():
    with pytest.raises(ValueError, match="'resnet' returns no logits"):
        grad_cam(resnet("nano", image_shape=(32, 32, 3), num_classes=None), normal(1, 32, 32, 3), [0])


@pytest.mark.parametrize("classes", [[0], [0, 4], [0, -1], [0, 0.5]])
def test_class_that_does_not_exist_is_refused(classes):
    model = network(lambda x: keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    with pytest.raises(ValueError, match="one class from 0 to 3 for each of the 2 images"):
        grad_cam(model, normal(2, 5, 4, 2), classes)
