"""GPT has the papers' parameters and reads from left to right."""

import pytest

from tests.harness import outline
from tests.models.decoders import check_decoder
from tests.models.language_models import moved
from tfdl.core.outline import parameters
from tfdl.models.text.gpt import gpt


@pytest.mark.parametrize(
    "variant, count",
    [
        ("char_small", 804_096),  # nanoGPT's
        ("gpt1", 116_534_784),
        ("gpt2", 124_439_808),
        ("gpt2_medium", 354_823_168),
        ("gpt2_large", 774_030_080),
        ("gpt2_xl", 1_557_611_200),
    ],
)
def test_number_of_parameters_is_that_of_the_published_model(variant, count):
    assert parameters(outline(gpt, variant)) == count


def test_gpt_keeps_the_contract_of_decoders(tmp_path):
    check_decoder("gpt", tmp_path, train=True)


def test_cache_cannot_be_longer_than_the_context():
    model = moved("gpt")
    with pytest.raises(ValueError, match="A cache of 33 places: gpt sees 1 to 32 tokens"):
        model.empty_cache(1, 33)
