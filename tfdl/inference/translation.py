"""Translations by a trained model: the likeliest token at every step, whole batches at once, in one compiled loop.

    texts, tokens = translate(model, data.test, data.target_tokenizer, length=64)

A model has `start(source, length)`, which reads the source and returns a cache, and `extend(tokens, cache, position)`,
which returns logits (B, 1, V) of the next token and the new cache.
"""

import keras
import numpy as np
import tensorflow as tf


def greedy(model, *, start, end, length):
    """A compiled function from sources (B, S) int32 to tokens (B, `length`) int32, 0 behind the end of each text.

    It is traced once, for sources of every size, and stops when all texts of a batch have ended.  The end token itself
    is left out.

    Args:
        start, end: tokens before the first and after the last.
        length: the most tokens of a text.

    Raises:
        ValueError: `length` is below 1, or more than the model can write.
    """
    if length < 1:
        raise ValueError(f"length is {length}; give 1 or more.")

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)], autograph=False)
    def write(source):
        batch = tf.shape(source)[0]

        def unfinished(position, tokens, ended, *_):
            return (position < length) & ~tf.reduce_all(ended)

        def step(position, tokens, ended, written, cache):
            logits, cache = model.extend(tokens, cache, position)
            likeliest = tf.argmax(logits[:, 0], axis=-1, output_type=tf.int32)  # (B,)
            ended |= likeliest == end
            tokens = tf.where(ended, 0, likeliest)[:, None]
            return position + 1, tokens, ended, tf.where(tf.range(length) == position, tokens, written), cache

        nothing = tf.zeros((batch, length), tf.int32)
        first = 0, tf.fill((batch, 1), start), tf.zeros(batch, tf.bool), nothing, model.start(source, length)
        return tf.while_loop(unfinished, step, first)[3]

    return write


def translate(model, dataset, tokenizer, *, length):
    """What `greedy` writes for every source of a data set of ({"source": (B, S), ...}, ...), in its order.

    Args:
        tokenizer: of the target; it has the special tokens "start" and "end".
        length: the most tokens of a text.

    Returns:
        list of texts, and for each its tokens (T,).
    """
    write = greedy(model, start=tokenizer.special["start"], end=tokenizer.special["end"], length=length)
    rows = np.concatenate([write(x["source"]).numpy() for x, *_ in dataset])
    tokens = [row[row > 0] for row in rows]
    return [tokenizer.decode(row) for row in tokens], tokens


def alignment(model, data, source, written):
    """Where a model looks in the text `source` while it writes the tokens `written`.

    Args:
        data: has `source_tokenizer` and `target_tokenizer`.
        written: (T - 1,), without the end.

    Returns:
        weights (T, S), and what the S tokens of the source and the T tokens of the target say, "end" of their ends.
    """
    tokenizers = data.source_tokenizer, data.target_tokenizer
    read = tokenizers[0].encode(source)
    inputs = {
        "source": np.array([[*read, tokenizers[0].special["end"]]], "int32"),
        "target_in": np.array([[tokenizers[1].special["start"], *written]], "int32"),
    }
    words = (
        [tokenizer.decode([token]).strip() for token in row] for tokenizer, row in zip(tokenizers, (read, written))
    )
    source_words, target_words = ([*row, "end"] for row in words)
    return keras.ops.convert_to_numpy(model.attention_map(inputs)[0]), source_words, target_words
