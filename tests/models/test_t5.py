"""T5 has the published parameters, and turns one text into another by distances alone."""

import numpy as np
import pytest

from tests.harness import outline
from tests.models.language_models import moved
from tests.models.sequence_to_sequence import SOURCE, check_sequence_to_sequence
from tfdl.core.outline import parameters
from tfdl.models.text.t5 import t5


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
