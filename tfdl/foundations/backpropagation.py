"""Backpropagation: a multi-layer perceptron whose forward and backward pass are written out layer by layer.

Source: Rumelhart, Hinton & Williams 1986, Nature 323, 533-536; Goodfellow et al. 2016, section 6.5.

Every layer is a function y = f(x).  It stores in the forward pass what the backward pass needs; there it turns the
gradient with respect to y into the gradients with respect to x and to its own weights.  This is the chain rule, applied
once per layer to a whole batch.

Shapes: B examples, F features in, G features out, K classes.  "gradient" always means the gradient of the loss.
"""

from typing import NamedTuple

import numpy as np

from tfdl.foundations.calculus import numeric_gradient
from tfdl.foundations.initialization import initialize
from tfdl.foundations.optimizers import SGD

# Layers


class Dense:
    """y = x W + b.  (B, F) -> (B, G)."""

    def __init__(self, weights, bias):
        self.weights, self.bias = weights, bias  # (F, G), (G)

    def forward(self, x):
        self.x = x
        return x @ self.weights + self.bias

    def backward(self, gradient):
        self.weights_gradient = self.x.T @ gradient  # (F, G): the sum over the batch
        self.bias_gradient = gradient.sum(axis=0)
        return gradient @ self.weights.T  # (B, F)


class ReLU:
    """y = max(x, 0); the gradient passes where x > 0."""

    def forward(self, x):
        self.y = np.maximum(x, 0.0)
        return self.y

    def backward(self, gradient):
        return gradient * (self.y > 0)


class Sigmoid:
    """y = 1 / (1 + exp(-x)), y' = y (1 - y): at most 1/4, which makes gradients vanish in deep networks."""

    def forward(self, x):
        self.y = 0.5 * (1.0 + np.tanh(0.5 * x))  # the same function, without overflow
        return self.y

    def backward(self, gradient):
        return gradient * self.y * (1.0 - self.y)


class Tanh:
    """y = tanh(x), y' = 1 - y^2."""

    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, gradient):
        return gradient * (1.0 - self.y**2)


ACTIVATIONS = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}
SCHEMES = {"relu": "he", "sigmoid": "glorot", "tanh": "glorot"}  # suited to each activation: see initialization.py


def softmax_cross_entropy(logits, labels):
    """Mean of -log softmax(logits)[label], and its gradient: (softmax - one-hot) / B.

    Args:
        logits: (B, K).
        labels: (B) integers from 0 to K - 1.

    Returns:
        (loss, gradient (B, K)).

    Raises:
        ValueError: labels of another shape or out of range, or an empty batch.
    """
    labels = checked_labels(labels, logits.shape)
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)  # leaves softmax unchanged and keeps exp from overflowing
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = (np.log(sums[:, 0]) - shifted[rows, labels]).mean()
    gradient = exponentials / sums
    gradient[rows, labels] -= 1.0
    return loss, gradient / len(labels)


# The network


class Network:
    """Layers one after the other: inputs (B, F), or images (B, H, W, C) with H W C = F, -> logits (B, K)."""

    def __init__(self, layers):
        self.layers = layers
        self.dense = [layer for layer in layers if isinstance(layer, Dense)]

    def forward(self, inputs):
        """Raises ValueError for a wrong number of features or values that are not finite."""
        x = self.checked(inputs)
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient):
        """Gradient of the logits (B, K) -> of the inputs (B, F); each layer stores the gradients of its weights."""
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def loss(self, inputs, labels):
        """One forward and one backward pass: returns the mean cross-entropy of the batch and updates all gradients."""
        loss, gradient = softmax_cross_entropy(self.forward(inputs), labels)
        self.backward(gradient)
        return loss

    @property
    def parameters(self):
        """[W (F, G), b (G)] of the first layer, then of the second, and so on: the arrays, not copies."""
        return [array for layer in self.dense for array in (layer.weights, layer.bias)]

    @property
    def gradients(self):
        """Those of `parameters`, from the last `backward`."""
        return [array for layer in self.dense for array in (layer.weights_gradient, layer.bias_gradient)]

    def checked(self, inputs):
        """`inputs` as an array (B, F) of the weights' dtype; ValueError if they do not fit."""
        weights = self.dense[0].weights
        inputs = np.asarray(inputs, weights.dtype)
        if inputs.ndim < 2 or len(inputs) == 0 or inputs[0].size != len(weights):
            raise ValueError(f"The inputs have shape {inputs.shape}; give (B, {len(weights)}), B at least 1.")
        inputs = inputs.reshape(len(inputs), -1)
        if not np.isfinite(inputs).all():
            raise ValueError("The inputs hold values that are not finite; remove or fill them.")
        return inputs


