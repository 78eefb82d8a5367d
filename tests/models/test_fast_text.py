"""fastText: the paper's parameters, the mean by hand, no effect of padding, order only through pairs."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.harness import outline
from tfdl.core.outline import parameters
from tfdl.models.text.fast_text import VARIANTS, fast_text
from tfdl.ops.ngrams import hashed_ngrams

TOKENS = np.array([[5, 9, 7, 5, 0, 0], [3, 4, 3, 4, 3, 4]], "int32")


def test_parameters_are_those_of_the_table_and_the_classifier():
    count = parameters(outline(fast_text, "bigrams", num_classes=4))
    assert count == 10 * (100_000 + 250_000) + 4 * 10 + 4


def test_mean_by_hand():
    model = fast_text("nano", num_classes=3)
    table, kernel, bias = model.get_weights()
    buckets, whole = (np.asarray(part) for part in hashed_ngrams(TOKENS, 2, 29))
    for tokens, pairs, mask, logits in zip(TOKENS, buckets, whole, np.asarray(model(TOKENS))):
        rows = np.concatenate([table[tokens[tokens > 0]], table[61 + pairs[mask]]])
        np.testing.assert_allclose(rows.sum(0) / np.sqrt(len(rows)) @ kernel + bias, logits, rtol=1e-4, atol=1e-6)


def test_order_is_seen_through_pairs_alone():
    swapped = TOKENS[1:, [1, 0, 3, 2, 5, 4]]  # 4 3 4 3 4 3
    for longest, alike in ((1, True), (2, False)):
        model = fast_text(dataclasses.replace(VARIANTS["nano"], longest=longest))
        assert np.allclose(model(TOKENS[1:]), model(swapped), atol=1e-6) == alike


def test_left_out_tokens_are_left_out_as_a_whole():
    keras.utils.set_random_seed(0)
    model = fast_text(dataclasses.replace(VARIANTS["nano"], word_dropout=0.5, longest=1))
    layer = model.get_layer("word_dropout")
    x = np.asarray(layer(np.ones((4, 50, 6), "float32"), training=True))
    assert np.all((x == 0).all(-1) | (x == 2).all(-1)) and 0.3 < (x == 0).mean() < 0.7


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="fast_text has no variant 'giant'; it has nano, small_texts, bigrams"):
        fast_text("giant")
