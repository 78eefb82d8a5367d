"""Initialization: how initial weights preserve the size of activations and gradients through many layers.

Sources: LeCun et al. 1998, "Efficient BackProp", eq. 16; Glorot & Bengio 2010, AISTATS, eq. 12 and 16; He et al. 2015,
arXiv:1502.01852, eq. 10 and 14; Saxe et al. 2014, arXiv:1312.6120 (orthogonal); Mezzadri 2007,
arXiv:math-ph/0609050 (orthogonal matrices of Haar's distribution).

A unit adds up fan_in products, so the second moment of its sum is fan_in * Var(w) * E[x^2].  A linear layer, or tanh
near 0, preserves this moment if Var(w) = 1 / fan_in; ReLU halves it, hence He's factor 2.  In the backward pass, the
gradient is a sum over fan_out instead; Glorot's variance is a compromise between the two.

Shapes: kernels as in Keras, dense (fan_in, fan_out) and convolution (height, width, ..., channels in, channels out).
"""

from dataclasses import dataclass

import numpy as np

# scheme -> Var(w), of the kernel's fan_in and fan_out
VARIANCES = {
    "zeros": lambda fan_in, fan_out: 0.0,
    "constant": lambda fan_in, fan_out: 0.01**2,  # Krizhevsky et al. 2012, section 5, for a layer of any width
    "lecun": lambda fan_in, fan_out: 1.0 / fan_in,  # eq. 16
    "glorot": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),  # eq. 12
    "he": lambda fan_in, fan_out: 2.0 / fan_in,  # eq. 10
    "orthogonal": lambda fan_in, fan_out: 1.0 / max(fan_in, fan_out),  # rows or columns of norm 1
}
# Standard deviation of a standard normal truncated to [-2, 2]: sqrt(1 - 4 phi(2) / (Phi(2) - Phi(-2))).
TRUNCATED_STANDARD_DEVIATION = 0.8796256610342398


def initialize(scheme, shape, *, distribution="normal", gain=1.0, seed=0):
    """Initial weights of a kernel.

    Args:
        scheme: a key of VARIANCES.
        shape: of the kernel, two axes or more.
        distribution: "normal", "truncated_normal" (at 2 standard deviations, then rescaled to the variance) or
            "uniform" (Glorot's eq. 16); all three have the scheme's variance.  "orthogonal" ignores it.
        gain: multiplies the weights; sqrt(2) suits an orthogonal kernel before ReLU.
        seed: int, or a numpy.random.Generator to draw from.

    Returns:
        float64 `shape`.

    Raises:
        ValueError: an unknown name, or a shape that is not a kernel's.
    """
    generator = np.random.default_rng(seed)
    if scheme not in VARIANCES:
        raise ValueError(f"There is no initialization {scheme!r}; choose one of {', '.join(VARIANCES)}.")
    if distribution not in DRAWS:
        raise ValueError(f"There is no distribution {distribution!r}; choose one of {', '.join(DRAWS)}.")
    fan_in, fan_out = fans(shape)
    if scheme == "orthogonal":
        return gain * orthogonal(shape, generator)
    return gain * np.sqrt(VARIANCES[scheme](fan_in, fan_out)) * DRAWS[distribution](generator, shape)


def fans(shape):
    """(fan_in, fan_out): inputs of each output unit, and outputs that each input feeds.

    Dense (F, G) -> (F, G); convolution (k, k, C, D) -> (k k C, k k D).
    """
    shape = tuple(shape)
    if len(shape) < 2 or not all(isinstance(size, int | np.integer) and size > 0 for size in shape):
        raise ValueError(
            f"{shape} is not a kernel's shape; give (fan_in, fan_out) or (height, width, channels in, channels out)."
        )
    window = int(np.prod(shape[:-2]))  # 1 for a dense kernel
    return window * shape[-2], window * shape[-1]


# Draws of mean 0 and variance 1


def normal(generator, shape):
    return generator.standard_normal(shape)


def uniform(generator, shape):
    """Var = (2 limit)^2 / 12, so limit = sqrt(3): with Glorot's variance sqrt(6 / (fan_in + fan_out)), eq. 16."""
    return generator.uniform(-np.sqrt(3.0), np.sqrt(3.0), shape)


def truncated_normal(generator, shape):
    """Values beyond 2 standard deviations of the normal, 1 in 22, are drawn again."""
    draws = generator.standard_normal(shape)
    while (outside := np.abs(draws) > 2.0).any():
        draws[outside] = generator.standard_normal(outside.sum())
    return draws / TRUNCATED_STANDARD_DEVIATION


DRAWS = {"normal": normal, "uniform": uniform, "truncated_normal": truncated_normal}


