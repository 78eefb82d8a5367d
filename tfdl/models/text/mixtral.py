"""Mixtral: LLaMA, in which every feed-forward network is a mixture of experts.

Papers: Jiang et al. 2024, arXiv:2401.04088, Table 1 and section 2.1; equal load: Fedus et al. 2021, arXiv:2101.03961.
Shapes: B batch, T tokens, V vocabulary.
"""

from tfdl.core.config import choose_variant
from tfdl.models.text.llama import Llama, LlamaConfig

VARIANTS = {
    "nano": LlamaConfig(  # ours, for tests
        vocabulary_size=61, context=32, width=24, depth=2, heads=4, groups=2, inner=40, experts=3
    ),
    "char_small": LlamaConfig(  # ours: a token meets as many weights as in llama's char_small
        vocabulary_size=65, context=64, width=128, depth=4, heads=4, groups=4, inner=172, experts=4, tied=True
    ),
    "8x7b": LlamaConfig(
        vocabulary_size=32000, context=32768, width=4096, depth=32, heads=32, groups=8, inner=14336, base=1e6, experts=8
    ),
}


def mixtral(variant="8x7b", *, vocabulary_size=None, context=None, name="mixtral"):
    """Tokens (B, T) int32 -> logits (B, T, V) float32 of the token that follows each.

    Args:
        variant: a row of VARIANTS or a LlamaConfig with experts.
        vocabulary_size, context: in place of the variant's.

    Raises:
        ValueError: an unknown variant, or one without experts.
    """
    c = choose_variant(variant, VARIANTS, model="mixtral", vocabulary_size=vocabulary_size, context=context)
    if not c.experts:
        raise ValueError("A mixtral has experts; this LlamaConfig has none, so build a llama of it.")
    model = Llama(c, name=name)
    model.build((None, c.context))
    return model
