"""BlazePose: as many weights as in the paper, and no gradient from the coordinates to what heat maps have taught."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import images_of, outline
from tfdl.core.outline import parameters
from tfdl.models.pose.blaze_pose import BlazePoseConfig, blaze_pose, person_detector

SHAPE = (64, 96, 3)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return blaze_pose("nano", image_shape=SHAPE, keypoints=5)


@pytest.mark.parametrize("variant, millions", [("lite", 1.3), ("full", 3.5)])
def test_weights_are_as_many_as_in_the_paper(variant, millions):
    assert parameters(outline(blaze_pose, variant)) / 1e6 == pytest.approx(millions, abs=0.05)


def test_outputs_have_their_shapes(model):
    outputs = model(images_of(2, *SHAPE))
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "keypoints": (2, 5, 2),
        "visibility": (2, 5, 1),
        "heatmaps": (2, 16, 24, 5),
        "offsets": (2, 16, 24, 10),
    }
    assert {keras.backend.standardize_dtype(x.dtype) for x in outputs.values()} == {"float32"}


def gradients(model, names):
    """Weight path -> largest gradient of a loss on the outputs of these names; 0 where none passes."""
    with tf.GradientTape() as tape:
        outputs = model(images_of(3, *SHAPE), training=True)
        loss = sum(tf.reduce_sum(outputs[name] ** 2) for name in names)
    found = tape.gradient(loss, [v.value for v in model.trainable_weights])
    return {v.path: 0.0 if g is None else float(np.abs(g).max()) for v, g in zip(model.trainable_weights, found)}


def test_coordinates_teach_the_regression_alone_and_heat_maps_the_rest(model):
    of_regression = ("regression", "coordinates", "visible")
    by_coordinates = gradients(model, ("keypoints", "visibility"))
    by_maps = gradients(model, ("heatmaps", "offsets"))
    assert all(np.isfinite(value) for value in (*by_coordinates.values(), *by_maps.values()))
    for path in by_coordinates:
        is_regression = path.startswith(of_regression)
        assert (by_coordinates[path] > 0) == is_regression, path
        assert (by_maps[path] > 0) == (not is_regression), path


def test_coordinates_are_in_the_middle_before_anything_is_known():
    model = blaze_pose("nano", image_shape=SHAPE, keypoints=2)
    model.get_layer("coordinates").set_weights([np.zeros((12, 4), "float32"), np.zeros(4, "float32")])
    np.testing.assert_allclose(model(images_of(1, *SHAPE))["keypoints"], [[[48, 32]] * 2])


@pytest.mark.parametrize("build", [lambda: blaze_pose("nano", image_shape=SHAPE, keypoints=5), person_detector])
def test_mixed_precision_puts_out_float32(build):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        outputs = outline(build).output
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(x.dtype) for x in outputs.values()} == {"float32"}


def test_saved_model_gives_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    for name, values in model(images_of(2, *SHAPE)).items():
        np.testing.assert_allclose(loaded(images_of(2, *SHAPE))[name], values, atol=1e-4)


def test_detector_is_blaze_face_with_two_points():
    outputs = outline(person_detector, "paper").output
    assert {name: x.shape for name, x in outputs.items()} == {"offsets": (None, 896, 8), "scores": (None, 896, 1)}


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"image_shape is \(100, 96, 3\); blaze_pose needs .* multiples of 32"):
        blaze_pose("nano", image_shape=(100, 96, 3))
    with pytest.raises(ValueError, match="keypoints is 0; give 1 or more"):
        blaze_pose("nano", image_shape=SHAPE, keypoints=0)
    with pytest.raises(ValueError, match="5 maps, and 3 on the way"):
        BlazePoseConfig(channels=(4, 8), blocks=(1,) * 5, decoder=8, regression=(1, 1, 1))
    with pytest.raises(ValueError, match="must not become fewer"):
        BlazePoseConfig(channels=(4, 8, 8, 6, 8), blocks=(1,) * 5, decoder=8, regression=(1, 1, 1))
    with pytest.raises(ValueError, match="sizes of at least 1"):
        BlazePoseConfig(channels=(4, 8, 8, 8, 8), blocks=(0, 1, 1, 1, 1), decoder=8, regression=(1, 1, 1))
