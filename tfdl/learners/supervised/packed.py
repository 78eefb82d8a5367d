"""Language models on rows that several texts share: none of them sees another, and each begins at position 0.

    model = PackedLanguageModel(gpt("char_small"))
    model.compile("adamw", TokenCrossEntropy())
    model.fit(instructions.load("add", packed=True).train)

Paper: Krell et al. 2021, arXiv:2107.02027, section 3.2: the attention mask is block-diagonal, positions are adjusted.
Shapes: B batch, T tokens, V vocabulary.
"""

from keras import ops

from tfdl.core.serial import serializable
from tfdl.learners.learner import TextLearner
from tfdl.ops.visibility import both, causal


@serializable
class PackedLanguageModel(TextLearner):
    """{"tokens", "segments", "positions"} (B, T) int32 -> logits (B, T, V); tokens alone are one text a row.

    Args:
        network: a `CausalDecoder`.
    """

    def call(self, inputs, training=False):
        if not isinstance(inputs, dict):
            return self.network(inputs, training=training)
        tokens, segments = inputs["tokens"], inputs["segments"]
        places = ops.arange(ops.shape(tokens)[1])
        same = segments[:, None, :, None] == segments[:, None, None, :]  # (B, 1, T, T), block-diagonal
        visible = both(causal(places, places, self.network.window), same)
        x, _ = self.network.through_blocks(tokens, inputs["positions"], visible, training=training)
        return self.network.logits(x)
