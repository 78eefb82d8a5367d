"""Damaged text: how much is damaged and where is a matter of chance with known odds, and nothing is lost."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.masking import (
    corrupt_spans,
    ends_of_parts,
    infill,
    mask_tokens,
    permute_sentences,
    share,
    surround,
)

VOCABULARY, PAD, START, END, MASK = 500, 0, 1, 2, 3
ORDINARY = np.arange(VOCABULARY) > MASK
SENTINEL = VOCABULARY + 99
SEED, OTHER = np.array([3, 5]), np.array([3, 6])


def rows(count, length, shortest=None, seed=0):
    """Rows of random words; with `shortest` of many lengths, padded."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(4, VOCABULARY, (count, length)).astype("int32")
    lengths = rng.integers(shortest or length, length + 1, count)
    return np.where(np.arange(length) < lengths[:, None], tokens, PAD)


def within(count, trials, probability, sigmas=3.5):
    """Whether a count of successes is what a probability makes of so many trials."""
    return abs(count - trials * probability) <= sigmas * math.sqrt(trials * probability * (1 - probability)) + 1e-9


def masked(tokens):
    inputs, targets = mask_tokens(tokens, SEED, mask=MASK, ordinary=ORDINARY)
    return inputs.numpy(), targets.numpy()


def test_masks_replacements_and_kept_tokens_have_the_papers_shares():
    tokens = surround(rows(400, 60, shortest=20), start=START, end=END, padding=PAD).numpy()
    inputs, targets = masked(tokens)
    hidden, ordinary = targets >= 0, tokens > MASK
    np.testing.assert_array_equal(targets[hidden], tokens[hidden])
    np.testing.assert_array_equal(inputs[~hidden], tokens[~hidden])
    assert not np.any(hidden & ~ordinary), "neither special tokens nor padding are predicted"
    np.testing.assert_array_equal(hidden.sum(1), np.round(0.15 * ordinary.sum(1)))
    total, shown = hidden.sum(), inputs[hidden]
    assert within(np.sum(shown == MASK), total, 0.8)
    assert within(np.sum(shown == tokens[hidden]), total, 0.1 + 0.1 / (VOCABULARY - 4))
    assert set(shown[shown != MASK]) <= set(range(4, VOCABULARY)), "no special token is put in"


def test_every_place_is_masked_as_often():
    tokens = rows(3000, 20)
    _, targets = masked(tokens)
    assert all(within(hits, 3000, 3 / 20) for hits in np.sum(targets >= 0, axis=0))


def test_row_of_few_tokens_has_one_to_predict_and_an_empty_one_none():
    tokens = np.array([[START, 7, END, PAD], [START, END, PAD, PAD]], "int32")
    _, targets = masked(tokens)
    np.testing.assert_array_equal(targets, [[-1, 7, -1, -1], [-1, -1, -1, -1]])


def spans(tokens, **options):
    source, target = corrupt_spans(tokens, SEED, padding=PAD, sentinel=SENTINEL, **options)
    return source.numpy(), target.numpy()


def restored(source, target):
    """The text of a row, with what stands behind each sentinel of the target in that sentinel's place."""
    found, sentinel = {}, None
    for token in target[target != PAD].tolist():
        if token > VOCABULARY:
            assert token not in found
            sentinel, found[token] = token, []
        else:
            found[sentinel].append(token)
    last = sentinel
    assert found[last] == [], "one more sentinel ends the target"
    return [word for token in source[source != PAD].tolist() for word in found.get(token, [token])]


@pytest.mark.parametrize("shortest", [64, 1])
def test_text_is_restored_from_source_and_spans(shortest):
    tokens = rows(50, 64, shortest=shortest)
    source, target = spans(tokens)
    assert source.shape == (50, 64 - 10 + 3) and target.shape == (50, 10 + 3 + 1)
    for row, left, right in zip(tokens, source, target):
        assert restored(left, right) == row[row != PAD].tolist()
        sentinels = left[left > VOCABULARY]
        np.testing.assert_array_equal(sentinels, SENTINEL - np.arange(len(sentinels)))
        places = np.flatnonzero(left > VOCABULARY)
        assert np.all(np.diff(places) > 1), "at least one token is left between two spans"


def test_shares_and_lengths_of_spans_are_the_papers():
    source, target = spans(rows(40, 400))
    lost, sentinels = (target < VOCABULARY) & (target != PAD), (source > VOCABULARY).sum(1)
    assert np.all(lost.sum(1) == 60) and np.all(sentinels == 20), "15 %, of mean length 3"


def test_all_ways_to_cut_are_equally_likely():
    ends = ends_of_parts(tf.fill([6000], 4), tf.fill([6000], 2), 5, SEED).numpy()
    assert np.all(ends[:, 1:] == 4)
    assert all(within(np.sum(ends[:, 0] == first), 6000, 1 / 3) for first in (1, 2, 3))


def test_figure_2_by_hand():
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", "."]
    tokens = 10 + np.arange(len(words), dtype="int32")[None]
    source, target = spans(tokens, rate=3 / 11, mean=1.5)  # three words in two spans
    text = [*words, "X", "Y", "Z"]
    number = {SENTINEL - i: 11 + i for i in range(3)}
    left, right = ([text[number.get(t, t - 10)] for t in row[0].tolist()] for row in (source, target))
    assert len(left) == 11 - 3 + 2 and right[0] == "X" and right[-1] == "Z" and "Y" in right[2:4]
    gap = left.index("X")
    assert words[gap : gap + right.index("Y") - 1] == right[1 : right.index("Y")]


