"""Readers of boxes: every form gives the same records, and what is wrong is counted or said with file and line."""

import base64
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tfdl.core import pictures
from tfdl.data import detection_files
from tfdl.data.detection_files import read, turned

SIZE = (40, 60)  # height, width of every picture
OBJECTS = {  # picture -> rows of class and box
    "a": [("cat", [5, 10, 25, 30]), ("dog", [30, 0, 60, 40])],
    "b": [("dog", [10, 20, 20, 35])],
    "c": [],
}
LABELS = ["cat", "dog"]


def save_picture(path, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 4), "uint8")
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels[..., : len(mode)], mode)
    image.save(path, **options)


def coco(folder, objects=OBJECTS, split="train"):
    for name in objects:
        save_picture(folder / split / f"{name}.jpg")
    rows = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]}
    for i, (name, boxes) in enumerate(objects.items()):
        rows["images"].append({"id": 10 + i, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
        for label, (x1, y1, x2, y2) in boxes:
            row = {"id": len(rows["annotations"]), "image_id": 10 + i, "category_id": 3 if label == "cat" else 8}
            rows["annotations"].append(row | {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0})
    write_coco(folder, rows, split)
    return rows


def write_coco(folder, rows, split="train"):
    file = folder / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(rows))


def voc(folder):
    for name, boxes in OBJECTS.items():
        save_picture(folder / "JPEGImages" / f"{name}.jpg")
        objects = "".join(
            f"<object>\n<name>{label}</name>\n<difficult>0</difficult>\n<bndbox><xmin>{x1 + 1}</xmin>"
            f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n</object>\n"
            for label, (x1, y1, x2, y2) in boxes
        )
        size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>"
        file = folder / "Annotations" / f"{name}.xml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"<annotation>\n<filename>{name}.jpg</filename>\n{size}\n{objects}</annotation>\n")


def yolo(folder):
    for name, boxes in OBJECTS.items():
        save_picture(folder / "images" / "train" / f"{name}.jpg")
        lines = []
        for label, (x1, y1, x2, y2) in boxes:
            x, y, w, h = (x1 + x2) / 2 / SIZE[1], (y1 + y2) / 2 / SIZE[0], (x2 - x1) / SIZE[1], (y2 - y1) / SIZE[0]
            lines.append(f"{LABELS.index(label)} {x:.8f} {y:.8f} {w:.8f} {h:.8f}")
        file = folder / "labels" / "train" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))
    (folder / "data.yaml").write_text("path: .\nnames:\n  0: cat\n  1: dog\n")


def labelme(folder):
    for name, boxes in OBJECTS.items():
        save_picture(folder / "train" / f"{name}.jpg")
        shapes = [
            {"label": label, "points": [[x2, y1], [x1, y2]], "shape_type": "rectangle"}
            for label, (x1, y1, x2, y2) in boxes
        ]
        document = {"imagePath": f"{name}.jpg", "imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": shapes}
        (folder / "train" / f"{name}.json").write_text(json.dumps(document))


WRITERS = {"coco": coco, "voc": voc, "yolo": yolo, "labelme": labelme}


def counted(found):
    return {what: count for what, count in found.notes.items() if count}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("prefix", [True, False])
def test_every_form_gives_the_same_records(kind, prefix, tmp_path):
    WRITERS[kind](tmp_path)
    found = read(f"{kind}:{tmp_path}" if prefix else str(tmp_path))
    assert found.labels == ("cat", "dog")
    assert list(found.splits) == ["train"]
    records = {record.name: record for record in found.splits["train"]}
    assert list(records) == ["a.jpg", "b.jpg", "c.jpg"]
    for name, rows in OBJECTS.items():
        record = records[f"{name}.jpg"]
        assert record.size == SIZE and not record.crowd.any()
        np.testing.assert_allclose(record.boxes, np.array([box for _, box in rows]).reshape(-1, 4), atol=1e-4)
        assert [found.labels[label] for label in record.labels] == [label for label, _ in rows]
    assert counted(found)["pictures without objects, kept"] == 1