def mlp(widths, *, activation="relu", scheme=None, seed=0, dtype="float64"):
    """A network of dense layers, with `activation` between them.

    Args:
        widths: (F, hidden ..., K), for example (784, 300, 100, 10).
        activation: key of ACTIVATIONS.
        scheme: of the initial weights, see initialization.py; None for the activation's own.  Biases start at 0.

    Raises:
        ValueError: fewer than two widths, one below 1, or an unknown name.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths is {tuple(widths)}; give the numbers of inputs, hidden units and classes.")
    if activation not in ACTIVATIONS:
        raise ValueError(f"There is no activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}.")
    generator = np.random.default_rng(seed)
    layers = []
    for fan_in, fan_out in zip(widths[:-1], widths[1:]):
        weights = initialize(scheme or SCHEMES[activation], (fan_in, fan_out), seed=generator)
        layers += [Dense(weights.astype(dtype), np.zeros(fan_out, dtype)), ACTIVATIONS[activation]()]
    return Network(layers[:-1])  # no activation after the logits


# Learning

MOMENTUM = SGD(momentum=0.9)  # eq. 9 of Rumelhart et al.; 0.9 is the usual choice


class Optimizer:
    """Updates a network's parameters in place by a rule of optimizers.py."""

    def __init__(self, network, *, rate, rule=MOMENTUM):
        if not rate > 0:
            raise ValueError(f"The learning rate is {rate}; give a number above 0.")
        self.network, self.rate, self.rule, self.steps = network, rate, rule, 0
        self.states = [rule.start(parameter) for parameter in network.parameters]

    def step(self):
        """One update from the network's gradients."""
        self.steps += 1
        for i, (parameter, gradient) in enumerate(zip(self.network.parameters, self.network.gradients)):
            parameter[...], self.states[i] = self.rule(
                parameter, gradient, self.states[i], rate=self.rate, step=self.steps
            )


class History(NamedTuple):
    """What `train` recorded in each of E epochs."""

    losses: np.ndarray  # (E) mean over the batches, each measured before its update
    errors: np.ndarray  # (E) validation error rate after the epoch
    gradients: np.ndarray  # (E, L) mean over the batches of `gradient_sizes`


@np.errstate(over="ignore", invalid="ignore")  # the check of the loss reports it
def train(optimizer, batches, validation, *, epochs):
    """One update for each batch of each epoch.

    Args:
        optimizer: an `Optimizer`.
        batches, validation: functions () -> iterable of (inputs, labels), see `Network`; called once an epoch.

    Raises:
        ValueError: no batches or epochs, or a loss that is no longer finite.
    """
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}; give 1 or more.")
    rows = []
    for epoch in range(epochs):
        losses, gradients = [], []
        for inputs, labels in batches():
            losses.append(optimizer.network.loss(inputs, labels))
            if not np.isfinite(losses[-1]):
                raise ValueError(
                    f"The loss is {losses[-1]} in epoch {epoch + 1}; lower the learning rate {optimizer.rate}."
                )
            gradients.append(gradient_sizes(optimizer.network))
            optimizer.step()
        if not losses:
            raise ValueError("There are no batches to train on.")
        rows.append((np.mean(losses), error_rate(optimizer.network, validation()), np.mean(gradients, axis=0)))
    return History(*map(np.array, zip(*rows)))


def error_rate(network, batches):
    """Fraction of wrongly classified examples; `batches` is an iterable of (inputs, labels)."""
    wrong = [network.forward(inputs).argmax(axis=1) != labels for inputs, labels in batches]
    if not wrong:
        raise ValueError("There are no batches to measure the error rate on.")
    return float(np.concatenate(wrong).mean())


# Inspecting gradients


def gradient_sizes(network):
    """Root mean square of the gradient of each dense layer's weights, first layer first.  -> (L,)."""
    return np.array([np.sqrt((layer.weights_gradient**2).mean()) for layer in network.dense])


def gradient_check(network, inputs, labels, *, directions=8, seed=0):
    """Relative error of the gradients against central differences.

    Along random directions d of length 1 in the space of all weights, the derivative of the loss should be g . d.
    In float64, rounding causes an error of about 1e-8; a wrong backward pass causes 0.01 or more.  The weights are
    restored.
    """
    generator = np.random.default_rng(seed)
    network.loss(inputs, labels)
    starts = [parameter.copy() for parameter in network.parameters]
    length = np.sqrt(sum(start.size for start in starts))  # of a direction; long moves would switch ReLUs
    moves = [generator.standard_normal((directions, *start.shape)) / length for start in starts]
    exact = sum(np.tensordot(move, gradient, gradient.ndim) for move, gradient in zip(moves, network.gradients))

    def loss_at(steps):  # (directions,) -> number
        for parameter, start, move in zip(network.parameters, starts, moves):
            parameter[...] = start + np.tensordot(steps, move, 1)
        return softmax_cross_entropy(network.forward(inputs), labels)[0]

    numeric = numeric_gradient(loss_at, np.zeros(directions))
    loss_at(np.zeros(directions))
    return float(np.abs(numeric - exact).max() / np.abs(numeric).max())


def checked_labels(labels, shape):
    """`labels` as an array; ValueError if they do not fit."""
    labels, (count, classes) = np.asarray(labels), shape
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"The labels are {labels.dtype} of shape {labels.shape}; give integers ({count},).")
    if not count:
        raise ValueError("The batch is empty; give one example or more.")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"The labels range from {labels.min()} to {labels.max()}; give 0 to {classes - 1}.")
    return labels
