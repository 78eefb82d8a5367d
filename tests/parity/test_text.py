"""Language models of ours and of Hugging Face with the same weights: the same logits, in both directions."""

import dataclasses

import keras
import numpy as np
import pytest

import tfdl
from tests.parity.references import torch, transformers
from tfdl.data.tokenizers import Characters, Pieces
from tfdl.interop.layouts import Layout, entries
from tfdl.interop.transformers_folder import HEADS
from tfdl.models.text.bart import BartConfig
from tfdl.models.text.bert import BertConfig
from tfdl.models.text.gpt import GPTConfig
from tfdl.models.text.llama import LlamaConfig
from tfdl.models.text.t5 import T5Config
from tfdl.ops.positions import LongContext, sinusoids

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
    ours = GPTConfig(vocabulary_size=53, context=24, width=20, depth=2, heads=4)
    return "gpt", ours, transformers().GPT2LMHeadModel(theirs)


def gpt1():
    theirs = transformers().OpenAIGPTConfig(vocab_size=53, n_positions=24, n_embd=20, n_layer=2, n_head=4)
    ours = GPTConfig(vocabulary_size=53, context=24, width=20, depth=2, heads=4, norm_first=False)
    return "gpt", ours, transformers().OpenAIGPTLMHeadModel(theirs)


COMMON = dict(vocab_size=53, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=6)
OURS = dict(vocabulary_size=53, width=24, inner=44, depth=2, heads=6)


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


def mixtral():
    theirs = transformers().MixtralConfig(
        **COMMON,
        num_key_value_heads=2,
        max_position_embeddings=64,
        num_local_experts=3,
        num_experts_per_tok=2,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    ours = LlamaConfig(**OURS, groups=2, context=64, base=1e6, experts=3)
    return "mixtral", ours, transformers().MixtralForCausalLM(theirs)


@pytest.mark.parametrize(
    "pair", [gpt1, gpt2, llama2, llama3_2, mistral, mixtral, qwen2], ids=lambda pair: pair.__name__
)
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


def bart():
    theirs = transformers().BartConfig(
        vocab_size=53,
        max_position_embeddings=24,
        d_model=20,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=80,
        decoder_ffn_dim=80,
    )
    ours = BartConfig(vocabulary_size=53, context=24, width=20, depth=2, heads=4)
    return "bart", ours, transformers().BartForConditionalGeneration(theirs)


def t5(**options):
    gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if options else {}
    theirs = transformers().T5Config(
        vocab_size=53,
        d_model=20,
        d_kv=6,
        d_ff=36,
        num_layers=2,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=12,
        decoder_start_token_id=0,
        **gated,
    )
    ours = T5Config(
        vocabulary_size=53, width=20, head_width=6, inner=36, depth=2, heads=3, buckets=8, largest=12, **options
    )
    return "t5", ours, transformers().T5ForConditionalGeneration(theirs)


def t5_v1_1():
    family, ours, theirs = t5(gated=True)
    theirs.lm_head.weight = torch().nn.Parameter(torch().randn(53, 20))  # untied, as files of version 1.1 have it
    return family, ours, theirs


@pytest.mark.parametrize("pair", [bart, t5, t5_v1_1], ids=lambda pair: pair.__name__)
def test_encoder_and_decoder_give_the_same_logits_in_both_directions(pair, tmp_path):
    torch().manual_seed(0)
    family, config, theirs = pair()
    spread(theirs)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    ours = tfdl.build(family, config, weights=str(tmp_path / "theirs"))
    rng = np.random.default_rng(0)
    source, target = rng.integers(2, 53, (3, 22)), rng.integers(2, 53, (3, 19))
    source[1, 15:] = config.padding
    given = dict(
        input_ids=torch().tensor(source),
        attention_mask=torch().tensor(source != config.padding),
        decoder_input_ids=torch().tensor(target),
    )
    expected = theirs(**given).logits.detach().numpy()
    found = np.array(ours({"source": source, "target_in": target}))
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))

    tfdl.save_weights(ours, tmp_path / "back" / "model.safetensors", layout="transformers")
    theirs.config.save_pretrained(tmp_path / "back")
    again = type(theirs).from_pretrained(tmp_path / "back").eval()
    np.testing.assert_allclose(again(**given).logits.detach().numpy(), expected, atol=1e-5)


