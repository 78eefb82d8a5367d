"""BART: BERT's encoder and GPT's decoder, trained together to restore a text that was damaged.

Paper: Lewis et al. 2019, arXiv:1910.13461, section 2.1.
Shapes: B batch, S tokens of the source, T of the target, V vocabulary, D width.
"""

from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.encoder_decoder import EncoderDecoder
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward, truncated_normal
from tfdl.layers.transformer_block import TransformerBlock, normalization

FIRST_POSITION = 2  # the first two rows of the authors' tables of positions are never read


@config
class BartConfig:
    """One network: two stacks of `depth` blocks of `heads` heads on tokens of `width` numbers."""

    vocabulary_size: int = 50265
    context: int = 1024  # tokens of either side; each place has a learned vector
    width: int
    depth: int
    heads: int
    padding: int = 1  # the token that stands for nothing
    dropout: float = 0.1
    epsilon: float = 1e-5


VARIANTS = {
    "nano": BartConfig(vocabulary_size=61, context=32, width=24, depth=2, heads=3, dropout=0.0),  # ours, for tests
    "mini": BartConfig(context=128, width=128, depth=2, heads=4, dropout=0.0),  # ours, for two cores
    "base": BartConfig(width=768, depth=6, heads=12),
    "large": BartConfig(width=1024, depth=12, heads=16),
}


def bart(variant="base", *, vocabulary_size=None, name="bart"):
    """{"source": (B, S), "target_in": (B, T)} int32 -> logits (B, T, V) float32 of the token that follows each.

    `variant` is a row of VARIANTS or a BartConfig; `vocabulary_size` is V in place of its own.  Raises ValueError
    for an unknown variant.
    """
    c = choose_variant(variant, VARIANTS, model="bart", vocabulary_size=vocabulary_size)
    model = Bart(c, name=name)
    model.build((None, c.context))
    return model


@serializable
class Bart(EncoderDecoder):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c, fresh = config, dict(embeddings_initializer=truncated_normal())
        rows = c.context + FIRST_POSITION
        self.tokens = layers.ReversibleEmbedding(c.vocabulary_size, c.width, name="tokens", **fresh)
        self.positions = [layers.Embedding(rows, c.width, name=f"{side}_positions", **fresh) for side in SIDES]
        self.norms = [normalization("layer", epsilon=c.epsilon, name=f"{side}_norm") for side in SIDES]
        self.drop = layers.Dropout(c.dropout, name="drop")
        self.encoder = [block(c, f"encoder{i}") for i in range(c.depth)]
        self.decoder = [block(c, f"decoder{i}", cross=True) for i in range(c.depth)]

    def embed(self, tokens, positions, side, training):
        place = SIDES.index(side)
        x = self.tokens(tokens) + self.positions[place](positions + FIRST_POSITION)
        return self.drop(self.norms[place](x), training=training)

    def logits(self, x):
        return ops.cast(self.tokens(x, reverse=True), "float32")


SIDES = ("encoder", "decoder")


def block(c, name, cross=False):
    """Section 2.1: Vaswani et al.'s with GELU; with `cross` of the decoder."""
    return TransformerBlock(
        MultiHeadAttention(c.heads, dropout=c.dropout, name="attention"),
        FeedForward(4, "gelu", name="feed_forward"),
        MultiHeadAttention(c.heads, dropout=c.dropout, name="cross_attention") if cross else None,
        first=False,
        epsilon=c.epsilon,
        dropout=c.dropout,
        name=name,
    )
