"""The speed tool of writing: small comparisons for real, with the number of tokens that it says."""

from dataclasses import replace

import numpy as np
import pytest

from tfdl.models.text import gpt
from tools import bench_generate

SMALL = replace(gpt.VARIANTS["gpt2"], vocabulary_size=50, context=64, width=24, depth=1, heads=2)


@pytest.fixture
def calls(monkeypatch):
    """What the calls gave that the tool would have timed."""
    given = []

    def paired(ours, theirs, setting, without=None):
        given.extend(call() for call in (ours, theirs, *(without or ())))
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(bench_generate, "paired", paired)
    return given


@pytest.mark.parametrize(
    "against, batch, part", [("keras_hub", 2, "both"), ("litert", 1, "decode"), ("keras_hub", 1, "prefill")]
)
def test_ours_and_keras_hub_write_as_many_tokens(against, batch, part, calls):
    prompt, new = bench_generate.PARTS[part]
    row = bench_generate.compared(SMALL, against, batch, part, bench_generate.Setting(0))
    ours, theirs, *without = calls
    assert [len(tokens) for tokens in ours] == [new] * batch
    assert np.shape(theirs["token_ids"]) == (batch, prompt + new)
    if part == "decode":  # what is taken off: a token of ours, and as many places of keras-hub's
        assert [len(tokens) for tokens in without[0]] == [1] * batch
        assert np.shape(without[1]["token_ids"]) == (batch, prompt + new)
        assert np.all(without[1]["padding_mask"] == theirs["padding_mask"])
    else:
        assert not without
    assert (row["ratio"], row["batch"], row["part"], row["tokens"]) == (2.0, batch, part, new)
    assert "below" not in bench_generate.line(row) and "below 3" in bench_generate.line(row | {"target": 3})


def test_lengths_are_compared_by_the_token(calls, monkeypatch):
    monkeypatch.setattr(bench_generate, "SHORT", 3)
    monkeypatch.setattr(bench_generate, "LONG", 12)
    row = bench_generate.compared_lengths(SMALL, "length", 2, "each token", bench_generate.Setting(0))
    assert [[len(tokens) for tokens in texts] for texts in calls] == [[12, 12], [3, 3]]
    assert row["ratio"] == 2 * 12 / 3 and row["tokens"] == 12


def test_memory_is_that_of_a_process():
    assert 100 < bench_generate.memory_of(SMALL, 2) < 20_000
