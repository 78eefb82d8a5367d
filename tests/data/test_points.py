"""Clouds of points: the contract, a unit ball, augmentation by seed, files and their mistakes."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import batches
from tfdl.data.points import SOLIDS, chain, load, random_jitter, random_turn, solid


def saved(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "train_points": rng.integers(0, 32, (20, 9, 3), "uint8"),
        "train_label": np.arange(20) // 10,
        "test_points": rng.integers(0, 32, (4, 9, 3), "uint8"),
        "test_label": np.arange(4) % 2,
        "class_names": np.array(["chair", "monitor"]),
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_clouds_keep_the_contract_and_lie_in_the_unit_ball(tmp_path):
    data = load(str(saved(tmp_path / "a.npz")), points=7, batch_size=4)
    assert data.labels == ("chair", "monitor") and data.counts == {"train": 18, "validation": 2, "test": 4}
    for split in (data.train, data.validation, data.test):
        for points, labels in split:
            batches.check("points", points, labels)
            np.testing.assert_allclose(np.mean(points, 1), 0, atol=1e-5)
            np.testing.assert_allclose(np.linalg.norm(points, axis=-1).max(1), 1, rtol=1e-5)
    assert data.short_name == "a" and data.class_counts["test"].tolist() == [2, 2]


def test_an_epoch_is_a_function_of_its_number(tmp_path):
    file = str(saved(tmp_path / "a.npz"))

    def epoch(step):
        position = tf.Variable([2, step], dtype=tf.int64)
        augment = chain(random_turn(), random_jitter())
        data = load(file, points=9, batch_size=5, position=position, augment=augment)
        return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in data.train]

    whole, rest = epoch(0), epoch(3)
    assert len(whole) == 4 and len(rest) == 1
    tf.nest.map_structure(np.testing.assert_array_equal, whole[3], rest[0])


def test_turning_keeps_heights_and_distances():
    points = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    turned = random_turn()(points, tf.constant([1, 2], tf.int64)).numpy()
    np.testing.assert_allclose(turned[..., 2], points[..., 2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(points, axis=-1), rtol=1e-5)
    assert np.abs(turned - points).max() > 0.1
    moved = random_jitter(0.02)(points, tf.constant([1, 2], tf.int64)).numpy()
    assert 0.005 < np.std(moved - points) < 0.04


def test_solids_have_their_surfaces():
    rng = np.random.default_rng(0)
    sphere, cube, ring = (solid(rng, SOLIDS.index(name)) for name in ("sphere", "cube", "ring"))
    assert np.abs(np.linalg.norm(sphere, axis=1) - 1).max() < 0.06
    turned_back = np.abs(cube)
    assert (np.abs(turned_back[:, 2] - 1) < 0.05).mean() > 0.2
    assert np.abs(ring[:, 2]).max() < 0.2
    assert len({solid(np.random.default_rng(1), label).tobytes() for label in range(len(SOLIDS))}) == 9


def test_mistakes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no .*gone.npz; give solids"):
        load(str(tmp_path / "gone.npz"))
    with pytest.raises(ValueError, match="b.npz has no array class_names"):
        load(str(saved(tmp_path / "b.npz", class_names=None)))
    with pytest.raises(ValueError, match="points is 512, but the clouds of .* have 9"):
        load(str(saved(tmp_path / "a.npz")))
    broken = np.full((4, 9, 3), np.nan)
    with pytest.raises(ValueError, match=r"test_points is \(4, 9, 3\) for labels \(4,\); give finite"):
        load(str(saved(tmp_path / "c.npz", test_points=broken)))
    with pytest.raises(ValueError, match="deviation=-1"):
        random_jitter(-1)


@pytest.mark.data
def test_prepared_set_has_its_numbers(data_dir):
    data = load("modelnet_chair_monitor", data_dir=data_dir, limit=50)
    assert len(data.labels) == 2 and data.counts["train"] == 50 and data.points == 512
