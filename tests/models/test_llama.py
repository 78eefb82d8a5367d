"""LLaMA has the papers' parameters, and every switch of its relatives changes what it computes."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.harness import outline
from tests.models.decoders import TOKENS, check_decoder
from tfdl.core.outline import parameters
from tfdl.models.text.llama import VARIANTS, llama
from tfdl.ops.positions import LongContext


@pytest.mark.parametrize(
    "variant, count",
    [
        ("llama1_7b", 6_738_415_616),
        ("llama2_7b", 6_738_415_616),
        ("llama2_70b", 68_976_648_192),
        ("llama3_8b", 8_030_261_248),
        ("llama3_1_8b", 8_030_261_248),
        ("llama3_2_1b", 1_235_814_400),
        ("llama3_2_3b", 3_212_749_824),
        ("mistral_7b", 7_241_732_096),
        ("qwen2_0_5b", 494_032_768),
        ("qwen2_1_5b", 1_543_714_304),
        ("qwen2_7b", 7_615_616_512),
    ],
)
def test_number_of_parameters_is_that_of_the_published_model(variant, count):
    assert parameters(outline(llama, variant)) == count


def test_llama_keeps_the_contract_of_decoders(tmp_path):
    check_decoder("llama", tmp_path)


def logits(**changes):
    keras.utils.set_random_seed(0)
    model = llama(dataclasses.replace(VARIANTS["nano"], **changes))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return np.array(model(TOKENS))


@pytest.mark.parametrize(
    "changes", [{"base": 100.0}, {"long_context": LongContext(old_context=8)}, {"window": 3}, {"epsilon": 0.1}], ids=str
)
def test_every_switch_changes_what_it_computes(changes):
    assert np.abs(logits() - logits(**changes)).max() > 1e-3


def test_with_a_window_a_token_is_forgotten_after_as_many_steps_as_all_layers_reach():
    keras.utils.set_random_seed(0)
    model = llama(dataclasses.replace(VARIANTS["nano"], window=3))  # two layers reach 2 * (3 - 1) tokens back
    changed = TOKENS.copy()
    changed[:, 1] = TOKENS[:, 1] % 60 + 1
    difference = np.abs(model(TOKENS) - model(changed)).max(axis=(0, 2))
    assert np.all(difference[1:6] > 0) and np.all(difference[6:] == 0)