def test_files_of_several_splits_are_read_as_such(tmp_path):
    coco(tmp_path)
    coco(tmp_path, {"d": [("cat", [0, 0, 9, 9])]}, split="val2017")
    found = read(f"coco:{tmp_path}")
    assert {split: len(rows) for split, rows in found.splits.items()} == {"train": 3, "validation": 1}


def test_lists_of_voc_are_splits_and_difficult_objects_are_not_evaluated(tmp_path):
    voc(tmp_path)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\n")
    (lists / "val.txt").write_text("a 1\n")
    (lists / "cat_train.txt").write_text("c -1\n")
    file = tmp_path / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>1", 1))
    found = read(f"voc:{tmp_path}")
    assert {split: [r.name for r in rows] for split, rows in found.splits.items()} == {
        "train": ["b.jpg"],
        "validation": ["a.jpg"],
    }
    assert found.splits["validation"][0].crowd.tolist() == [True, False]
    assert counted(found)["pictures in no list of ImageSets/Main, left out"] == 1


def test_polygons_and_circles_become_the_boxes_around_them(tmp_path):
    labelme(tmp_path)
    file = tmp_path / "train" / "c.json"
    document = json.loads(file.read_text())
    document["shapes"] = [
        {"label": "cat", "points": [[5, 9], [20, 3], [12, 30]], "shape_type": "polygon"},
        {"label": "dog", "points": [[20, 20], [23, 24]], "shape_type": "circle"},
    ]
    document["imageData"] = base64.b64encode((tmp_path / "train" / "c.jpg").read_bytes()).decode()
    document["imagePath"] = None
    file.write_text(json.dumps(document))
    record = read(f"labelme:{tmp_path}").splits["train"][2]
    np.testing.assert_allclose(record.boxes, [[5, 3, 20, 30], [15, 15, 25, 25]])
    assert isinstance(record.content, bytes)


# What is wrong


def test_odd_boxes_are_counted_and_cut_or_left_out(tmp_path, capsys):
    rows = coco(tmp_path)
    odd = [[-5, 5, 20, 10], [5, 5, 0, 10], [200, 5, 10, 10], [50, 30, 30, 30]]
    for i, box in enumerate(odd):
        rows["annotations"].append({"id": 50 + i, "image_id": 12, "category_id": 3, "bbox": box})
    rows["annotations"].append(dict(rows["annotations"][0]))  # twice the same
    rows["annotations"].append(rows["annotations"][1] | {"bbox": [1, 2, 3, 4]})  # another box under its id
    write_coco(tmp_path, rows)
    found = read(f"coco:{tmp_path}")
    np.testing.assert_allclose(found.splits["train"][2].boxes, [[0, 5, 15, 15], [50, 30, 60, 40]])
    assert len(found.splits["train"][0].boxes) == 3
    assert counted(found) == {
        "categories whose ids have gaps, numbered anew": 2,
        "annotations that repeat another one, left out": 1,
        "annotations with the id of another one, kept": 1,
        "boxes without an area, left out": 1,
        "boxes outside of their pictures, left out": 1,
        "boxes cut at the border of their pictures": 2,
    }


def broken(change):
    """A change of COCO's rows as a function of the folder."""

    def apply(folder):
        rows = coco(folder)
        change(rows)
        write_coco(folder, rows)

    return apply


