"""Conversations as batches: what is learned, nothing lost, packed or not, and an order that can be entered anywhere."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.batches import PADDING, check
from tfdl.data.instructions import load


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"prompt": "ab" * rng.integers(1, 5), "response": f"{i}".rjust(rng.integers(2, 6), "x")} for i in range(100)
    ]
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def opened(file, **options):
    return load(file, **{"template": "tags", "length": 20, "batch_size": 7} | options)


def answers(data, dataset):
    """What is learned of each conversation, as text, in every row of an epoch."""
    found = []
    for _, targets in dataset.as_numpy_iterator():
        for row in targets:
            text = data.tokenizer.tokenizer.decode(row[row != PADDING].tolist(), skip_special_tokens=False)
            found += text.split("<|end|>")[:-1]
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_every_answer_is_learned_once_and_nothing_else(file, packed):
    data = opened(file, packed=packed)
    for split in ("train", "validation", "test"):
        expected = [row.answer for row in data.conversations[split]]
        assert sorted(answers(data, getattr(data, split))) == sorted(expected)
        assert len(expected) == data.counts[split]
    assert data.note == ""


def test_targets_are_the_tokens_that_follow(file):
    data = opened(file)
    for tokens, targets in data.train:
        check("language_model", tokens, targets)
        following = np.concatenate([tokens[:, 1:], np.zeros((len(tokens), 1), "int32")], axis=1)
        is_inner = (targets != PADDING) & (targets != data.stop_token)
        np.testing.assert_array_equal(np.array(targets)[is_inner], following[is_inner])


def test_packed_rows_have_numbers_and_positions_of_their_own(file):
    data = opened(file, packed=True)
    single = opened(file)
    assert len(data.train) < len(single.train)
    for inputs, _ in data.train:
        tokens, segments, positions = (inputs[name].numpy() for name in ("tokens", "segments", "positions"))
        assert tokens.shape[1] <= 20 and ((segments == 0) == (tokens == 0)).all()
        for row, places in zip(segments, positions):
            for number in range(1, row.max() + 1):
                np.testing.assert_array_equal(places[row == number], np.arange((row == number).sum()))


def test_long_conversations_are_left_out_and_counted(file):
    data = opened(file, length=12)
    assert data.note.startswith("left out as longer than 12 tokens: train: ")
    assert 0 < data.counts["train"] < 80 and len(answers(data, data.train)) == data.counts["train"]
    with pytest.raises(ValueError, match="No conversation of the split 'train' .* has 3 tokens or fewer"):
        opened(file, length=3)
    with pytest.raises(ValueError, match="batch_size is 0; give 1 or more"):
        opened(file, batch_size=0)


def test_order_is_a_function_of_seed_epoch_and_step(file):
    first, other = opened(file), opened(file, seed=1)
    epochs = [[x.tolist() for x, _ in first.train.as_numpy_iterator()] for _ in range(2)]
    assert len({str(epoch) for epoch in [*epochs, [x.tolist() for x, _ in other.train.as_numpy_iterator()]]}) == 3
    position = tf.Variable((1, 3), dtype=tf.int64)
    resumed = opened(file, position=position)
    assert [x.tolist() for x, _ in resumed.train.as_numpy_iterator()] == epochs[1][3:]


def test_prompts_and_task_fit_the_conversations():
    data = load("add,reverse", template="chatml", limit=20)
    row = data.conversations["test"][0]
    assert data.tokenizer.tokenizer.decode(data.prompt(row.prompt).tolist(), skip_special_tokens=False) == (
        data.template.text(row.prompt, prompt=True)
    )
    assert data.task.kind == "text_generation" and data.short_name == "add_reverse"
    assert data.counts == {"train": 20, "validation": 20, "test": 20}
