"""Models of texts in files: fixed lengths change no answer, and `tfdl predict` reads the folder of an export."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

import tfdl
from tfdl.core.task import Task
from tfdl.data import question_answering
from tfdl.data.tokenizers import Pieces
from tfdl.export.exporter import export_model
from tfdl.export.texts import of_length, rows_of_length
from tfdl.inference.question_answering import ask
from tfdl.inference.token_backends import filled, token_backend
from tfdl.models.recurrent.rnn import RecurrentConfig, rnn
from tfdl.models.text.bert import bert

FILES = ("saved_model", "model.tflite", "model_dynamic.tflite")
FORMATS = ("savedmodel", "tflite", "tflite_dynamic")
TRAVELS = Path(__file__).parents[1] / "data" / "travels.jsonl"


@dataclass
class Rows:
    """A data set of token rows."""

    rows: list

    def as_numpy_iterator(self):
        return iter([(tokens, None) for tokens in self.rows])


def grown(network):
    """With larger weights, so that answers differ."""
    for weight in network.trainable_weights:
        weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=1))
    return network


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    tokenizer = Pieces.trained(["a good film", "a bad film"] * 3, 60, "word_pieces")
    config = RecurrentConfig(
        vocabulary_size=len(tokenizer), embedding=5, units=7, cell="gru", head="classifier", bidirectional=True
    )
    network = grown(rnn(config, num_classes=3))
    task = Task(kind="text_classification", labels=("a", "b", "c"), tokenizer="tokenizer.json", length=16)
    rows = Rows([np.random.default_rng(0).integers(1, len(tokenizer), (6, size)).astype("int32") for size in (9, 16)])
    folder = tmp_path_factory.mktemp("classifier") / "export"
    report = export_model(
        of_length(network, task),
        folder,
        formats=(*FORMATS, "tflite_int8"),
        representative=lambda: rows_of_length(rows, task),
        task=task,
        tokenizer=tokenizer.tokenizer,
        progress=None,
    )
    return network, tokenizer, folder, report


@pytest.mark.parametrize("file", FILES)
def test_answers_of_a_file_are_those_of_the_network(classifier, file):
    network, tokenizer, folder, _ = classifier
    texts = ["a good film", "", "bad " * 30]
    found = tfdl.load(folder, file=file).predict(texts)
    rows = tokenizer.encode_batch(texts, length=16)["tokens"]
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(network(rows)))
    atol = 2e-2 if "dynamic" in file else 1e-5
    np.testing.assert_allclose([answer.probabilities for answer in found], expected, atol=atol)
    assert found[0].labels == ("a", "b", "c")


def test_a_recurrent_classifier_is_unrolled_for_int8(classifier):
    _, _, folder, report = classifier
    assert "model_int8.tflite" in report["artifacts"] and not report["left_out"]
    assert report["signature"]["inputs"]["tokens"] == {"shape": [16], "dtype": "int32"}


def test_questions_have_two_inputs(tmp_path):
    data = question_answering.load(TRAVELS, length=40, batch_size=16, vocabulary_size=120, limit=20)
    network = grown(bert("nano", vocabulary_size=len(data.tokenizer), context=40, head="span"))
    export_model(
        of_length(network, data.task),
        tmp_path / "export",
        formats=("tflite",),
        representative=lambda: rows_of_length(data.validation, data.task),
        task=data.task,
        tokenizer=data.tokenizer.tokenizer,
        progress=None,
    )
    pairs = [(question.text, question.paragraph) for question in data.questions["test"]]
    found = tfdl.load(tmp_path / "export").predict(pairs)
    expected = ask(network, data, "test")
    assert [answer.answer for answer in found] == [answer.answer for answer in expected]
    assert found[0].probability == pytest.approx(expected[0].probability, abs=1e-4)


def test_other_inputs_are_refused(classifier):
    _, _, folder, _ = classifier
    for file in ("model.tflite", "saved_model"):
        with pytest.raises(ValueError, match="takes tokens and gives logits; this task needs tokens, segments and one"):
            token_backend(folder / file, ("tokens", "segments"), 0)


def test_padding_stands_behind_tokens_and_zeros_behind_the_rest():
    tokens, segments = filled((np.ones((2, 3), "int32"), np.ones((2, 3), "int32")), 5, 7)
    assert tokens.tolist() == [[1, 1, 1, 7, 7]] * 2 and segments.tolist() == [[1, 1, 1, 0, 0]] * 2
