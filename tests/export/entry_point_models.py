"""Small models with several entry points, as subclasses with plain Keras layers.

Decoder: next tokens with a cache of keys and values, and whole texts in and out.
Translator: an encoder, and a decoder that writes one token after another from what the encoder read.
TwoTowers: pictures and texts as vectors of one space, and how alike they are (CLIP's, Radford et al. 2021).
Shapes: B batch, T tokens, S places of the cache, D width, h heads, d = D / h, V vocabulary.
"""

import keras
import tensorflow as tf
from keras import layers, ops

from tfdl.core.config import config
from tfdl.core.model import Argument, ConfiguredModel
from tfdl.core.serial import serializable

LETTERS = " abcdefghijklmnopqrstuvwxyz"


@config
class DecoderConfig:
    width: int = 96
    heads: int = 3
    depth: int = 1
    context: int = 64
    vocabulary: int = 2 + len(LETTERS)  # 0 is padding, 1 unknown


class Block(layers.Layer):
    """One transformer block with a cache: x (B, T, D), keys and values (B, h, S, d)."""

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        self.norms = [layers.LayerNormalization(name=f"norm{i}") for i in range(2)]
        self.parts = [layers.Dense(width, name=name) for name in ("query", "key", "value", "out")]
        self.wide, self.narrow = layers.Dense(2 * width, "relu", name="wide"), layers.Dense(width, name="narrow")

    def call(self, x, keys, values, position):
        """The tokens x at the places from `position` on; returns (x, keys, values) with theirs written in."""
        length, places = x.shape[1], keys.shape[2]
        query, key, value, out = self.parts
        seen = self.norms[0](x)
        start = (0, 0, position, 0)
        keys = ops.slice_update(keys, start, ops.cast(self.by_head(key(seen)), keys.dtype))
        values = ops.slice_update(values, start, ops.cast(self.by_head(value(seen)), keys.dtype))
        scores = ops.matmul(self.by_head(query(seen)), ops.swapaxes(keys, 2, 3)) * (self.width / self.heads) ** -0.5
        past = ops.arange(places)[None] <= position + ops.arange(length)[:, None]  # (T, S)
        weights = ops.softmax(ops.where(past, scores, -1e9))
        mixed = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))  # (B, T, h, d)
        x = x + out(ops.reshape(mixed, (-1, length, self.width)))
        return x + self.narrow(self.wide(self.norms[1](x))), keys, values

    def by_head(self, x):
        """(B, T, D) -> (B, h, T, d)"""
        split = ops.reshape(x, (-1, x.shape[1], self.heads, self.width // self.heads))
        return ops.transpose(split, (0, 2, 1, 3))


@serializable
class Decoder(ConfiguredModel):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.tokens = layers.Embedding(config.vocabulary, config.width)
        self.positions = layers.Embedding(config.context, config.width)
        self.blocks = [Block(config.width, config.heads, name=f"block{i}") for i in range(config.depth)]
        self.head = layers.Dense(config.vocabulary, dtype="float32")
        letters = {"vocabulary": list(LETTERS), "oov_token": "?", "mask_token": ""}
        self.number = layers.StringLookup(**letters)
        self.letter = layers.StringLookup(**letters, invert=True)

    def call(self, tokens):
        """Tokens (B, T) -> logits (B, T, V) of the token after each."""
        return self.extend(tokens, 0, **self.empty_cache(ops.shape(tokens)[0], tokens.shape[1]))["logits"]

    def extend(self, tokens, position, **cache):
        """New tokens (B, T) at the places from `position` on -> logits (B, T, V) and the new cache."""
        x = self.tokens(tokens) + self.positions(position + ops.arange(tokens.shape[1]))
        for i, block in enumerate(self.blocks):
            names = f"keys_{i}", f"values_{i}"
            x, *new = block(x, *(cache[name] for name in names), position=position)
            cache |= dict(zip(names, new))
        return {"logits": self.head(x), **cache}

    def prefill(self, tokens, length, **cache):
        """A prompt (B, T) of which `length` (B,) tokens are no padding -> logits (B, V) after it, and the cache."""
        outputs = self.extend(tokens, 0, **cache)
        last = ops.one_hot(length - 1, tokens.shape[1])[:, :, None]  # (B, T, 1)
        return outputs | {"logits": ops.sum(outputs["logits"] * last, axis=1)}

    def step(self, tokens, position, **cache):
        """One token (B, 1) -> logits (B, V) of the next, and the cache."""
        outputs = self.extend(tokens, position, **cache)
        return outputs | {"logits": outputs["logits"][:, 0]}

    def complete(self, texts):
        """Texts (B,) of 1 to 12 letters -> the same with the two likeliest next letters."""
        tokens = self.number(tf.strings.unicode_split(texts, "UTF-8").to_tensor(shape=(None, 16)))
        tokens = ops.cast(tokens, "int32")
        places = ops.arange(16)[None]
        length = ops.sum(ops.cast(tokens > 0, "int32"), axis=1, keepdims=True)
        for _ in range(2):
            last = ops.cast(places == length - 1, "float32")[:, :, None]
            best = ops.argmax(ops.sum(self(tokens) * last, axis=1), axis=-1)
            tokens = ops.where(places == length, ops.cast(best, "int32")[:, None], tokens)
            length = length + 1
        return {"texts": tf.strings.reduce_join(self.letter(tokens), axis=1)}

    def signatures(self, *, prompt_length=8, cache_length=16):
        c = self.config
        rows = Argument((None, c.heads, cache_length, c.width // c.heads))
        cache = {f"{kind}_{i}": rows for i in range(c.depth) for kind in ("keys", "values")}
        prompt = Argument((None, prompt_length), "int32", range(1, c.vocabulary))
        length = Argument((None,), "int32", range(1, prompt_length + 1))
        token = Argument((None, 1), "int32", range(1, c.vocabulary))
        position = Argument((), "int32", range(cache_length))
        return {
            "prefill": (self.prefill, {"tokens": prompt, "length": length, **cache}),
            "step": (self.step, {"tokens": token, "position": position, **cache}),
            "complete": (self.complete, {"texts": Argument((None,), "string", ("to be", "cat", "zebra"))}),
        }

    def empty_cache(self, batch, length):
        c = self.config
        zeros = ops.zeros((batch, c.heads, length, c.width // c.heads), self.compute_dtype)
        return {f"{kind}_{i}": zeros for i in range(c.depth) for kind in ("keys", "values")}


@config
class TranslatorConfig:
    width: int = 20
    heads: int = 2
    source: int = 31  # words
    target: int = 23


@serializable
class Translator(ConfiguredModel):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        self.source = layers.Embedding(c.source, c.width)
        self.target = layers.Embedding(c.target, c.width)
        self.reader = layers.MultiHeadAttention(c.heads, c.width // c.heads, name="reader")
        self.writer = Block(c.width, c.heads, name="writer")
        self.across = layers.MultiHeadAttention(c.heads, c.width // c.heads, name="across")
        self.head = layers.Dense(c.target)

    def encode(self, source):
        """Words (B, T), 0 is padding -> memory (B, T, D) and which of it counts, (B, T)."""
        x = self.source(source)
        counts = source > 0
        return {"memory": x + self.reader(x, x, attention_mask=counts[:, None]), "counts": counts}

    def step(self, tokens, position, memory, counts, keys, values):
        """One word (B, 1) -> logits (B, V) of the next, and the cache."""
        x, keys, values = self.writer(self.target(tokens), keys, values, position=position)
        x = x + self.across(x, memory, attention_mask=counts[:, None])
        return {"logits": self.head(x)[:, 0], "keys": keys, "values": values}

    def signatures(self, *, source_length=7, target_length=9):
        c = self.config
        source = Argument((None, source_length), "int32", range(1, c.source))
        rows = Argument((None, c.heads, target_length, c.width // c.heads))
        state = {
            "memory": Argument((None, source_length, c.width)),
            "counts": Argument((None, source_length), "bool"),
            "keys": rows,
            "values": rows,
        }
        token = Argument((None, 1), "int32", range(1, c.target))
        position = Argument((), "int32", range(target_length))
        return {
            "encode": (self.encode, {"source": source}),
            "step": (self.step, {"tokens": token, "position": position, **state}),
        }


@config
class TowersConfig:
    width: int = 18
    vocabulary: int = 41


@serializable
class TwoTowers(ConfiguredModel):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        w = config.width
        self.picture = [layers.Conv2D(w, 4, strides=4, activation="relu"), layers.Flatten(), layers.Dense(w)]
        self.text = [layers.Embedding(config.vocabulary, w), layers.GlobalAveragePooling1D(), layers.Dense(w)]

    def build(self, shape=None):
        self.scale = self.add_weight(name="scale", initializer=keras.initializers.Constant(2.6))  # CLIP's log(1 / 0.07)
        self.built = True

    def embed_images(self, images):
        """(B, H, W, 3) -> unit vectors (B, D)"""
        return {"vectors": through(self.picture, images)}

    def embed_texts(self, tokens):
        """(B, T) -> unit vectors (B, D)"""
        return {"vectors": through(self.text, tokens)}

    def compare(self, images, tokens):
        """Pictures and texts of one order -> how alike each pair is, (B, 1)."""
        alike = ops.sum(through(self.picture, images) * through(self.text, tokens), axis=1, keepdims=True)
        return {"similarity": ops.exp(self.scale) * alike}

    def signatures(self, *, height=12, text_length=6):
        images = Argument((None, height, 8, 3))
        tokens = Argument((None, text_length), "int32", range(self.config.vocabulary))
        return {
            "embed_images": (self.embed_images, {"images": images}),
            "embed_texts": (self.embed_texts, {"tokens": tokens}),
            "compare": (self.compare, {"images": images, "tokens": tokens}),
        }


def through(stack, x):
    for layer in stack:
        x = layer(x)
    return ops.normalize(x, axis=1)