def test_transformer_is_pytorch_s(tmp_path):
    """Its stacks of the paper's blocks, without the normalization that torch.nn.Transformer adds to each."""
    nn = torch().nn
    options = dict(d_model=24, nhead=3, dim_feedforward=96, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**options), 2, norm=None, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**options), 2, norm=None)
    theirs = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    spread(theirs)
    theirs.eval()
    ours = tfdl.build("transformer", "nano")
    arrays = {name: array.numpy() for name, array in theirs.state_dict().items()}
    arrays["tokens.weight"] = np.random.default_rng(0).normal(0, 0.3, (61, 24)).astype("float32")
    for entry in entries(ours, PYTORCH, "transformer"):
        entry.assign(entry.fitted(arrays[entry.theirs]))
    rng = np.random.default_rng(0)
    source, target = rng.integers(1, 61, (3, 11)), rng.integers(1, 61, (3, 9))
    source[1, 8:] = 0

    def embedded(tokens):
        table = arrays["tokens.weight"]
        return torch().tensor(table[tokens] * 24**0.5 + sinusoids(32, 24)[: tokens.shape[1]], dtype=torch().float32)

    hidden = torch().tensor(source == 0)
    memory = encoder(embedded(source), src_key_padding_mask=hidden)
    causal = torch().ones(9, 9).triu(1).bool()
    y = decoder(embedded(target), memory, tgt_mask=causal, memory_key_padding_mask=hidden).detach().numpy()
    found = np.array(ours({"source": source, "target_in": target}))
    np.testing.assert_allclose(found, y @ arrays["tokens.weight"].T, atol=1e-4)
    stack = nn.ModuleList([nn.TransformerEncoder(nn.TransformerEncoderLayer(512, 8, 2048), 6, norm=None)])
    stack.append(nn.TransformerDecoder(nn.TransformerDecoderLayer(512, 8, 2048), 6, norm=None))
    assert sum(parameter.numel() for parameter in stack.parameters()) == 44_138_496


def pytorch_layers(side):
    layer = rf"{side}.layers.\1"
    norms = {"encoder": ("attention", "feed_forward"), "decoder": ("attention", "cross_attention", "feed_forward")}
    return (
        *((rf"{side}(\d+)/{norm}_norm", f"{layer}.norm{i}") for i, norm in enumerate(norms[side], 1)),
        *(
            (rf"{side}(\d+)/{ours}/{part}", rf"{layer}.{theirs}.in_proj_[{i}/3]")
            for ours, theirs in (("attention", "self_attn"), ("cross_attention", "multihead_attn"))
            for i, part in enumerate(("query", "key", "value"))
        ),
        (rf"{side}(\d+)/attention/output", f"{layer}.self_attn.out_proj"),
        (rf"{side}(\d+)/cross_attention/output", f"{layer}.multihead_attn.out_proj"),
        (rf"{side}(\d+)/feed_forward/up", f"{layer}.linear1"),
        (rf"{side}(\d+)/feed_forward/down", f"{layer}.linear2"),
    )


