"""COCO: splits, pictures and odd boxes, and mistakes that are said with the entry."""

import json

import numpy as np
import pytest

from tests.data.annotations.written import coco, counted, write_coco
from tfdl.data.annotations.formats import read


def test_files_of_several_splits_are_read_as_such(tmp_path):
    coco(tmp_path)
    coco(tmp_path, {"d": [("cat", [0, 0, 9, 9])]}, split="val2017")
    found = read(f"coco:{tmp_path}")
    assert {split: len(rows) for split, rows in found.splits.items()} == {"train": 3, "validation": 1}


def test_files_of_other_tasks_in_the_folder_are_left_out_and_counted(tmp_path):
    rows = coco(tmp_path, split="val2017")
    captions = {"images": rows["images"], "annotations": [{"id": 1, "image_id": 10, "caption": "A cat."}]}
    (tmp_path / "annotations" / "captions_val2017.json").write_text(json.dumps(captions))
    found = read(f"coco:{tmp_path}")
    assert {split: len(records) for split, records in found.splits.items()} == {"validation": 3}
    assert counted(found)["files of COCO's other tasks, left out"] == 1


def test_key_points_lie_beside_the_pictures_of_their_split(tmp_path):
    file = tmp_path / "annotations" / "person_keypoints_val2017.json"
    coco(tmp_path, split="val2017")
    (tmp_path / "annotations" / "instances_val2017.json").rename(file)
    assert [record.name for record in read(f"coco:{file}").splits["validation"]] == ["a.jpg", "b.jpg", "c.jpg"]


def test_odd_boxes_are_counted_and_cut_or_left_out(tmp_path):
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
