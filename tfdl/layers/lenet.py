"""Three layers of the original LeNet-5 that are no longer in use: sparsely connected convolution, learned subsampling,
and distances to codes.

Paper: LeCun et al. 1998, Proceedings of the IEEE 86(11), section II.B, Table I, eq. 5-7.
Shapes: B batch, H W height and width of the feature map, C channels, K kernel size, N connections, U units.
"""

import keras
import numpy as np
from keras import layers, ops

from tfdl.core.serial import serializable


@serializable
def scaled_tanh(x):
    """A tanh(S x), eq. 6 with the paper's A and S: f(+-1) = +-1, where the curvature is largest.  Any shape -> same."""
    return 1.7159 * ops.tanh(2 / 3 * x)


@serializable
class SparseConv2D(layers.Layer):
    """Convolution whose output maps each read only some input channels.  (B, H, W, C) -> (B, H-K+1, W-K+1, maps).

    It has K K N + maps weights: one kernel for each connection, and none for pairs that are not connected.

    Args:
        table: for each output map the tuple of input channels that it reads, as in the columns of Table I.
        kernel_size: K.

    Raises:
        ValueError: the table names a channel that the input does not have.
    """

    def __init__(self, table, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.table = tuple(tuple(channels) for channels in table)
        self.kernel_size = kernel_size

    def build(self, shape):
        pairs = [(channel, i) for i, channels in enumerate(self.table) for channel in channels]  # N of them
        if (highest := max(pairs)[0]) >= shape[-1]:
            raise ValueError(
                f"The table of {self.name!r} names channel {highest}, counted from 0,"
                f" but the input has only {shape[-1]} channels."
            )
        self.scatter = np.zeros((len(pairs), shape[-1] * len(self.table)), "float32")  # (N, C maps): one 1 per row
        self.scatter[range(len(pairs)), [channel * len(self.table) + i for channel, i in pairs]] = 1.0
        k, inputs = self.kernel_size, self.kernel_size**2 * len(pairs) / len(self.table)
        start = keras.initializers.RandomNormal(stddev=inputs**-0.5)
        self.kernel = self.add_weight((k, k, len(pairs)), start, name="kernel")
        self.bias = self.add_weight((len(self.table),), "zeros", name="bias")

    def call(self, x):
        kernel = ops.matmul(self.kernel, ops.cast(self.scatter, self.compute_dtype))  # zeros where not connected
        kernel = ops.reshape(kernel, (self.kernel_size, self.kernel_size, x.shape[-1], len(self.table)))
        return ops.conv(x, kernel, padding="valid") + self.bias


@serializable
class Subsampling(layers.Layer):
    """scaled_tanh(coefficient * sum over 2 x 2 pixels + bias), with one learned coefficient and bias per channel.

    (B, H, W, C) -> (B, H/2, W/2, C), sizes rounded down.  With a small coefficient the layer blurs; with a large one it
    is a noisy "or" or a noisy "and" of the four pixels, depending on the bias.
    """

    def build(self, shape):
        self.coefficient = self.add_weight((shape[-1],), keras.initializers.Constant(0.25), name="coefficient")
        self.bias = self.add_weight((shape[-1],), "zeros", name="bias")

    def call(self, x):
        return scaled_tanh(4 * ops.average_pool(x, 2, strides=2) * self.coefficient + self.bias)


@serializable
class CodeDistance(layers.Layer):
    """y_i = -sum_j (x_j - code_ij)^2: eq. 7 negated, so that the largest is the prediction.  (B, U) -> (B, num_codes).

    The codes consist of -1 and +1 and are not trained.  The paper uses bitmaps of the characters and mentions random
    codes as an alternative; this layer uses random ones, which exist for any number of classes.  Softmax cross-entropy
    of these logits is the paper's eq. 9 without its constant for images that show no character.

    Args:
        num_codes: number of classes.
        seed: of the random codes.
    """

    def __init__(self, num_codes, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.num_codes = num_codes
        self.seed = seed

    def build(self, shape):
        codes = np.random.default_rng(self.seed).choice([-1.0, 1.0], (self.num_codes, shape[-1])).astype("float32")
        self.codes = self.add_weight(codes.shape, lambda *_, **__: codes, trainable=False, name="codes")

    def call(self, x):
        return -ops.sum(ops.square(x[:, None, :] - self.codes), axis=-1)

    def multiply_adds(self, shape):
        """One square for each unit of each code."""
        return self.num_codes * shape[-1]
