"""Answers to prompts as texts: those of `generate`, in parts of any size, and side by side."""

import keras
import pytest

from tfdl.data import instructions
from tfdl.inference import answers as module
from tfdl.inference.answers import answers, samples, several_answers
from tfdl.inference.sampling import Sampling
from tfdl.models.text.gpt import gpt


@pytest.fixture(scope="module")
def model_and_data():
    keras.utils.set_random_seed(0)
    data = instructions.load("add", template="tags", length=32, limit=20)
    return gpt("nano", vocabulary_size=len(data.tokenizer)), data


def test_answers_are_what_the_model_writes_whatever_the_parts(model_and_data, monkeypatch):
    model, data = model_and_data
    rows = data.conversations["test"][:5]
    options = {"new_tokens": 4, "sampling": Sampling(temperature=1.0), "seed": 3, "compiled": False}
    whole = answers(model, data, rows, **options)
    monkeypatch.setattr(module, "PART", 2)
    assert answers(model, data, rows, **options) == whole and len(set(whole)) > 1
    written = model.generate(
        [data.prompt(row.prompt) for row in rows], stop_tokens=(data.stop_token,), **options
    ).tokens
    assert [data.tokenizer.decode(tokens) for tokens in written] == whole


def test_several_answers_stand_in_lists(model_and_data):
    model, data = model_and_data
    rows = data.conversations["test"][:3]
    options = {"new_tokens": 3, "sampling": Sampling(temperature=1.0), "compiled": False}
    found = several_answers(model, data, rows, 4, **options)
    assert [len(texts) for texts in found] == [4, 4, 4]
    assert sum(found, []) == answers(model, data, [row for row in rows for _ in range(4)], **options)


def test_samples_are_dicts_with_a_column_for_each_model():
    rows = samples(["a", "b"], before=["1", "2"], after=["3", "4"])
    assert rows == [
        {"question": "a", "before": "1", "after": "3"},
        {"question": "b", "before": "2", "after": "4"},
    ]
