"""Activation functions: elementwise nonlinearities.  Any shape -> same shape.

ACTIVATIONS maps names to functions, Keras's own where it has them.  d is the derivative.

    linear       x                                      d 1
    sigmoid      s(x) = 1 / (1 + exp(-x))               d s (1 - s), at most 1/4: it shrinks gradients layer by layer
    tanh         2 s(2x) - 1, centered at 0             d 1 - tanh^2, at most 1 (LeCun et al. 1998, section 4.4)
    relu         max(0, x)                              d 0 or 1 (Nair & Hinton 2010)
    leaky_relu   x if x > 0, else x / 100               d 1 or 0.01, so that no unit dies (Maas et al. 2013)
    swish        x s(x), also called SiLU               d s + x s (1 - s) (Ramachandran et al. 2017, arXiv:1710.05941)
    gelu         x P(x), P the normal distribution's    d P + x p, p the normal density (Hendrycks & Gimpel 2016,
                 cumulative, (1 + erf(x / sqrt 2)) / 2    arXiv:1606.08415, section 2)
    gelu_tanh    x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), section 2's approximation, within 5e-4 of gelu

Hard sigmoid and hard swish are approximations without an exponential, which suit phones and 8-bit integers: Howard et
al. 2019, arXiv:1905.02244, section 5.2.
"""

from keras import ops

from tfdl.core.serial import serializable


@serializable
def linear(x):
    """x itself: without a nonlinearity between them, two dense layers compute what one can."""
    return x


@serializable
def leaky_relu(x):
    """max(x, x / 100), Maas et al. 2013, section 2.  Keras's slope is 0.2, PyTorch's is the paper's 0.01."""
    return ops.leaky_relu(x, negative_slope=0.01)


@serializable
def swish(x):
    """x s(x), eq. 1 with beta 1.  `keras.ops.silu` computes the same, but its custom gradient removes the signature
    from a TFLite file."""
    return x * ops.sigmoid(x)


@serializable
def gelu(x):
    """x P(X <= x) for a standard normal X, with the exact error function; `keras.ops.gelu` defaults to the tanh."""
    return ops.gelu(x, approximate=False)


@serializable
def gelu_tanh(x):
    """The tanh approximation of GELU, as used by BERT and GPT-2."""
    return ops.gelu(x, approximate=True)


@serializable
def hard_sigmoid(x):
    """relu6(x + 3) / 6: 0 up to -3, 1 from 3 on, a straight line between.  Any shape -> same."""
    return ops.relu6(x + 3.0) / 6.0


@serializable
def hard_swish(x):
    """x * hard_sigmoid(x), eq. of section 5.2.  Any shape -> same."""
    return x * ops.relu6(x + 3.0) / 6.0


def log_odds(p):
    """The logits of probabilities, whose sigmoid gives them back: log p / (1 - p).  Any shape -> same.

    p is kept a millionth away from 0 and 1, where the logits are infinite.
    """
    p = ops.clip(p, 1e-6, 1.0 - 1e-6)
    return ops.log(p) - ops.log(1.0 - p)


ACTIVATIONS = {
    "relu": ops.relu,
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "leaky_relu": leaky_relu,
    "swish": swish,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "linear": linear,
}


def check_activation(name, *, owner):
    """Raises ValueError if `name` is not a key of ACTIVATIONS; `owner` names the layer or model in the message."""
    if name not in ACTIVATIONS:
        raise ValueError(f"{owner} has no activation {name!r}; it has {', '.join(ACTIVATIONS)}.")
