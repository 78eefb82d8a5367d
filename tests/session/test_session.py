"""The shared flags: what they set, and the sentence where they can't."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tfdl.core.errors import explains_itself
from tfdl.train.precision import set_precision
from tfdl.train.reports.tracking import tracker_callback
from tfdl.train.run import Run, flatten


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    data: str = "digits"
    run: Run = Run()


def start(**flags):
    config = Config(run=Run(**flags))
    return config.run.start(config, name="test")


@pytest.fixture(autouse=True)
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def test_flags_are_flattened_for_the_records():
    assert flatten({"a": 1, "run": {"seed": 2, "deep": {"x": None}}}) == {"a": 1, "run.seed": 2, "run.deep.x": None}


def test_start_sets_seed_and_precision_and_writes_the_flags(tmp_path):
    out = tmp_path / "a"
    session = start(out=str(out), seed=7, precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    first = float(keras.random.uniform(()))
    assert json.loads((out / "config.json").read_text())["run.seed"] == 7
    assert json.loads((out / "env.json").read_text())["replicas"] == 1
    start(out=str(tmp_path / "b"), seed=7)
    assert float(keras.random.uniform(())) == first
    assert session.initial_epoch == 0 and session.position.numpy().tolist() == [0, 0]


def test_smoke_limits_examples_and_epochs(tmp_path):
    session = start(out=str(tmp_path / "a"), smoke=True)
    assert session.epochs(50) == 1 and session.limit is not None
    session = start(out=str(tmp_path / "b"))
    assert session.epochs(50) == 50 and session.limit is None


def test_default_folder_is_named_after_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert start().folder == Path("runs/test")


def test_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        start(out=str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_resume_is_offered_only_where_there_is_something_to_go_on_from(tmp_path):
    def refused(part):
        start(out=str(tmp_path / part))
        (tmp_path / part / part).mkdir(parents=True)
        (tmp_path / part / part / "step_0000000001.safetensors").touch()
        with pytest.raises(FileExistsError) as error:
            start(out=str(tmp_path / part))
        return str(error.value)

    for part in ("checkpoints/last", "arms"):
        assert refused(part).endswith("is not empty. Go on with --run.resume, or give another with --run.out.")
    assert refused("figures").endswith("is not empty. Give another with --run.out, or delete this one.")


def test_resuming_a_run_without_checkpoints_says_how_to_start_anew(tmp_path):
    start(out=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"there is none.*without --run\.resume, in another folder.*deleted"):
        start(out=str(tmp_path), resume=True)


def test_resuming_nothing_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*config\.json"):
        start(out=str(tmp_path / "none"), resume=True)


def test_resuming_with_other_flags_is_refused(tmp_path):
    start(out=str(tmp_path), seed=1)
    with pytest.raises(ValueError, match=r"run\.seed was 1 and is 2"):
        start(out=str(tmp_path), seed=2, resume=True)


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Cannot write .*choose a writable folder"):
        start(out=str(tmp_path / "file" / "run"))


def test_unknown_precision_lists_the_known_ones():
    with pytest.raises(ValueError, match="Unknown precision 'fp8'; choose one of float32"):
        set_precision("fp8")


def test_missing_tracker_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the extra `track`: pip install 'tfdl\[track\]'"):
        tracker_callback("wandb", run_name="x", folder=".", config={})
    with pytest.raises(ValueError, match="Unknown tracker 'wanbd'"):
        tracker_callback("wanbd", run_name="x", folder=".", config={})
    assert tracker_callback("none", run_name="x", folder=".", config={}) is None


def test_errors_of_keras_keep_their_traceback(tmp_path):
    try:
        keras.layers.Dense(-1)
    except ValueError as error:
        assert not explains_itself(error)
    try:
        start(out=str(tmp_path / "x"), resume=True)
    except FileNotFoundError as error:
        assert explains_itself(error)


def test_help_teaches():
    recipe = Path(__file__).parents[2] / "recipes" / "1_foundation" / "classify_images.py"
    done = subprocess.run(
        [sys.executable, str(recipe), "--help"], env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True
    )
    assert done.returncode == 0
    for words in ("arXiv:1801.04381", "tfdl run classify_images", "--run.resume", "go on from the newest checkpoint"):
        assert words in done.stdout
