"""`tfdl bench`: which files it takes, and one sentence about those it cannot run."""

import os

import keras
import pytest

from tfdl.__main__ import main
from tfdl.commands import bench
from tfdl.export import benchmark
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float


@pytest.fixture(scope="module")
def content():
    """A TFLite file that adds up four numbers."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(1)(x))
    return convert_float(graph(model, signature_of(model)))


def refused(capsys, *words):
    assert main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_table_compares_with_the_first_file():
    rows = [
        ("a.tflite", 1000, {"median_ms": 3.0, "p90_ms": 4.0, "partitions": 1}),
        ("b.tflite step", 2000, {"median_ms": 1.5, "p90_ms": 2.0}),
    ]
    _, first, second = bench.table(rows).splitlines()
    assert first.split() == ["a.tflite", "1", "3.000", "4.000", "1.00", "1"]
    assert second.split() == ["b.tflite", "step", "2", "1.500", "2.000", "2.00", "-"]


def test_without_words_every_file_below_the_usual_folders_is_timed(tmp_path, monkeypatch, capsys, content):
    monkeypatch.chdir(tmp_path)
    assert "make demo" in refused(capsys)
    (tmp_path / "saved_models" / "deep").mkdir(parents=True)
    assert "make demo" in refused(capsys)
    (tmp_path / "saved_models" / "deep" / "a.tflite").write_bytes(content)
    assert main(["bench"]) == 0
    assert "a.tflite" in capsys.readouterr().out


def test_a_folder_stands_for_the_files_in_it(tmp_path, capsys, content):
    for name in ("b", "a"):
        (tmp_path / f"{name}.tflite").write_bytes(content)
    (tmp_path / "notes.txt").write_text("x")
    assert main(["bench", str(tmp_path), "--threads", "2"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == [str(tmp_path / "a.tflite"), str(tmp_path / "b.tflite")]
    (tmp_path / "empty").mkdir()
    assert f"no .tflite file in the folder {tmp_path / 'empty'}" in refused(capsys, str(tmp_path / "empty"))


def test_threads_reach_the_runtime(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(benchmark, "interpreter", lambda content, threads: asked.append(threads) or 1 / 0)
    (tmp_path / "a.tflite").write_bytes(b"x")
    for threads in (1, 3):
        with pytest.raises(ZeroDivisionError):
            bench.measure([tmp_path / "a.tflite"], threads)
    assert asked == [1, 3]


def test_first_runs_only_warm_up(monkeypatch):
    """The first two take 0.5 s each, those after them 1 ms ... 10 ms."""
    seconds = iter([0.5, 0.5, *(i / 1000 for i in range(1, 11))])

    class Clock:
        now = 0.0

        @classmethod
        def perf_counter(cls):
            return cls.now

    class Runner:
        def get_input_details(self):
            return []

        def _get_ops_details(self):
            return [{"op_name": "DELEGATE"}, {"op_name": "CUSTOM"}]

        def invoke(self):
            Clock.now += next(seconds)

    monkeypatch.setattr(benchmark, "time", Clock)
    monkeypatch.setattr(benchmark, "interpreter", lambda content, threads: Runner())
    found = benchmark.benchmark_tflite(b"", runs=10, warmup=2, seconds=60)
    assert found["median_ms"] == pytest.approx(5.5) and found["p90_ms"] == pytest.approx(9.1)
    assert found["runs"] == 10 and found["partitions"] == 1


@pytest.mark.parametrize("part", [b"", b"junk" * 100, "half", b"    TFL3"])
def test_a_damaged_file_is_named(tmp_path, capsys, content, part):
    file = tmp_path / "junk.tflite"
    file.write_bytes(content[: len(content) // 2] if part == "half" else part)
    assert f"{file} cannot be run by LiteRT" in refused(capsys, str(file))


def test_other_files_and_numbers_of_threads_are_refused(tmp_path, capsys, content):
    (tmp_path / "a.tflite").write_bytes(content)
    (tmp_path / "model.keras").write_bytes(b"x")
    assert "model.keras is no .tflite file" in refused(capsys, str(tmp_path / "model.keras"))
    os.mkfifo(tmp_path / "pipe.tflite")
    assert "is no .tflite file" in refused(capsys, str(tmp_path / "pipe.tflite"))
    assert "There is no file" in refused(capsys, str(tmp_path / "none.tflite"), str(tmp_path / "a.tflite"))
    for threads in ("0", "-1", "100000"):
        assert f"--threads is {threads}" in refused(capsys, str(tmp_path / "a.tflite"), "--threads", threads)
