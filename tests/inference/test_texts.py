"""Answers to texts: those of the network, whatever the batch and the kind of input; scores on labeled texts."""

import io
import json

import keras
import numpy as np
import pytest

import tfdl
import tfdl.__main__ as command_line
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.data import labeled_text
from tfdl.data.tokenizers import Pieces, load
from tfdl.inference.inputs import Broken
from tfdl.models.recurrent.rnn import RecurrentConfig, rnn
from tfdl.models.text.bert import VARIANTS, bert

TEXTS = ["a good film", "", "bad " * 30, "日本語 \ud800", "Good, GOOD!"]
LENGTH = 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name -> a run folder with a network of random weights, whose padding is 0."""
    tokenizer = Pieces.trained(["a good film", "a bad film"] * 3, 60, "word_pieces")
    size = len(tokenizer)
    recurrent = RecurrentConfig(
        vocabulary_size=size, embedding=5, units=7, cell="gru", head="classifier", bidirectional=True
    )
    keras.utils.set_random_seed(0)
    networks = {
        "rnn": rnn(recurrent, num_classes=3),
        "bert": bert(VARIANTS["nano"], vocabulary_size=size, context=LENGTH, head="classifier", num_classes=3),
    }
    made = {}
    for name, network in networks.items():
        made[name] = folder = tmp_path_factory.mktemp(name)
        (folder / "checkpoints" / "best").mkdir(parents=True)
        for weight in network.trainable_weights:  # larger than at the start, so that answers differ
            weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=1))
        network.save(folder / "checkpoints" / "best" / "model.keras")
        tokenizer.save(folder / "tokenizer.json")
        labels = ("no", "maybe", "yes")
        task = Task(kind="text_classification", labels=labels, tokenizer="tokenizer.json", length=LENGTH)
        write_json(folder / "task.json", task.to_json())
    return made


@pytest.fixture(scope="module", params=["rnn", "bert"])
def folder(request, folders):
    return folders[request.param]


def by_hand(folder, text):
    """Probabilities of one text, without padding."""
    network = tfdl.load_model(folder / "checkpoints" / "best" / "model.keras")
    tokenizer = load(folder)
    tokens = [2, *tokenizer.encode(text.encode(errors="replace").decode())[: LENGTH - 2], 3]
    logits = np.asarray(network(np.array([tokens], "int32"), training=False))[0]
    return np.exp(logits) / np.exp(logits).sum()


def test_answers_are_those_of_each_text_alone_without_padding(folder):
    model = tfdl.load(folder)
    together, one_by_one = model.predict(TEXTS), model.predict(iter(TEXTS), batch_size=1)
    assert [answer.text for answer in together] == TEXTS
    for answer, alone, text in zip(together, one_by_one, TEXTS):
        np.testing.assert_allclose(answer.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(answer.probabilities, by_hand(folder, text), atol=1e-5)
    assert len({round(answer.probability, 4) for answer in together}) == len(TEXTS) and len(together[0].top(9)) == 3
    assert model.predict("a good film")[0].label in ("no", "maybe", "yes")


def run(*words):
    return command_line.main(["predict", *map(str, words)])


def test_command_takes_texts_files_and_standard_input(folders, tmp_path, capsys, monkeypatch):
    (tmp_path / "t.txt").write_text("good film\n\nbad\r\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text('{"text": "film", "id": 3}\n\n{"text": 5}\n{"x": ""}\nno\n')
    monkeypatch.setattr("sys.stdin", io.StringIO("from outside\n"))
    code = run(folders["rnn"], "a film", tmp_path / "t.txt", tmp_path / "t.jsonl", "absent.txt", "-", "--json")
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and [row["text"] for row in rows] == ["a film", "good film", "", "bad", "film", "from outside"]
    best = tfdl.load(folders["rnn"]).predict("bad")[0]
    shown = rows[3]["classes"][0]
    assert (shown["label"], shown["number"]) == (best.label, best.number)
    assert shown["probability"] == pytest.approx(best.probability, abs=1e-5)
    reasons = ('line 3: its "text" is 5', 'line 4: no object with a "text"', "line 5: no JSON", "absent.txt: no such")
    for reason in reasons:
        assert reason in err


def test_table_shows_the_beginning_of_a_text_and_csv_all_of_it(folders, capsys):
    long = "film " * 30
    assert run(folders["rnn"], long, "good", "--top", 1) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first[:60] == long[:59] + "…" and first.endswith("%") and second.split()[0] == "good"
    assert run(folders["rnn"], long, "--csv", "--top", 1) == 0
    assert capsys.readouterr().out.splitlines()[0] == "text,label_1,probability_1"


def test_pictures_are_refused_and_a_missing_tokenizer_is_named(folders, tmp_path, capsys):
    assert run(folders["rnn"], "good", "--out", tmp_path / "x") == 2
    assert "--out draws pictures, but" in capsys.readouterr().err
    assert list(tfdl.load(folders["rnn"]).stream([Broken("x", "y")]))[0].reason == "y"
    (folders["bert"] / "tokenizer.json").rename(tmp_path / "kept.json")
    try:
        assert run(folders["bert"], "good") == 2
        assert "There is no tokenizer" in capsys.readouterr().err
        (folders["bert"] / "tokenizer.json").symlink_to(tmp_path / "kept.json")
        assert run(folders["bert"], "good") == 2
        assert "is a symbolic link" in capsys.readouterr().err
        (folders["bert"] / "tokenizer.json").unlink()
        (folders["bert"] / "tokenizer.json").write_text("{}")
        assert run(folders["bert"], "good") == 2
        assert "is no tokenizer, or is damaged" in capsys.readouterr().err
    finally:
        (folders["bert"] / "tokenizer.json").unlink(missing_ok=True)
        (tmp_path / "kept.json").rename(folders["bert"] / "tokenizer.json")


def test_scores_of_labeled_texts(folders, tmp_path, capsys):
    rows = [(f"film {i}", ["yes", "no"][i % 2]) for i in range(40)]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    out = tmp_path / "out"
    words = ["evaluate", folders["rnn"], "--data", tmp_path / "t.csv", "--split", "train", "--out", out]
    assert command_line.main(list(map(str, words))) == 0
    saved = json.loads((out / "metrics.json").read_text())
    model = tfdl.load(folders["rnn"])
    data = labeled_text.load(tmp_path / "t.csv", tokenizer=model.tokenizer_path)
    answers = [answer.label for answer in model.predict(data.texts["train"])]
    truth = [data.labels[number] for number in data.numbers["train"]]
    assert saved["texts"] == len(truth) == 32
    assert saved["metrics"]["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(answers, truth)]))
    assert all(row["text"].startswith("film") for row in saved["mistakes"])
    assert {path.name for path in out.iterdir()} == {"metrics.json", "confusion.png"}
    assert "texts" in capsys.readouterr().out
