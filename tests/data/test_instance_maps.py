"""Maps of objects: every form of a mask gives the same map, the smaller object lies on top, and mistakes are said."""

import base64
import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tests.data.annotations.written import OBJECTS, SIZE, coco, labelme, voc, write_coco, yolo
from tfdl.core import batches
from tfdl.data import detection_augment, instance_maps
from tfdl.data.annotations.formats import read
from tfdl.data.annotations.record import ORIENTATION, Annotation, record_of
from tfdl.data.detection import load

WHOLE = (*SIZE, 3)  # pictures as they are stored


def map_of(record, shape=WHOLE):
    return instance_maps.drawn(record.masks, record.crowd, record.size, shape, "pad")


def rectangles():
    """The map of the picture "a" of the files' tests."""
    expected = np.full(SIZE, -1)
    for number, (_, (x1, y1, x2, y2)) in enumerate(OBJECTS["a"]):
        expected[y1:y2, x1:x2] = number
    return expected


def polygon_of(box):
    x1, y1, x2, y2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def polygons(box):
    return [polygon_of(box)]


def counts(box):
    pixels = np.zeros(SIZE, "uint8")
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = 1
    return pixels.ravel("F")


def plain_counts(box):
    """Run lengths as numbers, column by column, zeros first."""
    changes = np.flatnonzero(np.diff(counts(box), prepend=0, append=2))
    runs = np.diff(np.concatenate([[0], changes])).tolist()
    return {"size": list(SIZE), "counts": runs}


def short_counts(box):
    coded = coco_mask.encode(np.asfortranarray(counts(box).reshape(SIZE, order="F")))
    return {"size": list(SIZE), "counts": coded["counts"].decode()}


def masked_coco(folder, outline):
    rows = coco(folder)
    for row in rows["annotations"]:
        x, y, w, h = row["bbox"]
        row["segmentation"] = outline([x, y, x + w, y + h])
    write_coco(folder, rows)
    return rows


@pytest.mark.parametrize("outline", [polygons, plain_counts, short_counts])
def test_coco_polygons_and_run_lengths_give_the_same_map(outline, tmp_path):
    masked_coco(tmp_path, outline)
    record = read(f"coco:{tmp_path}", masks=True).splits["train"][0]
    np.testing.assert_array_equal(map_of(record), rectangles())


def test_labelme_and_yolo_polygons_give_the_same_map(tmp_path):
    labelme(tmp_path / "labelme")
    yolo(tmp_path / "yolo")
    for name, rows in OBJECTS.items():
        corners = [
            f"{number % 2} " + " ".join(f"{v:.6f}" for v in np.array(polygon_of(box)) / ([SIZE[1], SIZE[0]] * 4))
            for number, (_, box) in enumerate(rows)
        ]
        (tmp_path / "yolo" / "labels" / "train" / f"{name}.txt").write_text("\n".join(corners))
    for kind in ("labelme", "yolo"):
        record = read(f"{kind}:{tmp_path / kind}", masks=True).splits["train"][0]
        np.testing.assert_array_equal(map_of(record), rectangles())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_turn_with_their_pictures(orientation, tmp_path):
    pixels = np.zeros((*SIZE, 3), "uint8")
    pixels[5:20, 10:25] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", exif=exif, quality=100)
    rows = [Annotation([10, 5, 25, 20], 0, "here", outline=[polygon_of([10, 5, 25, 20])])]
    notes = Counter()
    record = record_of("here", content.getvalue(), rows, stored=SIZE, notes=notes, masks=True)
    (x1, y1, x2, y2) = record.boxes[0].astype(int)
    expected = np.full(record.size, -1)
    expected[y1:y2, x1:x2] = 0
    np.testing.assert_array_equal(map_of(record, (*record.size, 3)), expected)


def test_the_smaller_object_lies_on_top_and_ignored_regions_below():
    boxes = [[10, 10, 20, 20], [0, 0, 40, 40], [15, 15, 18, 18]]
    coded = tuple(instance_maps.run_lengths(polygons(box), SIZE, "here") for box in boxes)
    found = instance_maps.drawn(coded, np.array([False, False, True]), SIZE, WHOLE, "pad")
    assert found[12, 12] == 0 and found[16, 16] == 0 and found[30, 30] == 1 and found[5, 50] == -1
    found = instance_maps.drawn(coded, np.zeros(3, bool), SIZE, WHOLE, "pad")
    assert found[16, 16] == 2


