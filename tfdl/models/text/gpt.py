"""GPT: a transformer that sees the preceding tokens and predicts the next one.

Papers: GPT-1: Radford et al. 2018, "Improving language understanding by generative pre-training", sections 3.1, 4.1;
GPT-2: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3, Table 2; sizes of
`char_small` are nanoGPT's for a CPU.
Shapes: B batch, T tokens, V vocabulary, D width.
"""

from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.causal_decoder import CausalDecoder
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward, truncated_normal
from tfdl.layers.transformer_block import TransformerBlock, normalization


@config
class GPTConfig:
    """One network: `depth` blocks of `heads` heads on tokens of `width` numbers."""

    vocabulary_size: int
    context: int  # the most tokens that it sees; each position has a learned vector
    width: int
    depth: int
    heads: int
    norm_first: bool = True  # GPT-1 normalizes after each sum
    use_bias: bool = True
    dropout: float = 0.1  # of embeddings, attention weights and branches (GPT-1, section 4.1)
    epsilon: float = 1e-5


VARIANTS = {
    "nano": GPTConfig(vocabulary_size=61, context=32, width=24, depth=2, heads=3, dropout=0.0),  # ours, for tests
    "char_small": GPTConfig(vocabulary_size=65, context=64, width=128, depth=4, heads=4, use_bias=False, dropout=0.0),
    "short_answers": GPTConfig(  # ours: learns to add two numbers within a minute on two cores
        vocabulary_size=61, context=32, width=64, depth=2, heads=4, use_bias=False, dropout=0.0
    ),
    "gpt1": GPTConfig(vocabulary_size=40478, context=512, width=768, depth=12, heads=12, norm_first=False),
    "gpt2": GPTConfig(vocabulary_size=50257, context=1024, width=768, depth=12, heads=12),
    "gpt2_medium": GPTConfig(vocabulary_size=50257, context=1024, width=1024, depth=24, heads=16),
    "gpt2_large": GPTConfig(vocabulary_size=50257, context=1024, width=1280, depth=36, heads=20),
    "gpt2_xl": GPTConfig(vocabulary_size=50257, context=1024, width=1600, depth=48, heads=25),
}


def gpt(variant="gpt2", *, vocabulary_size=None, context=None, name="gpt"):
    """Tokens (B, T) int32, T at most `context` -> logits (B, T, V) float32 of the token that follows each.

    Args:
        variant: a row of VARIANTS or a GPTConfig.
        vocabulary_size, context: in place of the variant's.

    Raises:
        ValueError: an unknown variant.
    """
    c = choose_variant(variant, VARIANTS, model="gpt", vocabulary_size=vocabulary_size, context=context)
    model = GPT(c, name=name)
    model.build((None, c.context))
    return model


@serializable
class GPT(CausalDecoder):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        self.tokens = layers.ReversibleEmbedding(
            c.vocabulary_size, c.width, embeddings_initializer=truncated_normal(), name="tokens"
        )
        self.positions = layers.Embedding(
            c.context, c.width, embeddings_initializer=truncated_normal(), name="positions"
        )
        self.drop = layers.Dropout(c.dropout, name="drop")
        self.blocks = [block(c, f"block{i}") for i in range(c.depth)]
        if c.norm_first:
            self.norm = normalization("layer", epsilon=c.epsilon, use_bias=c.use_bias, name="norm")

    def embed(self, tokens, positions, training):
        return self.drop(self.tokens(tokens) + self.positions(positions), training=training)  # (B, T, D)

    def last(self, x):
        return self.norm(x) if self.config.norm_first else x

    def logits(self, x):
        return ops.cast(self.tokens(x, reverse=True), "float32")  # (B, T, V), by the embeddings themselves


def block(c, name):
    """GPT-1's section 4.1, and in GPT-2 the normalization first."""
    return TransformerBlock(
        MultiHeadAttention(c.heads, use_bias=c.use_bias, dropout=c.dropout, name="attention"),
        FeedForward(4, "gelu_tanh", use_bias=c.use_bias, name="feed_forward"),
        first=c.norm_first,
        epsilon=c.epsilon,
        use_bias=c.use_bias,
        dropout=c.dropout,
        name=name,
    )
