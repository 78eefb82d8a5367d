"""Language models of ours and of Hugging Face with the same weights: the same logits, in both directions."""

import numpy as np
import pytest

import tfdl
from tests.parity.references import torch, transformers
from tfdl.models.text.bert import BertConfig
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


BERT = dict(vocab_size=53, hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=6)
ENCODERS = {  # head -> (BERT's class, RoBERTa's, our answer in their words)
    None: ("BertModel", "RobertaModel", {"sequence": "last_hidden_state", "pooled": "pooler_output"}),
    "pretraining": ("BertForPreTraining", None, {"masked": "prediction_logits", "next": "seq_relationship_logits"}),
    "masked_lm": ("BertForMaskedLM", "RobertaForMaskedLM", "logits"),
    "classifier": ("BertForSequenceClassification", "RobertaForSequenceClassification", "logits"),
    "tagger": ("BertForTokenClassification", "RobertaForTokenClassification", "logits"),
    "span": ("BertForQuestionAnswering", "RobertaForQuestionAnswering", ("start_logits", "end_logits")),
}


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("head", ENCODERS, ids=str)
def test_encoder_with_each_head_gives_the_same_in_both_directions(family, head, tmp_path):
    bert, roberta, answers = ENCODERS[head]
    if family == "bert":
        theirs = transformers().BertConfig(**BERT, max_position_embeddings=24, num_labels=3)
        config, network = BertConfig(vocabulary=53, context=24, width=24, depth=2, heads=6), bert
    else:
        theirs = transformers().RobertaConfig(
            **BERT, max_position_embeddings=26, num_labels=3, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5
        )
        config = BertConfig(
            vocabulary=53, context=24, width=24, depth=2, heads=6, segments=1, padding=1, first_position=2, epsilon=1e-5
        )
        network = roberta
    if network is None:
        return  # RoBERTa has no such head: tests/models/test_roberta.py
    if head == "span":
        theirs.num_labels = 2
    torch().manual_seed(0)
    theirs = getattr(transformers(), network)(theirs)
    spread(theirs)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    options = {"num_classes": 3} if head in ("classifier", "tagger") else {}
    ours = tfdl.build(family, config, head=head, weights=str(tmp_path / "theirs"), **options)

    tokens = np.random.default_rng(0).integers(2, 53, (3, 17))
    segments = np.zeros((3, 17), "int64")
    tokens[1, 12:] = config.padding
    if family == "bert":
        segments[:, 6:] = 1
    given = {"tokens": tokens, "segments": segments}
    seen = torch().tensor(tokens != config.padding)
    options = dict(attention_mask=seen, token_type_ids=torch().tensor(segments))

    def outputs(network):
        return network(torch().tensor(tokens), **options)

    compare(ours(given), outputs(theirs), answers, tokens != config.padding)
    tfdl.save_weights(ours, tmp_path / "back" / "model.safetensors", layout="transformers")
    theirs.config.save_pretrained(tmp_path / "back")
    again = type(theirs).from_pretrained(tmp_path / "back").eval()
    compare(ours(given), outputs(again), answers, tokens != config.padding)


def compare(ours, theirs, answers, seen):
    """Padding gives numbers on both sides that nobody uses."""
    if isinstance(answers, dict):
        for name, theirs_name in answers.items():
            compare(ours[name], theirs, theirs_name, seen)
        return
    if isinstance(answers, tuple):
        expected = np.stack([getattr(theirs, name).detach().numpy() for name in answers], axis=-1)
    else:
        expected = getattr(theirs, answers).detach().numpy()
    ours = np.array(ours)
    assert ours.shape == expected.shape
    if ours.shape[:2] == seen.shape:
        ours, expected = ours[seen], expected[seen]
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def spread(model):
    """Moves every weight off its start, where biases are 0 and gains 1: a swapped pair would not show."""
    with torch().no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch().randn_like(parameter)
