"""Texts written by exported files: the live model's own, with prompts of every length that the cache holds."""

import io

import numpy as np
import pytest

import tfdl
from tests.commands.test_generate import LETTERS
from tests.models.language_models import moved
from tfdl.__main__ import main
from tfdl.core.task import Task
from tfdl.inference.constraints import Constraint
from tfdl.inference.exported_generation import ExportedWriter
from tfdl.inference.sampling import Sampling
from tfdl.models.recurrent.rnn import RecurrentConfig

PROMPTS = [[7], [5, 9, 2, 1], [3, 8, 1, 4, 2] * 2]  # pieces of 4: one that is not full, a full one, three


@pytest.fixture(scope="module")
def gpt():
    return moved("gpt")


@pytest.fixture(scope="module")
def folder(gpt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt") / "export"
    task = Task(kind="text_generation", tokenizer="tokenizer.json", length=16)
    sizes = {"chunk": 4, "cache_length": 16}
    tfdl.export_model(
        gpt, folder, formats=("tflite",), task=task, tokenizer=LETTERS.tokenizer, sizes=sizes, progress=None
    )
    return folder


@pytest.fixture(scope="module")
def bart(tmp_path_factory):
    model, folder = moved("bart"), tmp_path_factory.mktemp("bart") / "export"
    sizes = {"source_length": 12, "cache_length": 16}
    tfdl.export_model(model, folder, formats=("tflite",), sizes=sizes, progress=None)
    return model, ExportedWriter(folder / "model.tflite", padding=model.config.padding)


def check_same(model, exported, prompts, **options):
    ours = model.generate(prompts, compiled=False, **options)
    theirs = exported.generate(prompts, **options)
    assert [row.tolist() for row in theirs.tokens] == [row.tolist() for row in ours.tokens]
    for found, expected in zip(theirs.log_probabilities, ours.log_probabilities):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=1.5, top_k=20, repetition_penalty=1.3)])
def test_decoder_writes_what_the_live_model_writes(gpt, folder, sampling):
    check_same(gpt, ExportedWriter(folder / "model.tflite"), PROMPTS, new_tokens=6, sampling=sampling, seed=4)


def test_a_prompt_may_fill_the_cache(gpt, folder):
    prompt = [[1 + i % 50 for i in range(15)]]  # the last piece of 4 would not fit: its tokens are read one by one
    check_same(gpt, ExportedWriter(folder / "model.tflite"), prompt, new_tokens=1)


def test_encoder_decoder_writes_what_the_live_model_writes(bart):
    check_same(*bart, PROMPTS, new_tokens=6, start=2)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_recurrent_network_writes_what_the_live_model_writes(cell, tmp_path):
    model = tfdl.build("rnn", RecurrentConfig(vocabulary_size=12, embedding=4, units=6, cell=cell, depth=2))
    tfdl.export_model(model, tmp_path / "export", formats=("tflite",), sizes={"chunk": 4}, progress=None)
    exported = ExportedWriter(tmp_path / "export" / "model.tflite")
    assert exported.reader == "prefill"
    check_same(model, exported, PROMPTS, new_tokens=6)


def test_a_stop_token_ends_a_text_and_stream_shows_all_of_it(gpt, folder):
    exported, shown = ExportedWriter(folder / "model.tflite"), []
    free = exported.generate(PROMPTS[:1], new_tokens=15, stream=lambda rows: shown.append(rows[0].tolist()))
    assert sum(shown, []) == free.tokens[0].tolist() and len(shown) == 2
    stop = int(free.tokens[0][3])
    stopped = exported.generate(PROMPTS[:1], new_tokens=15, stop_tokens=[stop]).tokens[0].tolist()
    assert stopped == free.tokens[0].tolist()[: free.tokens[0].tolist().index(stop)]


def test_command_writes_with_an_export(gpt, folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["generate", str(folder), "--file", "model.tflite", "--prompt", "to", "--new-tokens", "9"]) == 0
    prompt = LETTERS.tokenizer.encode("to").ids
    tokens = gpt.generate([prompt], new_tokens=9, compiled=False).tokens[0]
    assert capsys.readouterr().out == "to" + LETTERS.tokenizer.decode(tokens.tolist()) + "\n"


def test_bad_input_is_one_sentence(folder, bart, tmp_path):
    with pytest.raises(ValueError, match="The longest prompt has 15 tokens and 2 more are wanted"):
        ExportedWriter(folder / "model.tflite").generate([[1] * 15], new_tokens=2)
    with pytest.raises(ValueError, match="more than the 12 tokens that model.tflite reads"):
        bart[1].generate([[1] * 13], new_tokens=2, start=2)


def test_a_constraint_is_followed_too(gpt, folder):
    constraint = Constraint.matching("[A-F][0-9]{2,4};", LETTERS.tokenizer)
    answer = ExportedWriter(folder / "model.tflite").generate(PROMPTS, new_tokens=6, constraint=constraint)
    live = gpt.generate(PROMPTS, new_tokens=6, constraint=constraint, compiled=False)
    assert [row.tolist() for row in answer.tokens] == [row.tolist() for row in live.tokens]
    assert answer.matched == live.matched
