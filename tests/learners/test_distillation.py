"""Distillation: the loss of its paper, a teacher that stays as it is, and texts that it writes."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from tfdl.core.batches import PADDING
from tfdl.learners.transfer.distillation import Distillation, written_by
from tfdl.models.text.gpt import gpt
from tfdl.models.text.llama import llama
from tfdl.train.step import exact

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(1, 60, (6, 5)).astype("int32")
TARGETS = np.where(RNG.random((6, 5)) < 0.3, PADDING, RNG.integers(1, 60, (6, 5))).astype("int32")


def test_loss_is_hinton_s_over_the_tokens_that_are_there():
    keras.utils.set_random_seed(0)
    student, teacher = gpt("nano"), llama("nano")
    learner = Distillation(student, teacher, temperature=3.0, weight=0.7)
    learner.compile("sgd")
    logs = {name: np.array(model(TOKENS)) for name, model in (("s", student), ("t", teacher))}
    p, q = (log_softmax(logs[name] / 3.0, -1) for name in "ts")
    divergence = (np.exp(p) * (p - q)).sum(-1)
    hard = -np.take_along_axis(log_softmax(logs["s"], -1), np.maximum(TARGETS, 0)[..., None], -1)[..., 0]
    expected = (0.7 * 9 * divergence + 0.3 * hard)[TARGETS != PADDING].mean()
    found = learner.test_on_batch(TOKENS, TARGETS, return_dict=True)
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
    assert found["divergence"] == pytest.approx(divergence[TARGETS != PADDING].mean(), rel=1e-3)


def test_student_comes_near_and_the_teacher_stays():
    keras.utils.set_random_seed(0)
    student, teacher = gpt("nano"), gpt("nano")
    for weight in teacher.trainable_variables:
        weight.assign(weight * 3)
    before = np.array(teacher(TOKENS))
    learner = Distillation(student, teacher)
    learner.compile(keras.optimizers.Adam(0.01))
    exact(learner)
    divergence = learner.fit(TOKENS, TARGETS, batch_size=6, epochs=12, verbose=0).history["divergence"]
    assert divergence[-1] < 0.6 * divergence[0]
    np.testing.assert_array_equal(teacher(TOKENS), before)


def test_texts_of_a_teacher_and_errors():
    texts = written_by(gpt("nano"), [[1, 2], [3]], decode=lambda t: "".join(map(chr, t)), new_tokens=3, compiled=False)
    assert [len(text) for text in texts] == [3, 3]
    with pytest.raises(ValueError, match="student has 61 tokens and the teacher 40; give both one vocabulary"):
        Distillation(gpt("nano"), gpt("nano", vocabulary_size=40))
    with pytest.raises(ValueError, match="weight is 2; give 0 to 1"):
        Distillation(gpt("nano"), gpt("nano"), weight=2)
