"""Stochastic depth: training skips residual branches at random, so that a deep network trains like a shallow one.

Paper: Huang et al. 2016, arXiv:1603.09382, section 3, eq. 2 and 5.
Shapes: B batch.
"""

import keras
from keras import layers, ops

from tfdl.core.serial import serializable


@serializable
class DropPath(layers.Layer):
    """y = b x / (1 - rate), where b is 0 with probability `rate` and otherwise 1, per sample.  (B, ...) -> same.

    x is the output of a residual branch before the addition (eq. 2): with b = 0 the block is the identity.  Inference
    returns x unchanged.  The paper instead multiplies by 1 - rate in inference (eq. 5), which is the same in
    expectation, and draws one b for the whole batch; one for each sample, as in EfficientNet, makes the gradient less
    noisy.

    Args:
        rate: probability of skipping the branch.
        seed: of the random draws; None takes one from Keras's global seed.

    Raises:
        ValueError: a rate that is not in [0, 1).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"DropPath needs a rate of at least 0 and below 1, not {rate}.")
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)  # (B, 1, ...)
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
        return ops.where(kept, x / (1 - self.rate), ops.zeros_like(x))

    def compute_output_shape(self, shape):
        return shape  # saves Keras from tracing `call` to find out
