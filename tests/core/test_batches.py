import re

import keras
import numpy as np
import pytest

from tfdl.core.batches import CONTRACTS, check


def images(*shape):
    return np.full(shape, 0.5, "float32")


def test_every_task_of_the_design_has_a_contract():
    tasks = (
        "classification detection segmentation keypoints points language_model sequence_to_sequence image_text graph"
    )
    assert set(tasks.split()) | {"few_shot", "images"} <= set(CONTRACTS)


def test_right_batches_pass():
    labels = np.array([0, 4], "int32")
    check("classification", images(2, 5, 7, 3), labels)
    check("classification", images(2, 5, 7, 3))
    check("images", images(2, 5, 7, 1))
    boxes = {"boxes": np.zeros((2, 3, 4), "float32"), "labels": np.full((2, 3), -1, "int32")}
    check("detection", images(2, 5, 7, 3), boxes)
    check("detection", images(2, 5, 7, 3), boxes | {"instances": np.full((2, 5, 7), -1, "int32")})
    check("segmentation", images(2, 5, 7, 3), np.full((2, 5, 7), 255, "int32"))
    check("points", np.zeros((2, 9, 5), "float32"), labels)


def test_empty_batch_passes():
    check("classification", images(0, 5, 7, 3), np.zeros(0, "int32"))


def test_symbolic_tensors_are_checked_by_shape_alone():
    check("classification", keras.KerasTensor((None, 5, 7, 3)), keras.KerasTensor((None,), dtype="int32"))
    with pytest.raises(ValueError, match="give it 4 axes"):
        check("classification", keras.KerasTensor((None, 5, 7)))


@pytest.mark.parametrize(
    "task, x, y, words",
    [
        ("clasification", images(2, 5, 7, 3), None, ["'clasification'", "classification"]),
        ("classification", images(2, 5, 7), None, ["'images'", "(2, 5, 7)", "(B, H, W, C)", "4 axes"]),
        ("classification", images(2, 5, 7, 3).astype("float64"), None, ["float64", "cast it to float32"]),
        ("classification", images(2, 5, 7, 3) * 510, None, ["255.0", "[0.0, 1.0]"]),
        ("classification", images(2, 5, 7, 3) - 1, None, ["-0.5", "[0.0, 1.0]"]),
        ("classification", images(2, 5, 7, 3) * np.float32("nan"), None, ["nan", "[0.0, 1.0]"]),
        ("classification", [[0.5]], None, ["must be the array", "a list"]),
        ("classification", {"images": images(2, 5, 7, 3)}, None, ["must be the array", "a dict of images"]),
        ("classification", images(2, 5, 7, 3), np.zeros(3, "int32"), ["B = 3", "'images' has B = 2", "agree on B"]),
        ("classification", images(2, 5, 7, 3), np.zeros(2, "int64"), ["int64", "cast it to int32"]),
        ("images", images(2, 5, 7, 3), np.zeros(2, "int32"), ["has no y", "yield x alone"]),
        ("detection", images(2, 5, 7, 3), {"boxes": np.zeros((2, 3, 4), "float32")}, ["add labels"]),
        (
            "detection",
            images(2, 5, 7, 3),
            {"boxes": np.zeros((2, 3, 5), "float32"), "labels": np.zeros((2, 3), "int32")},
            ["'boxes'", "(2, 3, 5)", "make axis 2 of size 4"],
        ),
        (
            "detection",
            images(2, 5, 7, 3),
            {"boxes": np.zeros((2, 3, 4), "float32"), "labels": np.zeros((2, 4), "int32")},
            ["N = 4", "'boxes' has N = 3"],
        ),
        ("segmentation", images(2, 5, 7, 3), np.full((2, 5, 7), 256, "int32"), ["256", "[0, 255]"]),
        ("segmentation", images(2, 5, 7, 3), np.zeros((2, 7, 5), "int32"), ["H = 7", "H = 5"]),
        ("image_text", {"images": images(2, 5, 7, 3), "words": images(2)}, None, ["add tokens", "remove words"]),
        ("language_model", np.full((2, 4), -1, "int32"), None, ["contains -1", "0 or more"]),
    ],
)
def test_error_names_field_value_and_remedy(task, x, y, words):
    with pytest.raises(ValueError) as error:
        check(task, x, y)
    message = str(error.value)
    assert [word for word in words if word not in message] == [], message
    assert len(re.findall(r"\.(\s|$)", message)) <= 1, f"more than one sentence: {message}"
