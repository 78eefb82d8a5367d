"""Files appear whole or not at all."""

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from tfdl.core import files


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that takes no more bytes."""

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_leaves_no_temporary_file(tmp_path):
    files.write_json(tmp_path / "deep" / "a.json", {"x": [1, "é"]})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"x": [1, "é"]}
    assert names(tmp_path / "deep") == ["a.json"]


def test_full_disk_keeps_what_stood_there(tmp_path, full_disk):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match=r"a\.txt: No space left on device\. An earlier file there is unchanged") as e:
        files.write_text(tmp_path / "a.txt", "new")
    assert e.value.errno == errno.ENOSPC
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_failing_rename_keeps_what_stood_there(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")

    def fails(source, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="Input/output error"):
        files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path):
    (tmp_path / "diary.txt").write_text("mine")
    (tmp_path / "a.txt").symlink_to("diary.txt")
    files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "diary.txt").read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new" and not (tmp_path / "a.txt").is_symlink()


def test_no_temporary_name_can_be_foreseen(tmp_path, monkeypatch):
    opened = []
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda source, target: (opened.append(Path(source).name), replace(source, target))
    )
    for _ in range(2):
        files.write_text(tmp_path / "a.txt", "x")
    assert len(set(opened)) == 2 and str(os.getpid()) not in "".join(opened)


def test_nothing_is_written_through_a_link_in_place_of_the_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "00000000")
    (tmp_path / "diary.txt").write_text("mine")
    (tmp_path / ".a.txt.00000000.tmp").symlink_to("diary.txt")
    with pytest.raises(OSError, match="File exists"):
        files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_what_is_no_json_is_named(tmp_path):
    for text in ("{", "[" * 100_000, '"\\x00'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=r"a\.json is not valid JSON"):
            files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*b\.json"):
        files.read_json(tmp_path / "b.json")
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait forever
    with pytest.raises(ValueError, match="not a regular file"):
        files.read_json(tmp_path / "pipe.json")


def test_json_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    assert files.read_json(tmp_path / "a.json") == [1]
    with pytest.raises(ValueError, match=r"a\.json contains a list instead of a dict"):
        files.read_json(tmp_path / "a.json", kind=dict)


def test_folder_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    folder = tmp_path / "export"
    with files.replaced(folder, marker="mark") as fresh:
        (fresh / "mark").write_text("1")
    with pytest.raises(RuntimeError), files.replaced(folder, marker="mark") as fresh:
        (fresh / "mark").write_text("2")
        raise RuntimeError
    assert (folder / "mark").read_text() == "1"
    assert names(tmp_path) == ["export"]


def test_a_failing_rename_leaves_the_old_folder(tmp_path, monkeypatch):
    folder = tmp_path / "export"
    with files.replaced(folder, marker="mark") as fresh:
        (fresh / "mark").write_text("1")
    rename = Path.rename

    def fails(self, target):
        if self.name.endswith(".new"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="export: Input/output error"), files.replaced(folder, marker="mark") as fresh:
        (fresh / "mark").write_text("2")
    assert (folder / "mark").read_text() == "1"
    assert names(tmp_path) == ["export"]


def test_a_full_disk_inside_names_the_file_as_it_would_be_called(tmp_path, full_disk):
    with (
        pytest.raises(OSError, match=r"export/model\.tflite: No space left") as error,
        files.replaced(tmp_path / "export", marker="mark") as fresh,
    ):
        files.write_bytes(fresh / "model.tflite", b"x")
    assert error.value.errno == errno.ENOSPC and ".new" not in str(error.value)
    with (
        pytest.raises(OSError, match=r"Cannot write .*export: No space left"),
        files.replaced(tmp_path / "export", marker="mark"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")  # a write to an open file names none
    assert names(tmp_path) == []


@pytest.mark.parametrize("mask, mode", [(0o022, 0o755), (0o007, 0o770)])
def test_permissions_of_a_folder_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with files.replaced(tmp_path / "export", marker="mark"):
            pass
        files.write_text(tmp_path / "a.txt", "x")
        assert files.umask() == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "export").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode & 0o666


def test_asking_for_the_umask_does_not_change_it(tmp_path, monkeypatch):
    """Another thread that creates a file at that moment would share it with everybody."""

    def changed(mask):
        raise AssertionError(f"the mask was set to {mask:o}")

    monkeypatch.setattr(os, "umask", changed)
    found = []
    thread = threading.Thread(target=lambda: found.append(files.umask()))
    thread.start()
    thread.join()
    (tmp_path / "a").touch()
    assert 0o666 & ~found[0] == stat.S_IMODE((tmp_path / "a").stat().st_mode)


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("...")
    with pytest.raises(ValueError, match="contains no mark"), files.replaced(tmp_path / "precious", marker="mark"):
        pass
    assert (tmp_path / "precious" / "thesis.tex").exists()
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "precious" / "mark").touch()
    with pytest.raises(ValueError, match="is a symbolic link"), files.replaced(tmp_path / "link", marker="mark"):
        pass
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_only_old_leftovers_of_killed_processes_are_removed(tmp_path):
    hours = {".export.0123abcd.new": 25, ".export.4567abcd.new": 23, ".export.mine.new": 1000}  # a day is old
    for name, age in hours.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - 3600 * age,) * 2)
    with files.replaced(tmp_path / "export", marker="mark"):
        pass
    assert names(tmp_path) == [".export.4567abcd.new", ".export.mine.new", "export"]


def test_checksums_see_one_changed_byte(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"abc")
    before = files.checksums(tmp_path)
    (tmp_path / "sub" / "a").write_bytes(b"abd")
    after = files.checksums(tmp_path)
    assert before.keys() == after.keys() == {"sub/a"}
    assert before["sub/a"]["bytes"] == after["sub/a"]["bytes"] == 3
    assert before["sub/a"]["sha256"] != after["sub/a"]["sha256"]
