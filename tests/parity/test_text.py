"""Language models of ours and of Hugging Face with the same weights: the same logits, in both directions."""

import numpy as np
import pytest

import tfdl
from tests.parity.references import torch, transformers
from tfdl.models.text.gpt import GPTConfig
from tfdl.models.text.llama import LlamaConfig
from tfdl.ops.positions import LongContext

pytestmark = pytest.mark.parity

LONG = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def gpt2():
    theirs = transformers().GPT2Config(vocab_size=53, n_positions=24, n_embd=20, n_layer=2, n_head=4)
    ours = GPTConfig(vocabulary=53, context=24, width=20, depth=2, heads=4)
    return "gpt", ours, transformers().GPT2LMHeadModel(theirs)


def gpt1():
    theirs = transformers().OpenAIGPTConfig(vocab_size=53, n_positions=24, n_embd=20, n_layer=2, n_head=4)
    ours = GPTConfig(vocabulary=53, context=24, width=20, depth=2, heads=4, norm_first=False)
    return "gpt", ours, transformers().OpenAIGPTLMHeadModel(theirs)


COMMON = dict(vocab_size=53, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=6)
OURS = dict(vocabulary=53, width=24, inner=44, depth=2, heads=6)


def llama2():
    theirs = transformers().LlamaConfig(**COMMON, num_key_value_heads=2, max_position_embeddings=32, rms_norm_eps=1e-5)
    return "llama", LlamaConfig(**OURS, groups=2, context=32), transformers().LlamaForCausalLM(theirs)


def llama3_2():
    theirs = transformers().LlamaConfig(
        **COMMON,
        num_key_value_heads=3,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={**LONG, "rope_theta": 500000.0},
    )
    ours = LlamaConfig(
        **OURS, groups=3, context=128, base=500000.0, long_context=LongContext(old_context=16), tied=True
    )
    return "llama", ours, transformers().LlamaForCausalLM(theirs)


def mistral():
    theirs = transformers().MistralConfig(
        **COMMON, num_key_value_heads=2, max_position_embeddings=64, sliding_window=5, rms_norm_eps=1e-5
    )
    ours = LlamaConfig(**OURS, groups=2, context=64, window=5)
    return "llama", ours, transformers().MistralForCausalLM(theirs)


def qwen2():
    theirs = transformers().Qwen2Config(
        **COMMON,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    ours = LlamaConfig(**OURS, groups=2, context=64, base=1e6, attention_bias=True, epsilon=1e-6)
    return "llama", ours, transformers().Qwen2ForCausalLM(theirs)


@pytest.mark.parametrize("pair", [gpt1, gpt2, llama2, llama3_2, mistral, qwen2], ids=lambda pair: pair.__name__)
def test_same_weights_give_the_same_logits_in_both_directions(pair, tmp_path):
    torch().manual_seed(0)
    family, config, theirs = pair()
    spread(theirs)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    ours = tfdl.build(family, config, weights=str(tmp_path / "theirs"))
    tokens = np.random.default_rng(0).integers(0, 53, (3, 22))
    expected = theirs(torch().tensor(tokens)).logits.detach().numpy()
    np.testing.assert_allclose(ours(tokens), expected, atol=1e-4)

    for parameter in theirs.parameters():
        torch().nn.init.zeros_(parameter)
    tfdl.save_weights(ours, tmp_path / "back" / "model.safetensors", layout="transformers")
    theirs.config.save_pretrained(tmp_path / "back")
    again = type(theirs).from_pretrained(tmp_path / "back").eval()
    np.testing.assert_allclose(again(torch().tensor(tokens)).logits.detach().numpy(), expected, atol=1e-6)


def spread(model):
    """Moves every weight off its start, where biases are 0 and gains 1: a swapped pair would not show."""
    with torch().no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch().randn_like(parameter)
