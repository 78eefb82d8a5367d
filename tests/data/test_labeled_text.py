"""Labeled texts: every text once with its class, batches no longer than needed, order by seed, columns and splits."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import check
from tfdl.core.token_rows import encode, padded
from tfdl.data.labeled_text import TOKENIZERS, load
from tfdl.data.tokenizers import Pieces

WORDS = ["red", "green", "blue"]


@pytest.fixture
def file(tmp_path):
    """90 texts, each with words of its class, from 1 to 33 words long; every one ends with its number."""
    path = tmp_path / "colors.jsonl"
    rows = [
        {"text": " ".join([WORDS[i % 3]] * (1 + i % 33) + [str(i)]), "label": "warm" if i % 3 == 0 else "cold"}
        for i in range(90)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def epoch(dataset, tokenizer):
    """[(text, class)] of an epoch."""
    return [
        (tokenizer.decode(tokens), int(number)) for x, y in dataset.as_numpy_iterator() for tokens, number in zip(x, y)
    ]


def test_every_text_comes_once_with_its_class_and_padding_behind_it(file):
    data = load(file, length=40, batch_size=8, vocabulary_size=200)
    assert data.labels == ("cold", "warm") and sum(data.counts.values()) == 90
    for key, dataset in {"train": data.train, "validation": data.validation, "test": data.test}.items():
        found = epoch(dataset, data.tokenizer)
        assert sorted(found) == sorted(zip(data.texts[key], data.numbers[key].tolist()))
        assert all((text.split()[0] == "red") == (number == 1) for text, number in found)
        for x, y in dataset:
            check("language_model", x, y) if x.shape == y.shape else None
            used = (x.numpy() != data.padding).sum(1)
            assert np.all((x.numpy() != data.padding) == (np.arange(x.shape[1]) < used[:, None])), "padding is behind"
            assert x.shape[1] == min(40, 16 * -(-used.max() // 16)), "no longer than the longest needs"
    assert [text for text, _ in epoch(data.test, data.tokenizer)] == list(data.texts["test"]), "the stored order"


def test_batches_are_shorter_than_of_texts_in_any_order(file):
    data = load(file, length=40, batch_size=8, vocabulary_size=200)
    sizes = [x.shape[1] for x, _ in data.train]
    assert np.mean(sizes) < 32 and max(sizes) == 40


def test_order_is_a_function_of_seed_epoch_and_step(file):
    options = dict(length=40, batch_size=8, vocabulary_size=200)
    first, again, other = load(file, **options), load(file, **options), load(file, seed=1, **options)
    epochs = [epoch(first.train, first.tokenizer) for _ in range(2)]
    assert epochs == [epoch(again.train, first.tokenizer) for _ in range(2)]
    assert len({str(found) for found in [*epochs, epoch(other.train, first.tokenizer)]}) == 3
    resumed = load(file, position=tf.Variable((1, 2), dtype=tf.int64), **options)
    assert epoch(resumed.train, first.tokenizer) == epochs[1][16:]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_odd_texts_have_their_tokens(tmp_path, tokenizer):
    odd = ["", " ", "[PAD] [SEP]", "日本語 🙂\u2028x", "a" * 99, "\u0000", "\ud800"]
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(odd * 6)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load(tmp_path / "t.jsonl", length=12, batch_size=4, tokenizer=tokenizer, vocabulary_size=60)
    start, end = (data.tokenizer.special[name] for name in ("start", "end"))
    found = dict(zip(odd, encode(data.tokenizer.tokenizer, odd, 12)))
    assert found[""][0].tolist() == [start, end]
    for tokens, _ in found.values():
        assert tokens[0] == start and tokens[-1] == end and not np.isin(tokens[1:-1], [start, end, data.padding]).any()
        assert len(tokens) <= 12 and tokens.max() < len(data.tokenizer)
    assert found["a" * 99][1] == (tokenizer in ("characters", "bytes")), "a long word is one unknown token"
    assert not any(found[text][1] for text in ("", " ", "\u0000", "\ud800"))
    assert sum(data.counts.values()) == len(rows)


def test_published_tokenizer_and_ones_own(file, tmp_path):
    made = load(file, length=40, vocabulary_size=200).tokenizer
    made.save(tmp_path / "tokenizer.json")
    loaded = load(file, length=40, tokenizer=tmp_path).tokenizer
    assert loaded.encode("red 5").tolist() == made.encode("red 5").tolist()
    assert load(file, length=40, tokenizer=made).tokenizer is made
    Pieces.trained(["red 5"], 300, "byte_pairs").save(tmp_path / "gpt.json")
    with pytest.raises(ValueError, match="has no tokens for padding and for what is unknown"):
        load(file, tokenizer=tmp_path / "gpt.json")
    with pytest.raises(FileNotFoundError, match="syllables has no tokenizer"):
        load(file, tokenizer="syllables")


def test_static_batches_have_one_shape(file):
    static.require(1)
    try:
        data = load(file, length=40, batch_size=9, vocabulary_size=200)
        assert {x.shape.as_list()[1] for x, _ in data.train} == {40}
        assert data.train.element_spec[0].shape.as_list() == [9, 40]
        assert data.validation.element_spec[0].shape.as_list() == [9, 40]
    finally:
        static.require(0)


@pytest.mark.parametrize(
    "columns, options, texts",
    [
        ("title,description,label", {}, "t d"),
        ("id,text,class", {}, "d"),
        ("id,text,class", {"text": "id,text", "label": "class"}, "t d"),
        ("a,b,c", {"text": "b", "label": "c"}, "d"),
    ],
)
def test_columns_are_guessed_from_usual_names_or_given(tmp_path, columns, options, texts):
    lines = "\n".join(f"t,d,{number}" for number in (2, 10, 2, 10, 10, 10, 2, 2))
    (tmp_path / "t.csv").write_text(f"{columns}\n{lines}\n")
    data = load(tmp_path / "t.csv", vocabulary_size=60, **options)
    assert set(data.texts["train"]) == {texts} and data.labels == ("2", "10"), "numbers in their order"
    named = load(tmp_path / "t.csv", vocabulary_size=60, labels=["two", "ten"], **options)
    assert named.labels == named.task.labels == ("two", "ten")


def test_without_names_the_column_with_fewer_values_has_the_classes(tmp_path):
    for order in (1, -1):
        rows = [("good film number", "1"), ("bad film", "0"), ("a good one", "1"), ("a bad one", "0")] * 3
        (tmp_path / "t.tsv").write_text("".join("\t".join(row[::order]) + "\n" for row in rows))
        assert load(tmp_path / "t.tsv", vocabulary_size=60).labels == ("0", "1")


def test_missing_splits_have_their_share_of_every_class_and_equal_texts_stay_together(file, tmp_path):
    data = load(file, vocabulary_size=200)
    assert {key: counts.tolist() for key, counts in data.class_counts.items()} == {
        "train": [48, 24],
        "validation": [6, 3],
        "test": [6, 3],
    }
    assert data.class_weights() == {0: pytest.approx(0.75), 1: pytest.approx(1.5)}
    halves = load(file, vocabulary_size=200, validation_fraction=0.5)
    assert (
        halves.class_counts["validation"].tolist() == pytest.approx([30, 15], abs=1)
        and halves.texts["test"] == data.texts["test"]
    )
    assert not set(data.texts["train"]) & set(data.texts["test"])
    (tmp_path / "set").mkdir()
    for name, rows in {"train": [0, 1] * 20, "dev": [1, 0], "test": [-1, -1]}.items():
        lines = "".join(f"text {i},{label}\n" for i, label in enumerate(rows))
        (tmp_path / "set" / f"{name}.csv").write_text(f"text,label\n{lines}")
    data = load(tmp_path / "set", vocabulary_size=60)
    assert data.counts == {"train": 36, "validation": 2, "test": 4}, "a test split without labels counts as missing"


def test_limit_takes_texts_from_everywhere(file):
    data = load(file, vocabulary_size=200, limit=5)
    whole = load(file, vocabulary_size=200)
    assert data.counts == {"train": 5, "validation": 5, "test": 5}
    assert data.texts["train"] == tuple(whole.texts["train"][i] for i in (0, 18, 36, 53, 71))


def test_word_dropout_makes_a_part_of_the_training_words_unknown(file):
    options = dict(length=40, batch_size=8, vocabulary_size=200)
    whole, dropped = load(file, **options), load(file, word_dropout=0.3, **options)
    pairs = list(zip(whole.train.as_numpy_iterator(), dropped.train.as_numpy_iterator()))
    before, after = (
        np.concatenate([np.pad(pair[i][0], [(0, 0), (0, 40 - pair[i][0].shape[1])]) for pair in pairs]) for i in (0, 1)
    )
    is_word = before > 4
    assert np.array_equal(before[~is_word], after[~is_word]), "special tokens stay"
    assert set(after[(before != after)]) == {1}
    assert np.mean((before != after)[is_word]) == pytest.approx(0.3, abs=0.05)
    assert [x.tolist() for x, _ in dropped.test.as_numpy_iterator()] == [
        x.tolist() for x, _ in whole.test.as_numpy_iterator()
    ]


def test_baselines_learn_what_single_words_tell(file):
    found = load(file, vocabulary_size=200).baselines()
    assert set(found) == {"test_accuracy/naive_bayes", "test_accuracy/logistic_regression"}
    assert found["test_accuracy/logistic_regression"] == 1.0


@pytest.mark.parametrize(
    "content, options, message",
    [
        ("text,label\na,1\nb,0\n", {"length": 2}, "length is 2; give 3 or more"),
        ("text,label\na,1\nb,1\n", {}, "only the class '1'; a classifier needs two"),
        ("text,label\na,1\nb,0\n", {}, "no text to the split 'test'; a class needs three"),
        ("x,label\na,1\nb,0\n", {}, "has the columns x, label; say with `text`"),
        ("text,y\na,1\nb,0\n", {}, "has the columns text, y; say with `label`"),
        ("text,label\na,1\nb,0\n", {"text": "body"}, "has no column 'body'; it has text, label"),
        ("text,label\na,1\nb,0\n", {"label": "text"}, "both text and label"),
        ("text,label\n" + "a,1\nb,0\n" * 5, {"labels": ["x"]}, "labels has 1 names, but .* has 2 classes: 0, 1"),
        ("text,label\n" + "a,1\nb,0\n" * 5, {"validation_fraction": 1.5}, "validation_fraction is 1.5"),
    ],
)
def test_errors_name_the_value_and_the_remedy(tmp_path, content, options, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "t.csv", **options)


def test_class_that_train_lacks_is_named(tmp_path):
    (tmp_path / "t.train.csv").write_text("text,label\n" + "a,1\nb,0\n" * 5)
    (tmp_path / "t.dev.csv").write_text("text,label\na,2\n")
    with pytest.raises(ValueError, match="'validation' of .* has the class '2', which train lacks"):
        load(tmp_path / "t")


def test_a_tokenizer_cuts_nothing_once_texts_are_encoded():
    tokenizer = Pieces.trained(["a good film"] * 3, 60, "word_pieces").tokenizer
    ((tokens, is_cut),) = encode(tokenizer, ["film " * 9], 5)
    assert len(tokens) == 5 and is_cut
    assert tokenizer.truncation is None and len(tokenizer.encode("film " * 9).ids) > 9


def test_rows_are_padded_to_a_multiple_and_never_beyond_the_length():
    rows = [np.array([2, 3], "int32"), np.arange(1, 18, dtype="int32")]
    tokens = padded(rows, length=40, padding=9)
    assert tokens.shape == (2, 32) and tokens[0].tolist() == [2, 3] + [9] * 30
    assert padded(rows, length=20).shape == (2, 20) and padded([rows[0][:0]], length=20).shape == (1, 16)


@pytest.mark.data
def test_sets_in_the_data_directory(data_dir):
    data = load("sst2")
    assert data.counts == {"train": 6920, "validation": 872, "test": 1821} and data.labels == ("0", "1")
    assert data.baselines()["test_accuracy/naive_bayes"] == pytest.approx(0.8210, abs=5e-5)
    assert load("ag_news_mini", limit=20).labels == ("0", "1", "2", "3")


def test_words_are_the_most_frequent_ones_in_lower_case(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "A man doesn't walk. The man's here,x\nbig big man,y\n" * 6)
    data = load(tmp_path / "t.csv", tokenizer="words", vocabulary_size=9, length=20)
    known = data.tokenizer.tokenizer.get_vocab()
    assert sorted(known, key=known.get)[5:] == ["big", "man", ".", "a"], "ties by the alphabet"
    assert data.tokenizer.encode("BIG man's doesn't. Ä").tolist() == [5, 1, 1, 7, 8]
