"""Whatever is typed, a command ends with a documented exit code and without a traceback.

Words, names, numbers, broken files, odd JSON: for all commands that start no training.  Nothing outside the temporary
folder is written.
"""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inference.trained import made
from tfdl.__main__ import main
from tfdl.commands import doctor

CODES = {0, 1, 2, 74}  # of tfdl.__main__; 3, 75 and 130 belong to trainings and to signals
COMMANDS = ("list", "show", "export", "verify", "publish", "bench", "doctor")
FLAGS = ["--help", "--stage", "--unbuilt", "--flops", "--variant", "--image-size", "--formats", "--representative"]
FLAGS += ["--input-range", "--softmax", "--import", "--threads", "--verbose", "--version", "--"]
PLACES = ["here", "here/export", "here/model.keras", "here/model.tflite", "here/export/report.json", "none", "."]
NAMES = ["mobilenet", "vgg", "relu", "nano", "v2", "tflite", "savedmodel", "tflite_int8", "digits", "json", "0", "-1"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
text = st.text(max_size=12).filter(lambda word: "\0" not in word)  # no shell can pass a NUL
words = st.sampled_from(PLACES + NAMES + FLAGS) | text | st.integers().map(str) | st.floats().map(str)
few = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,  # the same words in every run of the suite
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: a finished run with its export, a model, a TFLite file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDL_VERBOSE", "")
    monkeypatch.setattr(doctor, "strategies", lambda: [])  # trains
    folder = tmp_path / "here"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    _, run = made()
    shutil.copytree(run / "export", folder / "export")
    shutil.copy(run / "export" / "model.tflite", folder / "model.tflite")
    for file in (folder / "model.keras", folder / "checkpoints" / "best" / "model.keras"):
        shutil.copy(run / "checkpoints" / "best" / "model.keras", file)
    return folder


def ends_well(capsys, *command):
    """Runs a command; its exit code is documented, and there is no traceback."""
    try:
        code = main(list(command))
    except SystemExit as stop:  # argparse's
        code = stop.code
    out, err = capsys.readouterr()
    assert code in CODES, (command, code, err)
    assert ("Traceback" not in err) or "--verbose" in command, (command, err)
    if code == 2 and "--verbose" not in command and not err.startswith("usage: "):
        assert err.startswith("error: ") and err.count("\n") == 1, (command, err)
    return code


@few
@given(command=st.sampled_from(COMMANDS), rest=st.lists(words, max_size=4))
def test_any_words_end_with_a_documented_code(here, capsys, command, rest):
    ends_well(capsys, command, *rest)


@few
@given(rest=st.lists(words, max_size=3))
def test_any_first_word_too(capsys, rest):
    if not rest or rest[0] not in ("run", "launch", "predict", "evaluate", *COMMANDS):
        ends_well(capsys, *rest)


@few
@given(file=st.sampled_from(["report.json", "summary.json", "config.json", "task.json"]), value=JSON)
def test_any_json_in_place_of_ours(here, capsys, file, value):
    (here / file).write_text(json.dumps(value))
    if file == "report.json":
        shutil.copy(here / file, here / "export" / file)
        assert ends_well(capsys, "verify", "here/export") in (1, 2)
    ends_well(capsys, "publish", "here", "name")
    ends_well(capsys, "export", "here", "none/../out", "--formats", "onnx")


@settings(few, max_examples=25)  # each one runs five files
@given(key=st.sampled_from(["files", "artifacts", "labels", "task", "digest", "schema", "samples"]), value=JSON)
def test_any_value_inside_a_report(here, capsys, key, value):
    report = here / "export" / "report.json"
    original = (made()[1] / "export" / "report.json").read_text()
    report.write_text(json.dumps(json.loads(original) | {key: value}))
    assert ends_well(capsys, "verify", "here/export") == (
        0 if json.loads(report.read_text()) == json.loads(original) else 1
    )


@few
@given(
    file=st.sampled_from(["model.tflite", "model.keras", "export/probe.npz", "export/saved_model/saved_model.pb"]),
    place=st.floats(0, 1),
    content=st.binary(min_size=1, max_size=20),
    cut=st.booleans(),
)
def test_any_bytes_in_place_of_a_files_own(here, capsys, file, place, content, cut):
    path = here / file
    original = path.read_bytes()
    at = int(place * (len(original) - 1))
    path.write_bytes(original[:at] + content + (b"" if cut else original[at + len(content) :]))
    try:
        if file == "model.tflite":
            ends_well(capsys, "bench", "here/model.tflite")
        elif file == "model.keras":
            ends_well(capsys, "export", "here/model.keras", "out", "--formats", "onnx")
        else:
            ends_well(capsys, "verify", "here/export")
    finally:
        path.write_bytes(original)
    assert not Path("out").exists()
