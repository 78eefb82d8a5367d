"""The speed tool: ratios of pairs, a file that keeps what it need not replace, and one small comparison for real."""

import functools
import json
import re

import keras
import pytest

import tfdl
from tools import bench_vision


class FakeClock:
    """Seconds that pass only while a call runs."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def call(self, name, seconds):
        """A function that takes the next of `seconds` each time."""
        left = iter(seconds)

        def run():
            self.calls.append(name)
            self.now += next(left)

        return run


def setting(clock, seconds=0.0):
    return bench_vision.Setting(side=64, batches=(2,), seconds=seconds, clock=clock)


def test_a_ratio_is_of_one_pair_and_the_pairs_run_in_turns(monkeypatch):
    monkeypatch.setattr(bench_vision, "FEWEST", 3)
    clock = FakeClock()
    # Two warm-up calls each; then the machine is slow for the whole second pair.
    ours = clock.call("ours", [90, 5, 1, 10, 2])
    theirs = clock.call("theirs", [1, 1, 3, 20, 4])
    assert bench_vision.paired(ours, theirs, setting(clock)) == [3, 2, 2]
    assert clock.calls == ["ours", "theirs"] * 5


def test_pairs_are_added_while_time_is_left_up_to_a_limit():
    clock = FakeClock()
    calls = [clock.call(name, iter(lambda: 1.0, None)) for name in ("ours", "theirs")]
    assert len(bench_vision.paired(*calls, setting(clock))) == bench_vision.FEWEST
    assert len(bench_vision.paired(*calls, setting(clock, seconds=60.0))) == bench_vision.MOST


def test_a_row_holds_median_and_quartiles_and_says_when_it_is_below_its_target():
    row = bench_vision.row("resnet50", "inference", "torchvision", 8, 128, 1.0, [0.5, 0.8, 0.9, 1.6, 2.0])
    assert (row["low"], row["ratio"], row["high"], row["pairs"]) == (0.8, 0.9, 1.6, 5)
    assert bench_vision.line(row).endswith("0.90 [0.80, 1.60] of  5  below 1")
    assert "below" not in bench_vision.line(row | {"ratio": 1.0})


def test_a_second_run_replaces_its_rows_and_keeps_the_others_unless_the_machine_differs():
    def rows(ratio, *batches):
        return [bench_vision.row("vgg16", "inference", "torchvision", b, 64, 1.0, [ratio]) for b in batches]

    here, elsewhere = (bench_vision.surroundings(busy, ("torch",)) for busy in (True, False))
    document = functools.partial(bench_vision.document, bench_vision.TITLE, bench_vision.KEYS)
    first = document(rows(1.5, 8, 32), here, {})
    second = document(rows(2.5, 32), here, first)
    assert [(row["batch"], row["ratio"]) for row in second["rows"]] == [(8, 1.5), (32, 2.5)]
    assert bench_vision.document(bench_vision.TITLE, bench_vision.KEYS, rows(2.5, 32), elsewhere, first)[
        "rows"
    ] == rows(2.5, 32)
    assert isinstance(here["cpu"]["avx512_bf16"], bool) and "keras" in here["versions"]
    assert json.loads(json.dumps(second)) == second


def test_every_network_is_the_same_architecture_as_the_one_of_keras(monkeypatch):
    built = []
    monkeypatch.setattr(tfdl, "build", lambda key, variant, **options: built.append((key, variant)))
    monkeypatch.setattr(keras.applications, "ResNet50", lambda **options: options)
    network = bench_vision.NETWORKS["resnet50"]
    network.ours((64, 64, 3)), network.ours_for_torch((64, 64, 3))
    assert built == [("resnet", "50_keras"), ("resnet", "50")]  # the stride is in another convolution
    assert network.keras((64, 64, 3))["classifier_activation"] is None  # logits, as ours


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--image-size", "100"], "multiple of 32.*100"),
        (["--image-size", "32"], "at least 64, not 32"),
        (["--models", "alexnet"], "invalid choice: 'alexnet'"),
        (["--against", "jax"], "invalid choice: 'jax'"),
    ],
)
def test_wrong_arguments_are_told_at_once(arguments, message, capsys):
    with pytest.raises(SystemExit):
        bench_vision.main(arguments)
    assert re.search(message, capsys.readouterr().err)


def test_small_networks_are_compared_for_real(tmp_path, monkeypatch, capsys):
    def tiny(image_shape):
        images = keras.Input(image_shape, name="images")
        x = keras.layers.Conv2D(3, 3, 4)(images)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
        return keras.Model(images, keras.layers.Dense(5, dtype="float32")(x))

    monkeypatch.setattr(bench_vision, "NETWORKS", {"resnet50": bench_vision.Network(tiny, tiny, tiny)})
    monkeypatch.setattr(bench_vision, "RESULTS", tmp_path / "bench_vision.json")
    small = setting(bench_vision.time.perf_counter)
    monkeypatch.setattr(bench_vision, "Setting", lambda side: small)
    assert bench_vision.main(["--models", "resnet50", "--against", "keras", "tflite", "bfloat16"]) == 0
    rows = json.loads((tmp_path / "bench_vision.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["measure"], row["against"], row["image"]) for row in rows] == [
        ("training step", "keras.applications", 32),
        ("inference", "keras.applications", 64),
        ("TFLite float", "keras.applications", 64),
        ("TFLite int8", "keras.applications", 64),
        ("training step", "float32", 32),
        ("inference", "float32", 64),
    ]
    assert [row["target"] for row in rows] == [1, 1, 1, 1, 1.35, 1.5]
    assert all(0 < row["low"] <= row["ratio"] <= row["high"] for row in rows)
    assert keras.config.dtype_policy().name == "float32"
    assert len(capsys.readouterr().out.splitlines()) == len(rows)
