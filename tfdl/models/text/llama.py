"""LLaMA: GPT with rotary positions, root-mean-square normalization, gated feed-forward networks and no biases.

Papers: Touvron et al. 2023, arXiv:2302.13971, section 2.2, Table 2; Llama 2: 2307.09288, Table 1 (grouped queries);
Llama 3: Grattafiori et al. 2024, arXiv:2407.21783, Table 3; Mistral: Jiang et al. 2023, 2310.06825, Table 1 (sliding
window); Qwen2: Yang et al. 2024, 2407.10671, Table 1 (biases of queries, keys and values).
Shapes: B batch, T tokens, V vocabulary, D width.
"""

from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.causal_decoder import CausalDecoder
from tfdl.layers.mixture_of_experts import MixtureOfExperts
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward, truncated_normal
from tfdl.layers.transformer_block import TransformerBlock, normalization
from tfdl.ops.positions import LongContext, frequencies, rotations


@config
class LlamaConfig:
    """One network: `depth` blocks of `heads` heads, whose keys and values `heads / groups` of them share."""

    vocabulary_size: int
    context: int  # tokens of pre-training; there is no table of positions
    width: int
    depth: int
    heads: int
    groups: int
    inner: int  # width of the feed-forward networks
    base: float = 10000.0  # of the rotations
    long_context: LongContext | None = None  # Llama 3.1
    window: int | None = None  # tokens that a layer sees: Mistral's sliding window
    attention_bias: bool = False  # Qwen2: of queries, keys and values
    tied: bool = False  # the embeddings also give the logits
    epsilon: float = 1e-5
    experts: int = 0  # Mixtral: feed-forward networks in each block, of which a token meets `chosen`
    chosen: int = 2
    balance: float = 0.02  # factor of the loss that keeps the load of all experts equal


LLAMA_3 = dict(vocabulary_size=128256, groups=8, base=500000.0)
LLAMA_3_1 = LLAMA_3 | dict(context=131072, long_context=LongContext())
LLAMA_3_2 = LLAMA_3 | dict(context=131072, long_context=LongContext(factor=32.0), tied=True)
QWEN_2 = dict(base=1e6, attention_bias=True, epsilon=1e-6)
VARIANTS = {
    "nano": LlamaConfig(
        vocabulary_size=61, context=32, width=24, depth=2, heads=4, groups=2, inner=40
    ),  # ours, for tests
    "char_small": LlamaConfig(
        vocabulary_size=65, context=64, width=128, depth=4, heads=4, groups=4, inner=344, tied=True
    ),
    "short_answers": LlamaConfig(  # ours, as GPT's
        vocabulary_size=61, context=32, width=64, depth=2, heads=4, groups=4, inner=172, tied=True
    ),
    "llama1_7b": LlamaConfig(
        vocabulary_size=32000, context=2048, width=4096, depth=32, heads=32, groups=32, inner=11008, epsilon=1e-6
    ),
    "llama2_7b": LlamaConfig(
        vocabulary_size=32000, context=4096, width=4096, depth=32, heads=32, groups=32, inner=11008
    ),
    "llama2_70b": LlamaConfig(
        vocabulary_size=32000, context=4096, width=8192, depth=80, heads=64, groups=8, inner=28672
    ),
    "llama3_8b": LlamaConfig(context=8192, width=4096, depth=32, heads=32, inner=14336, **LLAMA_3),
    "llama3_1_8b": LlamaConfig(width=4096, depth=32, heads=32, inner=14336, **LLAMA_3_1),
    "llama3_2_1b": LlamaConfig(width=2048, depth=16, heads=32, inner=8192, **LLAMA_3_2),
    "llama3_2_3b": LlamaConfig(width=3072, depth=28, heads=24, inner=8192, **LLAMA_3_2),
    "mistral_7b": LlamaConfig(
        vocabulary_size=32000, context=32768, width=4096, depth=32, heads=32, groups=8, inner=14336, window=4096
    ),
    "qwen2_0_5b": LlamaConfig(
        vocabulary_size=151936, context=32768, width=896, depth=24, heads=14, groups=2, inner=4864, tied=True, **QWEN_2
    ),
    "qwen2_1_5b": LlamaConfig(
        vocabulary_size=151936, context=32768, width=1536, depth=28, heads=12, groups=2, inner=8960, tied=True, **QWEN_2
    ),
    "qwen2_7b": LlamaConfig(
        vocabulary_size=152064, context=32768, width=3584, depth=28, heads=28, groups=4, inner=18944, **QWEN_2
    ),
}


def llama(variant="llama3_2_1b", *, vocabulary_size=None, context=None, name="llama"):
    """Tokens (B, T) int32 -> logits (B, T, V) float32 of the token that follows each.

    Args:
        variant: a row of VARIANTS or a LlamaConfig.
        vocabulary_size, context: in place of the variant's.

    Raises:
        ValueError: an unknown variant.
    """
    c = choose_variant(variant, VARIANTS, model="llama", vocabulary_size=vocabulary_size, context=context)
    model = Llama(c, name=name)
    model.build((None, c.context))
    return model


@serializable
class Llama(CausalDecoder):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        self.tokens = layers.ReversibleEmbedding(
            c.vocabulary_size, c.width, embeddings_initializer=truncated_normal(), name="tokens"
        )
        self.blocks = [block(c, f"block{i}") for i in range(c.depth)]
        self.norm = normalization("rms", epsilon=c.epsilon, name="norm")
        if not c.tied:
            self.head = layers.Dense(
                c.vocabulary_size, use_bias=False, kernel_initializer=truncated_normal(), name="logits"
            )
        self.speeds = frequencies(c.width // c.heads, c.base, c.long_context)

    def embed(self, tokens, positions, training):
        return self.tokens(tokens)  # (B, T, D)

    def rotation(self, positions):
        return rotations(positions, self.speeds)

    def last(self, x):
        return self.norm(x)

    def logits(self, x):
        x = self.tokens(x, reverse=True) if self.config.tied else self.head(x)
        return ops.cast(x, "float32")  # (B, T, V)


def block(c, name):
    """Section 2.2; with experts, section 2.1 of the paper on Mixtral."""
    expansion = c.inner / c.width
    if c.experts:
        feed_forward = MixtureOfExperts(c.experts, c.chosen, expansion, c.balance, name="feed_forward")
    else:
        feed_forward = FeedForward(expansion, "swish", gated=True, use_bias=False, name="feed_forward")
    return TransformerBlock(
        MultiHeadAttention(c.heads, groups=c.groups, use_bias=c.attention_bias, output_bias=False, name="attention"),
        feed_forward,
        kind="rms",
        epsilon=c.epsilon,
        name=name,
    )
