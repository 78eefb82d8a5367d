"""Clouds with boxes: the contract, drawn scenes by their number, points on the cars, augmentation that keeps them."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import batches
from tfdl.core.batches import OUTSIDE
from tfdl.data.kitti_frames import boxes_in_lidar
from tfdl.data.scene_augment import MARGIN, chain, random_mirror, random_objects, random_scale, random_turn, within
from tfdl.data.scenes_3d import FARTHEST, FEWEST, GROUND, beams, distances, load, sampled, scene
from tfdl.ops.boxes_3d import contains, corners, pairwise_bev_iou


@pytest.fixture(scope="module")
def batch():
    """A training batch without augmentation."""
    points, truth = next(iter(load(points=4096, batch_size=5, limit=5).train))
    return points, truth["boxes"], truth["labels"]


def inside(points, boxes):
    """(B, N) numbers of points in slightly larger boxes."""
    larger = tf.concat([boxes[..., :3], boxes[..., 3:6] + MARGIN, boxes[..., 6:]], axis=-1)
    return np.array(contains(larger, points)).sum(-1)


def test_batches_keep_the_contract():
    data = load(points=600, batch_size=2, limit=3)
    for name in ("train", "validation", "test"):
        for points, truth in getattr(data, name):
            batches.check("point_detection", points, truth)
            assert points.shape[1:] == (600, 4) and truth["ignored"].dtype == bool
    assert data.counts == {"train": 3, "validation": 3, "test": 3} and data.labels == ("car",)
    assert data.task.kind == "point_detection" and data.task.points == 600


def test_a_scene_is_a_function_of_its_number():
    first, again, other = scene(0, "train", 7), scene(0, "train", 7), scene(0, "test", 7)
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert first.points.shape != other.points.shape or np.abs(first.points - other.points).max() > 0


def test_points_lie_on_cars_and_ground_and_cars_stand_apart():
    for number in range(4):
        one = scene(0, "train", number)
        assert np.linalg.norm(one.points[:, :3], axis=1).max() < FARTHEST + 1
        assert one.points[:, 2].min() > GROUND - 0.2 and ((one.points[:, 3] >= 0) & (one.points[:, 3] <= 1)).all()
        np.testing.assert_allclose(one.boxes[:, 2] - one.boxes[:, 5] / 2, GROUND, atol=1e-5)
        counts = inside(one.points, tf.constant(one.boxes))
        assert (counts[~one.ignored] >= 0.8 * FEWEST).all()
        others = np.array(pairwise_bev_iou(one.boxes, one.boxes)) - np.eye(len(one.boxes))
        assert others.max() < 1e-3


def test_beams_end_at_the_nearest_face():
    box = np.array(
        [[10.0, 0.0, 0.0, 4.0, 2.0, 2.0, 0.0], [10.0, 0.0, 0.0, 4.0, 2.0, 2.0, np.pi / 2], [-9, 0, 0, 1, 1, 1, 0]]
    )
    ahead = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "float32")
    np.testing.assert_allclose(distances(ahead, box), [[8, 9, np.inf], [np.inf] * 3], rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(beams(), axis=1), 1, rtol=1e-6)


def test_sample_has_no_point_twice_and_padding_last():
    clouds = np.arange(2 * 9 * 4, dtype="float32").reshape(2, 9, 4)
    clouds[1, 4:] = OUTSIDE
    found = sampled(tf.constant(clouds), 6, tf.constant([1, 2], tf.int64)).numpy()
    assert len(np.unique(found[0, :, 0])) == 6 and set(found[0, :, 0]) <= set(clouds[0, :, 0])
    assert set(found[1, :4, 0]) == set(clouds[1, :4, 0]) and (found[1, 4:] == OUTSIDE).all()
    other = sampled(tf.constant(clouds), 6, tf.constant([1, 3], tf.int64)).numpy()
    assert (found[0] != other[0]).any()
    assert sampled(tf.constant(clouds), 12, tf.constant([1, 2], tf.int64)).shape == (2, 12, 4)


def test_an_epoch_is_a_function_of_its_number():
    def epoch(step):
        position = tf.Variable([2, step], dtype=tf.int64)
        augment = chain(random_objects(), random_mirror(), random_scale(), random_turn())
        data = load(points=300, batch_size=2, limit=5, position=position, augment=augment)
        return [tf.nest.map_structure(lambda t: t.numpy(), row) for row in data.train]

    whole, rest = epoch(0), epoch(2)
    assert len(whole) == 3 and len(rest) == 1
    tf.nest.map_structure(np.testing.assert_array_equal, whole[2], rest[0])


@pytest.mark.parametrize("augment", [random_objects(), random_mirror(), random_scale(), random_turn()])
def test_boxes_keep_their_points(augment, batch):
    points, boxes, labels = augment(*batch, tf.constant([3, 5], tf.int64))
    before, after = inside(batch[0], batch[1]), inside(points, boxes)
    here = batch[2].numpy() >= 0
    assert np.abs(np.array(boxes) - batch[1].numpy())[here].max() > 0.05
    assert (after[here] >= 0.9 * before[here] - 1).all() and before[here].max() > 50
    np.testing.assert_array_equal(labels, batch[2])
    np.testing.assert_allclose(np.array(points)[..., 3], batch[0][..., 3])
    far = batch[0].numpy()[..., 0] >= OUTSIDE
    assert (np.array(points)[..., 0][far] >= OUTSIDE).all()


def test_moved_objects_never_touch(batch):
    for number in range(6):
        _, boxes, labels = random_objects(shift=3.0)(*batch, tf.constant([number, 5], tf.int64))
        iou = np.array(pairwise_bev_iou(boxes, boxes))
        pairs = (labels.numpy() >= 0)[:, :, None] & (labels.numpy() >= 0)[:, None] & ~np.eye(iou.shape[1], dtype=bool)
        assert iou[pairs].max() < 1e-3


def test_objects_outside_of_the_grid_are_padding(batch):
    _, boxes, labels = within((8.0, -4.0, 0.0), (20.0, 4.0, 0.0))(*batch, None)
    kept = labels.numpy() >= 0
    assert 0 < kept.sum() < (batch[2].numpy() >= 0).sum()
    assert (boxes.numpy()[kept][:, 0] >= 8).all() and (boxes.numpy()[~kept] == 0).all()


def test_boxes_of_the_camera_are_boxes_of_the_lidar():
    """A camera that looks along the LiDAR's x from a place above it; a car ahead whose length points to the right."""
    pose = np.array([[0, -1, 0, 0.1], [0, 0, -1, -0.5], [1, 0, 0, 0.2]], "float64")
    found = boxes_in_lidar([[2.0, 1.5, 20.0]], [[1.6, 1.7, 4.0]], [0.3], np.eye(3), pose)
    center = pose[:, :3].T @ (np.array([2.0, 1.5 - 0.8, 20.0]) - pose[:, 3])
    np.testing.assert_allclose(found[0, :3], center, rtol=1e-5)
    np.testing.assert_allclose(found[0, 3:6], [4.0, 1.7, 1.6], rtol=1e-6)
    assert np.cos(found[0, 6] - (-0.3 - np.pi / 2)) == pytest.approx(1, abs=1e-6)


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="no scenes 'street'; give scenes, kitti, or kitti:FRAME"):
        load("street")
    with pytest.raises(ValueError, match="points=0 and batch_size=4"):
        load(points=0)
    with pytest.raises(FileNotFoundError, match=r"kitti_mini\.npz; give scenes"):
        load("kitti", data_dir=tmp_path)
    with pytest.raises(ValueError, match="turn=-1"):
        random_turn(-1)
    with pytest.raises(ValueError, match="part=1"):
        random_scale(1)


