"""RoBERTa has the published parameters, and counts its positions without the padding."""

import numpy as np
import pytest

from tests.harness import outline
from tests.models.encoders import check_encoder
from tests.models.language_models import moved
from tfdl.core.outline import parameters
from tfdl.models.text.roberta import roberta


@pytest.mark.parametrize("head, count", [(None, 124_645_632), ("masked_lm", 124_697_433)], ids=str)
def test_number_of_parameters_is_that_of_the_published_model(head, count):
    assert parameters(outline(roberta, "base", head=head)) == count


def test_roberta_keeps_the_contract_of_encoders(tmp_path):
    check_encoder("roberta", 1, tmp_path)


def test_padding_on_the_left_changes_nothing():
    model = moved("roberta")
    padded, alone = model(np.array([[1, 1, 5, 7, 9]])), model(np.array([[5, 7, 9]]))
    np.testing.assert_allclose(padded["sequence"][:, 2:], alone["sequence"], atol=1e-5)


def test_there_are_no_following_sentences():
    with pytest.raises(ValueError, match="choose the head 'masked_lm'"):
        roberta("nano", head="pretraining")
