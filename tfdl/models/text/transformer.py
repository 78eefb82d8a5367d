"""Transformer: attention is all it needs, to turn a sentence of one language into one of another.

Paper: Vaswani et al. 2017, arXiv:1706.03762, section 3, Fig. 1, Table 3.
Shapes: B batch, S tokens of the source, T of the target, V vocabulary, D width.
"""

from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.encoder_decoder import EncoderDecoder
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward, truncated_normal
from tfdl.layers.transformer_block import TransformerBlock
from tfdl.ops.positions import sinusoids


@config
class TransformerConfig:
    """One network: two stacks of `depth` blocks of `heads` heads on tokens of `width` numbers."""

    vocabulary_size: int = 37000  # section 5.1, for both languages
    context: int = 1024  # rows of the table of sine waves
    width: int
    depth: int
    heads: int
    expansion: float = 4.0  # of the feed-forward networks
    padding: int = 0  # the token that stands for nothing
    dropout: float = 0.1  # of embeddings and branches (section 5.4)
    epsilon: float = 1e-5


VARIANTS = {
    "nano": TransformerConfig(
        vocabulary_size=61, context=32, width=24, depth=2, heads=3, dropout=0.0
    ),  # ours, for tests
    # Ours, for Multi30k: the second is what two cores train in ten minutes.
    "small": TransformerConfig(vocabulary_size=8000, width=256, depth=3, heads=8, expansion=2.0),
    "tiny": TransformerConfig(vocabulary_size=4000, width=192, depth=2, heads=8, expansion=2.0),
    "base": TransformerConfig(width=512, depth=6, heads=8),
    "big": TransformerConfig(width=1024, depth=6, heads=16, dropout=0.3),
}


def transformer(variant="base", *, vocabulary_size=None, name="transformer"):
    """{"source": (B, S), "target_in": (B, T)} int32 -> logits (B, T, V) float32 of the token that follows each.

    `variant` is a row of VARIANTS or a TransformerConfig; `vocabulary_size` is V in place of its own.  Raises
    ValueError for an unknown variant.
    """
    c = choose_variant(variant, VARIANTS, model="transformer", vocabulary_size=vocabulary_size)
    model = Transformer(c, name=name)
    model.build((None, c.context))
    return model


@serializable
class Transformer(EncoderDecoder):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        self.tokens = layers.ReversibleEmbedding(  # one table for both languages and for the logits, section 3.4
            c.vocabulary_size, c.width, embeddings_initializer=truncated_normal(), name="tokens"
        )
        self.drop = layers.Dropout(c.dropout, name="drop")
        self.encoder = [block(c, f"encoder{i}") for i in range(c.depth)]
        self.decoder = [block(c, f"decoder{i}", cross=True) for i in range(c.depth)]
        self.waves = sinusoids(c.context, c.width)

    def embed(self, tokens, positions, side, training):
        x = self.tokens(tokens) * self.config.width**0.5  # section 3.4
        waves = ops.cast(ops.take(self.waves, positions, axis=0), x.dtype)
        return self.drop(x + waves, training=training)

    def logits(self, x):
        return ops.cast(self.tokens(x, reverse=True), "float32")


def block(c, name, cross=False):
    """Section 3.1; with `cross` of the decoder."""
    return TransformerBlock(
        MultiHeadAttention(c.heads, name="attention"),
        FeedForward(c.expansion, "relu", name="feed_forward"),
        MultiHeadAttention(c.heads, name="cross_attention") if cross else None,
        first=False,
        epsilon=c.epsilon,
        dropout=c.dropout,
        name=name,
    )
