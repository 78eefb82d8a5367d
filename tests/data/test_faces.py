"""Faces on a ground: boxes and points lie where the face is, empty scenes have none, and all follows the seed."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import batches
from tfdl.data import faces
from tfdl.data.keypoint_augment import random_flip

OPTIONS = {"image_size": 64, "batch_size": 4, "limit": 24}


@pytest.fixture(scope="module")
def data():
    return faces.load("figures", augment=lambda body: random_flip(body.mirror), **OPTIONS)


def test_batches_are_those_of_detection_with_points(data):
    assert data.points == ("right eye", "left eye", "nose", "right ear", "left ear")
    assert data.task.kind == "detection" and data.labels == ("face",) and data.counts["train"] == 24
    for split in (data.train, data.validation, data.test):
        for images, truth in split:
            truth = dict(truth)
            assert truth.pop("keypoints").shape[1:] == (1, 5, 3)
            batches.check("detection", images, truth)


def test_points_are_in_their_box_and_left_is_on_the_right_of_the_picture(data):
    found = empty = 0
    for _, truth in (*data.train, *data.test):
        for box, label, points in zip(*(truth[name][:, 0].numpy() for name in ("boxes", "labels", "keypoints"))):
            empty += int(label < 0)
            if label < 0:
                assert not points.any() and not np.any(box)
                continue
            seen = points[points[:, 2] > 0, :2]
            assert (seen >= box[:2] - 1e-3).all() and (seen <= box[2:] + 1e-3).all()
            if (points[3:, 2] > 0).all():
                assert points[4, 0] > points[3, 0], "the left ear is on the right, in mirrored pictures too"
                found += 1
    assert found > 20 and empty > 0


def test_an_epoch_may_begin_anywhere():
    def epoch(step):
        position = tf.Variable([1, step], dtype=tf.int64)
        augment = lambda body: random_flip(body.mirror)  # noqa: E731
        return list(faces.load("figures", position=position, augment=augment, **OPTIONS).train)

    whole, rest = epoch(0), epoch(4)
    assert len(whole) == 6 and len(rest) == 2
    tf.nest.map_structure(np.testing.assert_array_equal, whole[4], rest[0])


def test_the_six_points_of_a_face_of_68():
    points = np.zeros((2, 68, 3), "float32")
    points[0, :, 0], points[0, :, 1], points[0, :, 2] = np.arange(68), 100 - np.arange(68), 1
    points[1, :20] = points[0, :20]
    _, truth = faces.with_faces(None, tf.constant(points))
    np.testing.assert_array_equal(truth["boxes"][0, 0], [0, 33, 67, 100])
    np.testing.assert_array_equal(truth["keypoints"][0, 0, :, 0], [38.5, 44.5, 30, 63.5, 0, 16])
    np.testing.assert_array_equal(truth["labels"][:, 0], [0, -1])  # of the second, less than half is visible
    assert not np.any(truth["keypoints"][1])


@pytest.mark.data
def test_real_faces_are_placed_on_a_ground(data_dir):
    real = faces.load("face_keypoints68", data_dir=data_dir, **OPTIONS)
    assert real.points == ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")
    sizes = np.concatenate([(t["boxes"][:, 0, 2] - t["boxes"][:, 0, 0]).numpy() for _, t in real.test])
    assert sizes[sizes > 0].min() < 30 < sizes.max() <= 64
