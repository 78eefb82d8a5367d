"""Tagged sentences: every word with its tag at its first token, files of each kind, capitals as tags, the order."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING, check
from tfdl.data.tagged_text import CASES, Sentence, case_of, load
from tfdl.metrics.tags import tag_scores

WORDS = {"Ada": "B-PER", "Lovelace": "I-PER", "wrote": "O", "in": "O", "London": "B-LOC", "programs": "O", ".": "O"}
OPTIONS = dict(length=30, batch_size=7, vocabulary_size=60)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """80 sentences of 2 to 10 words, some twice, in columns as the shared task has them."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("names") / "names.conll"
    lines = ["-DOCSTART- -X- O", ""]
    for _ in range(80):
        words = rng.choice(list(WORDS), rng.integers(2, 11))
        lines += [f"{word} NN {WORDS[word]}" for word in words] + [""]
    path.write_text("\n".join(lines))
    return path


def words_and_tags(data, tokens, targets):
    """[(word, tag)] of a row: a word is the letters from its tagged token on to the next one."""
    places = [*np.flatnonzero(targets != PADDING), int(np.flatnonzero(tokens != data.padding)[-1])]
    return [
        (data.tokenizer.decode(tokens[first:last]).replace(" ", ""), data.tags[targets[first]])
        for first, last in zip(places, places[1:])
    ]


def test_every_word_has_its_tag_at_its_first_token(file):
    data = load(file, **OPTIONS)
    assert data.tags == ("B-LOC", "B-PER", "I-PER", "O") and sum(data.counts.values()) == 80
    for split in ("train", "validation", "test"):
        rows = []
        for x, y in getattr(data, split).as_numpy_iterator():
            check("language_model", x, y)
            rows += [words_and_tags(data, tokens, targets) for tokens, targets in zip(x, y)]
        wanted = [[(w.lower(), tag) for w, tag in zip(s.words, s.tags)] for s in data.sentences[split]]
        assert (sorted(rows) == sorted(wanted)) if split == "train" else (rows == wanted)
    assert data.cut == {"train": 0, "validation": 0, "test": 0}
    assert tag_scores(data.baseline(), [s.tags for s in data.sentences["test"]])["accuracy"] == 1.0


def test_long_sentences_are_cut_and_counted(file):
    short, whole = load(file, **OPTIONS | {"length": 8}), load(file, **OPTIONS)
    kept = sum(int((y != PADDING).sum()) for _, y in short.test.as_numpy_iterator())
    assert kept + short.cut["test"] == sum(len(s.words) for s in whole.sentences["test"]) and short.cut["test"] > 0


def test_order_is_a_function_of_seed_epoch_and_step(file):
    def batches(data):
        return [[array.tolist() for array in batch] for batch in data.train.as_numpy_iterator()]

    first, other = load(file, **OPTIONS), load(file, seed=1, **OPTIONS)
    epochs = [batches(first) for _ in range(2)]
    assert len({str(epoch) for epoch in [*epochs, batches(other)]}) == 3
    position = tf.Variable((1, 3), dtype=tf.int64)
    assert batches(load(file, position=position, **OPTIONS)) == epochs[1][3:]


def test_static_batches_have_one_shape(file):
    static.require(1)
    try:
        assert {y.shape.as_list()[1] for _, y in load(file, **OPTIONS).train} == {30}
    finally:
        static.require(0)


def test_folders_of_splits_and_lists_of_words(file, tmp_path):
    for split in ("train", "dev"):
        (tmp_path / f"{split}.txt").write_text("Ada B-PER\nwrote\tO\n\n" * 20)
    data = load(tmp_path, **OPTIONS)
    assert len(data.sentences["validation"]) == 20 and data.sentences["train"][0] == Sentence(
        ("Ada", "wrote"), ("B-PER", "O")
    )
    rows = [{"tokens": ["Ada", f"n{i}"], "ner_tags": [1, 0]} for i in range(30)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load(tmp_path / "t.jsonl", **OPTIONS).tags == ("0", "1")


def test_capitals_are_tags_of_words_in_lower_case(tmp_path):
    assert [case_of(word) for word in ("a", "A", "Ada", "USA", "iPad", "5", "McKay", "Élan")] == [
        "lower", "First", "First", "UPPER", "mIxed", "lower", "mIxed", "First",
    ]  # fmt: skip
    rows = [{"title": f"USA number {i}", "text": "Ada's iPad."} for i in range(30)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load(tmp_path / "t.jsonl", casing="title,text", **OPTIONS)
    sentence = data.sentences["test"][0]
    assert data.tags == CASES and sentence.words[:2] == ("usa", "number")
    assert sentence.words[3:] == ("ada", "'", "s", "ipad", ".")
    assert sentence.tags == ("UPPER", "lower", "lower", "First", "lower", "lower", "mIxed", "lower")


def test_what_is_wrong_is_said(tmp_path):
    (tmp_path / "a.conll").write_text("Ada B-PER\nwrote\n")
    with pytest.raises(ValueError, match="a.conll, line 2, has the word 'wrote' and no tag"):
        load(tmp_path / "a.conll")
    (tmp_path / "b.jsonl").write_text('{"text": "a"}')
    with pytest.raises(ValueError, match="has the columns text; it needs one called tokens or words"):
        load(tmp_path / "b.jsonl")
    with pytest.raises(ValueError, match="has no column 'title'; it has text"):
        load(tmp_path / "b.jsonl", casing="title")
    (tmp_path / "c.jsonl").write_text('{"tokens": ["a", "b"], "tags": ["O"]}')
    with pytest.raises(ValueError, match="row 0, has no list of words and a tag for each"):
        load(tmp_path / "c.jsonl")
    (tmp_path / "train.bio").write_text("a O\n\n" * 9)
    (tmp_path / "dev.bio").write_text("a B-X\n")
    with pytest.raises(ValueError, match="The split 'validation' of .* has the tag 'B-X', which train lacks"):
        load(tmp_path, **OPTIONS)
