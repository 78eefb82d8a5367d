"""The converter's process: what it makes, and that its end is not the end of the one that asks."""

import gc
import signal
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

from tfdl.export import conversion, exporter
from tfdl.export import graph as graphs
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import run_tflite


@pytest.fixture(scope="module")
def recurrent():
    x = keras.Input((4, 3), name="steps")
    return keras.Model(x, keras.layers.Dense(2, name="y")(keras.layers.LSTM(2)(x)))


def test_a_crash_of_the_calibrator_leaves_out_its_file_and_nothing_else(tmp_path, recurrent, monkeypatch):
    """A real one: loops end TensorFlow's calibrator with a segmentation fault."""
    monkeypatch.setattr(graphs, "LONGEST", 0)
    monkeypatch.setattr(graphs, "LOOPS", frozenset())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    lines = []
    report = exporter.export_model(
        recurrent,
        tmp_path / "e",
        formats=("tflite", "tflite_int8"),
        representative=np.random.default_rng(0).normal(size=(16, 4, 3)),
        progress=lines.append,
    )
    reason = "TensorFlow's converter ended (SIGSEGV) while it made the int8 file; leave that format out"
    assert report["left_out"] == {"tflite_int8": reason} and f"export: no tflite_int8: {reason}" in lines
    assert list(report["artifacts"]) == ["model.tflite"]  # a conversion before; the next export starts a new process
    gc.collect()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "temporary"]
    assert list((tmp_path / "temporary").glob("tfdl_*")) == []
    formats = ("tflite_int8",)
    with pytest.raises(ValueError, match=r"tflite_int8 cannot be made: .*SIGSEGV.*; choose other formats"):
        exporter.export_model(
            recurrent, tmp_path / "f", formats=formats, representative=np.zeros((16, 4, 3)), progress=None
        )
    assert not (tmp_path / "f").exists()


def test_a_converter_that_has_ended_or_was_killed_is_started_again(recurrent):
    signature = signature_of(recurrent)
    source = graphs.graph(recurrent, signature)
    x = {"steps": np.random.default_rng(0).normal(size=(3, 4, 3)).astype("float32")}
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = conversion.start().process
        assert conversion.start().process is process
        process.send_signal(number)
        process.wait()
        found = run_tflite(conversion.converted(source, "float32"), x)["y"]
        np.testing.assert_allclose(found, recurrent(x["steps"]), atol=1e-5)


def test_what_the_converter_refuses_is_one_line(recurrent):
    source = graphs.graph(recurrent, signature_of(recurrent))
    Path(source.folder.name, "graph.pb").write_bytes(b"no graph")
    with pytest.raises(conversion.ConversionError, match="converter refuses the model for float32: .*") as error:
        conversion.converted(source, "float32")
    assert "\n" not in str(error.value)
