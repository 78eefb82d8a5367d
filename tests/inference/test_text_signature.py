"""Strings in, strings out: the SavedModel writes what the live model writes, for texts of every length."""

import pytest
import tensorflow as tf
import tokenizers

import tfdl
from tests.commands.test_generate import LETTERS
from tests.models.language_models import moved
from tfdl.inference.text_signature import completing, text_entry_points

TOKENIZER = LETTERS.tokenizer
TEXTS = ["TO", "", "A LONG TEXT THAT IS MORE THAN THE MODEL SEES", "é?"]


@pytest.fixture(scope="module")
def gpt():
    return moved("gpt")


@pytest.fixture(scope="module")
def loaded(gpt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts") / "export"
    more = text_entry_points(gpt, TOKENIZER)
    report = tfdl.export_model(gpt, folder, formats=("savedmodel", "tflite"), more=more, progress=None)
    assert set(report["artifacts"]["saved_model"]["signatures"]) == {"prefill", "step", "complete"}
    assert set(report["artifacts"]["model.tflite"]["signatures"]) == {"prefill", "step"}  # TFLite has no strings
    return tf.saved_model.load(str(folder / "saved_model"))


def test_texts_go_on_as_the_live_model_lets_them(gpt, loaded):
    found = [text.decode() for text in loaded.signatures["complete"](texts=tf.constant(TEXTS))["texts"].numpy()]
    room = 32 - 16  # of 32 places, half are for the new letters
    for text, new in zip(TEXTS, found):
        tokens = TOKENIZER.encode(text).ids[-room:]
        expected = gpt.generate([tokens], new_tokens=16, compiled=False).tokens[0] if tokens else []
        assert new == "".join("\ufffd" if token < 2 else LETTERS.characters[token - 2] for token in expected)
    assert found[1] == ""


def test_a_text_alone_gives_the_same(loaded):
    complete = loaded.signatures["complete"]
    together = complete(texts=tf.constant(TEXTS))["texts"].numpy()
    for text, new in zip(TEXTS, together):
        assert complete(texts=tf.constant([text]))["texts"].numpy()[0] == new


def test_a_recurrent_network_has_it_too():
    model = tfdl.build("rnn", "nano", vocabulary_size=TOKENIZER.get_vocab_size())
    complete, _ = text_entry_points(model, TOKENIZER)["complete"]
    found = [text.decode() for text in complete(tf.constant(TEXTS))["texts"].numpy()]
    expected = model.generate([TOKENIZER.encode(TEXTS[2]).ids], new_tokens=64, compiled=False).tokens[0]
    assert found[2] == "".join("\ufffd" if token < 2 else LETTERS.characters[token - 2] for token in expected)
    assert found[1] == ""


def test_other_tokenizers_have_no_such_entry_point(gpt):
    pieces = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    assert text_entry_points(gpt, pieces) == {} and text_entry_points(moved("bart"), TOKENIZER) == {}
    with pytest.raises(ValueError, match="other tokens than single characters"):
        completing(gpt, pieces)
