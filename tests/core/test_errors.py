"""Which errors are one sentence, and what the sentence is."""

import errno
import runpy

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import errors
from tfdl.core.files import read_json


def raised(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def test_errors_of_the_system_and_our_own_explain_themselves_and_those_of_libraries_do_not(tmp_path):
    (tmp_path / "a.json").write_text("{")
    assert errors.explains_itself(raised(lambda: read_json(tmp_path / "a.json")))
    assert errors.explains_itself(raised((tmp_path / "none").read_text))
    assert not errors.explains_itself(raised(lambda: np.zeros((2, 3)) @ np.zeros((2, 3))))
    assert not errors.explains_itself(ValueError("never raised"))


def test_a_bug_of_ours_keeps_its_traceback(tmp_path, monkeypatch):
    """Endless recursion, although it is a RuntimeError, and a missing key, both in a file of the package."""
    monkeypatch.setattr(errors, "PACKAGE", tmp_path)
    (tmp_path / "bugs.py").write_text("def f():\n    return f()\n\n\ndef g():\n    return {}['key']\n")
    names = runpy.run_path(str(tmp_path / "bugs.py"))
    assert not errors.explains_itself(raised(names["f"]))
    assert not errors.explains_itself(raised(names["g"]))


def test_sentence_of_a_system_error_names_the_file_on_one_line(tmp_path):
    assert errors.sentence(raised((tmp_path / "a\nb").read_text)) == f"No such file or directory: {tmp_path}/a b"
    assert errors.sentence(OSError(errno.ENOSPC, "Cannot write x: full")) == "Cannot write x: full"
    assert errors.sentence(ValueError("width is 0")) == "width is 0"
    assert errors.sentence(ValueError()) == "ValueError"


def test_names_of_strangers_cannot_break_lines_or_reach_the_terminal():
    assert errors.sentence(ValueError("no \n/a\r\nb\x1b[2J\x07 é \udcff\t.")) == "no  /a b\\x1b[2J\\x07 é \\udcff\\t."
    assert errors.sentence(ValueError("wrong:\n  a\n  b\n")) == "wrong:\n  a\n  b"


def test_full_disks_are_told_apart_from_mistakes():
    assert errors.is_full_disk(OSError(errno.ENOSPC, "full")) and errors.is_full_disk(OSError(errno.EDQUOT, "quota"))
    assert not errors.is_full_disk(FileNotFoundError(errno.ENOENT, "none")) and not errors.is_full_disk(ValueError())


def test_a_damaged_record_is_no_bug(tmp_path):
    (tmp_path / "x.tfrecord").write_bytes(b"nonsense" * 9)
    error = raised(lambda: list(tf.data.TFRecordDataset(str(tmp_path / "x.tfrecord"))))
    assert errors.explains_itself(error)
    text = errors.sentence(error)
    assert text.startswith("A file of the data set is damaged: corrupted record at 0") and "{{" not in text
    assert text.endswith("; copy the set again, or correct TFDL_DATA_DIR.") and "\n" not in text
