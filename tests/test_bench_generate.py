"""The speed tool of writing: one small comparison for real, with the number of tokens that it says."""

from dataclasses import replace

import numpy as np

from tfdl.models.text import gpt
from tools import bench_generate


def test_ours_and_keras_hub_write_as_many_tokens(monkeypatch):
    written = []

    def paired(ours, theirs, setting):
        written.append((ours(), theirs()))
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(bench_generate, "paired", paired)
    small = replace(gpt.VARIANTS["gpt2"], vocabulary_size=50, context=64, width=24, depth=1, heads=2)
    row = bench_generate.compared(small, "keras_hub", 2, bench_generate.Setting(0))
    ((ours, theirs),) = written
    assert [len(tokens) for tokens in ours] == [bench_generate.NEW] * 2
    assert np.shape(theirs["token_ids"]) == (2, bench_generate.PROMPT + bench_generate.NEW)
    assert (row["ratio"], row["batch"], row["tokens"]) == (2.0, 2, 32)
    assert "below" not in bench_generate.line(row) and "below 3" in bench_generate.line(row | {"target": 3})
