"""Detection data: batches keep their contract, boxes follow their pictures, and a run resumes with the same batches."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data.annotations.written import OBJECTS, coco, labelme
from tfdl.core import batches, pictures
from tfdl.data import detection, detection_augment
from tfdl.data.detection import load
from tfdl.data.shapes import SHAPES, shapes


@pytest.fixture(scope="module")
def small():
    return load("shapes", image_size=64, batch_size=5, limit=12, augment=detection_augment.random_flip())


def arrays(dataset):
    return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in dataset]


def test_batches_keep_the_contract(small):
    for split in ("train", "validation", "test"):
        for images, truth in getattr(small, split):
            batches.check("detection", images, truth)
            assert images.shape[1:] == (64, 64, 3)
    assert small.counts == {"train": 12, "validation": 12, "test": 12}
    assert small.labels == SHAPES and small.num_classes == 4
    assert small.task.kind == "detection" and small.task.resize == "pad"
    assert small.objects["train"] == sum((y["labels"] >= 0).sum() for _, y in arrays(small.train))


def test_an_epoch_is_a_function_of_its_number_and_may_begin_anywhere():
    def fresh():
        position = tf.Variable([0, 0], dtype=tf.int64)
        augment = detection_augment.chain(detection_augment.random_mosaic(0.5), detection_augment.random_flip())
        return load("shapes", image_size=32, batch_size=4, limit=12, seed=3, position=position, augment=augment)

    data = fresh()
    first = arrays(data.train)
    data.position.assign([1, 0])
    second = arrays(data.train)
    other = fresh()
    other.position.assign([1, 2])
    (rest,) = arrays(other.train)
    tf.nest.map_structure(np.testing.assert_array_equal, rest, second[2])
    assert not np.array_equal(first[0][0], second[0][0])


@pytest.mark.parametrize("resize", detection.RESIZES)
def test_boxes_lie_where_their_objects_are_in_resized_pictures(resize, tmp_path):
    pixels = np.zeros((60, 120, 3), "uint8")
    pixels[10:40, 30:90] = 255
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    rows = {"images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)], "categories": [{"id": 1, "name": "a"}]}
    rows["annotations"] = [{"image_id": i, "category_id": 1, "bbox": [30, 10, 60, 30]} for i in range(3)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    data = load(f"coco:{tmp_path}", image_size=(48, 64), batch_size=1, resize=resize)
    assert data.counts == {"train": 1, "validation": 1, "test": 1}
    images, truth = next(iter(data.validation))
    y, x = np.nonzero(images[0, ..., 0].numpy() > 0.5)
    np.testing.assert_allclose(truth["boxes"][0, 0], [x.min(), y.min(), x.max() + 1, y.max() + 1], atol=0.6)


@pytest.mark.parametrize("resize", pictures.RESIZES)
@pytest.mark.parametrize("stored", [(31, 77), (80, 40), (64, 48)])
def test_placement_says_where_pixels_go(resize, stored):
    size = (64, 48)
    y, x = np.mgrid[: stored[0], : stored[1]].astype("float32")
    ramp = np.stack([255 * (y + 0.5) / stored[0], 255 * (x + 0.5) / stored[1], 0 * x + 255], -1).astype("uint8")
    resized = pictures.resize(ramp, (*size, 3), resize).numpy().astype("float32")
    scale, offset = pictures.placement(stored, size, resize)
    for row, column in ((20, 15), (30, 24), (40, 30)):
        if resized[row, column, 2] < 250:
            continue  # in the border
        seen = resized[row, column, :2] / 255 * stored  # of the stored picture
        np.testing.assert_allclose(scale * seen + offset, [row + 0.5, column + 0.5], atol=1.6)


def test_regions_that_are_not_evaluated_are_padding_in_training_and_marked_elsewhere(tmp_path):
    rows = coco(tmp_path, {name: OBJECTS["a"] for name in "abcdefghijkl"})
    for row in rows["annotations"]:
        row["iscrowd"] = int(row["category_id"] == 8)
    (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(rows))
    data = load(f"coco:{tmp_path}", image_size=32, batch_size=2)
    for _, truth in data.train:
        assert sorted(truth["labels"][0].numpy()) == [-1, 0]
    for _, truth in data.test:
        np.testing.assert_array_equal(truth["crowd"], truth["labels"] == 1)
    assert data.objects["test"] == data.counts["test"]


def test_what_was_changed_is_said_once(tmp_path, capsys):
    coco(tmp_path)
    data = load(f"coco:{tmp_path}", image_size=32, batch_size=2)
    said = capsys.readouterr().err
    assert "2 categories whose ids have gaps, numbered anew; 1 pictures without objects, kept." in said
    assert data.note in said and data.short_name == tmp_path.name


def test_pictures_inside_of_annotations_are_decoded(tmp_path):
    labelme(tmp_path)
    for file in (tmp_path / "train").glob("*.json"):
        document = json.loads(file.read_text())
        document["imageData"] = base64.b64encode(file.with_suffix(".jpg").read_bytes()).decode()
        document["imagePath"] = "gone.jpg"
        file.write_text(json.dumps(document))
    data = load(f"labelme:{tmp_path}", image_size=32, batch_size=2)
    assert next(iter(data.train))[0].numpy().max() > 0.5


def test_broken_pictures_end_the_run_or_are_left_out(tmp_path, capfd):
    coco(tmp_path, {name: OBJECTS["a"] for name in "abcdef"})
    data = load(f"coco:{tmp_path}", image_size=32, batch_size=2)
    file = tmp_path / "train" / data.records["train"][1].name
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(ValueError, match=rf"{file.name} cannot be decoded"):
        load(f"coco:{tmp_path}", image_size=32, batch_size=2)
    data = load(f"coco:{tmp_path}", image_size=32, batch_size=2, skip_broken=True)
    assert sum(data.counts.values()) == 5
    assert "1 broken files left out" in data.note
    for _, truth in data.train:
        np.testing.assert_array_equal(np.sort(truth["labels"], -1), np.tile([0, 1], (len(truth["labels"]), 1)))


def test_mistakes_are_said_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="a picture|has . objects, but max_boxes is 1; give that many, or None"):
        load("shapes", limit=9, max_boxes=1)
    with pytest.raises(ValueError, match="resize is 'crop'; give pad or stretch"):
        load("shapes", limit=9, resize="crop")
    with pytest.raises(
        ValueError, match="There is no data set 'boccd' .* For files of your own give coco:FILE, voc:FOLDER"
    ):
        load("boccd", data_dir=tmp_path)


def test_shapes_have_the_boxes_of_their_visible_pixels_and_come_from_the_seed():
    images, boxes, labels, owners = shapes({"train": 20}, size=48)["train"]
    again = shapes({"train": 20}, size=48)["train"]
    np.testing.assert_array_equal(images, again[0])
    assert images.shape == (20, 48, 48, 3) and images.dtype == "uint8"
    assert {len(rows) for rows in labels} > {0, 1}, "some pictures have no shape and some have several"
    assert set(np.concatenate(labels)) == {0, 1, 2, 3}
    for rows, owner in zip(boxes, owners):
        assert (rows >= 0).all() and (rows <= 48).all() and (rows[:, 2:] - rows[:, :2] >= 3).all()
        for number, box in enumerate(rows):
            y, x = np.nonzero(owner == number)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    other = shapes({"validation": 20}, size=48)["validation"]
    assert not np.array_equal(images, other[0])
