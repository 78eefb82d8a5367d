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
from tfdl.models.three_d.pointnet import CANONICAL, NearRotation, PointNetConfig, pointnet
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


def test_count_of_the_network_for_parts_is_that_of_its_figure():
    """Fig. 9: widths 64, 128, 128, T-Net, 512, 2048, the maximum; 3,024 numbers of a point; 256, 256, 128, 50."""

    def units(*widths):  # kernel, bias, and two of the normalization
        return sum(i * o + 3 * o for i, o in zip(widths, widths[1:]))

    turns = sum(units(size, 64, 128, 1024, 512, 256) + 257 * size**2 for size in (3, 128))
    points = units(3, 64, 128, 128) + units(128, 512, 2048)
    assert 64 + 128 + 128 + 128 + 512 + 2048 + 16 == 3024
    expected = turns + points + units(3024, 256, 256, 128) + 129 * 50
    assert parameters(outline(pointnet, "part_segmentation", **CANONICAL["part_segmentation"])) == expected


def test_parts_depend_on_the_category_and_follow_their_points():
    model, x = moved(pointnet("nano_parts", points=12, num_classes=4, categories=3)), clouds()
    order, category = np.random.default_rng(1).permutation(12), np.eye(3, dtype="float32")
    logits = np.array(model({"points": x, "category": category}))
    assert logits.shape == (3, 12, 4)
    np.testing.assert_allclose(model({"points": x[:, order], "category": category}), logits[:, order], atol=1e-5)
    other = np.array(model({"points": x, "category": category[[1, 2, 0]]}))
    assert np.abs(other - logits).max() > 1e-3
    assert outline(pointnet, "nano_parts", num_classes=4).input_shape == (None, 1024, 3)
    with pytest.raises(ValueError, match="categories is 3; give 0, or for a variant for segmentation"):
        pointnet("nano", categories=3)


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
