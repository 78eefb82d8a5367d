"""Loss of models that point at an answer in a text: where it begins and where it ends.

Paper: Devlin et al. 2018, arXiv:1810.04805, section 4.2.
Shapes: B batch, T tokens.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.serial import serializable
from tfdl.losses.classification import float32

FAR = -1e9  # the logit of a token where no answer can be: finite, so that gradients are


def span_cross_entropy(targets, logits):
    """-(log P(first token) + log P(last token)) / 2, in nats.  (B, T, 2) and (B, T, 2) -> (B,) float32

    P is the softmax over the tokens where an answer can begin or end.

    Args:
        targets: 1 at the first and at the last token of the answer, PADDING where none can be, else 0.
        logits: of the first and of the last token.
    """
    possible = ops.where(ops.equal(targets, PADDING), FAR, float32(logits))  # (B, T, 2)
    chosen = ops.sum(ops.where(ops.equal(targets, 1), possible, 0.0), axis=1)  # (B, 2)
    return ops.mean(ops.logsumexp(possible, axis=1) - chosen, axis=-1)


@serializable
class SpanCrossEntropy(keras.losses.Loss):
    """`span_cross_entropy`, the mean over the batch."""

    def __init__(self, name="span_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return span_cross_entropy(y_true, y_pred)