PYTORCH = Layout(
    name="torch.nn",
    families={"transformer": (*pytorch_layers("encoder"), *pytorch_layers("decoder"), (r"tokens", "tokens"))},
    torch=True,
)
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
        config, network = BertConfig(vocabulary_size=53, context=24, width=24, depth=2, heads=6), bert
    else:
        theirs = transformers().RobertaConfig(
            **BERT, max_position_embeddings=26, num_labels=3, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5
        )
        config = BertConfig(
            vocabulary_size=53,
            context=24,
            width=24,
            depth=2,
            heads=6,
            segments=1,
            padding=1,
            first_position=2,
            epsilon=1e-5,
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


SMALL = OURS | {"vocabulary_size": 61}
FOLDERS = {
    "gpt": GPTConfig(vocabulary_size=61, context=24, width=20, depth=2, heads=4),
    "gpt without biases": GPTConfig(vocabulary_size=61, context=24, width=20, depth=2, heads=4, use_bias=False),
    "llama": LlamaConfig(
        **OURS | {"vocabulary_size": 61}, groups=3, context=128, long_context=LongContext(), tied=True
    ),
    "mistral": LlamaConfig(**SMALL, groups=2, context=64, window=5),
    "qwen2": LlamaConfig(**SMALL, groups=2, context=64, base=1e6, attention_bias=True),
    "mixtral": LlamaConfig(**SMALL, groups=2, context=64, experts=3),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_folder_of_ours_is_opened_by_auto_classes_with_its_tokenizer(kind, tmp_path):
    family = kind.split()[0].replace("mistral", "llama").replace("qwen2", "llama")
    ours = moved(family, FOLDERS[kind])
    letters = Characters("".join(map(chr, range(32, 32 + 59))))
    tfdl.save_weights(ours, tmp_path / "folder", layout="transformers", tokenizer=letters)
    theirs = transformers().AutoModelForCausalLM.from_pretrained(tmp_path / "folder").eval()
    # AutoTokenizer takes Qwen2's own pieces for every Qwen2, as `transformers_folder` says
    opener = transformers().PreTrainedTokenizerFast if kind == "qwen2" else transformers().AutoTokenizer
    tokenizer = opener.from_pretrained(tmp_path / "folder")
    text = "TO BE, OR NOT TO BE"
    tokens = tokenizer(text).input_ids
    assert tokens == letters.encode(text).tolist() and tokenizer.decode(tokens) == text
    expected = theirs(torch().tensor([tokens])).logits.detach().numpy()
    np.testing.assert_allclose(ours(np.array([tokens])), expected, atol=1e-4)


def moved(family, config, **options):
    """One of ours, every weight off its start."""
    keras.utils.set_random_seed(0)
    ours = tfdl.build(family, config, **options)
    for weight in ours.trainable_variables:
        weight.assign(weight + np.random.default_rng(1).normal(0, 0.1, weight.shape))
    return ours


T5_SIZES = dict(vocabulary_size=61, width=20, head_width=6, inner=36, depth=2, heads=3, buckets=8, largest=12)
WRITERS = {
    "bart": BartConfig(vocabulary_size=61, context=24, width=20, depth=2, heads=4),
    "t5": T5Config(**T5_SIZES),
    "t5 1.1": T5Config(**T5_SIZES, gated=True),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_folder_of_an_encoder_and_decoder_is_opened_by_auto_classes_with_its_tokenizer(kind, tmp_path):
    config = WRITERS[kind]
    ours = moved(kind.split()[0], config)
    pieces = Pieces(Characters("".join(map(chr, range(32, 32 + 59)))).tokenizer)
    tfdl.save_weights(ours, tmp_path / "folder", layout="transformers", tokenizer=pieces)
    theirs = transformers().AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "folder").eval()
    tokenizer = transformers().AutoTokenizer.from_pretrained(tmp_path / "folder")
    source = np.array([tokenizer("TO BE, OR NOT TO BE").input_ids, tokenizer("THAT IS THE QUESTIO").input_ids])
    assert source[0].tolist() == pieces.encode("TO BE, OR NOT TO BE").tolist()
    source[1, 14:] = config.padding
    target = np.random.default_rng(0).integers(2, 61, (2, 17))
    given = dict(input_ids=torch().tensor(source), attention_mask=torch().tensor(source != config.padding))
    expected = theirs(**given, decoder_input_ids=torch().tensor(target)).logits.detach().numpy()
    found = np.array(ours({"source": source, "target_in": target}))
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    assert theirs.config.pad_token_id == config.padding
    written = theirs.generate(**given, max_new_tokens=5, do_sample=False, decoder_start_token_id=4)
    ours_written = ours.generate([row[row != config.padding] for row in source], new_tokens=5, start=4, compiled=False)
    assert written[:, 1:].tolist() == [tokens.tolist() for tokens in ours_written.tokens]


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("head", ENCODERS, ids=str)
def test_folder_of_an_encoder_is_opened_by_the_auto_class_of_its_head(family, head, tmp_path):
    if ENCODERS[head][family == "roberta"] is None:
        return  # RoBERTa has no such head: tests/models/test_roberta.py
    options = {"num_classes": 3} if head in ("classifier", "tagger") else {}
    config = BertConfig(vocabulary_size=61, context=24, width=24, depth=2, heads=6)
    if family == "roberta":
        config = dataclasses.replace(config, segments=1, padding=1, first_position=2, epsilon=1e-5)
    ours = moved(family, config, head=head, **options)
    letters = Characters("".join(map(chr, range(32, 32 + 59))))
    tfdl.save_weights(ours, tmp_path / "folder", layout="transformers", tokenizer=letters)
    opener = getattr(transformers(), "AutoModel" + HEADS[head].removeprefix("Model"))
    theirs = opener.from_pretrained(tmp_path / "folder").eval()
    tokenizer = transformers().AutoTokenizer.from_pretrained(tmp_path / "folder")
    tokens = np.array([tokenizer("TO BE, OR NOT TO BE").input_ids])
    assert tokens[0].tolist() == letters.encode("TO BE, OR NOT TO BE").tolist()
    segments = np.zeros_like(tokens)
    if family == "bert":
        segments[:, 6:] = 1
    seen = torch().ones(tokens.shape, dtype=torch().long)
    expected = theirs(torch().tensor(tokens), attention_mask=seen, token_type_ids=torch().tensor(segments))
    compare(ours({"tokens": tokens, "segments": segments}), expected, ENCODERS[head][2], tokens >= 0)


def test_folder_of_an_encoder_without_segments_or_that_gives_one_vector(tmp_path):
    config = BertConfig(vocabulary_size=61, context=24, width=24, depth=2, heads=6, segments=0)
    ours = moved("bert", config, head="embedding")
    tfdl.save_weights(ours, tmp_path / "folder", layout="transformers")
    theirs = transformers().AutoModel.from_pretrained(tmp_path / "folder").eval()
    tokens = np.random.default_rng(0).integers(1, 61, (2, 9))
    expected = theirs(torch().tensor(tokens)).last_hidden_state.detach().numpy()
    np.testing.assert_allclose(ours.encode(tokens), expected, atol=1e-4)
