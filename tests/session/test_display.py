"""What a run says on the screen: numbers in their units, and what belongs to which split."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfdl.session import display


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (95.2, "1 min 35 s"),
        (119.6, "2 min 0 s"),
        (3599.6, "1 h 0 min"),
        (7325, "2 h 2 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_time_is_in_its_largest_two_units(seconds, text):
    assert display.duration(seconds) == text


def test_accumulation_is_named_where_there_is_any():
    assert display.accumulation_text(1) == ""
    assert display.accumulation_text(2) == ", 2 micro-batches per update"


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("test_accuracy", 0.98765, "0.9877  (98.8 %)"),
        ("test_accuracy", 12.5, "12.5"),
        ("test_loss", 0.123456, "0.1235"),
        ("images", 12345.0, "12,345"),
        ("mistakes", 0.0, "0"),
        ("difference", 2.34567e-7, "2.346e-07"),
    ],
)
def test_numbers_are_plain(name, value, text):
    assert display.plain_number(name, value) == text


def data(classes):
    counts = {"train": np.arange(classes) + 100, "validation": np.arange(classes) + 10}
    return SimpleNamespace(
        name="garments",
        counts={split: int(numbers.sum()) for split, numbers in counts.items()},
        labels=tuple(f"c{i}" for i in range(classes)),
        class_counts=counts,
    )


def test_data_are_named_with_their_splits_and_how_unequal_the_training_classes_are():
    text = "garments: 303 train, 33 validation; 3 classes (c0, c1, c2), 100 to 102 training images each"
    assert display.data_text(data(3)) == text
    text = "garments: 2,800 train, 550 validation; 25 classes, 100 to 124 training images each"
    assert display.data_text(data(25)) == text, "so many names are left out"
    assert display.data_text(SimpleNamespace(counts={"train": 5})) == "data: 5 train"
    faces = SimpleNamespace(name="faces", counts={"train": 9}, labels=("face",))
    assert display.data_text(faces) == "faces: 9 train; 1 class (face)"


def test_summary_has_every_number_and_says_where_everything_is():
    places = {"folder": "runs/x", "board": "runs/x/tb"}
    text = display.summary({"test_accuracy/a": 0.5}, parameters=1234, seconds=61, files=["runs/x/a.png"], **places)
    rows = dict(line.split("  ", 1) for line in text.split("\n\n")[0].strip().splitlines())
    assert {name: row.strip() for name, row in rows.items()} == {
        "test accuracy, a": "0.5000  (50.0 %)",
        "parameters": "1,234",
        "training time": "1 min 1 s",
    }
    assert "figures\n  runs/x/a.png" in text and text.endswith(
        "Everything is in runs/x. Curves: tensorboard --logdir runs/x/tb"
    )
    text = display.summary({"pi": 3.14159}, parameters=None, seconds=2, files=[], **places)
    assert "parameters" not in text and "training" not in text and "time  2.0 s" in text and "figures" not in text
