"""YOLO: names of classes, and mistakes that are said with the line."""

import pytest

from tests.data.annotations.written import SIZE, counted, save_picture, yolo
from tfdl.data.annotations.formats import read


@pytest.mark.parametrize(
    "names",
    ["names: [cat, dog]", "names: [cat,\n  dog]", "names:\n- cat\n- 'dog'  # both", "names: {0: cat, 1: dog}"],
)
def test_names_are_read_as_yaml(names, tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(f"path: .\n{names}\nnc: 2\n")
    assert read(f"yolo:{tmp_path}").labels == ("cat", "dog")


@pytest.mark.parametrize(
    "text, message",
    [
        ("names:\n  0: cat\n  2: dog\n", "data.yaml: names has the numbers 0, 2; give 0 to 1"),
        ("path: .\nnames: [cat\n", "data.yaml, line 3: this is no YAML"),
        ("names: cat", "data.yaml: names is 'cat'; give a list"),
    ],
)
def test_mistakes_in_names_are_said(text, message, tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(f"yolo:{tmp_path}")


def test_labels_without_a_picture_are_counted(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "z.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert counted(read(f"yolo:{tmp_path}"))["files of labels without a picture, left out"] == 1


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


def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").write_bytes(b"0 0.5 0.5 0.1 0.1\n\xff\xfe")
    with pytest.raises(ValueError, match=r"a.txt, line 2: this is no text in UTF-8"):
        read(f"yolo:{tmp_path}")


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_gray_and_transparent_pictures_are_read(mode, tmp_path):
    yolo(tmp_path)
    save_picture(tmp_path / "images" / "train" / "b.png", mode)
    (tmp_path / "images" / "train" / "b.jpg").unlink()
    assert read(f"yolo:{tmp_path}").splits["train"][1].size == SIZE
