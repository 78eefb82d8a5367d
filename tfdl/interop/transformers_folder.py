"""A folder that Hugging Face's transformers opens, and what reads the same files (vLLM, llama.cpp's converter).

    tfdl.save_weights(model, "shakespeare-llama", layout="transformers", tokenizer=data.tokenizer)
    AutoModelForCausalLM.from_pretrained("shakespeare-llama"), AutoTokenizer.from_pretrained("shakespeare-llama")

T5 and BART are opened by AutoModelForSeq2SeqLM, BERT and RoBERTa by the class for their head, such as
AutoModelForSequenceClassification.  The folder has config.json, model.safetensors and, with a tokenizer, tokenizer.json
and tokenizer_config.json.  AutoTokenizer takes Qwen2's own pieces for every Qwen2: one with another tokenizer is opened
by PreTrainedTokenizerFast.
"""

import numpy as np

from tfdl.core.files import replaced, write_json, write_text
from tfdl.interop.files.archives import write_arrays


def write_folder(folder, model, family, arrays, tokenizer=None):
    """Writes a model's arrays, named as transformers names them, with its config.

    Raises:
        ValueError: there is no config for this kind of model, or the tokenizer has no tokenizer.json.
        OSError: the folder cannot be written; what stood there before is unchanged.
    """
    if family not in CONFIGS:
        raise ValueError(
            f"There is no config.json for a {family!r} yet, only for {', '.join(CONFIGS)}; give a file such as"
            " model.safetensors, and take the config of the model in transformers."
        )
    config = CONFIGS[family](model.config)
    if family == "gpt" and not model.config.use_bias:
        arrays = with_zero_biases(arrays)
    if family == "bert" and not model.config.segments:
        arrays = arrays | {"bert.embeddings.token_type_embeddings.weight": np.zeros((1, model.config.width), "float32")}
    own = None if tokenizer is None else getattr(tokenizer, "tokenizer", None)
    if tokenizer is not None and own is None:
        raise ValueError(f"The tokenizer {type(tokenizer).__name__} has no tokenizer.json; copy its own file instead.")
    config |= special_tokens(config["model_type"], getattr(tokenizer, "special", {}))
    with replaced(folder, marker="config.json") as fresh:
        write_arrays(fresh / "model.safetensors", arrays)
        write_json(fresh / "config.json", {"torch_dtype": "float32", **config})
        if own is not None:
            facts = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.config.context}
            write_text(fresh / "tokenizer.json", own.to_str())
            write_json(fresh / "tokenizer_config.json", facts)


