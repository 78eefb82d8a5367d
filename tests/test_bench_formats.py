"""The tool that compares a language model's files: what it says of a small one's."""

import math

import numpy as np
import pytest

import tfdl
from tests.commands.test_generate import LETTERS
from tests.models.language_models import moved
from tfdl.core.task import Task
from tfdl.data import text, tokenizers
from tools import bench_formats


def test_each_file_reads_the_same_text(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_formats, "paired", lambda ours, theirs, setting: [2.0, 1.0, 3.0])
    model, folder = moved("gpt"), tmp_path / "export"
    task = Task(kind="text_generation", tokenizer="tokenizer.json", length=16)
    forms = {name: bench_formats.FORMS[name] for name in ("tflite", "tflite_dynamic")}
    sizes = {"chunk": 16, "cache_length": 16}
    tfdl.export_model(
        model, folder, formats=tuple(forms), task=task, tokenizer=LETTERS.tokenizer, sizes=sizes, progress=None
    )
    whole, small = bench_formats.measured(folder, forms, "descriptions", 3, bench_formats.Setting(0))

    data = text.load("descriptions", length=16, batch_size=8, tokenizer=tokenizers.Pieces(LETTERS.tokenizer), limit=3)
    tokens, following = (np.concatenate(parts) for parts in zip(*data.test.as_numpy_iterator()))
    p = np.exp(np.array(model(tokens), "float64"))
    right = np.take_along_axis(p / p.sum(-1, keepdims=True), following[..., None], -1)
    assert whole["tokens"] == small["tokens"] == following.size
    assert whole["loss"] == pytest.approx(-np.log(right).mean(), abs=1e-3)
    assert whole["perplexity"] == pytest.approx(math.exp(whole["loss"]), rel=1e-3)
    assert small["loss"] == pytest.approx(whole["loss"], abs=0.05) and small["loss"] != whole["loss"]
    assert small["bytes"] < 0.9 * whole["bytes"] and small["weights"] == "8 bits"
    assert "speed  2.00" in bench_formats.line(whole)
