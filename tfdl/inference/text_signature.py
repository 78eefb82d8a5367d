"""An entry point of texts for a language model's SavedModel: strings go in, and how they go on comes out.

    more = {"complete": completing(model, tokenizer, new_tokens=64)}
    tfdl.export_model(model, "exported", more=more)

For tokenizers with a token for each character.  Pieces of words would need a library beside TensorFlow on the server;
keras-nlp's, the one whose tokens are made inside a graph, splits runs of spaces otherwise than GPT-2's own.
Shapes: B texts, P tokens of the longest, N new tokens, V vocabulary.
"""

import json

import numpy as np
import tensorflow as tf

from tfdl.core.model import Argument, Writer
from tfdl.inference.generation import Read, beginner, cache_length, first_state, is_encoder_decoder, writer
from tfdl.inference.sampling import Sampling

UNKNOWN = 0xFFFD  # the letter in place of a token that is none


def completing(model, tokenizer, *, new_tokens=64):
    """(function, {"texts": Argument}) for `export_model`: texts (B,) -> {"texts": (B,)}, the likeliest that follow.

    A text that is longer than the model sees is read from where it fits; after an empty one there is nothing.

    Args:
        model: a `CausalDecoder` or a recurrent language model.
        tokenizer: a `tokenizers.Tokenizer`.
        new_tokens: N, fewer where the model sees fewer than 2 N.

    Raises:
        ValueError: the tokenizer has other tokens than characters.
    """
    codes = codes_of(tokenizer)  # (V,), of each token
    context = model.config.context
    count = min(new_tokens, context // 2)
    order = np.argsort(codes, kind="stable")
    unknown = tokenizer.token_to_id("[UNK]") or 0
    sampling = Sampling()
    begin, write = beginner(sampling), writer(model, sampling)
    stops = tf.zeros(0, tf.int32)

    def complete(texts):
        tokens, starts = left_padded(letters(texts)[:, count - context :])  # (B, P)
        batch, length = tf.shape(tokens)[0], tf.shape(tokens)[1]
        cache = model.empty_cache(batch, cache_length(context, context))
        logits, cache = model.extend(tokens, cache, 0, starts, tf.fill([batch], length - 1))
        prompts = Read(logits[:, 0], cache, length, starts, tf.zeros((batch, len(codes)), tf.bool))
        state = first_state(prompts, count, sampling, 0) | {"ended": starts == length}
        state = write(begin(prompts.logits, state, stops, None), stops, tf.constant(count), None)
        written = tf.RaggedTensor.from_tensor(tf.gather(codes, state["written"]), lengths=state["counts"])
        return {"texts": tf.strings.unicode_encode(written, "UTF-8")}

    def letters(texts):
        """Tokens of each text's characters, ragged (B, lengths)."""
        found = tf.strings.unicode_decode(texts, "UTF-8")
        places = tf.minimum(tf.searchsorted(codes[order], found.values), len(codes) - 1)
        known = tf.gather(codes[order], places) == found.values
        tokens = tf.where(known, tf.gather(order.astype("int32"), places), unknown)
        return found.with_values(tokens)

    samples = ["".join(map(chr, codes[codes != UNKNOWN][i : i + 6])) for i in range(0, 24, 4)]
    return complete, {"texts": Argument((None,), "string", [text for text in samples if text])}


def text_entry_points(model, tokenizer):
    """{"complete": ...} of a model that goes on with texts, in characters; {} of any other model."""
    try:
        goes_on = isinstance(model, Writer) and not is_encoder_decoder(model)
        return {"complete": completing(model, tokenizer)} if goes_on else {}
    except ValueError:
        return {}


def codes_of(tokenizer):
    """(V,) int32: the code point of each token, U+FFFD of special ones.  Raises ValueError for other tokenizers."""
    vocabulary = tokenizer.get_vocab()
    model = json.loads(tokenizer.to_str())["model"]["type"]
    letters = {piece: number for piece, number in vocabulary.items() if len(piece) == 1}
    if model != "WordLevel" or len(vocabulary) - len(letters) > 16:  # a handful of special tokens stand beside letters
        raise ValueError("The tokenizer has other tokens than single characters.")
    codes = np.full(max(vocabulary.values()) + 1, UNKNOWN, "int32")
    codes[list(letters.values())] = [ord(letter) for letter in letters]
    return codes


def left_padded(tokens):
    """Ragged tokens as (B, P) with zeros on the left, and the places of the first ones (B,); P is at least 1."""
    lengths = tf.cast(tokens.row_lengths(), tf.int32)
    dense = tokens.to_tensor()
    dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]])
    starts = tf.shape(dense)[1] - lengths
    places = tf.range(tf.shape(dense)[1])[None] - starts[:, None]
    moved = tf.gather(dense, tf.maximum(places, 0), batch_dims=1)
    return tf.where(places >= 0, moved, 0), starts
