"""TensorBoard shows the same tags under every strategy, and pictures worth looking at."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from tfdl.train.reports import tensorboard

PROGRAM = Path(__file__).with_name("resumable.py")


def trained(folder, *flags, **variables):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables
    command = [sys.executable, str(PROGRAM), "--epochs", "1", "--run.out", str(folder), *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return boards(folder / "tb")


def boards(folder):
    """Sub-folder -> its loaded events."""
    found = {}
    for path in sorted({file.parent for file in folder.rglob("events.out.tfevents*")}):
        events = EventAccumulator(str(path), size_guidance={"tensors": 0})
        events.Reload()
        found[str(path.relative_to(folder))] = events
    return found


def tags(events):
    """Sub-folder -> tags; histograms of layers lose the number that Keras appends to a name."""
    return {name: {tag.rstrip("0123456789_") for tag in e.Tags()["tensors"]} for name, e in events.items()}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("single") / "run")


def test_scalars_graph_histograms_pictures_and_flags_are_there(single):
    train, validation = set(single["train"].Tags()["tensors"]), set(single["validation"].Tags()["tensors"])
    assert {"epoch_loss", "epoch_accuracy", "learning_rate", "gradient_norm", "examples_per_second"} <= train
    assert {"epoch_loss", "epoch_accuracy", "predictions", "confusion_matrix"} <= validation
    assert any("kernel" in tag for tag in train), "no histogram of a weight"
    assert single["train"].Graph().node, "no graph of operations"
    assert any(m.plugin_data.plugin_name == "graph_keras_model" for m in single["train"].summary_metadata.values())
    assert "_hparams_/session_start_info" in single["."].summary_metadata
    assert "final_val_accuracy" in single["."].Tags()["tensors"]


def test_profile_is_written_on_request(tmp_path):
    trained(tmp_path / "run", TFDL_PROFILE="2,3")
    assert list((tmp_path / "run" / "tb").rglob("*.xplane.pb"))


def test_scalars_hold_the_training_s_values(single):
    def values(tag):
        return [float(tensor_util.make_ndarray(e.tensor_proto)) for e in single["train"].Tensors(tag)]

    assert values("learning_rate")[-1] == pytest.approx(0.1 * (1 + np.cos(np.pi * 5 / 10)) / 2, rel=1e-5)
    assert all(value > 0 for value in values("gradient_norm"))
    assert all(value > 0 for value in values("examples_per_second"))


def test_mirrored_run_has_the_same_tags(single, tmp_path):
    mirrored = trained(tmp_path / "run", "--run.strategy", "mirrored", TFDL_LOGICAL_CPUS="2")
    assert tags(mirrored) == tags(single)


def test_wrong_profile_range_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDL_PROFILE", "now")
    with pytest.raises(ValueError, match="TFDL_PROFILE='now' should be two batch numbers such as 10,20"):
        tensorboard.tensorboard_callbacks(tmp_path, None, epochs=1, flags={})
