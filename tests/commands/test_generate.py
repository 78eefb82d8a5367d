"""`tfdl generate` and what is behind it: a language model's folder, its tokenizer, texts that grow."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.models.language_models import moved
from tfdl import __main__ as command_line
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.data import text
from tfdl.data.tokenizers import Characters
from tfdl.inference.sampling import Sampling
from tfdl.inference.source import load
from tfdl.inference.text_generation import Text, TextWriter

LETTERS = Characters("".join(map(chr, range(32, 32 + 59))))  # 61 tokens, as the smallest gpt has


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "letters_gpt"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    moved("gpt").save(folder / "checkpoints" / "best" / "model.keras")
    task = Task(kind="text_generation", tokenizer="tokenizer.json", length=32)
    write_json(folder / "task.json", task.to_json())
    (folder / "tokenizer.json").write_text(LETTERS.tokenizer.to_str())
    return folder


@pytest.fixture(scope="module")
def writer(folder):
    return load(folder)


def run(*words):
    return command_line.main(["generate", *map(str, words)])


def test_text_goes_on_with_the_likeliest_letters(writer):
    (text,) = writer.write(["HELLO"], new_tokens=9, compiled=False)
    tokens = LETTERS.encode("HELLO" + text)[None]
    assert np.argmax(writer.model(tokens)[0, 4:-1], axis=-1).tolist() == tokens[0, 5:].tolist()


def test_text_may_be_longer_than_the_model_sees(writer):
    long, short = (writer.write(["HELLO"], new_tokens=count, compiled=False)[0] for count in (70, 20))
    assert long.startswith(short) and len(LETTERS.encode(long)) >= 70
    (again,) = writer.write(["HELLO" + long[:27]], new_tokens=5, compiled=False)  # 32 letters: the second window
    half = ("HELLO" + long[:27])[-16:]
    assert again == writer.write([half], new_tokens=5, compiled=False)[0]


def test_each_window_of_a_long_text_draws_anew(writer, monkeypatch):
    """At this temperature chance alone decides: with the same draws the second window would repeat the first."""
    blind, kind, windows = Sampling(temperature=1e6), type(writer.model), []
    generate = kind.generate

    def kept(*arguments, **options):
        windows.append(generate(*arguments, **options))
        return windows[-1]

    monkeypatch.setattr(kind, "generate", kept)
    writer.write(["HELLO"], new_tokens=27 + 16, sampling=blind, compiled=False)
    first, second = (window.tokens[0] for window in windows)
    assert len(first) == 27 and np.mean(first[:16] == second) < 0.5


def test_stream_gives_the_whole_text_and_a_stop_text_ends_it(writer):
    hot = dict(sampling=Sampling(temperature=2.0), new_tokens=40, compiled=False)
    (whole,) = writer.write(["A"], **hot)
    stop, pieces = whole[11:13], []
    (text,) = writer.write(["A"], **hot, stop=[stop], stream=lambda new: pieces.append(new[0]))
    assert text == whole[: whole.index(stop)] == "".join(pieces)


def test_letters_are_held_back_until_they_are_sure():
    class Words:
        def decode(self, tokens):
            return "".join(["ab", "c#", "#d", "\ufffd"][token] for token in tokens)

    text = Text(Words(), ["##"])
    assert text.add(np.array([0])) == "a"  # b could begin a stop text of two letters
    assert text.add(np.array([1])) == "bc"
    assert text.add(np.array([2])) == "" and text.ended and text.shown == "abc"
    assert text.add(np.array([0])) == "" and text.rest() == ""
    half = Text(Words(), [])
    assert (half.add(np.array([0])), half.add(np.array([3])), half.rest()) == ("ab", "", "\ufffd")


def test_command_prints_prompt_and_text(folder, writer, capsys):
    assert run(folder, "--prompt", "HELLO", "--new-tokens", "9") == 0
    out, err = capsys.readouterr()
    assert out == "HELLO" + writer.write(["HELLO"], new_tokens=9, compiled=False)[0] + "\n"
    assert "9 tokens in" in err
    flags = ("--temperature", "1.5", "--seed", "3", "--new-tokens", "9", "--json")
    assert run(folder, "--prompt", "HELLO", "--prompt", "A B", *flags) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    hot = dict(sampling=Sampling(temperature=1.5), seed=3, new_tokens=9, compiled=False)
    texts = writer.write(["HELLO", "A B"], **hot)
    assert rows == [{"prompt": prompt, "text": text} for prompt, text in zip(("HELLO", "A B"), texts)]


def test_searches_give_the_models_own_texts(folder, writer, capsys):
    prompt = LETTERS.tokenizer.encode("HELLO").ids
    greedy = writer.write(["HELLO"], new_tokens=9, compiled=False)[0]
    expected = {
        ("--beams", "3"): writer.model.beam_search([prompt], beams=3, new_tokens=9),
        ("--contrastive", "0.6"): writer.model.contrastive_search([prompt], penalty=0.6, new_tokens=9),
    }
    for flags, answer in expected.items():
        assert run(folder, "--prompt", "HELLO", "--new-tokens", 9, *flags) == 0
        text = LETTERS.tokenizer.decode(answer.tokens[0].tolist())
        assert capsys.readouterr().out == f"HELLO{text}\n"
    assert text != greedy  # of contrastive search
    assert run(folder, "--prompt", "HELLO", "--new-tokens", 9, "--draft", folder) == 0
    assert capsys.readouterr().out == f"HELLO{greedy}\n"


def test_a_pattern_or_a_schema_is_followed(folder, capsys, tmp_path):
    assert run(folder, "--prompt", "BORN IN ", "--pattern", "[12][0-9]{3}", "--new-tokens", 6) == 0
    assert re.fullmatch(r"BORN IN [12]\d{3}\n", capsys.readouterr().out)
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["YES", "NO"]}')
    assert run(folder, "--prompt", "?", "--schema", schema, "--new-tokens", 9, "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"] in ('"YES"', '"NO"')


def test_every_flag_reaches_what_it_is_for(folder, monkeypatch):
    seen = {}
    monkeypatch.setattr(TextWriter, "write", lambda self, prompts, **options: seen.update(options) or [""])
    flags = {"temperature": 0.5, "top_k": 3, "top_p": 0.4, "min_p": 0.2, "repetition_penalty": 1.5}
    words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert run(folder, "--prompt", "A", "--json", *words, "--stop", "x", "--seed", 4, "--new-tokens", 7) == 0
    assert seen.pop("sampling") == Sampling(**flags)
    assert seen == {
        "new_tokens": 7,
        "stop": ["x"],
        "constraint": None,
        "seed": 4,
        "stream": None,
        "compiled": False,
    }
    assert run(folder, "--prompt", "A", "--json", "--compile") == 0 and seen["compiled"]


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--prompt", ""], "error: A prompt is empty; give at least one letter to go on from."),
        (["--prompt", "A", "--top-p", "2"], "error: top_p is 2.0; give more than 0 and at most 1."),
        (
            ["--prompt", "A", "--beams", "2", "--contrastive", "0.6"],
            "error: --beams and --contrastive are two ways to find a text; give one of them.",
        ),
        (
            ["--prompt", "A", "--beams", "2", "--temperature", "1"],
            "error: --beams draws nothing; leave out --temperature and what goes with it.",
        ),
        (
            ["--prompt", "A", "--pattern", "A", "--schema", "x.json"],
            "error: Give one of --pattern and --schema, without --beams, --contrastive and --draft.",
        ),
        (
            ["--prompt", "AB", "--pattern", "A+", "--new-tokens", "31"],
            "error: A text with a constraint must fit what gpt sees: 30 tokens after these prompts, not 31; give"
            " new_tokens=30 or less.",
        ),
    ],
)
def test_bad_input_is_one_sentence(folder, words, sentence, capsys):
    assert run(folder, *words) == 2
    assert capsys.readouterr().err.strip() == sentence


def test_predict_says_who_answers_for_a_language_model_and_generate_for_others(folder, run_folder, capsys):
    assert command_line.main(["predict", str(folder), "HELLO"]) == 2
    assert f"is a language model: use `tfdl generate {folder} --prompt TEXT`." in capsys.readouterr().err
    assert run(run_folder, "--prompt", "A") == 2
    assert "is no language model; `tfdl predict` tells what it answers." in capsys.readouterr().err


def test_a_run_becomes_a_file_for_litert_lm(folder, tmp_path, capsys):
    file = tmp_path / "letters.litertlm"
    assert command_line.main(["export", str(folder), str(file), "--size", "chunk=4"]) == 0
    assert f"{file.stat().st_size:,} bytes" in capsys.readouterr().out
    assert command_line.main(["export", str(folder), str(file), "--formats", "tflite", "tflite_float16"]) == 2
    assert "at most one of --formats" in capsys.readouterr().err


def test_evaluation_of_a_language_model_is_its_loss_on_a_text(folder, writer, tmp_path, capsys):
    poem = tmp_path / "poem.txt"
    poem.write_text("TO BE, OR NOT TO BE: THAT IS THE QUESTION. " * 60)
    assert command_line.main(["evaluate", str(folder), "--data", str(poem), "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    data = text.load(str(poem), length=32, batch_size=8, tokenizer=LETTERS)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1, reduction="sum")
    total = sum(float(loss(y, writer.model(x))) for x, y in data.test)
    count = sum(int(np.sum(y >= 0)) for _, y in data.test)
    assert found["tokens"] == count and abs(found["metrics"]["loss"] - total / count) < 1e-5
    assert abs(found["metrics"]["perplexity"] - np.exp(total / count)) < 1e-3
    assert f"perplexity      {found['metrics']['perplexity']:>11.4f}" in capsys.readouterr().out

    export = tmp_path / "export"
    assert command_line.main(["export", str(folder), str(export), "--formats", "tflite", "--size", "chunk=4"]) == 0
    flags = ["--data", str(poem), "--limit", "2", "--out", str(tmp_path / "again")]
    assert command_line.main(["evaluate", str(export), *flags]) == 0
    found = json.loads((tmp_path / "again" / "metrics.json").read_text())
    x, y = next(iter(text.load(str(poem), length=32, batch_size=2, tokenizer=LETTERS, limit=2).test))
    assert abs(found["metrics"]["loss"] - float(loss(y, writer.model(x))) / found["tokens"]) < 1e-5
    assert found["metrics"]["bytes"] == (export / "model.tflite").stat().st_size
