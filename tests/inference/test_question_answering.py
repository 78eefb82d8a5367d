"""Answers: the best spans by hand, over windows and with abstention; a trained network; the commands."""

import io
import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import tfdl
import tfdl.__main__ as command_line
from tfdl.core.answer_windows import Window
from tfdl.core.files import write_json
from tfdl.data.question_answering import load
from tfdl.inference.question_answering import ask, best_answers, best_spans
from tfdl.losses.spans import SpanCrossEntropy
from tfdl.metrics.answers import SpanAccuracy, answer_scores
from tfdl.models.text.bert import BertConfig, bert

FILE = Path(__file__).parents[1] / "data" / "travels.jsonl"


def test_best_spans_are_those_of_all_pairs():
    logits = np.random.default_rng(0).normal(size=(9, 2)).astype("float32")
    pairs = [(i, j) for i, j in itertools.product(range(9), repeat=2) if i <= j < i + 4]
    expected = sorted(pairs, key=lambda pair: -(logits[pair[0], 0] + logits[pair[1], 1]))[:5]
    found = best_spans(logits, count=5, longest=4)
    assert [(i, j) for i, j, _ in found] == expected
    assert found[0][2] == pytest.approx(logits[expected[0][0], 0] + logits[expected[0][1], 1])
    assert best_spans(logits[:0]) == []


def window(example, offsets):
    """[CLS] ? [SEP] and tokens at these places of the paragraph, [SEP]."""
    size = 4 + len(offsets)
    zeros = np.zeros(size, "int32")
    return Window(example, zeros, zeros, 3, 3 + len(offsets), np.array(offsets, "int32").reshape(-1, 2))


def test_spans_of_several_windows_are_joined_and_the_least_score_of_nothing_counts():
    paragraph = "red green blue"
    windows = [window(0, [(0, 3), (4, 9)]), window(0, [(4, 9), (10, 14)]), window(1, [])]
    logits = [np.full((8, 2), -5.0), np.full((6, 2), -5.0), np.zeros((4, 2))]
    logits[0][0], logits[1][0] = 1.0, 3.0  # [CLS]
    logits[0][4], logits[1][3], logits[1][4] = 0.5, 0.75, (-5.0, 0.0)  # green, green, blue
    first, nothing = best_answers(windows, logits, [paragraph, ""])
    assert [(span.text, span.start) for span in first[:2]] == [("green", 4), ("green blue", 4)]
    assert nothing == () and sum(span.probability for span in first) == pytest.approx(1.0)
    odds = first[0].probability / first[1].probability
    assert odds == pytest.approx(np.exp(2 * 0.75 - 0.75)), "the better of the two windows"
    abstaining, empty = best_answers(windows, logits, [paragraph, ""], abstains=True)
    assert (abstaining[0].text, abstaining[0].start) == ("", None), "2 beats 1.5"
    assert abstaining[0].probability / abstaining[1].probability == pytest.approx(np.exp(2 - 1.5))
    assert [span.text for span in empty] == [""]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Data and the folder of a small network that has learned some of it by heart."""
    keras.utils.set_random_seed(0)
    data = load(FILE, length=40, batch_size=16, vocabulary_size=120, limit=40)
    config = BertConfig(width=48, depth=2, heads=4, context=40, dropout=0.0)
    network = bert(config, vocabulary_size=len(data.tokenizer), head="span")
    network.compile(keras.optimizers.Adam(4e-3), SpanCrossEntropy(), metrics=[SpanAccuracy()])
    network.fit(data.train, epochs=25, verbose=0)
    folder = tmp_path_factory.mktemp("travels")
    (folder / "checkpoints" / "best").mkdir(parents=True)
    network.save(folder / "checkpoints" / "best" / "model.keras")
    data.tokenizer.save(folder / "tokenizer.json")
    write_json(folder / "task.json", data.task.to_json())
    return data, network, folder


def test_network_learns_training_questions_by_heart(trained):
    data, network, folder = trained
    answers = [answer.answer for answer in ask(network, data, "train")]
    assert answer_scores(answers, data.references("train"))["exact_match"] >= 0.9
    pairs = [(question.text, question.paragraph) for question in data.questions["train"]]
    loaded = tfdl.load(folder)
    together, alone = loaded.predict(pairs), list(loaded.stream(iter(pairs), batch_size=1))
    assert [answer.answer for answer in together] == answers
    for one, other in zip(together, alone):
        assert one.answer == other.answer and one.probability == pytest.approx(other.probability, abs=1e-5)
    best = together[0].spans[0]
    assert together[0].paragraph[best.start : best.start + len(best.text)] == best.text
    assert loaded.predict(pairs[3])[0].answer == answers[3], "a single pair"


def run(*words):
    return command_line.main(list(map(str, words)))


def test_command_takes_questions_with_a_paragraph(trained, tmp_path, capsys, monkeypatch):
    data, _, folder = trained
    question = data.questions["train"][0]
    (tmp_path / "page.txt").write_text(question.paragraph, encoding="utf-8")
    rows = [{"question": question.text, "context": question.paragraph}, {"question": "Who?"}, {"question": 5}]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{question.text}\t{question.paragraph}\n"))
    assert run("predict", folder, tmp_path / "q.jsonl", "-", "Who?", "--json", "--top", 2) == 1
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first == second and first["answers"][0]["text"] == question.answers[0][0]
    assert first["answers"][0]["start"] == question.answers[0][1] and len(first["answers"]) == 2
    assert 'no object with a "question" and a "context"' in err and "no paragraph: write QUESTION" in err
    assert run("predict", folder, question.text, "--context", tmp_path / "page.txt", "--top", 1) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(question.text) and question.answers[0][0] in shown and shown.rstrip().endswith("%")
    assert run("predict", folder, question.text, "--context", tmp_path / "page.txt", "--csv", "--top", 1) == 0
    assert capsys.readouterr().out.splitlines()[0] == "question,answer_1,probability_1"


def test_command_evaluates_by_squad_s_rules(trained, tmp_path, capsys):
    data, _, folder = trained
    assert run("evaluate", folder, "--data", FILE, "--split", "test", "--out", tmp_path / "out") == 0
    saved = json.loads((tmp_path / "out" / "metrics.json").read_text())
    answers = [answer.answer for answer in ask(trained[1], data, "test")]
    assert saved["questions"] == 12 and saved["metrics"] == pytest.approx(
        answer_scores(answers, data.references("test"))
    )
    assert len(saved["mistakes"]) == round(12 * (1 - saved["metrics"]["exact_match"]))
    assert "exact match" in capsys.readouterr().out
