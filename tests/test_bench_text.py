"""The speed tool of text models: one small comparison for real, and rows that say what they measured."""

import pytest

from tools import bench_text


@pytest.mark.parametrize("model, against", [("lstm", "keras"), ("bert_base", "keras_hub"), ("gpt2", "float32")])
def test_ours_and_theirs_take_steps_of_the_same_network(monkeypatch, model, against):
    losses = []

    def paired(ours, theirs, setting):
        losses.append((ours(), theirs()))
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(bench_text, "paired", paired)
    small = bench_text.Size(width=24, depth=1, heads=2)
    row = bench_text.compared(model, bench_text.MODELS[model], against, small, bench_text.Setting(0))
    assert (row["ratio"], row["low"], row["high"], row["pairs"]) == (2.0, 1.5, 2.5, 3)
    assert (row["batch"], row["length"]) == (4, 128)
    ((ours, theirs),) = losses  # untrained networks of the same kind know equally little
    assert ours == pytest.approx(theirs, rel=0.2)
    assert "below" not in bench_text.line(row) and "below 3" in bench_text.line(row | {"target": 3})


@pytest.mark.parametrize("name", ["load_labels", "load_masks"])
def test_loaders_give_the_same_texts(monkeypatch, name):
    monkeypatch.setattr(bench_text, "REPEATED", 1)
    monkeypatch.setattr(bench_text, "paired", lambda ours, theirs, setting: [2.0])
    small, setting = bench_text.Size(), bench_text.Setting(0)
    row = bench_text.loaded(name, bench_text.MODELS[name], "keras_hub", small, setting)
    assert (row["batch"], row["length"], row["target"], row["ratio"]) == (32, 64, 1.0, 2.0)