def orthogonal(shape, generator):
    """Orthonormal columns, or rows if there are fewer, of the kernel as a matrix (product of other axes, last axis).

    Q of a Gaussian matrix's QR decomposition.  Its signs depend on the algorithm; multiplying each column by the sign
    of R's diagonal makes Q uniform over all orthogonal matrices (Mezzadri 2007, section 5).
    """
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).reshape(shape)


# Propagation through a deep network

ACTIVATIONS = {  # name -> (f, f' as a function of f's value)
    "linear": (lambda x: x, lambda y: np.ones_like(y)),
    "tanh": (np.tanh, lambda y: 1.0 - y**2),
    "relu": (lambda x: np.maximum(x, 0.0), lambda y: (y > 0).astype("float64")),
}


@dataclass(frozen=True, eq=False)
class Propagation:
    """Measured at the inputs (index 0) and after each of the L layers, over all units, examples and networks.

    Attributes:
        variance: (L + 1) of the activations.
        signal: (L + 1) second moment E[x^2] of the activations, which the theory of ReLU describes.
        gradient: (L + 1) second moment of the gradient with respect to the activations; at the output it is
            random with moment 1.
    """

    variance: np.ndarray
    signal: np.ndarray
    gradient: np.ndarray


def deep_network(scheme, *, depth=30, width=128, networks=4, gain=1.0, seed=0):
    """Kernels (depth, networks, width, width) of `networks` square networks, each kernel drawn independently.

    Raises:
        ValueError: a size below 1, or as `initialize`.
    """
    if min(depth, width, networks) < 1:
        raise ValueError(f"depth {depth}, width {width} and networks {networks} must all be at least 1.")
    generator = np.random.default_rng(seed)
    count = depth * networks
    kernels = [initialize(scheme, (width, width), gain=gain, seed=generator) for _ in range(count)]
    return np.stack(kernels).reshape(depth, networks, width, width)


def propagate(kernels, activation, *, examples=64, seed=0):
    """Forward pass of random inputs and backward pass of random gradients through x <- f(x W), without biases.

    The backward pass multiplies by the derivative of f and by the transpose of W, as in backpropagation.

    Args:
        kernels: (L, ..., width, width), as from `deep_network`.
        activation: key of ACTIVATIONS.
        examples: number of standard normal inputs for each network.

    Returns:
        a `Propagation`.
    """
    kernels = checked_kernels(kernels, activation)
    function, derivative = ACTIVATIONS[activation]
    generator = np.random.default_rng(seed)
    shape = (*kernels.shape[1:-2], examples, kernels.shape[-1])
    signals = [generator.standard_normal(shape)]
    for kernel in kernels:
        signals.append(function(signals[-1] @ kernel))  # (..., examples, width)
    gradients = [generator.standard_normal(shape)]
    for kernel, signal in zip(kernels[::-1], signals[:0:-1]):
        gradients.append((gradients[-1] * derivative(signal)) @ np.swapaxes(kernel, -1, -2))
    return Propagation(
        variance=np.array([signal.var() for signal in signals]),
        signal=np.array([(signal**2).mean() for signal in signals]),
        gradient=np.array([(gradient**2).mean() for gradient in gradients[::-1]]),
    )


def jacobian_singular_values(kernels, activation, *, seed=0):
    """Singular values of the network's Jacobian at a random input, largest first.

    Dynamical isometry (Saxe et al. 2014): all of them are near 1, so that gradients keep their size.  Orthogonal
    linear networks have it exactly; in Gaussian ones only the mean square of the values is 1.

    Args:
        kernels: (L, ..., width, width).    activation: key of ACTIVATIONS.

    Returns:
        (..., width).
    """
    kernels = checked_kernels(kernels, activation)
    function, derivative = ACTIVATIONS[activation]
    signal = np.random.default_rng(seed).standard_normal((*kernels.shape[1:-2], 1, kernels.shape[-1]))
    jacobian = np.eye(kernels.shape[-1])  # of the layer's output with respect to the input, transposed
    for kernel in kernels:
        signal = function(signal @ kernel)
        jacobian = (jacobian @ kernel) * derivative(signal)
    return np.linalg.svd(jacobian, compute_uv=False)


def checked_kernels(kernels, activation):
    """`kernels` as an array; ValueError if they do not fit."""
    kernels = np.asarray(kernels)
    if activation not in ACTIVATIONS:
        raise ValueError(f"There is no activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}.")
    if kernels.ndim < 3 or kernels.shape[-1] != kernels.shape[-2] or 0 in kernels.shape:
        raise ValueError(f"The kernels have shape {kernels.shape}; give (layers, ..., width, width).")
    return kernels
