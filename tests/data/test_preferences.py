"""Pairs of answers as batches: whole conversations, and marks at the tokens of the last answer."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.conversations import Preference
from tfdl.data.instructions import load as load_instructions
from tfdl.data.preferences import FIELDS, load

EARLIER = (("user", "1+1"), ("assistant", "2"))
PAIRS = tuple(
    Preference((*EARLIER[: 2 * (i % 2)], ("user", f"{i}+1")), f"{i + 1}", "7" * (1 + i % 3)) for i in range(10, 40)
)


@pytest.fixture(scope="module")
def tokenizer():
    return load_instructions("add", template="chatml", limit=40).tokenizer


def opened(tokenizer, **options):
    pairs = {"train": PAIRS, "validation": PAIRS[:6], "test": PAIRS[:4]}
    return load(pairs, **{"tokenizer": tokenizer, "batch_size": 7, "length": 64} | options)


def test_marks_are_at_the_last_answer_and_its_end(tokenizer):
    data = opened(tokenizer)
    decode = data.tokenizer.tokenizer.decode
    found = []
    for batch in data.validation.as_numpy_iterator():
        assert tuple(batch) == FIELDS and len({values.shape for values in batch.values()}) == 1
        for row in range(len(batch["chosen"])):
            for side in ("chosen", "rejected"):
                tokens, marks = batch[side][row], batch[f"{side}_answered"][row] > 0
                whole = decode(tokens[tokens > 0].tolist(), skip_special_tokens=False)
                answer = decode(tokens[marks].tolist(), skip_special_tokens=False)
                assert whole.endswith(f"assistant\n{answer}") and answer.endswith("<|im_end|>")
                found.append(answer.removesuffix("<|im_end|>"))
    assert found == [answer for pair in PAIRS[:6] for answer in (pair.chosen, pair.rejected)]


def test_every_pair_comes_once_in_an_order_that_can_be_entered_anywhere(tokenizer):
    data = opened(tokenizer)
    epochs = [[batch["chosen"].tolist() for batch in data.train.as_numpy_iterator()] for _ in range(2)]
    assert epochs[0] != epochs[1] and sum(map(len, epochs[0])) == len(PAIRS) == data.counts["train"]
    position = tf.Variable((1, 2), dtype=tf.int64)
    resumed = opened(tokenizer, position=position)
    assert [batch["chosen"].tolist() for batch in resumed.train.as_numpy_iterator()] == epochs[1][2:]


def test_pairs_of_a_file_and_long_ones(tokenizer, tmp_path):
    rows = [{"prompt": pair.prompt[-1][1], "chosen": pair.chosen, "rejected": pair.rejected} for pair in PAIRS]
    path = tmp_path / "judged.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = load(path, tokenizer=tokenizer, length=64)
    assert data.counts == {"train": 24, "validation": 3, "test": 3} and data.short_name == "judged"
    shorter = opened(tokenizer, length=40)
    assert shorter.note == "left out as longer than 40 tokens: train: 15, validation: 3, test: 2"
    assert np.all([len(pair.prompt) == 1 for pair in shorter.pairs["train"]])
    with pytest.raises(ValueError, match="No pair of the split 'train' of 'pairs' has 5 tokens or fewer"):
        opened(tokenizer, length=5)
