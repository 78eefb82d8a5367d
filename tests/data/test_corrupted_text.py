"""Damaged text for each model: what it reads, what it has to predict, and batches that any run sees again."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.batches import check
from tfdl.data import corrupted_text
from tfdl.data.corrupted_text import load

OPTIONS = dict(length=20, batch_size=7, vocabulary_size=300)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "stone", "river", "cloud", "falls", "stands", "rises", "slowly"]
    sentences = (" ".join(rng.choice(words, rng.integers(3, 7))).capitalize() + "." for _ in range(600))
    path = tmp_path_factory.mktemp("text") / "stones.txt"
    path.write_text("\n".join(sentences))
    return path


@pytest.fixture(scope="module")
def loaded(file):
    return {model: load(file, model, **OPTIONS) for model in ("bert", "roberta", "t5", "bart")}


def arrays(dataset):
    return [tf.nest.map_structure(np.asarray, batch) for batch in dataset.as_numpy_iterator()]


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True)
    )


def undamaged(data, batch):
    """The texts of a batch, with what was to be predicted in its place."""
    inputs, targets = batch
    if data.tokenizer.special.get("mask") is None:  # T5: sentinels stand for the spans of the targets
        return [restored(data, *row) for row in zip(inputs["source"], targets)]
    rows = targets if isinstance(inputs, dict) else np.where(targets >= 0, targets, inputs)
    return [data.tokenizer.decode(row[row >= 0]) for row in rows]


def restored(data, source, target):
    found, span = {}, None
    for token in target[target >= 0].tolist():
        if token >= len(data.tokenizer):
            span = found[token] = []
        else:
            span.append(token)
    source = source[source != 0].tolist()
    return data.tokenizer.decode([word for token in source for word in found.get(token, [token])])


@pytest.mark.parametrize("model", ["bert", "roberta", "t5", "bart"])
def test_test_text_is_restored_from_damage_and_targets(model, loaded, file):
    data = loaded[model]
    pieces = [text for batch in arrays(data.test) for text in undamaged(data, batch)]
    whole = file.read_text()
    whole = whole.lower() if model == "bert" else whole
    spaced = (lambda text: "".join(text.split())) if model == "bert" else (lambda text: text)
    joined = spaced("".join(pieces))
    assert len(joined) > 500 and joined in spaced(whole)
    assert len(pieces) == data.counts["test"]


@pytest.mark.parametrize("model", ["bert", "roberta", "t5", "bart"])
def test_batches_keep_the_contract_and_the_models_numbers(model, loaded):
    data = loaded[model]
    padding = {"bert": 0, "roberta": 1, "t5": 0, "bart": 1}[model]
    assert data.tokenizer.special["padding"] == padding
    task = "language_model" if model in ("bert", "roberta") else "sequence_to_sequence"
    for dataset in (data.train, data.validation, data.test):
        for inputs, targets in dataset:
            check(task, inputs, targets)
            assert max(int(tf.reduce_max(part)) for part in tf.nest.flatten(inputs)) < data.vocabulary_size
            if task == "language_model":
                assert inputs.shape[1] == 20 and set(inputs[:, 0].numpy()) == {data.tokenizer.special["start"]}
            else:
                following, written = targets[:, :-1], inputs["target_in"][:, 1:]
                np.testing.assert_array_equal(written[following >= 0], following[following >= 0])
                assert inputs["source"].shape[1] <= 20


@pytest.mark.parametrize("model, usual", [("bert", 0.15), ("roberta", 0.15), ("t5", 0.15), ("bart", 0.3)])
def test_rate_is_the_share_of_tokens_that_are_damaged(model, usual, loaded, file):
    def damaged(data):
        inputs, targets = arrays(data.test.unbatch().batch(1000))[0]
        if not isinstance(inputs, dict):
            return np.mean(targets[inputs != data.tokenizer.special["padding"]] >= 0)
        last = len(data.tokenizer) - 1 if model == "t5" else np.inf
        written = np.sum((targets >= 0) & (targets <= last))
        read = np.isin(inputs["source"], [*data.tokenizer.special.values()], invert=True) & (inputs["source"] <= last)
        return written / (written + np.sum(read)) if model == "t5" else 1 - np.sum(read) / written

    for rate, data in ((usual, loaded[model]), (0.5, load(file, model, **OPTIONS, rate=0.5))):
        assert damaged(data) == pytest.approx(rate, abs=0.08), rate


def test_spans_have_sentinels_from_the_end_of_the_vocabulary(loaded):
    (inputs, targets), *_ = arrays(loaded["t5"].test)
    assert loaded["t5"].vocabulary_size == len(loaded["t5"].tokenizer) + 100
    assert np.all(targets[:, 0] == loaded["t5"].vocabulary_size - 1), "the first sentinel"
    assert inputs["source"].shape[1] == 20 - 3 + 1 and targets.shape[1] == 3 + 1 + 1, "three of 20 tokens in one span"


def epoch(data, number, step=0):
    data.position.assign((number, step))
    return arrays(data.train)


def test_damage_changes_with_the_epoch_unless_it_is_static_and_held_out_text_stays(loaded, file):
    static = load(file, "roberta", masking="static", seed=1, **OPTIONS)
    for data, changes in ((loaded["roberta"], True), (static, False)):
        first, second = (
            {text: tuple(row) for x, y in epoch(data, number) for text, row in zip(undamaged(data, (x, y)), y)}
            for number in (0, 1)
        )
        assert first.keys() == second.keys() and (first != second) == changes
    assert same(arrays(static.test), arrays(loaded["roberta"].test)), "whatever the seed"
    assert not same(epoch(static, 0), epoch(loaded["roberta"], 0))


def test_any_step_of_any_epoch_can_be_entered(loaded, file):
    third = epoch(loaded["bart"], 2)
    assert len(third) == len(loaded["bart"].train)
    again = load(file, "bart", position=tf.Variable((2, 1), dtype=tf.int64), **OPTIONS)
    assert same(arrays(again.train), third[1:])
    assert not same(epoch(loaded["bart"], 3), third)


def test_rows_of_records_are_padded_examples(tmp_path):
    lines = [f"{'long ' * (i % 5)}line {i % 7}\tx" for i in range(200)]
    (tmp_path / "pairs.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    data = load(tmp_path / "pairs.tsv.gz", "bart", column="0", length=40, vocabulary_size=300)
    assert data.counts == {"train": 160, "validation": 20, "test": 20}
    texts = {text for batch in arrays(data.train) for text in undamaged(data, batch)}
    assert texts <= {line[:-2] for line in lines} and len(texts) > 25
    source = arrays(data.train)[0][0]["source"]
    assert set((source == 2).sum(1)) == {1} and np.any(source == 1), "one end token, then padding"


def test_rows_without_a_token_are_left_out(loaded):
    tokenizer = loaded["bart"].tokenizer
    rows = corrupted_text.rows(("some words", "", "more"), tokenizer, 20)
    assert rows.shape == (2, 20) and np.all(rows[:, 0] != tokenizer.special["padding"])


def test_unigram_entropy_is_that_of_the_targets(loaded):
    targets = np.concatenate([y[y >= 0] for _, y in arrays(loaded["bert"].test)])
    shares = np.unique(targets, return_counts=True)[1] / len(targets)
    assert loaded["bert"].unigram_nats() == pytest.approx(-(shares * np.log(shares)).sum())


def test_examples_say_what_was_read_wanted_and_answered(loaded):
    data = loaded["t5"]
    found = data.examples(lambda inputs: tf.one_hot(inputs["target_in"], data.vocabulary_size), count=2)
    (inputs, targets), *_ = arrays(data.test)
    assert len(found) == 2 and "<0>" in found[0]["damaged"] and found[0]["wanted"].endswith("<1>")
    assert found[0]["answer"].replace("<0>", "").strip() in found[0]["wanted"], "here it repeats what it was given"
    masked = loaded["bert"].examples(lambda tokens: tf.one_hot(tokens, 300), count=1)[0]
    assert "[MASK]" in masked["damaged"] and "[MASK]" not in masked["wanted"]


def test_published_tokenizer_brings_its_own_special_tokens(loaded, file, tmp_path):
    loaded["roberta"].tokenizer.save(tmp_path / "tokenizer.json")
    again = load(file, "bart", tokenizer=tmp_path, length=20, batch_size=7)
    assert same(arrays(again.test), arrays(loaded["bart"].test))
    with pytest.raises(ValueError, match="no token for start, mask; bart needs one"):
        loaded["t5"].tokenizer.save(tmp_path / "tokenizer.json")
        load(file, "bart", tokenizer=tmp_path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"masking": "sometimes"}, "masking is 'sometimes'; choose dynamic or static"),
        ({"rate": 1}, "rate is 1; give the share of damaged tokens, more than 0 and less than 1"),
        ({"length": 7}, "length is 7; give 8 or more"),
        ({"length": 9999}, "The split 'train' of .* has fewer than 9997 tokens; give a shorter length"),
    ],
)
def test_errors_name_the_value_and_the_remedy(options, message, file):
    with pytest.raises(ValueError, match=message):
        load(file, "bert", **OPTIONS | options)
    with pytest.raises(ValueError, match="no damage for the model 'gpt'; choose bert, roberta"):
        load(file, "gpt")
