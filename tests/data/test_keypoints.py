"""Key-point data: points stay on what they name, whatever is done to the picture; COCO's files, and what is wrong."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdl.core import batches
from tfdl.core.bodies import BODIES
from tfdl.data import keypoint_augment
from tfdl.data.augment import random_brightness
from tfdl.data.figures import figures
from tfdl.data.keypoint_files import read
from tfdl.data.keypoints import load

SIZE = (48, 60)
MIRROR = (1, 0, 2)
EVERY = {
    "flip": keypoint_augment.random_flip(MIRROR),
    "affine": keypoint_augment.random_affine(0.3, 0.2, 40.0),
    "color": keypoint_augment.of_pixels(random_brightness(0.2)),
}
EVERY["all"] = keypoint_augment.chain(*EVERY.values())


def dots(count=4, seed=0):
    """Pictures with a red, a green and a blue dot, and their places (B, 3, 3)."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, *SIZE, 3), "float32")
    points = np.ones((count, 3, 3), "float32")
    for b in range(count):
        for k, (x0, y0) in enumerate(((6, 6), (36, 8), (20, 26))):
            x, y = x0 + rng.integers(0, 12), y0 + rng.integers(0, 8)
            images[b, y : y + 6, x : x + 6, k] = 1
            points[b, k, :2] = x + 3, y + 3
    points[-1, 2] = 0
    return images, points


def seed_of(number):
    return tf.constant([number, 7], tf.int64)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["flip", "affine"])
def test_points_stay_on_their_dots(name, seed):
    images, points = dots()
    new, moved = (np.array(x) for x in EVERY[name](images, points, seed_of(seed)))
    assert new.shape == images.shape and moved.shape == points.shape and moved.dtype == "float32"
    found = 0
    for b in range(len(new)):
        flipped = name == "flip" and not np.array_equal(new[b], images[b])
        for k, (x, y, visible) in enumerate(moved[b]):
            channel = MIRROR[k] if flipped else k
            is_near_border = not (4 < x < SIZE[1] - 4 and 4 < y < SIZE[0] - 4)
            if not visible or is_near_border:
                continue
            weights = new[b, ..., channel]
            rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
            if weights.sum() < 20:
                continue
            center = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
            np.testing.assert_allclose(center, [x, y], atol=0.3)
            found += 1
    assert found >= 5


@pytest.mark.parametrize("name", EVERY)
def test_augmentations_are_functions_of_the_seed(name):
    images, points = dots()
    first, again, other = (EVERY[name](images, points, seed_of(n)) for n in (1, 1, 5))
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other))
    moved = np.array(first[1])
    assert (moved[moved[..., 2] == 0] == 0).all() and set(np.unique(moved[..., 2])) <= {0, 1}


def test_flipping_twice_is_the_beginning():
    images, points = dots()
    mirrored = EVERY["flip"](images, points, seed_of(2))
    assert not np.array_equal(mirrored[1], points)
    back = EVERY["flip"](*mirrored, seed_of(2))
    np.testing.assert_allclose(back[1], points)
    np.testing.assert_array_equal(back[0], images)


def test_a_point_that_leaves_the_picture_is_not_visible():
    images, points = dots()
    zero = tf.zeros(4)
    _, moved = keypoint_augment.moved(images, points, zero + 1, zero, zero + 30, zero)
    np.testing.assert_array_equal(np.array(moved)[..., 2], (points[..., 0] + 30 <= 60) & (points[..., 2] > 0))


def test_numbers_out_of_range_are_refused():
    for options, message in (({"scale": 1.0}, "scale=1.0"), ({"turn": 200}, "turn=200; give degrees from 0 to 180")):
        with pytest.raises(ValueError, match=message):
            keypoint_augment.random_affine(**options)


def test_figures_are_functions_of_the_seed_with_joints_where_they_are_drawn():
    (images, points), (again, _) = (figures({"test": 6}, size=64)["test"] for _ in range(2))
    np.testing.assert_array_equal(images, again)
    assert points.shape == (6, 17, 3) and (points >= 0).all() and (points[..., :2] <= 64).all()
    eyes = BODIES["coco"].names.index("left eye")
    for image, own in zip(images, points):
        (x, y), height = own[eyes, :2], np.ptp(own[:, 1])
        pupil = image[int(y), int(x)].astype(float).mean()
        around = image[int(y) + 1 : int(y + 0.1 * height) + 2, int(x)].astype(float).mean(-1).max()
        assert pupil < 140 and around > pupil


def test_batches_keep_the_contract_and_an_epoch_may_begin_anywhere():
    def epoch(step):
        def augment(body):
            flip = keypoint_augment.random_flip(body.mirror)
            return keypoint_augment.chain(flip, keypoint_augment.random_affine(turn=20))

        position = tf.Variable([1, step], dtype=tf.int64)
        data = load("figures", image_size=48, batch_size=4, limit=10, position=position, augment=augment)
        return data, [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in data.train]

    data, whole = epoch(0)
    _, rest = epoch(2)
    assert data.counts == {"train": 10, "validation": 10, "test": 10} and len(whole) == 3 and len(rest) == 1
    tf.nest.map_structure(np.testing.assert_array_equal, whole[2], rest[0])
    for images, truth in (*whole, *data.validation, *data.test):
        batches.check("keypoints", images, truth)
    assert data.task.kind == "pose" and data.task.lines == BODIES["coco"].lines and data.note == "17 key points"
    resized = next(iter(data.test))[1]["keypoints"][0, 0]
    stored = figures({"test": 1})["test"][1][0]
    np.testing.assert_allclose(resized[:, :2], stored[:, :2] / 2, rtol=1e-6)


