"""Files appear whole or not at all."""

import os

import pytest

from tfdl.core import files


def test_write_leaves_no_temporary_file(tmp_path):
    files.write_json(tmp_path / "deep" / "a.json", {"x": [1, "é"]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"x": [1, "é"]}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_full_disk_keeps_what_stood_there(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.txt: No space left on device\. What stood there before is unchanged"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*b\.json"):
        files.read_json(tmp_path / "b.json")


def test_folder_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    folder = tmp_path / "export"
    with files.replaced(folder, marker="mark") as fresh:
        (fresh / "mark").write_text("1")
    with pytest.raises(RuntimeError), files.replaced(folder, marker="mark") as fresh:
        (fresh / "mark").write_text("2")
        raise RuntimeError
    assert (folder / "mark").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("...")
    with pytest.raises(ValueError, match="holds no mark"), files.replaced(tmp_path / "precious", marker="mark"):
        pass
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_checksums_see_one_changed_byte(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    before = files.checksums(tmp_path)
    (tmp_path / "sub" / "a").write_bytes(b"abd")
    after = files.checksums(tmp_path)
    assert before.keys() == after.keys() == {"sub/a"}
    assert before["sub/a"]["bytes"] == after["sub/a"]["bytes"] == 3
    assert before["sub/a"]["sha256"] != after["sub/a"]["sha256"]
