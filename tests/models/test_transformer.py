"""The Transformer has the paper's parameters, and turns one text into another."""

import pytest

from tests.harness import outline
from tests.models.sequence_to_sequence import check_sequence_to_sequence
from tfdl.core.outline import parameters
from tfdl.models.text.transformer import VARIANTS, transformer


@pytest.mark.parametrize("variant, count", [("base", 44_138_496), ("big", 176_357_376)])
def test_stacks_have_the_parameters_of_the_paper(variant, count):
    """Without the embeddings, as PyTorch counts them."""
    c = VARIANTS[variant]
    assert parameters(outline(transformer, variant)) - c.vocabulary_size * c.width == count


def test_transformer_keeps_the_contract(tmp_path):
    check_sequence_to_sequence("transformer", tmp_path, train=True)
