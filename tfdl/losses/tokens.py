"""Losses of models that write text: a mean over the tokens that are there to be predicted.

Label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7; of translations: Vaswani et al. 2017,
arXiv:1706.03762, section 5.4.
Shapes: B batch, T tokens, V vocabulary.
"""

import keras
from keras import ops
from keras.src.backend.common.masking import set_keras_mask  # no public name for what `ignore_class` does

from tfdl.core.batches import PADDING
from tfdl.core.serial import serializable
from tfdl.losses.classification import check_fraction, float32


def token_cross_entropy(targets, logits, *, label_smoothing=0.0):
    """Nats of each token.  (B, T) integers and (B, T, V) -> (B, T) float32, 0 where the target is PADDING.

    Smoothing by e gives the target 1 - e + e/V and every other token e/V:

        -sum_v q_v log p_v = -log p_y + e (z_y - mean_v z_v)         for logits z

    Raises:
        ValueError: `label_smoothing` is not in [0, 1).
    """
    check_fraction("label_smoothing", label_smoothing)
    logits, targets = float32(logits), ops.cast(targets, "int32")
    losses = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True, ignore_class=PADDING)
    if not label_smoothing:
        return losses
    present = ops.not_equal(targets, PADDING)
    chosen = ops.take_along_axis(logits, ops.maximum(targets, 0)[..., None], axis=-1)[..., 0]  # z_y
    return losses + ops.where(present, label_smoothing * (chosen - ops.mean(logits, axis=-1)), 0.0)


@serializable
class TokenCrossEntropy(keras.losses.Loss):
    """`token_cross_entropy`; the mean is over the tokens of the batch that are no PADDING."""

    def __init__(self, label_smoothing=0.0, name="token_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        check_fraction("label_smoothing", label_smoothing)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        losses = token_cross_entropy(y_true, y_pred, label_smoothing=self.label_smoothing)
        set_keras_mask(losses, ops.not_equal(y_true, PADDING))
        return losses

    def get_config(self):
        return super().get_config() | {"label_smoothing": self.label_smoothing}
