"""Blocks of text: every token is followed by the next, and the order is a function of seed, epoch and step."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import language
from tfdl.data.tokenizers import Bytes

TEXT = "".join(f"{number:03d} " for number in range(250))  # every block of seven characters stands in one place


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text(TEXT)
    return path


def load(file, **options):
    return language.load(str(file), **({"length": 7, "batch_size": 5} | options))


def batches(dataset):
    return [(x.tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()]


def test_target_is_the_token_that_follows(file):
    data = load(file)
    for split in (data.train, data.validation, data.test):
        for tokens, targets in split.as_numpy_iterator():
            assert tokens.dtype == targets.dtype == np.int32 and tokens.shape == targets.shape
            for row, following in zip(tokens, targets):
                text = data.tokenizer.decode(row)
                assert text + data.tokenizer.decode(following[-1:]) in TEXT
                assert len(text) == 7
                np.testing.assert_array_equal(row[1:], following[:-1])


def test_epoch_cuts_the_training_text_without_overlap_and_from_another_place_each_time(file):
    data, firsts = load(file), set()
    for _ in range(4):
        rows = np.concatenate([x for x, _ in data.train.as_numpy_iterator()])
        places = sorted(TEXT.index(data.tokenizer.decode(row)) for row in rows)
        assert np.all(np.diff(places) == 7) and len(places) == data.counts["train"] == 899 // 7 - 1
        firsts.add(places[0])
    assert len(firsts) > 1 and firsts <= set(range(7))


def test_order_is_a_function_of_seed_epoch_and_step(file):
    whole = load(file)
    epochs = [batches(whole.train) for _ in range(3)]
    assert epochs[0] != epochs[1]
    position = tf.Variable((2, 4), dtype=tf.int64)
    assert batches(load(file, position=position).train) == epochs[2][4:]
    assert batches(load(file, seed=1).train) != epochs[0]
    assert batches(load(file).train) == epochs[0]


def test_file_is_cut_in_three_parts_one_after_the_other(file):
    data = load(file, length=10)
    assert data.counts == {"train": 88, "validation": 4, "test": 4}
    ((first, _), *_) = data.validation.as_numpy_iterator()
    assert data.tokenizer.decode(first[0]) == TEXT[900:910]
    assert data.short_name == "poem"


def test_folder_gives_all_its_texts_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b.txt").write_text("b" * 300)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.md").write_text("a" * 300)
    (tmp_path / "c.png").write_text("no text")
    data = load(tmp_path, length=5)
    assert data.tokenizer.vocabulary == ("\n", "a", "b")


def test_tokenizer_of_ones_own_and_bytes(file):
    assert load(file, tokenizer="bytes").tokenizer == Bytes()
    mine = Bytes()
    assert load(file, tokenizer=mine).tokenizer is mine


@pytest.mark.parametrize(
    "options, message",
    [
        ({"length": 0}, "length is 0; give 1 or more tokens"),
        ({"length": 60}, "The validation text of .* has 50 tokens, too few for blocks of 60"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"tokenizer": "words"}, "tokenizer is 'words'; choose characters or bytes"),
        ({"limit": 0}, "limit is 0"),
    ],
)
def test_values_out_of_range_are_refused(file, options, message):
    with pytest.raises(ValueError, match=message):
        load(file, **options)


def test_what_is_no_text_is_said(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Österreich".encode("latin-1") * 100)
    with pytest.raises(ValueError, match=r"latin.txt is no UTF-8 text \(byte 0\)"):
        load(tmp_path / "latin.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no text file"):
        load(tmp_path / "empty")
    with pytest.raises(ValueError, match="There is no set 'shakespear'"):
        load("shakespear")


@pytest.mark.data
def test_tiny_shakespeare_has_the_known_numbers_of_characters():
    data = language.load("tiny_shakespeare", length=64, batch_size=12)
    assert len(data.tokenizer) == 65
    assert data.counts == {"train": 1_003_853 // 64 - 1, "validation": 55_769 // 64, "test": 55_769 // 64}
