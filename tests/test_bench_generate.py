"""The speed tool of writing: one small comparison for real, with the number of tokens that it says."""

from dataclasses import replace

import numpy as np
import pytest

from tfdl.models.text import gpt
from tools import bench_generate

SMALL = replace(gpt.VARIANTS["gpt2"], vocabulary_size=50, context=64, width=24, depth=1, heads=2)


@pytest.mark.parametrize("against, batch, part", [("keras_hub", 2, "both"), ("litert", 1, "decode")])
def test_ours_and_keras_hub_write_as_many_tokens(against, batch, part, monkeypatch):
    written, (prompt, new) = [], bench_generate.PARTS[part]

    def paired(ours, theirs, setting):
        written.append((ours(), theirs()))
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(bench_generate, "paired", paired)
    row = bench_generate.compared(SMALL, against, batch, part, bench_generate.Setting(0))
    ((ours, theirs),) = written
    assert [len(tokens) for tokens in ours] == [new] * batch
    assert np.shape(theirs["token_ids"]) == (batch, prompt + new)
    assert (row["ratio"], row["batch"], row["part"], row["tokens"]) == (2.0, batch, part, new)
    assert "below" not in bench_generate.line(row) and "below 3" in bench_generate.line(row | {"target": 3})
