"""T5 has the published parameters, and turns one text into another by distances alone."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import outline
from tests.models.language_models import moved
from tests.models.sequence_to_sequence import SOURCE, check_sequence_to_sequence
from tfdl.core.outline import parameters
from tfdl.models.text.t5 import VARIANTS, t5


@pytest.mark.parametrize("variant, count", [("small", 60_506_624), ("base", 222_903_552), ("v1_1_small", 76_961_152)])
def test_number_of_parameters_is_that_of_the_published_model(variant, count):
    assert parameters(outline(t5, variant)) == count


def test_t5_keeps_the_contract(tmp_path):
    check_sequence_to_sequence("t5", tmp_path)


def test_order_of_the_source_is_seen_by_distances():
    model = moved("t5")
    forward, _ = model.encode(SOURCE)
    backward, _ = model.encode(SOURCE[:, ::-1])
    assert np.abs(forward - backward[:, ::-1]).max() > 1e-3


@pytest.mark.parametrize("gated", [False, True])
def test_logits_and_scores_start_with_variance_one(gated):
    keras.utils.set_random_seed(0)
    model = t5(replace(VARIANTS["mini"], vocabulary_size=200, gated=gated))
    tokens = np.random.default_rng(0).integers(1, 200, (4, 24))
    assert np.std(model({"source": tokens, "target_in": tokens})) == pytest.approx(1, rel=0.15)
    attention = model.encoder[0].attention
    x = np.random.default_rng(1).normal(size=(4, 24, 128)).astype("float32")
    scores = np.einsum("bhtd,bhsd->bhts", attention.queries(x), attention.keys_values(x)[0])
    assert np.std(scores) == pytest.approx(1, rel=0.15)
