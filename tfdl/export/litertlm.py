"""A language model as one .litertlm file, which LiteRT-LM runs on phones: network, tokenizer, and where texts end.

    write_litertlm(model, "gpt.litertlm", tokenizer, stop_tokens=[tokenizer.token_to_id("<|endoftext|>")])

LiteRT-LM has its own names.  "prefill_32" reads 32 tokens of a prompt and gives only the cache, "decode" reads one and
gives the logits of the next; both take the positions of their tokens as `input_pos`, and the cache as `kv_cache_k_0`,
`kv_cache_v_0`, `kv_cache_k_1` ...  A prompt's last token is read by "decode".  Needs the extra `edge`.
Shapes: T tokens, S places of the cache, g groups of heads, d width of a head, V vocabulary.
"""

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdl.core.files import write_bytes, write_text
from tfdl.core.litert import interpreter
from tfdl.export.entry_points import holding
from tfdl.export.graph import saved
from tfdl.export.parity import Reference, check, wrong_outputs
from tfdl.export.precision import in_float32
from tfdl.export.tflite import FLOATS
from tfdl.layers.causal_decoder import CHUNK, PLACES, CausalDecoder

CHECKED = 8  # texts on which the file is compared with the live model


def write_litertlm(
    model,
    file,
    tokenizer,
    *,
    form="tflite",
    chunk=CHUNK,
    cache_length=None,
    start_token=None,
    stop_tokens=(),
    template=None,
):
    """Writes the file, and compares its network with the live model.

    Args:
        model: a `CausalDecoder`.
        file: ends in .litertlm; an earlier one is replaced once the new one is right.
        tokenizer: a `tokenizers.Tokenizer`.
        form: of the network, one of `tfdl.export.tflite.FLOATS`.
        chunk: tokens of a prompt that are read at a time.
        cache_length: S, the most tokens of a conversation; None is what the model sees, at most 512.
        start_token: the number of the token that begins every text, if there is one.
        stop_tokens: numbers of the tokens that end one; without any, texts are as long as they may be.
        template: a chat template in Jinja, as Hugging Face's tokenizers have it.

    Returns:
        dict: "bytes", and how far the network is from the live model, as in report.json.

    Raises:
        ImportError: litert-lm-builder is missing; the message names the extra.
        ValueError: an argument is wrong.
        ExportError: the network does not compute what the live model does.
    """
    try:
        from litert_lm_builder import litertlm_builder as builder
    except ImportError as error:
        raise ImportError("A .litertlm file needs litert-lm-builder: pip install 'tfdl[edge]'.") from error
    file = Path(file)
    if file.suffix != ".litertlm" or form not in FLOATS or not isinstance(model, CausalDecoder):
        raise ValueError(
            f"A {type(model).__name__} as {form} in {file} is not possible: give a GPT, LLaMA or Mixtral, one of"
            f" {', '.join(FLOATS)}, and a name that ends in .litertlm."
        )
    size = model.config.vocabulary_size
    places = cache_length or min(PLACES, model.config.context)
    chunk = min(chunk, places - 1)
    with in_float32(model):
        content = FLOATS[form][2](saved(model, entry_points(model, chunk, places)))
        row = compared(model, content, form, chunk)
    facts = metadata(size, places, start_token, stop_tokens, template)
    with tempfile.TemporaryDirectory(prefix="tfdl_litertlm_") as folder:
        parts = {name: Path(folder, name) for name in ("model.tflite", "tokenizer.json", "metadata.pb", "whole")}
        write_bytes(parts["model.tflite"], content)
        write_text(parts["tokenizer.json"], tokenizer.to_str())
        write_bytes(parts["metadata.pb"], facts)
        bundle = builder.LitertLmFileBuilder()
        bundle.add_system_metadata(builder.Metadata(key="Authors", value="tfdl", dtype=builder.DType.STRING))
        bundle.add_tflite_model(str(parts["model.tflite"]), builder.TfLiteModelType.PREFILL_DECODE)
        bundle.add_hf_tokenizer(str(parts["tokenizer.json"]))
        bundle.add_llm_metadata(str(parts["metadata.pb"]))
        with parts["whole"].open("wb") as stream:
            bundle.build(stream)
        write_bytes(file, parts["whole"].read_bytes())
    return {"bytes": file.stat().st_size} | row


def entry_points(model, chunk, places):
    """{name: tf.function} of both, by LiteRT-LM's names."""
    cache = model.empty_cache(1, places)

    def compiled(count, with_logits):
        spec = {name: tf.TensorSpec(rows.shape, tf.float32, name=name) for name, rows in named(cache).items()}
        spec |= {
            "tokens": tf.TensorSpec((1, count), tf.int32, name="tokens"),
            "input_pos": tf.TensorSpec((count,), tf.int32, name="input_pos"),
        }

        def read(inputs):
            own = [(inputs[f"kv_cache_k_{i}"], inputs[f"kv_cache_v_{i}"]) for i in range(len(cache))]
            logits, new = model.extend(inputs["tokens"], own, inputs["input_pos"][0])
            return named(new) | ({"logits": logits} if with_logits else {})

        return tf.function(read, input_signature=[spec], autograph=False)

    return {f"prefill_{chunk}": compiled(chunk, False), "decode": compiled(1, True)}


def named(cache):
    """[(keys, values), ...] -> {"kv_cache_k_0": keys, "kv_cache_v_0": values, ...}"""
    return {f"kv_cache_{kind}_{i}": rows for i, pair in enumerate(cache) for kind, rows in zip("kv", pair)}


def compared(model, content, form, chunk):
    """How far the logits after `chunk` tokens and one more are from the live model's; raises ExportError."""
    tokens = np.random.default_rng(0).integers(0, model.config.vocabulary_size, (CHECKED, chunk + 1)).astype("int32")

    def live(weights=None):
        if weights is None:
            return {"logits": model(tokens)[:, -1].numpy()}
        with holding(model, weights):
            return live()

    found = {"logits": np.concatenate([logits_of(content, row, chunk) for row in tokens])}
    wrong = wrong_outputs(live, model.get_weights(), live())
    return check("the network", found, Reference(inputs={"tokens": tokens}, live=live(), wrong=wrong), form)


def logits_of(content, tokens, chunk):
    """Logits (1, V) after `chunk` tokens and one more."""
    ready = interpreter(content)  # kept while its runners are in use
    prefill, decode = ready.get_signature_runner(f"prefill_{chunk}"), ready.get_signature_runner("decode")
    cache = {
        name: np.zeros(row["shape"], "float32") for name, row in prefill.get_input_details().items() if "kv_" in name
    }
    cache = prefill(tokens=tokens[None, :-1], input_pos=np.arange(chunk, dtype="int32"), **cache)
    return decode(tokens=tokens[None, -1:], input_pos=np.array([chunk], "int32"), **cache)["logits"][:, 0]


def metadata(size, places, start_token, stop_tokens, template):
    """The bytes of LiteRT-LM's LlmMetadata."""
    from litert_lm_builder.runtime.proto.llm_metadata_pb2 import LlmMetadata
    from litert_lm_builder.runtime.proto.llm_model_type_pb2 import GenericModel

    facts = LlmMetadata(max_num_tokens=places)
    facts.llm_model_type.generic_model.CopyFrom(GenericModel())
    if start_token is not None:
        facts.start_token.token_ids.ids.append(start_token)
    for token in stop_tokens or (size,):  # LiteRT-LM wants one: a number that no token has
        facts.stop_tokens.add().token_ids.ids.append(token)
    if template is not None:
        facts.jinja_prompt_template = template
    return facts.SerializeToString()
