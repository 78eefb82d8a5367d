"""Augmented boxes lie around what they lay around before, and everything is a function of the seed."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import detection_augment as ours

SIZE = (72, 96)  # height, width
EVERY = {
    "flip": ours.random_flip(),
    "affine": ours.random_affine(0.4, 0.2),
    "crop": ours.random_crop(0.5),
    "mosaic": ours.random_mosaic(1.0, (0.5, 1.0)),
    "sometimes a mosaic": ours.random_mosaic(0.5),
    "mixup": ours.random_mixup(),
    "color": ours.random_color(),
    "all": ours.chain(ours.random_mosaic(0.5), ours.random_flip(), ours.random_affine(0.2, 0.1), ours.random_color()),
}
PAINTED = [name for name in EVERY if name not in ("mixup", "color", "all")]  # colors stay as they are


def scene(seed=0, batch=4, count=3):
    """Pictures with painted rectangles that do not overlap, each of a color of its own in the batch, and padding."""
    rng = np.random.default_rng(seed)
    images, boxes = np.zeros((batch, *SIZE, 3), "float32"), np.zeros((batch, count, 4), "float32")
    labels = np.tile(np.arange(count), (batch, 1)).astype("int32")
    for b in range(batch):
        for n in range(count):
            x = 32 * n + rng.integers(2, 10)
            y, w, h = rng.integers(2, 40), rng.integers(12, 20), rng.integers(14, 28)
            boxes[b, n] = [x, y, x + w, y + h]
            images[b, y : y + h, x : x + w] = [(b + 1) / batch, (n + 1) / count, 1]
    labels[-1, 1:], boxes[-1, 1:], images[-1, :, 32:] = -1, 0, 0
    return images, {"boxes": boxes, "labels": labels}


def with_instances(images, truth):
    """The scene's map of objects: the second color tells them apart."""
    instances = np.round(images[..., 1] * 3).astype("int32") - 1
    return images, truth | {"instances": instances}


def seed_of(number):
    return tf.constant([number, 7], tf.int64)


@pytest.mark.parametrize("name", PAINTED)
@pytest.mark.parametrize("seed", range(3))
def test_boxes_lie_around_the_pixels_of_their_objects(name, seed):
    images, truth = scene(seed)
    new, found = EVERY[name](images, truth, seed_of(seed))
    new, moved, kept = np.array(new), np.array(found["boxes"]), np.array(found["labels"])
    assert new.shape == images.shape and moved.shape[:2] == kept.shape
    found = 0
    for b in range(len(new)):
        for (x1, y1, x2, y2), label in zip(moved[b], kept[b]):
            if label < 0:
                continue
            inside = new[b, max(0, round(y1)) : round(y2), max(0, round(x1)) : round(x2)]
            middle = new[b, min(int((y1 + y2) / 2), SIZE[0] - 1), min(int((x1 + x2) / 2), SIZE[1] - 1)]
            assert middle[2] > 0.9, "there is no object in the middle of the box"
            assert middle[1] == pytest.approx((label + 1) / 3, abs=0.02), "the object is of another class"
            assert np.mean(inside[..., 2] > 0.3) > 0.8
            around = new[b, max(0, round(y1) - 2) : round(y2) + 2, max(0, round(x1) - 2) : round(x2) + 2]
            same = np.abs(around - middle).max(-1) < 0.02
            spare = same.sum() / max(1, np.sum(np.abs(inside - middle).max(-1) < 0.02))
            assert spare < 1.25, "the object goes on outside of the box"
            found += 1
    assert found >= 4


@pytest.mark.parametrize("name", EVERY)
def test_augmentations_keep_the_contract_and_depend_on_the_seed_alone(name):
    scenes = scene(1)
    first, again, other = (tf.nest.flatten(EVERY[name](*scenes, seed_of(number))) for number in (1, 1, 5))
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other))
    new, moved, kept = map(np.array, first)
    assert new.dtype == "float32" and new.min() >= 0 and new.max() <= 1 + 1e-6
    assert kept.dtype == "int32"
    assert (moved[kept < 0] == 0).all()
    real = moved[kept >= 0]
    assert (real[:, 2] > real[:, 0]).all() and (real[:, 3] > real[:, 1]).all()
    assert real.min() >= 0 and (real <= [SIZE[1], SIZE[0]] * 2).all()