def test_rows_too_short_for_a_span_are_refused():
    with pytest.raises(ValueError, match="Rows have 2 tokens; .* give rows of 3 or more"):
        spans(rows(2, 2))


def infilled(tokens):
    return infill(tokens, SEED, mask=MASK, padding=PAD).numpy()


def test_infilling_covers_three_tenths_by_poisson_spans():
    count, length = 60, 400
    tokens = np.tile(np.arange(4, 4 + length, dtype="int32"), (count, 1))  # each token says where it stood
    source = infilled(tokens)
    assert source.shape == tokens.shape
    lengths = []
    for row in source:
        row = row[row != PAD]
        words = row[row != MASK]
        assert len(words) == length - 120 and np.all(np.diff(words) > 0)
        bounds = np.concatenate([[3], words, [4 + length]])
        missing = np.diff(bounds) - 1
        masks = np.bincount(np.cumsum(row != MASK)[row == MASK], minlength=len(missing))
        assert np.all(masks[missing > 0] > 0), "every span has its mask"
        lengths += missing[masks == 1].tolist()
    total = np.sum(source == MASK)
    assert abs(total / count - 40.5) < 3.5 * math.sqrt(120 / 9 / count) + 0.5, "120 tokens in spans of mean length 3"
    assert within(np.sum(np.array(lengths) == 0), len(lengths), math.exp(-3), sigmas=4)
    assert within(np.sum(np.array(lengths) == 3), len(lengths), math.exp(-3) * 27 / 6, sigmas=4)


def test_infilled_rows_of_any_length_keep_their_order_and_are_not_longer():
    tokens = rows(300, 24, shortest=1)
    for row, left in zip(tokens, infilled(tokens)):
        row, left = row[row != PAD].tolist(), left[left != PAD].tolist()
        words = iter(row)
        assert all(token in words for token in left if token != MASK), "a part of the text, in order"
        assert len(left) <= len(row) and left.count(MASK) >= 1
        assert len(row) - sum(token != MASK for token in left) == max(1, round(0.3 * len(row)))


def test_infilling_reaches_both_ends_of_a_row():
    """10 tokens lose 3, so that one span begins at 8 places, all of them as likely."""
    source = infilled(np.tile(np.arange(4, 14, dtype="int32"), (2000, 1)))
    for end in (4, 13):
        assert 0.1 < np.mean(~np.any(source == end, axis=1)) < 0.3


def test_sentences_are_whole_and_every_order_is_as_likely():
    stops = np.arange(VOCABULARY) == 9
    row = np.array([[11, 12, 9, 21, 9, 31, 32, PAD, PAD]], "int32")
    tokens = np.repeat(row, 3000, axis=0)
    mixed = permute_sentences(tokens, SEED, stops=stops, padding=PAD).numpy()
    sentences = [[11, 12, 9], [21, 9], [31, 32]]
    orders = {(*a, *b, *c, PAD, PAD) for a, b, c in itertools.permutations(sentences)}
    found, hits = np.unique(mixed, axis=0, return_counts=True)
    assert {tuple(order) for order in found.tolist()} == orders
    assert all(within(hit, 3000, 1 / 6) for hit in hits)


def test_start_and_end_stand_around_what_is_there():
    tokens = np.array([[5, 6, 7], [5, PAD, PAD]], "int32")
    around = surround(tokens, start=START, end=END, padding=PAD)
    np.testing.assert_array_equal(around, [[1, 5, 6, 7, 2], [1, 5, 2, 0, 0]])


@pytest.mark.parametrize("n, expected", [(0, 0), (1, 1), (3, 1), (10, 3), (64, 19)])
def test_share_is_rounded_and_at_least_one(n, expected):
    assert int(share(0.3, n)) == expected


DAMAGE = {
    "mask_tokens": lambda tokens, seed: mask_tokens(tokens, seed, mask=MASK, ordinary=ORDINARY),
    "corrupt_spans": lambda tokens, seed: corrupt_spans(tokens, seed, padding=PAD, sentinel=SENTINEL),
    "infill": lambda tokens, seed: infill(tokens, seed, mask=MASK, padding=PAD),
    "permute_sentences": lambda tokens, seed: permute_sentences(tokens, seed, stops=ORDINARY, padding=PAD),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_depends_on_the_seed_alone_in_a_pipeline_as_outside(name):
    tokens, damage = rows(5, 30, shortest=12), DAMAGE[name]
    pipeline = tf.data.Dataset.from_tensors((tokens, SEED)).map(damage)
    inside = tf.nest.flatten(next(iter(pipeline)))
    for again, first, other in zip(inside, *(tf.nest.flatten(damage(tokens, seed)) for seed in (SEED, OTHER))):
        np.testing.assert_array_equal(again, first)
        assert again.shape[1] is not None and np.any(first != other)
    assert all(spec.shape[1] is not None for spec in tf.nest.flatten(pipeline.element_spec))
