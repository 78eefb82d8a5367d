"""BERT has the paper's parameters, does not see padding, and answers by each of its heads."""

import numpy as np
import pytest

from tests.harness import outline
from tests.models.encoders import PADDED, check_encoder
from tests.models.language_models import moved
from tfdl.core.outline import parameters
from tfdl.models.text.bert import bert


@pytest.mark.parametrize(
    "variant, head, count",
    [
        ("base", None, 109_482_240),
        ("base", "pretraining", 110_106_428),
        ("base", "span", 108_893_186),
        ("large", None, 335_141_888),
        ("minilm_l6", None, 22_713_216),
    ],
)
def test_number_of_parameters_is_that_of_the_published_model(variant, head, count):
    assert parameters(outline(bert, variant, head=head)) == count


def test_bert_keeps_the_contract_of_encoders(tmp_path):
    check_encoder("bert", 0, tmp_path, train=True)


def test_segments_are_told_apart_and_are_the_first_where_none_are_given():
    model, segments = moved("bert", head="pretraining"), np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
    given, absent = model({"tokens": PADDED, "segments": segments}), model(PADDED)
    assert np.abs(given["masked"][0] - absent["masked"][0]).max() > 1e-3
    np.testing.assert_allclose(given["masked"][1], absent["masked"][1], atol=1e-6)


def test_embedding_of_nothing_is_zero_and_finite():
    np.testing.assert_array_equal(moved("bert", head="embedding")(np.zeros((1, 4), "int32")), np.zeros((1, 24)))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"head": "summary"}, "There is no head 'summary'; choose one of None, pretraining"),
        ({"head": "classifier"}, "num_classes is None, but the head 'classifier' needs a number"),
        ({"head": "span", "num_classes": 4}, "num_classes is 4, but the head 'span' has no classes"),
        ({"head": "tagger", "num_classes": 0}, "num_classes is 0; give 1 or more"),
    ],
)
def test_head_and_classes_must_fit(options, message):
    with pytest.raises(ValueError, match=message):
        bert("nano", **options)


def test_attention_map_sums_to_one_over_what_is_no_padding():
    model = bert("nano", head="masked_lm")
    tokens = np.array([[3, 4, 5, 6, 0, 0], [7, 8, 9, 10, 11, 12]], "int32")
    weights = np.array(model.attention_map(tokens))
    assert weights.shape == (2, 6, 6) and np.all(weights[0, :, 4:] < 1e-6) and np.all(weights[1] > 1e-6)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    assert not np.allclose(weights[1, 0], weights[1, 1]), "each token looks elsewhere"