@pytest.mark.data
def test_kitti_s_boxes_hold_points_and_stand_on_the_picture_s_boxes(data_dir):
    """The corners of each box, projected to the camera, span the labels' own box of the picture."""
    data = load("kitti", points=20_000, data_dir=data_dir)
    assert [one.name for one in data.scenes["test"]] == ["000001", "000002"] and data.counts["train"] == 100
    with np.load(data_dir / "kitti_mini" / "kitti_mini.npz") as file:
        for one in data.scenes["test"]:
            assert (inside(one.points, tf.constant(one.boxes)) > 5).all()
            row = list(file[f"{one.name}/label"]).index(0)
            rectified = (
                file[f"{one.name}/Tr_velo_to_cam"] @ np.append(np.array(corners(one.boxes))[0], np.ones((8, 1)), 1).T
            )
            pixels = file[f"{one.name}/P2"] @ np.append(file[f"{one.name}/R0_rect"] @ rectified, np.ones((1, 8)), 0)
            pixels = pixels[:2] / pixels[2]
            expected = file[f"{one.name}/bbox2d_xyxy"][row]
            np.testing.assert_allclose([*pixels.min(1), *pixels.max(1)], expected, atol=4)
    with pytest.raises(ValueError, match="has no car"):
        load("kitti:000000", data_dir=data_dir)
    with pytest.raises(ValueError, match="no frame '7'"):
        load("kitti:7", data_dir=data_dir)