def gpt(c):
    """GPT-2.  Raises ValueError for GPT-1, whose class has another name."""
    if not c.norm_first:
        raise ValueError("A GPT-1 is written as a file only, such as model.safetensors: its config is OpenAIGPTConfig.")
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": c.vocabulary_size,
        "n_positions": c.context,
        "n_embd": c.width,
        "n_layer": c.depth,
        "n_head": c.heads,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": c.epsilon,
        "resid_pdrop": c.dropout,
        "embd_pdrop": c.dropout,
        "attn_pdrop": c.dropout,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def llama(c):
    """LLaMA, or what transformers calls it: Mistral with a window, Qwen2 with biases, Mixtral with experts."""
    name = "llama"
    if c.window is not None:
        name = "mistral"
    if c.attention_bias:
        name = "qwen2"
    if c.experts:
        name = "mixtral"
    class_name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "mixtral": "Mixtral"}[name]
    rope = {"rope_type": "default", "rope_theta": c.base}
    if c.long_context is not None:
        rope |= {
            "rope_type": "llama3",
            "factor": c.long_context.factor,
            "low_freq_factor": c.long_context.slow,
            "high_freq_factor": c.long_context.fast,
            "original_max_position_embeddings": c.long_context.old_context,
        }
    config = {
        "architectures": [f"{class_name}ForCausalLM"],
        "model_type": name,
        "vocab_size": c.vocabulary_size,
        "hidden_size": c.width,
        "intermediate_size": c.inner,
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.groups,
        "max_position_embeddings": c.context,
        "hidden_act": "silu",
        "rms_norm_eps": c.epsilon,
        "rope_parameters": rope,
        "rope_theta": c.base,
        "tie_word_embeddings": c.tied,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    if c.long_context is not None:
        config["rope_scaling"] = rope
    if name == "mistral":
        config["sliding_window"] = c.window
    if c.experts:
        config |= {"num_local_experts": c.experts, "num_experts_per_tok": c.chosen, "sliding_window": c.window}
    return config


def t5(c):
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": c.vocabulary_size,
        "n_positions": c.context,
        "d_model": c.width,
        "d_kv": c.head_width,
        "d_ff": c.inner,
        "num_layers": c.depth,
        "num_decoder_layers": c.depth,
        "num_heads": c.heads,
        "relative_attention_num_buckets": c.buckets,
        "relative_attention_max_distance": c.largest,
        "dropout_rate": c.dropout,
        "layer_norm_epsilon": c.epsilon,
        "feed_forward_proj": "gated-gelu" if c.gated else "relu",
        "tie_word_embeddings": not c.gated,
        "pad_token_id": c.padding,
        "decoder_start_token_id": c.padding,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def bart(c):
    sides = {
        f"{side}_{name}": number
        for side in ("encoder", "decoder")
        for name, number in (("layers", c.depth), ("attention_heads", c.heads), ("ffn_dim", 4 * c.width))
    }
    return sides | {
        "architectures": ["BartForConditionalGeneration"],
        "model_type": "bart",
        "is_encoder_decoder": True,
        "vocab_size": c.vocabulary_size,
        "max_position_embeddings": c.context,
        "d_model": c.width,
        "activation_function": "gelu",
        "dropout": c.dropout,
        "attention_dropout": c.dropout,
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "pad_token_id": c.padding,
        "bos_token_id": None,
        "eos_token_id": None,
        "forced_eos_token_id": None,
        "decoder_start_token_id": None,
    }


HEADS = {  # our head -> the end of the class's name
    None: "Model",
    "embedding": "Model",
    "pretraining": "ForPreTraining",
    "masked_lm": "ForMaskedLM",
    "classifier": "ForSequenceClassification",
    "tagger": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}


def bert(c):
    """BERT.  Raises ValueError if the positions are counted as RoBERTa does."""
    if c.first_position:
        raise ValueError(
            f"A BERT of transformers counts positions from 0, not from {c.first_position}; build a 'roberta'."
        )
    return encoder(c, "bert", "Bert") | {"max_position_embeddings": c.context, "type_vocab_size": max(1, c.segments)}


def roberta(c):
    """RoBERTa.  Raises ValueError unless positions are counted from the padding token's number on."""
    if c.first_position != c.padding + 1:
        raise ValueError(
            f"A RoBERTa of transformers whose padding is {c.padding} counts positions from {c.padding + 1}, not from"
            f" {c.first_position}; change either of them in its config, or give a file such as model.safetensors."
        )
    positions = c.context + c.first_position
    return encoder(c, "roberta", "Roberta") | {"max_position_embeddings": positions, "type_vocab_size": c.segments}


def encoder(c, name, class_name):
    """What BERT and RoBERTa have in common."""
    labels = {str(i): f"LABEL_{i}" for i in range(c.classes or 2)}
    return {
        "architectures": [class_name + HEADS[c.head]],
        "model_type": name,
        "vocab_size": c.vocabulary_size,
        "hidden_size": c.width,
        "intermediate_size": int(c.expansion * c.width),
        "num_hidden_layers": c.depth,
        "num_attention_heads": c.heads,
        "hidden_act": "gelu",
        "layer_norm_eps": c.epsilon,
        "hidden_dropout_prob": c.dropout,
        "attention_probs_dropout_prob": c.dropout,
        "pad_token_id": c.padding,
        "id2label": labels,
        "label2id": {label: int(i) for i, label in labels.items()},
    }


def special_tokens(model_type, special):
    """Which tokens begin and end a text, by the names that tokenizers have for them, where an encoder-decoder writes.

    BART's decoder starts as `data.corrupted_text` has it.
    """
    names = {
        "t5": {"eos_token_id": "end"},
        "bart": {"bos_token_id": "start", "eos_token_id": "end", "decoder_start_token_id": "start"},
    }.get(model_type, {})
    return {key: special[name] for key, name in names.items() if name in special}


def with_zero_biases(arrays):
    """The arrays of a GPT-2 that has no biases, with those of zeros that the class in transformers has."""
    layers = [name for name in arrays if name.endswith(".weight") and not name.endswith(("wte.weight", "wpe.weight"))]
    return arrays | {
        name.removesuffix("weight") + "bias": np.zeros(arrays[name].shape[-1], arrays[name].dtype) for name in layers
    }


CONFIGS = {"bart": bart, "bert": bert, "gpt": gpt, "llama": llama, "mixtral": llama, "roberta": roberta, "t5": t5}