# COCO


NAMES = ["left_hand", "right_hand", "head"]


def coco_folder(tmp_path, **changes):
    """Three pictures of 80 x 100 with two people each: a red dot at the left hand, green at the right, blue above."""
    tmp_path = tmp_path / "dolls"  # the name of the folder itself must not be that of a split
    tmp_path.mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(3):
        pixels = np.full((80, 100, 3), 30, "uint8")
        for j in range(2):
            x, y = 20 + 48 * j, 30 + int(rng.integers(0, 20))
            spots = [(x + 12, y + 14), (x - 12, y + 14), (x, y)]
            for channel, (u, v) in enumerate(spots):
                pixels[v - 3 : v + 3, u - 3 : u + 3, channel] = 255
            points = [part for u, v in spots for part in (u, v, 2)]
            row = {"id": len(annotations) + 1, "image_id": i, "category_id": 7, "keypoints": points, "area": 300}
            annotations.append(row | {"bbox": [x - 15, y - 3, 30, 20], "iscrowd": 0, "num_keypoints": 3})
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": 80, "width": 100})
    categories = [{"id": 7, "name": "doll", "keypoints": NAMES, "skeleton": [[1, 3], [2, 3]]}, {"id": 8, "name": "car"}]
    annotations[1]["keypoints"][8] = 0  # nobody annotated the second one's head
    annotations[2] |= changes
    document = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "people.json").write_text(json.dumps(document))
    return tmp_path / "people.json"


def test_people_are_cut_out_of_coco_s_pictures(tmp_path):
    data = load(f"coco:{coco_folder(tmp_path)}", image_size=(32, 48), batch_size=2)
    assert data.body.names == ("left hand", "right hand", "head") and data.body.mirror == (1, 0, 2)
    assert data.body.lines == ((0, 2), (1, 2)) and sum(data.counts.values()) == 6
    seen = hidden = 0
    for split in (data.train, data.validation, data.test):
        for images, truth in split:
            for image, points, area in zip(images.numpy(), truth["keypoints"].numpy()[:, 0], truth["area"].numpy()):
                scale = 32 / (1.25 * 20)  # the box is 30 x 20, the window 1.25 times as large
                assert area[0] == pytest.approx(300 * scale**2, rel=0.05)
                for k, (x, y, visible) in enumerate(points):
                    hidden += not visible
                    if visible:
                        spot = image[int(y), int(x)]
                        assert spot.argmax() == k and spot[k] > 0.8
                        seen += 1
    assert seen == 17 and hidden == 1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"keypoints": [1, 2, 2]}, r"people.json, annotation 3: there are 1 key points, and 3 names"),
        ({"bbox": [1, 2, 0, 5]}, "annotation 3: the box .* has no area"),
        ({"keypoints": ["a"] * 9}, "annotation 3: keypoints and bbox are no lists of numbers"),
        ({"image_id": 99}, "annotation 3: there is no image 99"),
    ],
)
def test_mistakes_are_named(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(f"coco:{coco_folder(tmp_path, **changes)}", image_size=32)


def test_crowds_are_counted(tmp_path, capsys):
    data = load(f"coco:{coco_folder(tmp_path, iscrowd=1)}", image_size=32)
    assert sum(data.counts.values()) == 5
    assert "1 crowds and people without key points, left out" in data.note
    assert "left out" in capsys.readouterr().err


def test_boxes_of_the_same_pictures_in_coco_s_own_folder_are_left_out(tmp_path):
    file = coco_folder(tmp_path)
    document = json.loads(file.read_text())
    file.rename(file.with_name("person_keypoints_train2017.json"))
    document["categories"] = [{"id": 7, "name": "doll"}, {"id": 8, "name": "car"}]
    file.with_name("instances_train2017.json").write_text(json.dumps(document))
    found = read(f"coco:{file.parent}", (32, 32, 3))
    assert {split: len(records) for split, records in found.splits.items()} == {"train": 6}
    assert found.notes["files of COCO's other tasks, left out"] == 1


def test_other_sets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="resize is 'crop'"):
        load("figures", resize="crop")
    file = coco_folder(tmp_path)
    document = json.loads(file.read_text())
    document["categories"][0]["keypoints"] = ["left_hand", "hand", "head"]
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="left hand.* left and right do not pair"):
        load(f"coco:{file}")
    del document["categories"][0]["keypoints"]
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="0 categories with key points"):
        load(f"coco:{file}")


@pytest.mark.data
def test_faces_have_68_points_whose_mirror_images_are_where_the_table_says(data_dir):
    data = load("face_keypoints68", data_dir=data_dir)
    assert data.counts == {"train": 1620, "validation": 180, "test": 450} and data.image_shape == (96, 96, 3)
    points = np.stack([record.keypoints for record in data.records["train"]])
    points = np.where(points[..., 2:] > 0, points[..., :2], np.nan)
    middle = np.nanmean(points, axis=0)
    mirrored = middle[list(data.body.mirror)] * [-1, 1] + [2 * np.nanmean(middle[[27, 28, 29, 30, 8], 0]), 0]
    assert np.abs(mirrored - middle).max() < 6, "in pixels, of faces that look to both sides"
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    np.testing.assert_allclose((high - low).max(1), 96 / 1.25, rtol=0.1)
    with pytest.raises(ValueError, match="of sets with key points tfdl knows face_keypoints68"):
        load("mnist", data_dir=data_dir)
