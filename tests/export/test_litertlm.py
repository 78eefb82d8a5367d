"""Files for LiteRT-LM: the network inside is the live model's, and its own runtime writes the live model's text."""

import sys

import pytest

from tests.commands.test_generate import LETTERS
from tests.models.language_models import moved
from tfdl.export.litertlm import write_litertlm
from tfdl.export.parity import ExportError


@pytest.fixture(scope="module")
def llama():
    return moved("llama")


@pytest.fixture(scope="module")
def written(llama, tmp_path_factory):
    file = tmp_path_factory.mktemp("litertlm") / "llama.litertlm"
    end = LETTERS.tokenizer.token_to_id("Z")
    return file, write_litertlm(llama, file, LETTERS.tokenizer, chunk=4, stop_tokens=[end])


def test_the_network_was_compared_and_wrong_weights_would_have_failed(written):
    file, row = written
    assert row["noise"] < 1e-5 and row["control"]["noise"] > 1 and row["bytes"] == file.stat().st_size
    assert file.read_bytes()[:8] == b"LITERTLM"


def test_a_wrong_network_is_not_written(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tfdl.export.litertlm.logits_of", lambda content, tokens, chunk: tokens[None, :1] + [[0.0] * 61]
    )
    with pytest.raises(ExportError, match="the network does not compute what the live model does"):
        write_litertlm(llama, tmp_path / "x.litertlm", LETTERS.tokenizer, chunk=4)
    assert not list(tmp_path.iterdir())


@pytest.mark.extras
@pytest.mark.parametrize("prompt", ["TO", "TO BE OR NOT"])  # shorter than a piece, and three of them
def test_litert_lm_writes_the_live_models_text(llama, written, prompt):
    lm = pytest.importorskip("litert_lm", reason="LiteRT-LM is not installed (extra `mobile`)")
    lm.set_min_log_severity(lm.LogSeverity.ERROR)
    engine = lm.Engine(str(written[0]))
    greedy = lm.SamplerConfig(top_k=1, temperature=1.0, top_p=1.0)
    session = engine.create_session(apply_prompt_template=False, sampler_config=greedy, max_output_tokens=8)
    session.run_prefill([prompt])
    tokens = llama.generate([LETTERS.tokenizer.encode(prompt).ids], new_tokens=8, compiled=False).tokens[0]
    assert session.run_decode().texts == [LETTERS.tokenizer.decode(tokens.tolist())]


@pytest.mark.parametrize(
    "key, name, form",
    [("bart", "x.litertlm", "tflite"), ("llama", "x.tflite", "tflite"), ("llama", "x.litertlm", "int3")],
)
def test_bad_input_is_one_sentence(key, name, form, tmp_path):
    with pytest.raises(ValueError, match="give a GPT, LLaMA or Mixtral, one of tflite, .* ends in .litertlm"):
        write_litertlm(moved(key), tmp_path / name, LETTERS.tokenizer, form=form)


def test_without_the_extra_the_message_names_it(llama, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_lm_builder", None)
    with pytest.raises(ImportError, match="pip install 'tfdl\\[edge\\]'"):
        write_litertlm(llama, tmp_path / "x.litertlm", LETTERS.tokenizer)
