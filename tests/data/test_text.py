"""Text in blocks: each with what follows, every character once, and an order that can be entered anywhere."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.batches import check
from tfdl.data import text
from tfdl.data.text import end_to_end, load
from tfdl.data.tokenizers import Bytes

LENGTH = 7


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("".join(chr(0x4E00 + i) for i in range(800)) + "bc" * 200, encoding="utf-8")  # 1,200 characters
    return path


def blocks(dataset):
    return [(x.tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()]


def flat(dataset):
    """All tokens of an epoch, padding left out, and what follows each."""
    pairs = [(x, y) for x, y in dataset.as_numpy_iterator()]
    x, y = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    return x[: np.sum(y >= 0)], y[y >= 0]


def test_batches_keep_the_contract_of_language_models(file):
    data = load(file, length=LENGTH, batch_size=5)
    for dataset in (data.train, data.validation, data.test):
        assert dataset.element_spec[0].shape.as_list() == [None, LENGTH]
        for x, y in dataset:
            check("language_model", x, y)
            assert int(tf.reduce_max(x)) < len(data.tokenizer)


def test_training_blocks_are_followed_by_the_next_characters_and_come_from_every_stretch(file):
    data = load(file, length=LENGTH, batch_size=5)
    tokens, starts = data.splits["train"], []
    for x, y in data.train.as_numpy_iterator():
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
        starts += (x[:, 0] - 2 - 2).tolist()  # "b" and "c" come before the 800, each of which is there once
        for row, following in zip(x, y[:, -1]):
            place = np.flatnonzero(tokens == row[0])[0] if row[0] > 3 else None
            assert place is None or tokens[place + LENGTH] == following
    seen = np.array([start for start in starts if 0 <= start < 700]) // LENGTH
    assert sorted(seen) == list(range(100)), "one block for each stretch of seven"
    assert len(starts) == data.counts["train"] == 960 // LENGTH - 1


def test_places_and_order_change_from_epoch_to_epoch_and_with_the_seed(file):
    options = dict(length=LENGTH, batch_size=5)
    first, again, other = load(file, **options), load(file, **options), load(file, seed=1, **options)
    epochs = [blocks(first.train) for _ in range(2)]
    assert epochs == [blocks(again.train) for _ in range(2)]
    assert len({str(epoch) for epoch in [*epochs, blocks(other.train)]}) == 3
    places = [{row[0] % LENGTH for x, _ in epoch for row in x} for epoch in epochs]
    assert all(len(found) == LENGTH for found in places)


def test_any_step_of_any_epoch_can_be_entered(file):
    options = dict(length=LENGTH, batch_size=50)
    walked = load(file, **options)
    epochs = [blocks(walked.train) for _ in range(3)]
    position = tf.Variable((2, 1), dtype=tf.int64)
    assert blocks(load(file, position=position, **options).train) == epochs[2][1:]


def test_held_out_text_is_predicted_once_from_end_to_end(file):
    data = load(file, length=LENGTH, batch_size=5)
    for name in ("validation", "test"):
        tokens = data.splits[name]
        x, y = flat(getattr(data, name))
        np.testing.assert_array_equal(x, tokens[:-1])
        np.testing.assert_array_equal(y, tokens[1:])


def test_limit_takes_the_first_whole_blocks(file):
    every, some = (load(file, length=LENGTH, batch_size=100, limit=limit) for limit in (None, 4))
    assert some.counts == {"train": 4, "validation": 4, "test": 4}
    for name in ("validation", "test"):
        for whole, part in zip(blocks(getattr(every, name))[0], blocks(getattr(some, name))[0]):
            assert part == whole[:4], "nothing is padded, as the text goes on"


@pytest.mark.parametrize("count", [15, 14, 9, 8])
def test_last_block_is_padded(count):
    numbers = tf.range(-(-(count - 1) // LENGTH), dtype=tf.int64)
    x, y = (tensor.numpy() for tensor in end_to_end(np.arange(count), LENGTH, filler=99)(numbers))
    assert x.shape == y.shape == (-(-(count - 1) // LENGTH), LENGTH)
    np.testing.assert_array_equal(x[x != 99], np.arange(count - 1))
    np.testing.assert_array_equal(y[y != -1], np.arange(1, count))
    assert np.array_equal(x == 99, y == -1)


def test_tokenizer_of_ones_own_and_bytes(file):
    data = load(file, length=8, batch_size=5, tokenizer="bytes")
    assert data.tokenizer == Bytes() and len(data.splits["validation"]) == len("bc" * 60)
    assert load(file, length=LENGTH, tokenizer=data.tokenizer).tokenizer is data.tokenizer
    x, y = (np.concatenate([pair[i] for pair in data.test.as_numpy_iterator()]) for i in (0, 1))
    assert np.array_equal(x[0, 1:], y[0, :-1]) and y[-1, -1] == -1, "byte 0 is a byte and no padding"
    with pytest.raises(ValueError, match="tokenizer is 'words'; choose characters or bytes"):
        load(file, tokenizer="words")


def test_folder_is_its_files_in_order(tmp_path):
    for name, content in (("b.txt", "B" * 50), ("a/c.txt", "A" * 50), ("note.md", "X" * 50)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    data = load(tmp_path, length=2)
    joined = "".join(data.tokenizer.decode(tokens) for tokens in data.splits.values())
    assert joined == "A" * 50 + "\n" + "B" * 50
    assert {key: len(tokens) for key, tokens in data.splits.items()} == {"train": 81, "validation": 10, "test": 10}


def test_line_ends_and_byte_order_marks_are_one_and_none(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + b"ab\r\n" * 40)
    assert set(load(tmp_path / "t.txt", length=2).tokenizer.characters) == {"a", "b", "\n"}


def test_bigram_is_the_entropy_of_a_chain_of_pairs(tmp_path):
    rng = np.random.default_rng(0)
    chain = "".join("ab"[i] for i in np.cumsum(rng.random(60_000) < 0.1) % 2)  # it changes one time in ten
    (tmp_path / "t.txt").write_text(chain)
    expected = -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    assert load(tmp_path / "t.txt", length=9).bigram_nats("test") == pytest.approx(expected, abs=0.02)


def test_bigram_of_a_pair_that_training_does_not_have(tmp_path):
    """By hand: "a" is followed 40 times by "b", never by itself; two characters share what the smoothing adds."""
    (tmp_path / "t.txt").write_text("ab" * 40 + "a" * 20)
    expected = -np.log(text.SMOOTHING / (40 + 2 * text.SMOOTHING))
    assert load(tmp_path / "t.txt", length=2).bigram_nats("validation") == pytest.approx(expected)


def test_text_that_comes_with_a_package_needs_no_data():
    data = load("descriptions", length=20, limit=4)
    assert data.counts == {"train": 4, "validation": 4, "test": 4}
    assert "the" in text.descriptions() and data.short_name == "descriptions"


@pytest.mark.data
def test_tiny_shakespeare_has_its_splits_and_its_bigram_entropy(data_dir):
    data = load("tiny_shakespeare")
    sizes = {key: len(tokens) for key, tokens in data.splits.items()}
    assert sizes == {"train": 1_003_854, "validation": 55_770, "test": 55_770}
    assert len(data.tokenizer.characters) == 65 and data.tokenizer.decode(data.splits["train"][:14]) == "First Citizen:"
    assert data.bigram_nats("validation") == pytest.approx(2.473, abs=5e-4)
    assert data.bigram_nats("test") == pytest.approx(2.495, abs=5e-4)


@pytest.mark.data
def test_set_without_text_is_refused(data_dir):
    with pytest.raises(ValueError, match="'mnist' has the features image, label .* needs a feature 'text'"):
        load("mnist")


def test_errors_name_the_value_and_the_remedy(file, tmp_path):
    with pytest.raises(ValueError, match="length is 0; give 1 or more"):
        load(file, length=0)
    with pytest.raises(ValueError, match="'validation' of .* has 120 tokens, too few for blocks of 100"):
        load(file, length=100)
    with pytest.raises(FileNotFoundError, match="There is no text file .*absent.txt; give a file, a folder"):
        load(tmp_path / "absent.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no files \*.txt in .*empty"):
        load(tmp_path / "empty")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 ")
    with pytest.raises(ValueError, match="latin.txt is no UTF-8 text .byte 3.; convert it"):
        load(tmp_path / "latin.txt")
