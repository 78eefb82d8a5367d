"""The speed tool of speculative decoding: a small comparison for real."""

import numpy as np

from tests.models.language_models import moved
from tools import bench_speculative


def test_both_ways_write_the_same_texts(monkeypatch):
    monkeypatch.setattr(bench_speculative, "NEW", 5)
    calls = []

    def paired(ours, theirs, setting):
        calls.append((ours(), theirs()))
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(bench_speculative, "paired", paired)
    model = moved("gpt")
    prompts = [np.array([3, 4]), np.array([5])]
    row = bench_speculative.compared(model, model, prompts, 2, bench_speculative.Setting(0))
    assert row["same_texts"] == row["texts"] == 2 and row["accepted"] == 1 and row["ratio"] == 2
    assert [len(answer.tokens[0]) for way in calls[0] for answer in way] == [5] * 4
    assert calls[0][0][0].accepted is not None and calls[0][1][0].accepted is None  # ours is the speculative way
    assert "2 of 2 texts the same" in bench_speculative.line(row)
    assert "below 3" in bench_speculative.line(row | {"target": 3})
