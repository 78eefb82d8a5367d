"""Mixture of experts: a router sends every token to a few of many feed-forward networks.

Papers: Shazeer et al. 2017, arXiv:1701.06538, eq. 1-5; Fedus et al. 2021, arXiv:2101.03961 (Switch), eq. 4-6 on equal
load; Jiang et al. 2024, arXiv:2401.04088 (Mixtral), section 2.1.
Shapes: B batch, T tokens, D width, E experts.
"""

from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.layers.transformer import FeedForward, truncated_normal


@serializable
class MixtureOfExperts(layers.Layer):
    """The weighted sum of what the `chosen` experts of each token make of it.  (B, T, D) -> same.

    Every expert sees every token here, with weight 0 where it was not chosen: shapes stay fixed on every device, no
    token is dropped, and E experts cost E times as much as one.

    Args:
        experts: E.
        chosen: experts per token; Mixtral's 2, Switch's 1.
        expansion: of each expert, a gated `FeedForward` without biases.
        balance: factor of the loss that keeps the load equal, Switch's eq. 4; 0 leaves it out.

    Raises:
        ValueError: more experts are chosen than there are.
    """

    def __init__(self, experts, chosen=2, expansion=4.0, balance=0.0, **kwargs):
        super().__init__(**kwargs)
        if not 1 <= chosen <= experts:
            raise ValueError(f"{chosen} experts cannot be chosen among {experts}.")
        self.chosen = chosen
        self.balance = balance
        self.router = layers.Dense(
            experts, use_bias=False, kernel_initializer=truncated_normal(), dtype="float32", name="router"
        )
        self.experts = [
            FeedForward(expansion, "swish", gated=True, use_bias=False, name=f"expert{i}") for i in range(experts)
        ]

    def build(self, shape):
        for layer in (self.router, *self.experts):
            layer.build(shape)

    def call(self, x, training=False):
        probabilities = ops.softmax(self.router(x))  # (B, T, E)
        weights = routed(probabilities, self.chosen)
        if training and self.balance:
            self.add_loss(self.balance * load(probabilities, weights))
        weights = ops.cast(weights, x.dtype)
        return sum(weights[..., i, None] * expert(x, training=training) for i, expert in enumerate(self.experts))

    def compute_output_shape(self, shape):
        return shape  # saves Keras from tracing `call` to find out


def routed(probabilities, chosen):
    """Weights of the experts: the largest `chosen` probabilities, divided by their sum; else 0.  (..., E) -> same."""
    values, places = ops.top_k(probabilities, chosen)  # (..., chosen)
    values = values / ops.sum(values, axis=-1, keepdims=True)
    return ops.sum(ops.one_hot(places, probabilities.shape[-1]) * values[..., None], axis=-2)


def load(probabilities, weights):
    """E sum_e f_e P_e, Switch's eq. 4-6: 1 where all experts have the same load, up to E where one has it all.

    f_e is the fraction of choices that went to an expert, P_e its mean probability; the gradient flows through P_e.
    """
    experts = probabilities.shape[-1]
    rows = ops.reshape(probabilities, (-1, experts))
    choices = ops.cast(ops.reshape(weights, (-1, experts)) > 0, "float32")
    fractions = ops.mean(choices, axis=0) / ops.maximum(ops.sum(ops.mean(choices, axis=0)), 1e-9)
    return experts * ops.sum(ops.stop_gradient(fractions) * ops.mean(rows, axis=0))
