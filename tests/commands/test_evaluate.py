"""`tfdl evaluate`: the numbers are right, classes are matched by name, the files say the same as the table."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, top_k_accuracy_score

import tfdl
import tfdl.__main__ as command_line
from tests.inference.trained import NAMES, TASK, held_out, picture, same_start  # noqa: F401 (fixture)
from tfdl.commands import classification_report
from tfdl.commands import evaluate as command
from tfdl.core.files import write_json
from tfdl.inference.scores import Scores, evaluate, matched

IMAGES, LABELS = held_out()


def run(*words):
    return command_line.main(["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def predictor(run_folder):
    return tfdl.load(run_folder)


@pytest.fixture(scope="module")
def probabilities(predictor):
    return np.stack([answer.probabilities for answer in predictor.predict(IMAGES)])


def batches(images, labels, size=50):
    return [(images[i : i + size].astype("float32") / 255, labels[i : i + size]) for i in range(0, len(labels), size)]


def test_metrics_agree_with_scikit_learn(predictor, probabilities):
    scores = evaluate(predictor, batches(IMAGES, LABELS), NAMES)
    guesses = probabilities.argmax(-1)
    assert scores.metrics == pytest.approx(
        {
            "accuracy": accuracy_score(LABELS, guesses),
            "top_5_accuracy": top_k_accuracy_score(LABELS, probabilities, k=5),
            "loss": -np.log(probabilities[np.arange(len(LABELS)), LABELS].astype("float64")).mean(),
            "macro_f1": f1_score(LABELS, guesses, average="macro"),
        },
        rel=1e-5,
    )
    assert 0.8 < scores.metrics["accuracy"] < 1
    for number, row in scores.classes.items():
        assert row["precision"] == pytest.approx(precision_score(number == LABELS, guesses == number))
        assert row["recall"] == pytest.approx(recall_score(number == LABELS, guesses == number))
        assert row["images"] == (number == LABELS).sum()
    for truth in range(10):
        for guess in range(10):
            assert scores.confusion[truth, guess] == ((truth == LABELS) & (guesses == guess)).sum()


def test_the_fifth_class_still_counts_and_the_sixth_does_not(predictor, probabilities):
    ranks = (-probabilities).argsort(-1, kind="stable")
    for place, share in ((4, 1.0), (5, 0.0)):
        scores = evaluate(predictor, batches(IMAGES, ranks[:, place]), NAMES)
        assert scores.metrics["top_5_accuracy"] == pytest.approx(share, abs=0.02)  # of a few the order is not certain


def test_mistakes_are_the_most_confident_wrong_answers(predictor, probabilities):
    scores = evaluate(predictor, batches(IMAGES, LABELS, size=7), NAMES)
    guesses, best = probabilities.argmax(-1), probabilities.max(-1)
    wrong = np.flatnonzero(guesses != LABELS)
    expected = wrong[np.argsort(-best[wrong], kind="stable")][:16]
    assert len(wrong) > 16
    np.testing.assert_allclose([m.probabilities.max() for m in scores.mistakes], best[expected], rtol=1e-5)
    for mistake in scores.mistakes:
        np.testing.assert_allclose(mistake.example, IMAGES[mistake.index] / 255, atol=1e-6)
        assert mistake.truth == LABELS[mistake.index] and mistake.guess == guesses[mistake.index]


def test_classes_are_matched_by_name_in_any_order_and_number(predictor, probabilities):
    chosen = (7, 2, 5)
    rows = np.flatnonzero(np.isin(LABELS, chosen))
    numbers = np.array([chosen.index(label) for label in LABELS[rows]])
    scores = evaluate(predictor, batches(IMAGES[rows], numbers), [NAMES[i] for i in chosen])
    assert scores.metrics["accuracy"] == pytest.approx((probabilities[rows].argmax(-1) == LABELS[rows]).mean())
    assert scores.present == (2, 5, 7)


def test_names_that_the_model_lacks_are_a_sentence():
    with pytest.raises(ValueError, match="the class 'sevn' and 1 more, which the model lacks; its nearest are 'seven'"):
        matched(["two", "sevn", "ate"], NAMES, known=True)
    with pytest.raises(ValueError, match="10 classes without names and the data 3; .*--labels"):
        matched(["a", "b", "c"], NAMES, known=False)
    assert list(matched(["a", "b"], ("0", "1"), known=False)) == [0, 1]


def test_no_image_is_an_error(predictor):
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(predictor, [], NAMES)


@pytest.fixture
def digit_names(tmp_path):
    """The model's classes named as those of the set `digits`."""
    file = tmp_path / "labels.txt"
    file.write_text("".join(f"{i}\n" for i in range(10)))
    return file


