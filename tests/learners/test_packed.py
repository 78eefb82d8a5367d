"""Texts that share a row do not see each other, and are learned as in rows of their own."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.saved import load_model
from tfdl.data.instructions import load
from tfdl.learners.supervised.packed import PackedLanguageModel
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.models.text.gpt import VARIANTS, gpt
from tfdl.models.text.llama import llama
from tfdl.train.step import exact

PARTS = [[5, 6, 7, 8], [9, 4, 3], [11, 12]]


def packed(parts, length=11):
    """One row of several texts, and padding."""
    row = {name: np.zeros((1, length), "int32") for name in ("tokens", "segments", "positions")}
    start = 0
    for number, part in enumerate(parts, 1):
        places = slice(start, start + len(part))
        row["tokens"][0, places], row["segments"][0, places] = part, number
        row["positions"][0, places] = range(len(part))
        start += len(part)
    return row


@pytest.fixture(scope="module", params=[gpt, llama])
def learner(request):
    keras.utils.set_random_seed(0)
    return PackedLanguageModel(request.param("nano"))


def test_logits_are_those_of_a_row_for_each_text(learner):
    together, start = np.array(learner(packed(PARTS))), 0
    for part in PARTS:
        alone = np.array(learner.network(np.array([part])))
        np.testing.assert_allclose(together[0, start : start + len(part)], alone[0], atol=1e-5)
        start += len(part)


def test_nothing_is_dropped_unless_it_trains():
    model = PackedLanguageModel(gpt(replace(VARIANTS["nano"], dropout=0.5)))
    row = packed(PARTS)
    np.testing.assert_array_equal(model(row), model(row))
    assert np.any(np.array(model(row, training=True)) != np.array(model(row)))


def test_nothing_of_one_text_reaches_another(learner):
    """The gradient of one text's logits by the embedded tokens of the others is 0."""
    row = {name: tf.constant(values) for name, values in packed(PARTS).items()}
    embed = learner.network.embed
    found = {}

    def watched(tokens, positions, training):
        found["x"] = embed(tokens, positions, training)
        tape.watch(found["x"])
        return found["x"]

    learner.network.embed = watched
    try:
        with tf.GradientTape() as tape:
            inner = tf.reduce_sum(learner(row)[0, 4:7] ** 2)  # the second text
        influence = np.abs(tape.gradient(inner, found["x"])[0]).sum(-1)
    finally:
        learner.network.embed = embed
    assert (influence[4:7] > 0).all() and (influence[:4] == 0).all() and (influence[7:] == 0).all()


def test_packed_conversations_give_the_loss_of_single_ones(learner):
    """And the same gradient, as both average over the answers' tokens."""
    found = {}
    for is_packed in (True, False):
        data = load("add,sort", template="tags", length=32, batch_size=100, packed=is_packed, limit=30)
        (inputs, targets) = next(iter(data.validation))
        with tf.GradientTape() as tape:
            loss = TokenCrossEntropy()(targets, learner(inputs))
        gradient = tape.gradient(loss, learner.trainable_variables[0].value)
        found[is_packed] = float(loss), np.array(tf.convert_to_tensor(gradient))
    assert found[True][0] == pytest.approx(found[False][0], rel=1e-6)
    np.testing.assert_allclose(found[True][1], found[False][1], atol=1e-6)


def test_learner_trains_writes_and_comes_back_from_a_file(tmp_path):
    keras.utils.set_random_seed(0)
    learner = PackedLanguageModel(gpt("nano"))
    data = load("add", template="tags", length=32, batch_size=8, packed=True, limit=40)
    learner.compile("adam", TokenCrossEntropy())
    exact(learner)
    losses = learner.fit(data.train, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    learner.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(np.array([[1, 2]])), learner(np.array([[1, 2]])))
    written = [model.generate([[5, 6]], new_tokens=3, compiled=False).tokens[0] for model in (learner, again)]
    np.testing.assert_array_equal(*written)
