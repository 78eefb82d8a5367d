"""Pascal VOC: lists of splits, difficult objects, and mistakes that are said with the line."""

import pytest

from tests.data.annotations.written import counted, save_picture, voc
from tfdl.data.annotations.formats import read


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


def test_a_list_that_names_no_picture_is_named_with_its_line(tmp_path):
    voc(tmp_path)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n\nz\n")
    with pytest.raises(ValueError, match=r"train.txt, line 3: there is no Annotations/z.xml"):
        read(f"voc:{tmp_path}")


def test_pictures_that_nothing_describes_are_counted(tmp_path):
    voc(tmp_path)
    save_picture(tmp_path / "JPEGImages" / "d.jpg")
    found = read(f"voc:{tmp_path}")
    assert len(found.splits["train"]) == 3
    assert counted(found)["pictures without a file in Annotations, left out"] == 1


def test_mistakes_in_xml_are_named_with_their_line(tmp_path):
    voc(tmp_path)
    file = tmp_path / "Annotations" / "b.xml"
    good = file.read_text()
    for wrong, message in (
        (good.replace("<ymax>35</ymax>", ""), r"b.xml, line 4: \['11', '21', '20', None\] is no box"),
        (good.replace("</object>", ""), r"b.xml, line \d: this is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + good, r"b.xml, line 1: entities are not read"),
    ):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=message):
            read(f"voc:{tmp_path}")
