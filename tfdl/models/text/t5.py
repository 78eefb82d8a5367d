"""T5: every task as a text that is turned into another, with positions that are distances.

Papers: Raffel et al. 2019, arXiv:1910.10683, section 2.1; version 1.1, whose feed-forward networks have a gate and
whose logits have weights of their own: Shazeer 2020, arXiv:2002.05202, and the authors' released checkpoints.
Shapes: B batch, S tokens of the source, T of the target, V vocabulary, D width, h heads.
"""

import functools

import keras
from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.encoder_decoder import EncoderDecoder
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.positions import DistanceBias
from tfdl.layers.transformer import FeedForward
from tfdl.layers.transformer_block import TransformerBlock, normalization


@config
class T5Config:
    """One network: two stacks of `depth` blocks of `heads` heads on tokens of `width` numbers."""

    vocabulary_size: int = 32128
    context: int = 512  # tokens of either side in pre-training; there is no table of positions
    width: int
    depth: int
    heads: int
    head_width: int = 64
    inner: int  # width of the feed-forward networks
    buckets: int = 32  # of distances
    largest: int = 128  # distances from this on share a bucket
    padding: int = 0  # the token that stands for nothing, and with which the decoder starts
    gated: bool = False  # version 1.1: a gate in the feed-forward networks, logits by weights of their own
    dropout: float = 0.1
    epsilon: float = 1e-6


V1_1 = dict(gated=True, dropout=0.0)  # pre-trained without dropout
VARIANTS = {
    "nano": T5Config(
        vocabulary_size=61,
        context=32,
        width=24,
        depth=2,
        heads=3,
        head_width=6,
        inner=40,
        buckets=8,
        largest=20,
        dropout=0.0,
    ),  # ours, for tests
    "mini": T5Config(
        width=128, depth=2, heads=4, head_width=32, inner=512, buckets=64, dropout=0.0
    ),  # ours, for two cores: distances up to 15 have buckets of their own
    "small": T5Config(width=512, depth=6, heads=8, inner=2048),
    "base": T5Config(width=768, depth=12, heads=12, inner=3072),
    "large": T5Config(width=1024, depth=24, heads=16, inner=4096),
    "v1_1_small": T5Config(width=512, depth=8, heads=6, inner=1024, **V1_1),
    "v1_1_base": T5Config(width=768, depth=12, heads=12, inner=2048, **V1_1),
    "v1_1_large": T5Config(width=1024, depth=24, heads=16, inner=2816, **V1_1),
}


def t5(variant="small", *, vocabulary_size=None, name="t5"):
    """{"source": (B, S), "target_in": (B, T)} int32 -> logits (B, T, V) float32 of the token that follows each.

    `variant` is a row of VARIANTS or a T5Config; `vocabulary_size` is V in place of its own.  Raises ValueError
    for an unknown variant.
    """
    c = choose_variant(variant, VARIANTS, model="t5", vocabulary_size=vocabulary_size)
    model = T5(c, name=name)
    model.build((None, c.context))
    return model


@serializable
class T5(EncoderDecoder):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        self.tokens = layers.ReversibleEmbedding(
            c.vocabulary_size,
            c.width,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="tokens",
        )
        self.drop = layers.Dropout(c.dropout, name="drop")
        self.biases = [  # one for all blocks of a side
            DistanceBias(c.heads, c.buckets, c.largest, causal=side == "decoder", name=f"{side}_bias") for side in SIDES
        ]
        self.encoder = [block(c, f"encoder{i}") for i in range(c.depth)]
        self.decoder = [block(c, f"decoder{i}", cross=True) for i in range(c.depth)]
        self.norms = [normalization("rms", epsilon=c.epsilon, name=f"{side}_norm") for side in SIDES]
        if c.gated:
            self.head = layers.Dense(c.vocabulary_size, use_bias=False, kernel_initializer=by_inputs(), name="logits")

    def embed(self, tokens, positions, side, training):
        return self.drop(self.tokens(tokens), training=training)

    def bias(self, queries, keys, side):
        return self.biases[SIDES.index(side)](queries, keys)

    def last(self, x, side, training):
        return self.drop(self.norms[SIDES.index(side)](x), training=training)

    def logits(self, x):
        if self.config.gated:
            return ops.cast(self.head(x), "float32")
        return ops.cast(self.tokens(x * self.config.width**-0.5, reverse=True), "float32")


SIDES = ("encoder", "decoder")


def by_inputs(scale=1.0):
    """Normal with variance `scale` over the number of inputs, by which the paper's program starts all kernels.

    Embeddings start with variance 1 there: their logits, which are divided by the root of the width, then do so too.
    """
    return keras.initializers.VarianceScaling(scale, "fan_in", "untruncated_normal")


def block(c, name, cross=False):
    """Section 2.1: normalization first, without a mean; no biases.

    Scores are not divided by the root of the heads' width; the queries' kernels start smaller by it instead.
    """
    options = dict(
        head_width=c.head_width,
        use_bias=False,
        scale=1.0,
        dropout=c.dropout,
        initializer=by_inputs,
        query_initializer=functools.partial(by_inputs, 1 / c.head_width),
    )
    return TransformerBlock(
        MultiHeadAttention(c.heads, name="attention", **options),
        FeedForward(
            c.inner / c.width,
            "gelu_tanh" if c.gated else "relu",
            dropout=c.dropout,
            gated=c.gated,
            use_bias=False,
            initializer=by_inputs,
            name="feed_forward",
        ),
        MultiHeadAttention(c.heads, name="cross_attention", **options) if cross else None,
        kind="rms",
        epsilon=c.epsilon,
        dropout=c.dropout,
        name=name,
    )
