"""PointNet: the published count, the order of points that means nothing, and poses near rotations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import outline
from tfdl.core.outline import parameters
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.models.three_d.pointnet import NearRotation, PointNetConfig, pointnet
from tfdl.train.step import exact


def clouds(count=3, points=12, features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, points, features)).astype("float32")


def moved(model, seed=0):
    """The model with all weights off their start: T-Nets begin as the identity."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.05, weight.shape))
    return model


def test_count_is_the_published_one():
    assert parameters(outline(pointnet, points=64, num_classes=10)) == 3_472_339


@pytest.mark.parametrize("variant", ["nano", "classification"])
def test_order_of_points_changes_nothing(variant):
    model, x = moved(pointnet(variant, points=12, num_classes=5)), clouds()
    order = np.random.default_rng(1).permutation(12)
    expected = np.array(model(x))
    np.testing.assert_allclose(model(x[:, order]), expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_points_that_are_not_the_largest_in_any_feature_change_nothing():
    """Theorem 2: a critical set decides; a point that stands twice adds nothing."""
    model, x = moved(pointnet("nano", points=None, num_classes=5)), clouds()
    twice = np.concatenate([x, x[:, :4]], axis=1)
    np.testing.assert_allclose(model(twice), model(x), atol=1e-5)


def test_classes_of_points_follow_their_points():
    model, x = moved(pointnet("nano_segmentation", points=12, num_classes=4)), clouds()
    order = np.random.default_rng(1).permutation(12)
    logits = np.array(model(x))
    assert logits.shape == (3, 12, 4)
    np.testing.assert_allclose(model(x[:, order]), logits[:, order], atol=1e-5)


def test_first_poses_are_the_identity_and_features_stay_beside():
    model, x = pointnet("nano", points=12, features=6, num_classes=2), clouds(features=6)
    inner = keras.Model(model.input, [model.get_layer(f"{name}_square").output for name in ("input", "feature")])
    for matrices, size in zip(inner(x), (3, 8)):
        np.testing.assert_allclose(matrices, np.tile(np.eye(size), (3, 1, 1)), atol=1e-6)
    assert model.get_layer("input_all").output.shape == (None, 12, 6)
    assert outline(pointnet, "nano", num_classes=None).output_shape == (None, 16)


def test_distance_from_rotations_is_eq_2():
    matrices = np.random.default_rng(0).normal(size=(2, 3, 3)).astype("float32")
    layer = NearRotation(0.5)
    np.testing.assert_array_equal(layer(matrices), matrices)
    expected = 0.5 * np.mean([np.linalg.norm(np.eye(3) - a @ a.T, "fro") ** 2 for a in matrices])
    np.testing.assert_allclose(layer.losses[0], expected, rtol=1e-5)
    turn = np.linalg.qr(matrices)[0]
    layer(turn)
    np.testing.assert_allclose(layer.losses[-1], 0, atol=1e-5)


def test_it_learns_and_is_saved_and_goes_to_phones(tmp_path):
    keras.utils.set_random_seed(0)
    model = pointnet("nano", points=12, num_classes=2)
    x = clouds(16) * np.where(np.arange(16) % 2, [[1.0], [1.0], [0.1]], [[0.1], [1.0], [1.0]]).T[:, None]
    data = tf.data.Dataset.from_tensor_slices((x.astype("float32"), np.arange(16) % 2)).batch(16)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = exact(model).fit(data, epochs=25, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.6 * history[0]
    expected = np.array(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(x), expected, atol=1e-5)
    file = run_tflite(convert_float(graph(model, signature_of(model))), {"points": x.astype("float32")})
    np.testing.assert_allclose(file["logits"], expected, atol=1e-4)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="points=0 and features=3; give 1 and 3, or more"):
        pointnet("nano", points=0)
    with pytest.raises(ValueError, match="at least one layer of one unit"):
        PointNetConfig(head=())
