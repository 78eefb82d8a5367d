"""Perplexity of all tokens together, and translations beside those of people."""

import numpy as np
import pytest
from scipy.special import log_softmax

from tfdl.core.batches import PADDING
from tfdl.metrics.text import Perplexity, translation_scores

RNG = np.random.default_rng(0)
BATCHES = [(RNG.integers(0, 5, (b, t)), RNG.normal(size=(b, t, 5)).astype("float32")) for b, t in ((3, 2), (1, 6))]


def test_perplexity_weighs_tokens_alike_over_batches_and_leaves_out_padding():
    metric, nats = Perplexity(), []
    for targets, logits in BATCHES:
        targets[0, 1:] = PADDING
        metric.update_state(targets, logits)
        kept = targets != PADDING
        nats += (-log_softmax(logits, axis=-1)[kept, targets[kept]]).tolist()
    assert len(nats) == 6
    assert float(metric.result()) == pytest.approx(np.exp(np.mean(nats)), rel=1e-5)


def test_perplexity_of_weighted_rows_is_that_of_some_rows():
    (targets, logits), _ = BATCHES
    weighted, part = Perplexity(), Perplexity()
    weighted.update_state(targets, logits, sample_weight=[0, 1, 1])
    part.update_state(targets[1:], logits[1:])
    assert float(weighted.result()) == pytest.approx(float(part.result()), rel=1e-6)


def test_scores_count_what_is_the_same():
    assert translation_scores(["A cat .", "a dog"], ["a cat .", "two dogs"], lowercase=True)["exact_accuracy"] == 0.5
    assert translation_scores(["a b", "a b", "c"], ["a b", "a b", "d"])["exact_accuracy"] == pytest.approx(2 / 3)
    assert translation_scores(["A b"], ["a b"])["exact_accuracy"] == 0
    with pytest.raises(ValueError, match="0 translations of 1 texts"):
        translation_scores([], ["a"])


def test_bleu_is_that_of_papineni(capsys):
    """Brevity penalty and clipped counts by hand: 6, 4, 2, 1 of 7, 6, 5, 4 n-grams, against 8 words."""
    scores = translation_scores(["the cat sat on a mat today"], ["the cat sat on the mat today yes"])
    expected = 100 * np.exp(1 - 8 / 7) * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25
    assert scores["bleu"] == pytest.approx(expected, rel=1e-6)
    assert "tok:13a" in capsys.readouterr().out
