"""A task survives JSON, and what comes from elsewhere is checked."""

import dataclasses
import json

import pytest

from tfdl.core.task import Task


@pytest.mark.parametrize(
    "task",
    [
        Task(),
        Task(labels=("cat", "dog"), image_shape=(224, 160, 3), input_range=(-1.0, 1.0), resize="crop"),
    ],
)
def test_json_gives_the_same_task(task):
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    "value, message",
    [
        ([], "does not describe a task"),
        ({"labels": ["a"], "code": "x"}, "does not describe a task"),
        ({"kind": "divination"}, "no task 'divination'"),
        ({"labels": "cat"}, "labels is 'cat'"),
        ({"labels": ["cat", 3]}, "labels is"),
        ({"image_shape": [8, 8]}, "image_shape is"),
        ({"image_shape": [8, 0, 3]}, "image_shape is"),
        ({"image_shape": [8.5, 8, 3]}, "image_shape is"),
        ({"image_shape": [8, True, 3]}, "image_shape is"),
        ({"input_range": [False, True]}, "input_range is"),
        ({"input_range": [1, 0]}, "input_range is"),
        ({"input_range": [0, float("inf")]}, "input_range is"),
        ({"resize": 3}, "resize is 3"),
    ],
)
def test_what_describes_no_task_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        Task.from_json(value)


def test_task_of_texts_comes_back_and_says_what_it_needs():
    task = Task(kind="text_classification", labels=("no", "yes"), tokenizer="tokenizer.json", length=64, padding=1)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    for changes, message in [
        ({"tokenizer": None}, "tokenizer is None; give the name of a file"),
        ({"tokenizer": "../x.json"}, "give the name of a file"),
        ({"length": 0}, "length is 0; give a whole number from 1 on"),
        ({"padding": -1}, "padding is -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(task, **changes)
