"""A folder that Hugging Face's transformers opens, and what reads the same files (vLLM, llama.cpp's converter).

    tfdl.save_weights(model, "shakespeare-llama", layout="transformers", tokenizer=data.tokenizer)
    AutoModelForCausalLM.from_pretrained("shakespeare-llama"), AutoTokenizer.from_pretrained("shakespeare-llama")

It has config.json, model.safetensors and, with a tokenizer, tokenizer.json and tokenizer_config.json.  AutoTokenizer
takes Qwen2's own pieces for every Qwen2: one with another tokenizer is opened by PreTrainedTokenizerFast.
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
    own = None if tokenizer is None else getattr(tokenizer, "tokenizer", None)
    if tokenizer is not None and own is None:
        raise ValueError(f"The tokenizer {type(tokenizer).__name__} has no tokenizer.json; copy its own file instead.")
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


def with_zero_biases(arrays):
    """The arrays of a GPT-2 that has no biases, with those of zeros that the class in transformers has."""
    layers = [name for name in arrays if name.endswith(".weight") and not name.endswith(("wte.weight", "wpe.weight"))]
    return arrays | {
        name.removesuffix("weight") + "bias": np.zeros(arrays[name].shape[-1], arrays[name].dtype) for name in layers
    }


CONFIGS = {"gpt": gpt, "llama": llama, "mixtral": llama}