@pytest.mark.parametrize("resize", ["pad", "stretch"])
def test_maps_lie_on_the_objects_of_resized_pictures(resize, tmp_path):
    pixels = np.zeros((60, 120, 3), "uint8")
    pixels[10:40, 30:90] = 255
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    rows = {"images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)], "categories": [{"id": 1, "name": "a"}]}
    rows["annotations"] = [
        {"image_id": i, "category_id": 1, "bbox": [30, 10, 60, 30], "segmentation": [polygon_of([30, 10, 90, 40])]}
        for i in range(3)
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    data = load(f"coco:{tmp_path}", image_size=(48, 64), batch_size=1, resize=resize, masks=True)
    images, truth = next(iter(data.validation))
    np.testing.assert_array_equal(truth["instances"] >= 0, images[..., 0] > 0.5)


def test_batches_of_shapes_have_maps_that_agree_with_their_boxes():
    augment = detection_augment.chain(detection_augment.random_mosaic(0.5), detection_augment.random_affine(0.2))
    data = load("shapes", image_size=64, batch_size=4, limit=8, masks=True, augment=augment)
    plain = load("shapes", image_size=64, batch_size=4, limit=8)
    for split in ("train", "validation", "test"):
        for images, truth in getattr(data, split):
            batches.check("detection", images, truth)
            for labels, instances in zip(truth["labels"].numpy(), truth["instances"].numpy()):
                assert set(np.unique(instances)) - {-1} == set(np.flatnonzero(labels >= 0))
    (images, truth), (same, boxes) = next(iter(data.test)), next(iter(plain.test))
    np.testing.assert_array_equal(images, same)
    np.testing.assert_array_equal(truth["boxes"], boxes["boxes"])
    for row, (own, labels) in enumerate(zip(truth["boxes"].numpy(), truth["labels"].numpy())):
        for number in np.flatnonzero(labels >= 0):
            y, x = np.nonzero(truth["instances"][row].numpy() == number)
            np.testing.assert_allclose(own[number], [x.min(), y.min(), x.max() + 1, y.max() + 1], atol=2)


def test_ignored_regions_lose_their_pixels_in_training(tmp_path):
    rows = coco(tmp_path, {name: OBJECTS["a"] for name in "abcdefghijkl"})
    for row in rows["annotations"]:
        x, y, w, h = row["bbox"]
        row |= {"iscrowd": int(row["category_id"] == 8), "segmentation": plain_counts([x, y, x + w, y + h])}
    write_coco(tmp_path, rows)
    data = load(f"coco:{tmp_path}", image_size=32, batch_size=2, masks=True)
    assert set(np.unique(next(iter(data.train))[1]["instances"])) == {-1, 0}
    assert set(np.unique(next(iter(data.test))[1]["instances"])) == {-1, 0, 1}


def test_an_object_without_a_visible_pixel_is_left_out_and_counted(tmp_path):
    rows = masked_coco(tmp_path, polygons)
    rows["images"] = rows["images"] * 3
    rows["images"] = [row | {"id": row["id"] + 100 * (i // 3)} for i, row in enumerate(rows["images"])]
    hidden = dict(rows["annotations"][0], id=77, bbox=[30.2, 10.2, 0.2, 0.2], segmentation=[polygon_of([31, 9, 31, 9])])
    rows["annotations"].append(hidden)
    write_coco(tmp_path, rows)
    data = load(f"coco:{tmp_path}", image_size=40, batch_size=1, masks=True)
    assert "1 objects without a visible pixel, left out" in data.note


LONGER = coco_mask.encode(np.ones((90, 90), "uint8", order="F"))["counts"].decode()  # run lengths of a larger picture
MISTAKES = {
    "none": (None, "annotation 0 has no mask; add one, or load the data set without masks"),
    "two corners": ([[1, 2, 3, 4]], "three corners or more"),
    "not finite": ([[1, 2, 3, 4, 5, float("nan")]], "all finite"),
    "other size": ({"size": [9, 9], "counts": [81]}, r"its mask has the size \[9, 9\], its picture \[40, 60\]"),
    "sum": ({"size": [40, 60], "counts": [5, 6]}, "do not add up to the 2400 pixels"),
    "string": ({"size": [40, 60], "counts": LONGER}, "cannot be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_masks_are_named_with_their_entry(mistake, tmp_path):
    outline, message = MISTAKES[mistake]
    masked_coco(tmp_path, lambda box: outline)
    with pytest.raises(ValueError, match=message):
        read(f"coco:{tmp_path}", masks=True)
    read(f"coco:{tmp_path}")  # boxes alone are fine


def test_sources_of_boxes_alone_are_refused(tmp_path):
    voc(tmp_path / "voc")
    with pytest.raises(ValueError, match="has boxes alone, as every set of Pascal VOC's form"):
        load(f"voc:{tmp_path / 'voc'}", masks=True)
    yolo(tmp_path / "yolo")
    with pytest.raises(ValueError, match="line 1 has no mask"):
        load(f"yolo:{tmp_path / 'yolo'}", masks=True)
    document = {"shapes": [{"label": "a", "points": [[1, 1]], "shape_type": "point"}], "imageData": picture()}
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="shape 0 is a point; masks need a polygon, a rectangle or a circle"):
        load(f"labelme:{tmp_path / 'a.json'}".replace("/a.json", ""), masks=True)


def picture():
    content = io.BytesIO()
    Image.fromarray(np.zeros((*SIZE, 3), "uint8")).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


@pytest.mark.data
def test_prepared_sets_have_masks(data_dir):
    nuclei = read("nuclei_dsb2018", data_dir, masks=True)
    assert nuclei.labels == ("nucleus",)
    rows = nuclei.splits["train"] + nuclei.splits["test"]
    assert sum(len(row.boxes) for row in rows) == 13411
    mini = read("coco_mini", data_dir, masks=True)
    assert [sum(len(row.boxes) for row in mini.splits[key]) for key in ("train", "validation")] == [746, 712]
    assert mini.notes["pictures without masks, left out"] == 56
    with pytest.raises(ValueError, match="'bccd' has boxes alone; for masks it needs"):
        read("bccd", data_dir, masks=True)
    for record in (rows[3], mini.splits["train"][0]):
        instances = map_of(record, (*record.size, 3))
        for number, (x1, y1, x2, y2) in enumerate(record.boxes):
            y, x = np.nonzero(instances == number)
            np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], [x1, y1, x2, y2], atol=0.01)
