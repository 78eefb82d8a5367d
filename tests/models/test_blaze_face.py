"""BlazeFace: the layers and anchors of the paper; the trained network finds the faces that it is known to find."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdl
from tests.harness import images_of, outline
from tfdl.core.outline import parameters
from tfdl.export.exporter import export_model
from tfdl.export.tflite import run_tflite
from tfdl.interop.weights import load_weights, save_weights
from tfdl.models.pose.blaze_face import POINTS, VARIANTS, BlazeFaceConfig, blaze_face
from tfdl.ops.boxes import overlap
from tfdl.ops.faces import anchors, decode, faces

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights"
PICTURES = {"1face": 1, "3faces": 3, "4faces": 0}
SIZE = 128
with_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the trained weights are not beside this checkout")


@pytest.fixture(scope="module")
def trained():
    return tfdl.build("blaze_face", weights=WEIGHTS / "blazeface.pth", normalize="unit")


@pytest.fixture(scope="module")
def golden():
    """Name -> {image (128, 128, 3) in [0, 1], raw_boxes, raw_scores, detections}, and the anchors."""
    with np.load(WEIGHTS / "blazeface_golden.npz") as file:
        found = {name: {} for name in PICTURES} | {"anchors": file["anchors"]}
        for name in file:
            if "/" in name:
                picture, part = name.split("/")
                found[picture][part] = file[name] / np.float32(255) if part == "image" else file[name]
    return found


def images_in(golden):
    return np.stack([golden[name]["image"] for name in PICTURES])


def check_faces(found, golden, pixels):
    """Boxes, points and scores are the golden ones."""
    found = {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}
    for place, (name, count) in enumerate(PICTURES.items()):
        known = golden[name]["detections"]  # yxyx, six points x y, score; in parts of the image
        assert (found["labels"][place] >= 0).sum() == count == len(known), name
        np.testing.assert_allclose(
            found["boxes"][place][:count], SIZE * known[:, [1, 0, 3, 2]].reshape(count, 4), atol=pixels
        )
        np.testing.assert_allclose(
            found["keypoints"][place][:count].reshape(count, 12), SIZE * known[:, 4:16], atol=pixels
        )
        np.testing.assert_allclose(found["scores"][place][:count], known[:, 16], atol=0.01 * pixels)


@with_weights
def test_trained_network_gives_the_known_numbers_and_faces(trained, golden):
    outputs = trained(images_in(golden))
    for place, name in enumerate(PICTURES):
        np.testing.assert_allclose(outputs["offsets"][place], golden[name]["raw_boxes"], atol=1e-4)
        np.testing.assert_allclose(outputs["scores"][place], golden[name]["raw_scores"], atol=1e-4)
    check_faces(faces(outputs), golden, pixels=1e-2)


@with_weights
def test_anchors_are_the_known_ones(golden):
    np.testing.assert_allclose(anchors((SIZE, SIZE)) / SIZE, golden["anchors"][:, :2], atol=1e-6)
    assert (golden["anchors"][:, 2:] == 1).all()  # without sizes


@with_weights
@pytest.mark.slow
def test_tflite_files_find_the_same_faces(trained, golden, tmp_path):
    rng = np.random.default_rng(0)
    pictures = images_in(golden)
    shifted = [np.roll(pictures, rng.integers(-9, 9, 2), (1, 2)) * rng.uniform(0.7, 1) for _ in range(12)]
    samples = np.concatenate([*shifted, pictures]).astype("float32")
    export_model(
        trained,
        tmp_path / "export",
        formats=("tflite", "tflite_float16", "tflite_int8"),
        representative=samples,
        progress=None,
    )
    for file, pixels in (("model.tflite", 1e-2), ("model_float16.tflite", 1.0)):
        outputs = run_tflite((tmp_path / "export" / file).read_bytes(), {"images": pictures})
        check_faces(faces(outputs), golden, pixels=pixels)
    outputs = run_tflite((tmp_path / "export" / "model_int8.tflite").read_bytes(), {"images": pictures})
    found = faces(outputs)
    for place, (name, count) in enumerate(PICTURES.items()):
        assert (np.array(found["labels"][place]) >= 0).sum() == count, name
        known = SIZE * golden[name]["detections"][:, [1, 0, 3, 2]].reshape(count, 4)
        if count:
            own = np.array(found["boxes"][place][:count])
            best = [max(float(overlap(box, other)) for other in own) for box in known.astype("float32")]
            assert min(best) > 0.8


def test_mediapipe_s_network_has_its_parameters():
    assert parameters(outline(blaze_face, "mediapipe")) == 101_390


@pytest.mark.parametrize("variant", ["mediapipe", "paper"])
def test_two_maps_have_896_anchors(variant):
    model = outline(blaze_face, variant)
    assert {name: x.shape for name, x in model.output.items()} == {"offsets": (None, 896, 16), "scores": (None, 896, 1)}
    assert len(anchors((SIZE, SIZE))) == 896


def test_layers_are_those_of_table_4():
    """Output sides and channels of the single and double blocks, and the channels between."""
    model = outline(blaze_face, "paper")
    maps = [model.get_layer(f"block{i}_add").output.shape[1:] for i in range(1, 12)]
    assert maps == [(64, 64, 24)] * 2 + [(32, 32, 48)] * 3 + [(16, 16, 96)] * 3 + [(8, 8, 96)] * 3
    inner = [model.get_layer(f"block{i}_1_pointwise").output.shape[-1] for i in range(6, 12)]
    assert inner == [24] * 6
    kernels = {layer.kernel_size for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)}
    assert kernels == {(5, 5)}


@pytest.mark.parametrize("variant", ["nano", BlazeFaceConfig(blocks=VARIANTS["nano"].blocks, stem=8, norm=False)])
def test_gradient_reaches_every_weight_and_a_saved_model_gives_the_same(variant, tmp_path):
    model = blaze_face(variant, image_shape=(32, 48, 3))
    images = images_of(3, 32, 48, 3)
    with tf.GradientTape() as tape:
        loss = sum(tf.reduce_mean(tf.square(values)) for values in model(images, training=True).values())
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, [v.value for v in model.trainable_weights])
    ):
        assert gradient is not None and np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    for name, values in model(images).items():
        np.testing.assert_allclose(loaded(images)[name], values, atol=1e-5)


def test_weights_come_back_under_the_names_of_the_port(tmp_path):
    model = blaze_face("mediapipe")
    save_weights(model, tmp_path / "w.safetensors", layout="blazeface_pytorch")
    keras.utils.set_random_seed(9)
    again = load_weights(blaze_face("mediapipe"), tmp_path / "w.safetensors")
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_offsets_of_zero_are_points_on_the_anchors():
    corners = np.array(decode(np.zeros((1, 6 * 4 + 2 * 16, 16), "float32"), (32, 32)))[0]
    np.testing.assert_array_equal(corners[:, :2], corners[:, 2:4])
    np.testing.assert_array_equal(corners[:, :2], anchors((32, 32)))
    np.testing.assert_array_equal(corners[:, 4:], np.tile(anchors((32, 32)), len(POINTS)))


def test_faces_are_averages_of_the_boxes_that_show_them():
    offsets, scores = np.zeros((1, 56, 16), "float32"), np.full((1, 56, 1), -9, "float32")
    for row, (x, width, score) in enumerate([(10, 8, 3.0), (11, 8, 2.0), (26, 5, 1.5)]):
        offsets[0, row, :4] = np.array([x, 10, width, 8]) - [*anchors((32, 32))[row], 0, 0]
        scores[0, row] = score
    found = faces({"offsets": offsets, "scores": scores}, (32, 32), score_threshold=0.5)
    a, b, c = 1 / (1 + np.exp(-np.array([3.0, 2.0, 1.5])))
    left = (6 * a + 7 * b) / (a + b)
    np.testing.assert_allclose(found["boxes"][0][0], [left, 6, left + 8, 14], rtol=1e-5)
    np.testing.assert_allclose(found["scores"][0][:3], [(a + b) / 2, c, 0], rtol=1e-5)
    np.testing.assert_array_equal(found["labels"][0][:3], [0, 0, -1])


def test_wrong_sizes_and_blocks_are_refused():
    with pytest.raises(ValueError, match=r"image_shape is \(100, 128, 3\); blaze_face needs .* multiples of 16"):
        blaze_face("nano", image_shape=(100, 128, 3))
    with pytest.raises(ValueError, match="three of them with stride 2"):
        BlazeFaceConfig(blocks=((8, 1), (8, 2)))
