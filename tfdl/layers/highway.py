"""Highway layer: a gate decides for each unit how much of the input is transformed and how much is carried through.

Paper: Srivastava et al. 2015, arXiv:1505.00387, sections 2 and 2.2.
Shapes: B batch, U units.
"""

import keras
from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.ops.activations import ACTIVATIONS, check_activation


@serializable
class Highway(layers.Layer):
    """y = H(x) T(x) + x (1 - T(x)), eq. 3.  (B, U) -> same, with 2 (U^2 + U) weights.

    H(x) = activation(W_H x + b_H) transforms, T(x) = sigmoid(W_T x + b_T) is the transform gate.

    Args:
        activation: of H, a key of ACTIVATIONS.
        transform_bias: initial value of b_T.  Negative, so that an untrained layer carries most of x through; the paper
            uses -1 to -3 for 10 to 30 layers, and -4 for deeper networks.
        kernel_initializer: of W_H and W_T, a name in keras.initializers.

    Attributes:
        transform, gate: the dense layers H and T, once built.

    Raises:
        ValueError: unknown activation, or an input whose shape is not (B, U).
    """

    def __init__(self, activation="relu", transform_bias=-2.0, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        check_activation(activation, owner="Highway")
        self.activation = activation
        self.transform_bias = transform_bias
        self.kernel_initializer = kernel_initializer

    def build(self, shape):
        if len(shape) != 2 or shape[-1] is None:
            raise ValueError(f"Highway needs (B, U) with a fixed number of units, not {tuple(shape)}.")
        options = dict(units=shape[-1], kernel_initializer=self.kernel_initializer, dtype=self.dtype_policy)
        bias = keras.initializers.Constant(self.transform_bias)
        self.transform = layers.Dense(activation=ACTIVATIONS[self.activation], name="transform", **options)
        self.gate = layers.Dense(activation=ops.sigmoid, bias_initializer=bias, name="gate", **options)
        self.transform.build(shape)
        self.gate.build(shape)

    def call(self, x):
        t = self.gate(x)  # (B, U) in (0, 1)
        return self.transform(x) * t + x * (1 - t)