def test_the_command_prints_and_writes_the_same_numbers(run_folder, digit_names, tmp_path, capsys):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    assert run(folder, "--data", "digits", "--labels", digit_names) == 0
    text = capsys.readouterr().out
    out = folder / "evaluation-digits"
    assert sorted(path.name for path in out.iterdir()) == ["confusion.png", "metrics.json", "mistakes.png"]
    saved = json.loads((out / "metrics.json").read_text())
    assert saved["data"] == "digits" and saved["split"] == "test" and saved["images"] == len(LABELS)
    assert f"{100 * saved['metrics']['accuracy']:.2f} %" in text
    assert sum(map(sum, saved["confusion"]["rows_true_columns_answers"])) == len(LABELS)
    assert len(saved["mistakes"]) == 16 and list(saved["classes"]) == [str(i) for i in range(10)]
    for name in ("confusion.png", "mistakes.png"):
        with Image.open(out / name) as image:
            assert min(image.size) > 600
    lines = text.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.startswith("confusion matrix"))
    assert len({len(line) for line in lines[heading + 1 : heading + 12]}) == 1
    assert run(folder, "--data", "digits", "--labels", digit_names, "--split", "validation", "--limit", 40) == 0
    assert json.loads((out / "metrics.json").read_text())["images"] == 40


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_pictures_are_resized_as_in_prediction(resize, run_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(run_folder, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    write_json(folder / "task.json", dataclasses.replace(TASK, resize=resize).to_json())
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for number in (0, 1):
            wide = rng.integers(0, 256, (8, 20), "uint8")
            wide[:, 6:14] = picture(number)[..., 0]
            (tmp_path / "photos" / split / NAMES[number]).mkdir(parents=True)
            Image.fromarray(wide).save(tmp_path / "photos" / split / NAMES[number] / "wide.png")
    files = [str(tmp_path / "photos" / "test" / name / "wide.png") for name in NAMES[:2]]

    def cross_entropy(source):
        answers = tfdl.load(source).predict(files)
        return -np.mean([np.log(answer.probabilities[number]) for number, answer in enumerate(answers)])

    found = []
    monkeypatch.setattr(command, "write", lambda out, document, drawn: (out.mkdir(), found.append(document)))
    assert run(folder, "--data", f"folder:{tmp_path / 'photos'}") == 0
    assert found[0]["metrics"]["loss"] == pytest.approx(cross_entropy(folder), rel=1e-5)
    assert cross_entropy(folder) != pytest.approx(cross_entropy(run_folder), rel=0.1)  # whose task says "stretch"


def test_an_export_gets_no_foreign_files(run_folder, digit_names, tmp_path, capsys, monkeypatch):
    folder = shutil.copytree(run_folder / "export", tmp_path / "export")
    words = ["--data", "digits", "--labels", digit_names, "--limit", 30]

    def write(out, document, drawn):
        out.mkdir()
        (out / "metrics.json").write_text(json.dumps(document))

    monkeypatch.setattr(command, "write", write)  # drawing takes its time
    assert run(folder, *words) == 0
    assert (tmp_path / "export-evaluation-digits" / "metrics.json").is_file()
    assert not (folder / "evaluation-digits").exists()
    assert run(folder / "model_int8.tflite", *words) == 0
    assert "Nothing was written; --out DIR" in capsys.readouterr().out
    assert run(folder / "model_int8.tflite", *words, "--out", tmp_path / "kept") == 0
    assert json.loads((tmp_path / "kept" / "metrics.json").read_text())["file"] == "model_int8.tflite"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--data", "digits"], "the class '0' and 9 more, which the model lacks"),
        (["--data", "no_such_set"], "There is no data set 'no_such_set'"),
    ],
)
def test_mistake_is_one_sentence_and_code_2(words, message, run_folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path))
    assert run(run_folder, *words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def made(confusion, labels):
    """Scores with this confusion matrix and one mistake, for the tables."""
    confusion = np.array(confusion)
    row = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3}
    classes = {i: row | {"images": int(n)} for i, n in enumerate(confusion.sum(1)) if n}
    return Scores(
        labels=labels,
        present=tuple(classes),
        metrics={"accuracy": 0.5, "loss": 1.25, "macro_f1": 0.4},
        classes=classes,
        confusion=confusion,
        mistakes=("one",),
    )


def test_many_classes_are_a_list_of_the_most_frequent_confusions():
    confusion = np.diag(np.full(20, 5))
    confusion[3, 4], confusion[0, 19] = 7, 2
    scores = made(confusion, tuple(f"class {i}" for i in range(20)))
    head, names, first, second = classification_report.confusions(scores).splitlines()
    assert head == "most frequent of 2 confusions" and names.split() == ["true", "class", "answer", "images"]
    assert first.split() == ["class", "3", "class", "4", "7"] and second.split() == ["class", "0", "class", "19", "2"]


def test_a_matrix_leaves_out_classes_that_neither_occur_nor_are_answered():
    confusion = np.zeros((30, 30), int)
    confusion[4, 4], confusion[4, 9] = 3, 1
    text = classification_report.confusions(made(confusion, tuple(f"n{i}" for i in range(30))))
    assert [line.split() for line in text.splitlines()[1:]] == [["n4", "n9"], ["n4", "3", "1"], ["n9", ".", "."]]


def test_long_names_and_many_rows_are_cut():
    names = tuple(f"{i:03d}" + "x" * 60 for i in range(100))
    lines = classification_report.per_class(made(np.eye(100, dtype=int) * 3, names)).splitlines()
    assert len(lines) == 42 and lines[-1].startswith("(60 classes with a higher F1")
    assert max(map(len, lines)) < 80


def test_of_many_classes_the_worst_are_shown_the_worst_first():
    scores = made(np.eye(50, dtype=int) * 3, tuple(f"n{i}" for i in range(50)))
    for number, row in scores.classes.items():
        row["f1"] = (7 * number % 50) / 50
    shown = [line.split()[0] for line in classification_report.per_class(scores).splitlines()[1:-1]]
    assert shown == [f"n{number}" for number in sorted(range(50), key=lambda number: 7 * number % 50)[:40]]