MISTAKES = {
    "nan": (broken(lambda r: r["annotations"][1].update(bbox=[1, 2, float("nan"), 4])), r"annotation 1: the box .*nan"),
    "image twice": (broken(lambda r: r["images"][1].update(id=10)), r"train.json: the image id 10 occurs twice"),
    "category twice": (broken(lambda r: r["categories"][1].update(id=3)), "the category id 3 occurs twice"),
    "no image": (broken(lambda r: r["annotations"][0].update(image_id=99)), r"annotation 0: there is no image 99"),
    "no category": (broken(lambda r: r["annotations"][2].update(category_id=4)), r"annotation 2: .* no category 4"),
    "no box": (broken(lambda r: r["annotations"][0].pop("bbox")), r"annotation 0: .* is no box of 4 numbers"),
    "words": (broken(lambda r: r["annotations"][0].update(bbox=["a", 1, 2, 3])), "is no box of 4 numbers"),
    "no list": (broken(lambda r: r.pop("categories")), "has no list 'categories'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_coco_files_are_named_with_their_entry(mistake, tmp_path):
    change, message = MISTAKES[mistake]
    change(tmp_path)
    with pytest.raises(ValueError, match=message):
        read(f"coco:{tmp_path / 'annotations' / 'instances_train.json'}")


@pytest.mark.parametrize(
    "line, message",
    [
        ("0 0.5 0.5 0.1", r"a.txt, line 2: .* has 4 fields"),
        ("2 0.5 0.5 0.1 0.1", r"a.txt, line 2: '2' is no class; they are 0 to 1"),
        ("0 0.5 x 0.1 0.1", r"a.txt, line 2: .* is no box of 4 numbers"),
        ("0 0.5 nan 0.1 0.1", r"a.txt, line 2: the box .* not finite"),
    ],
)
def test_mistakes_in_yolo_files_are_named_with_their_line(line, message, tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read(f"yolo:{tmp_path}")


def test_mistakes_in_xml_and_json_are_named_with_their_line(tmp_path):
    voc(tmp_path / "voc")
    file = tmp_path / "voc" / "Annotations" / "b.xml"
    good = file.read_text()
    for wrong, message in (
        (good.replace("<ymax>35</ymax>", ""), r"b.xml, line 4: \['11', '21', '20', None\] is no box"),
        (good.replace("</object>", ""), r"b.xml, line \d: this is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + good, r"b.xml, line 1: entities are not read"),
    ):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=message):
            read(f"voc:{tmp_path / 'voc'}")
    labelme(tmp_path / "labelme")
    (tmp_path / "labelme" / "train" / "a.json").write_text('{"shapes":\n[}')
    with pytest.raises(ValueError, match=r"a.json, line 2: this is no JSON"):
        read(f"labelme:{tmp_path / 'labelme'}")


def test_missing_and_damaged_pictures_are_named(tmp_path):
    coco(tmp_path)
    (tmp_path / "train" / "b.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b.jpg .*cannot be read"):
        read(f"coco:{tmp_path}")
    (tmp_path / "train" / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"image 11: there is no picture b.jpg"):
        read(f"coco:{tmp_path}")
    with pytest.raises(FileNotFoundError, match="give the file or folder"):
        read(f"coco:{tmp_path}/nothing.json")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no data set of boxes; give coco:, voc:, yolo: or labelme:"):
        read(str(tmp_path))


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_gray_and_transparent_pictures_are_read(mode, tmp_path):
    yolo(tmp_path)
    save_picture(tmp_path / "images" / "train" / "b.png", mode)
    (tmp_path / "images" / "train" / "b.jpg").unlink()
    assert read(f"yolo:{tmp_path}").splits["train"][1].size == SIZE


# Turned pictures


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_their_pictures(orientation, tmp_path):
    """A bright rectangle, saved with an EXIF orientation, lies in the box that the reader gives."""
    pixels = np.zeros((*SIZE, 3), "uint8")
    pixels[8:24, 32:48] = 255
    exif = Image.Exif()
    exif[detection_files.ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (box,) = turned(np.array([[32.0, 8, 48, 24]]), orientation, SIZE)
    record = detection_files.record_of(
        "a", str(tmp_path / "a.jpg"), [([32, 8, 48, 24], 0, False, "a")], stored=SIZE, notes=Counter()
    )
    upright = pictures.read(str(tmp_path / "a.jpg"), (*record.size, 3)).numpy()[..., 0] > 128
    y, x = np.nonzero(upright)
    seen = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    np.testing.assert_allclose(box, seen, atol=1)
    if orientation > 4 or orientation == 1:  # the sides tell that the boxes are of the stored pixels
        np.testing.assert_allclose(record.boxes[0], seen, atol=1)


@pytest.mark.data
def test_prepared_sets_have_their_known_numbers(data_dir):
    found = read("bccd", data_dir)
    assert {split: len(rows) for split, rows in found.splits.items()} == {"train": 205, "validation": 87, "test": 72}
    assert found.labels == ("Platelets", "RBC", "WBC") or set(found.labels) == {"Platelets", "RBC", "WBC"}
    assert found.splits["train"][0].size == (480, 640)
    with pytest.raises(ValueError, match="'mnist' has the features .*; for detection it needs"):
        read("mnist", data_dir)
