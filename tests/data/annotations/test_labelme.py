"""LabelMe: polygons and circles, pictures inside of the file, and mistakes that are said with the line."""

import base64
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.data.annotations.written import SIZE, counted, labelme, save_picture
from tfdl.data import instance_maps
from tfdl.data.annotations.formats import read
from tfdl.data.annotations.labelme import outline_of


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


def test_a_circle_has_its_area():
    outline = outline_of({"points": [[30, 20], [30, 35]], "shape_type": "circle"}, "here")
    coded = instance_maps.run_lengths(outline, SIZE, "here")
    assert coco_mask.area(coded) == pytest.approx(np.pi * 15**2, rel=0.03)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"shapes":\n[}', r"a.json, line 2: this is no JSON"),
        ('{"shapes": ["cat"]}', r"a.json: shape number 0 of the list is 'cat'"),
        ('{"shapes": [], "imageData": "abcde"}', r"a.json: imageData is no picture in base 64"),
        ('{"shapes": [{"label": "cat", "points": []}]}', r"a.json, shape 0 has no points"),
    ],
)
def test_mistakes_are_named_with_their_place(text, message, tmp_path):
    labelme(tmp_path)
    (tmp_path / "train" / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(f"labelme:{tmp_path}")


def test_pictures_that_nothing_describes_are_counted(tmp_path):
    labelme(tmp_path)
    save_picture(tmp_path / "train" / "d.jpg")
    found = read(f"labelme:{tmp_path}")
    assert len(found.splits["train"]) == 3
    assert counted(found)["pictures without a JSON file, left out"] == 1
