"""VoxelNet: parameters summed by hand, the paper's shapes, and points whose order or place means nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import outline
from tfdl.core.batches import OUTSIDE
from tfdl.core.outline import parameters
from tfdl.layers.voxels import AnchorBoxes3D
from tfdl.models.three_d.voxelnet import VARIANTS, VoxelNetConfig, voxelnet

STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")


def clouds(count=2, points=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform([0, -3.2, -3, 0], [6.4, 3.2, 1, 1], (count, points, 4)).astype("float32")


@pytest.fixture(scope="module")
def model():
    """The smallest network, with weights and statistics off their start."""
    keras.utils.set_random_seed(0)
    made = voxelnet("nano", points=50)
    rng = np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(weight + np.abs(rng.normal(0, 0.1, weight.shape)))
    return made


@pytest.fixture(scope="module")
def paper():
    return outline(voxelnet, "car")


def test_count_is_the_sum_over_fig_2_and_fig_4(paper):
    norm = 2  # parameters of a channel: scale and shift

    def convolutions(taps, *channels):
        return sum(taps * a * b + norm * b for a, b in zip(channels, channels[1:]))

    encodings = convolutions(1, 7, 16) + convolutions(1, 32, 64) + convolutions(1, 128, 128)
    middle = convolutions(27, 128, 64, 64, 64)
    blocks = convolutions(9, *[128] * 11, *[256] * 6)  # 64 channels x 2 levels = 128 enter
    upsampled = convolutions(9, 128, 256) + convolutions(4, 128, 256) + convolutions(16, 256, 256)
    heads = 768 * (2 + 14) + 2 + 14
    assert parameters(paper) == encodings + middle + blocks + upsampled + heads


def test_shapes_are_the_paper_s(paper):
    assert VARIANTS["car"].shape == (352, 400, 10)
    shapes = {name: paper.get_layer(name).output.shape[1:] for name in ("grid", "middle1_norm", "middle2_norm")}
    assert shapes == {"grid": (352, 400, 10, 128), "middle1_norm": (352, 400, 5, 64), "middle2_norm": (352, 400, 3, 64)}
    assert paper.get_layer("from_above").output.shape[1:] == (352, 400, 128)
    assert paper.get_layer("resolutions").output.shape[1:] == (176, 200, 768)
    assert {name: x.shape[1:] for name, x in paper.output.items()} == {
        "boxes": (70_400, 7),
        "scores": (70_400, 1),
        "offsets": (70_400, 7),
    }


def test_anchors_stand_in_the_middle_of_their_cells(model):
    (layer,) = [layer for layer in model.layers if isinstance(layer, AnchorBoxes3D)]
    assert layer.anchors.shape == (8 * 8 * 2, 7)
    np.testing.assert_allclose(layer.anchors[:2, :2], [[0.4, -2.8]] * 2, rtol=1e-6)
    np.testing.assert_allclose(layer.anchors[2, :2], [0.4, -2.0], rtol=1e-6)
    np.testing.assert_allclose(layer.anchors[:2, 6], [0, np.pi / 2], rtol=1e-6)
    np.testing.assert_allclose(layer.anchors[5, 2:6], [-1.0, 3.9, 1.6, 1.56])


def test_order_of_points_means_nothing_where_voxels_hold_them_all():
    keras.utils.set_random_seed(0)
    config = VoxelNetConfig(
        **{name: getattr(VARIANTS["nano"], name) for name in VoxelNetConfig.__dataclass_fields__} | {"per_voxel": 50}
    )
    model, x = voxelnet(config, points=50), clouds()
    order = np.random.default_rng(1).permutation(50)
    for ours, theirs in zip(model(x).values(), model(x[:, order]).values()):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_points_outside_and_clouds_beside_change_nothing(model):
    x = clouds()
    expected = model(x)
    far = np.concatenate([x[:, :40], np.full((2, 10, 4), OUTSIDE, "float32")], axis=1)
    below = far.copy()
    below[:, 40:, :3] = [3.0, 0.0, -9.0]
    alone = model(x[1:])
    for name in expected:
        np.testing.assert_allclose(model(far)[name], model(below)[name], atol=1e-5)
        np.testing.assert_allclose(alone[name][0], expected[name][1], atol=1e-5)
    assert np.abs(np.array(expected["scores"][0]) - np.array(expected["scores"][1])).max() > 1e-3
    assert np.isfinite(model(np.full((1, 50, 4), OUTSIDE, "float32"))["boxes"]).all()


def test_features_of_voxels_are_those_of_loops_over_their_points(model):
    """Section 2.1 in NumPy, point after point, from the network's own weights."""
    weights = {"/".join(weight.path.split("/")[-2:]): np.array(weight) for weight in model.weights}

    def layer(x, name):
        gamma, beta, mean, variance = (weights[f"{name}_norm/{key}"] for key in STATISTICS)
        y = (x @ weights[f"{name}_dense/kernel"] - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        return np.maximum(y, 0)

    c, x = VARIANTS["nano"], clouds()
    grid = np.array(keras.Model(model.input, model.get_layer("grid").output)(x))
    for cloud, found in zip(x, grid):
        cells = {}
        for point in cloud:
            place = np.floor((point[:3] - c.low) / c.cell).astype(int)
            cells.setdefault(tuple(place), []).append(point)
        expected = np.zeros_like(found)
        for place, points in cells.items():
            points = np.array(points[: c.per_voxel])
            y = np.concatenate([points, points[:, :3] - points[:, :3].mean(0)], axis=1)  # (n, 7)
            for name in ("encoding1", "encoding2"):
                own = layer(y, name)
                y = np.concatenate([own, np.tile(own.max(0), (len(own), 1))], axis=1)
            expected[place] = layer(y, "voxel").max(0)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert len(cells) > 20 and max(map(len, cells.values())) > 1


def test_statistics_are_those_of_points_that_are_there(model):
    """Padding would pull means to zero: normalization must not see it."""
    norm = model.get_layer("encoding1_norm")
    (is_there,) = [tensor for tensor in model.get_layer("voxels").output if tensor.dtype == "bool"]
    inner = keras.Model(model.input, [model.get_layer("encoding1_dense").output, is_there])
    x = clouds()
    features, is_point = inner(x)
    seen = np.array(features)[np.array(is_point)]
    assert 20 < len(seen) < 0.9 * np.array(features)[..., 0].size
    before = np.array(norm.moving_mean)
    model(x, training=True)
    moved = np.array(norm.moving_mean)
    np.testing.assert_allclose((moved - 0.9 * before) / 0.1, seen.mean(0), atol=1e-4)


def test_gradients_reach_every_weight_and_it_is_saved(model, tmp_path):
    x = clouds()
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(tf.sin(values)) for values in model(x, training=True).values()])
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, [w.value for w in model.trainable_weights])
    ):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(x)["boxes"], model(x)["boxes"], atol=1e-5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="points=0 and features=4; give 1 and 3, or more"):
        voxelnet("nano", points=0)
    with pytest.raises(ValueError, match="first two sides must be multiples of 8"):
        VoxelNetConfig(high=(70.0, 40.0, 1.0))
    with pytest.raises(ValueError, match="has no cells"):
        VoxelNetConfig(low=(80.0, -40.0, -3.0))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_places_exact(policy):
    """Points are grouped in float32, in which those outside are finite, and boxes are float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        half = voxelnet("nano", points=50)
    finally:
        keras.config.set_dtype_policy(before)
    keras.utils.set_random_seed(0)
    whole = voxelnet("nano", points=50)
    x = clouds()
    x[:, 40:] = OUTSIDE
    found, expected = half(x), whole(x)
    assert {values.dtype for values in found.values()} == {tf.float32}
    assert half.get_layer("encoding1_dense").compute_dtype != "float32"
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=0.05)
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=0.3)
