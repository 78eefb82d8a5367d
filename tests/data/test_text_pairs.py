"""Pairs of texts: what stands in a batch, nothing lost, and an order that can be entered anywhere."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.batches import check
from tfdl.data.text_pairs import MULTIPLE, load, read, reversals
from tfdl.data.tokenizers import Words

WORDS = ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]


def sentence(rng):
    return " ".join(rng.choice(WORDS, rng.integers(1, 9)))


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"de": sentence(rng), "en": f"{sentence(rng).upper()} {i}."} for i in range(150)]
    rows[0]["de"], rows[8]["en"], rows[1]["de"] = "", "   ", "ein " * 20
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def opened(file, **options):
    return load(file, **{"source": "de", "target": "en", "tokenizer": "words", "length": 15, "batch_size": 7} | options)


def rows_of(dataset):
    """Every pair of an epoch, without padding: (source, target_in, target_out)."""
    found = []
    for x, y in dataset.as_numpy_iterator():
        for source, before, after in zip(x["source"], x["target_in"], y):
            found.append((source[source > 0].tolist(), before[before > 0].tolist(), after[after >= 0].tolist()))
    return found


def batches(dataset):
    return [(x["source"].tolist(), x["target_in"].tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()]


def test_batches_keep_the_contract_and_have_few_shapes(file):
    data = opened(file)
    for dataset in (data.train, data.validation, data.test):
        for x, y in dataset:
            check("sequence_to_sequence", x, y)
            assert x["source"].shape[1] % MULTIPLE == y.shape[1] % MULTIPLE == 0
            assert np.array_equal(x["target_in"] == 0, np.array(y) == -1), "padded at the same places"
            assert (np.array(y)[:, -MULTIPLE:] >= 0).any() and (np.array(x["source"])[:, -MULTIPLE:] > 0).any()
    assert data.train.element_spec[0]["source"].shape.as_list() == [None, None]
    assert len(data.train) == -(-data.counts["train"] // 7)


def test_every_pair_is_there_once_with_what_follows_each_word(file):
    data = opened(file)
    tokenizer = data.source_tokenizer
    assert tokenizer is data.target_tokenizer and tokenizer.special["end"] == 3
    for split in ("train", "validation", "test"):
        expected = [
            ([*tokenizer.encode(source), 3], [2, *tokenizer.encode(target)], [*tokenizer.encode(target), 3])
            for source, target in zip(*data.texts(split), strict=True)
        ]
        found = rows_of(getattr(data, split))
        assert len(found) == data.counts[split]
        # Held-out pairs come in the order of their texts, so that answers can be compared with these.
        assert (sorted(found) == sorted(expected)) if split == "train" else (found == expected)
        assert data.tokens[split] == sum(len(row[2]) for row in found)


def test_pairs_that_are_left_out_are_counted(file):
    data = opened(file)
    assert (
        data.note
        == "left out: train: 1 with an empty side and 1 of more than 15 tokens; validation: 1 with an empty side"
    )
    assert data.counts == {"train": 118, "validation": 14, "test": 15}
    longest = opened(file, length=21)
    assert longest.counts["train"] == 119 and max(len(source) for source, *_ in rows_of(longest.train)) == 21
    with pytest.raises(
        ValueError, match="No pair of the split 'train' of .* more than 1 tokens.; give a longer length"
    ):
        opened(file, length=1)


def test_pairs_of_just_the_length_are_kept(tmp_path):
    """The end of a text counts, the start token of a target does not."""
    rows = [("ein " * source, "zwei " * target) for source, target in ((14, 14), (15, 1), (1, 15))]
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join(json.dumps({"de": de, "en": en}) for de, en in rows for _ in range(10)))
    data = opened(path)
    assert data.counts["train"] == 8 and "train: 16 of more than 15 tokens" in data.note
    (x, y) = next(iter(data.train))
    assert x["source"].shape[1] == x["target_in"].shape[1] == y.shape[1] == 16 and (y.numpy() >= 0).sum(1).max() == 15


def test_batches_hold_pairs_of_similar_lengths(file):
    rows = rows_of(opened(file).train)
    for side, gain in ((0, 0.04), (2, 0.2)):  # targets first; sources among targets of the same length
        lengths = np.array([len(row[side]) for row in rows])

        def filled(lengths):
            """The share of a batch that is no padding, were it padded to its longest row."""
            full = lengths[: len(lengths) // 7 * 7].reshape(-1, 7)
            return (full.mean(1) / full.max(1)).mean()

        assert filled(lengths) > filled(np.random.default_rng(0).permutation(lengths)) + gain


def test_order_is_a_function_of_seed_epoch_and_step(file):
    first, other = opened(file), opened(file, seed=1)
    epochs = [batches(first.train) for _ in range(2)]
    assert len({str(epoch) for epoch in [*epochs, batches(other.train)]}) == 3
    position = tf.Variable((1, 3), dtype=tf.int64)
    assert batches(opened(file, position=position).train) == epochs[1][3:]


def test_tokenizers_of_each_kind_give_the_texts_back(file):
    for kind in ("words", "byte_pairs", "word_pieces"):
        data = opened(file, tokenizer=kind, vocabulary_size=300, length=40, shared=kind == "words")
        assert (data.source_tokenizer is data.target_tokenizer) == (kind == "words")
        x, y = next(data.test.as_numpy_iterator())
        text = data.target_tokenizer.decode(y[0][y[0] >= 0])
        expected = data.texts("test")[1][0]
        known = [word for word in expected.lower().split() if word in WORDS and "ü" not in word]
        assert known and all(word in text.lower() for word in known)
        assert kind != "byte_pairs" or text == expected
        source = data.texts("test")[0][0]
        without = source.replace("ü", "u") if kind == "word_pieces" else source  # BERT's have no accents
        assert data.source_tokenizer.decode(x["source"][0]) == without
    assert data.tokens_per_word("test") > opened(file).tokens_per_word("test") == pytest.approx(1.0)


def test_words_are_split_from_signs_and_counted_in_lower_case():
    words = Words.of(["A T-shirt, a man's.", "a man"])
    assert words.words == ("a", "man")
    assert words.encode("The man, A").tolist() == [1, 5, 1, 4] and len(words) == 6
    every = Words.of(["A T-shirt, a man's."], least=1)
    assert every.decode([2, *every.encode("A T-shirt, a man's."), 3, 0]) == "a t-shirt , a man's ."
    assert words.decode([1, 5]) == "\ufffd man"


def test_reversals_are_different_strings_from_behind():
    splits = reversals(count=50, held_out=9)
    sources = [text for source, _ in splits.values() for text in source]
    assert len(set(sources)) == len(sources) == 68 and {len(text.split()) for text in sources} == {8}
    assert all(target.split() == source.split()[::-1] for pair in splits.values() for source, target in zip(*pair))
    data = load("reverse", limit=5, tokenizer="words")
    assert data.counts == {"train": 5, "validation": 5, "test": 5} and len(data.source_tokenizer) == 14


def test_splits_and_columns_by_number(tmp_path):
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        rows = [f"the cat {i}\tdie Katze {i}" for i in range(count)]
        (tmp_path / f"talk.{split}.tsv").write_text("\n".join(rows), encoding="utf-8")
    data = load(tmp_path / "talk", source="1", target="0", tokenizer="words")
    assert data.counts == {"train": 6, "validation": 2, "test": 3} and data.note == ""
    assert data.texts("train")[0][0] == "die Katze 0" and data.texts("train")[1][0] == "the cat 0"


def test_errors_name_the_value_and_the_remedy(file):
    with pytest.raises(ValueError, match="no column 'fr'; it has 'de', 'en'"):
        opened(file, target="fr")
    with pytest.raises(ValueError, match="length is 0; give 1 or more"):
        opened(file, length=0)
    with pytest.raises(ValueError, match="tokenizer is 'letters'; choose words, byte_pairs, word_pieces"):
        opened(file, tokenizer="letters")


@pytest.mark.data
def test_multi30k_has_its_counts(data_dir):
    splits = read("multi30k_en_de", "1", "0")
    assert {key: len(sources) for key, (sources, _) in splits.items()} == {
        "train": 29_000,
        "validation": 1_014,
        "test": 1_000,
    }
    assert splits["train"][0][0] == "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."
