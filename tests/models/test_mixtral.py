"""Mixtral has the published parameters, and reads from left to right."""

import pytest

from tests.harness import outline
from tests.models.decoders import check_decoder
from tfdl.core.outline import parameters
from tfdl.models.text import llama
from tfdl.models.text.mixtral import mixtral


def test_number_of_parameters_is_that_of_the_published_model():
    assert parameters(outline(mixtral, "8x7b")) == 46_702_792_704


def test_mixtral_keeps_the_contract_of_decoders(tmp_path):
    check_decoder("mixtral", tmp_path, train=True)


def test_network_without_experts_is_a_llama():
    with pytest.raises(ValueError, match="build a llama of it"):
        mixtral(llama.VARIANTS["nano"])