def test_mosaic_loses_no_object_for_want_of_room():
    """Four pictures full of objects: as many as are visible are kept."""
    _, found = ours.random_mosaic(1.0)(*scene(0, count=3), seed_of(3))
    assert found["boxes"].shape == (4, 12, 4)
    assert (np.array(found["labels"]) >= 0).sum(1).max() > 3


def test_flipping_twice_is_the_beginning():
    images, truth = with_instances(*scene())
    mirrored = ours.random_flip()(images, truth, seed_of(2))
    changed = [not np.array_equal(a, b) for a, b in zip(images, mirrored[0])]
    assert 0 < sum(changed) < 4
    back = ours.random_flip()(*mirrored, seed_of(2))
    np.testing.assert_allclose(back[0], images)
    for name, values in truth.items():
        np.testing.assert_allclose(back[1][name], values, atol=1e-5)


def test_mixed_pictures_have_the_boxes_of_both():
    images, truth = scene()
    mixed, both = ours.random_mixup()(images, truth, seed_of(0))
    np.testing.assert_array_equal(both["boxes"][:, :3], truth["boxes"])
    assert both["boxes"].shape[1] == 6 and (np.array(both["labels"]) >= 0).sum() == 2 * (truth["labels"] >= 0).sum()
    assert 0 < np.array(mixed).max() <= 1


def test_an_object_that_is_hardly_visible_is_padding():
    images, truth = scene()
    boxes, labels = truth["boxes"], truth["labels"]
    zoom, zero = tf.ones(4), tf.zeros(4)
    kept = ours.placed(images, truth, zoom, zero - 15.0, zero, 0.0)[1]["labels"]
    hidden = boxes[..., 2] - 15 < 0.1 * (boxes[..., 2] - boxes[..., 0])
    np.testing.assert_array_equal(np.array(kept)[labels >= 0] < 0, hidden[labels >= 0])


def test_gray_pictures_keep_one_channel():
    images, truth = scene()
    gray = images[..., :1]
    new, _ = EVERY["all"](gray, truth, seed_of(0))
    assert new.shape == gray.shape


@pytest.mark.parametrize("name", PAINTED)
@pytest.mark.parametrize("seed", range(2))
def test_instances_move_with_their_objects(name, seed):
    """The map shows an object where its color is, in its box alone; whatever has a box has pixels."""
    images, truth = with_instances(*scene(seed))
    new, found = EVERY[name](images, truth, seed_of(seed))
    new, boxes, labels, instances = (np.array(x) for x in (new, found["boxes"], found["labels"], found["instances"]))
    assert instances.shape == new.shape[:3] and instances.dtype == "int32"
    pure = new[..., 2] > 0.99
    shown = np.where(
        instances >= 0,
        np.take_along_axis(labels, np.maximum(instances, 0).reshape(4, -1), 1).reshape(instances.shape),
        -1,
    )
    painted = np.round(new[..., 1] * 3).astype(int) - 1
    assert (shown == painted)[pure & (instances >= 0)].all() and (instances[new[..., 2] == 0] == -1).all()
    for b in range(len(new)):
        assert set(np.unique(instances[b])) - {-1} == set(np.flatnonzero(labels[b] >= 0))
        for number in np.flatnonzero(labels[b] >= 0):
            y, x = np.nonzero(instances[b] == number)
            seen = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            np.testing.assert_allclose(boxes[b, number], seen, atol=1.01)
        lost = pure[b] & (instances[b] < 0)  # of objects that are dropped, and at the border of the others
        assert lost.sum() < 0.1 * max(pure[b].sum(), 1) or (labels[b] >= 0).sum() < 3


def test_two_objects_on_a_pixel_are_refused():
    with pytest.raises(ValueError, match="random_mixup lays two objects on one pixel"):
        ours.random_mixup()(*with_instances(*scene()), seed_of(0))


def test_numbers_out_of_range_are_refused():
    for make, message in (
        (lambda: ours.random_affine(scale=1.0), "scale=1.0; give a number from 0 to below 1"),
        (lambda: ours.random_crop(0.0), "smallest=0.0; give a number above 0"),
        (lambda: ours.random_mosaic(scale=(1.0, 0.5)), "two positive numbers, the smaller first"),
        (lambda: ours.random_mixup(alpha=0.0), "alpha=0.0; give a number above 0"),
        (lambda: ours.random_color(hue=2.0), "strength=2.0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
