"""Losses of regression and classification: how wrong an output is, in one number a sample.

| loss               | a sample's value                       | what it is for                                  |
|--------------------|----------------------------------------|-------------------------------------------------|
| mean_squared_error | mean (y - o)^2                         | numbers with Gaussian noise                     |
| cross_entropy      | -sum_c w_c t_c log p_c                 | one class of C; weights, smoothing, soft labels |
| softmax_focal      | -sum_c a_c t_c (1 - p_c)^gamma log p_c | one class of C, where most samples are easy     |
| sigmoid_focal      | -a_t (1 - p_t)^gamma log p_t           | yes or no at each of many places, mostly no     |

Sources: Bishop 2006, "Pattern Recognition and Machine Learning", eqs. 3.12 and 4.108; label smoothing: Szegedy et al.
2016, arXiv:1512.00567, section 7; focal loss: Lin et al. 2017, arXiv:1708.02002, eqs. 4 and 5.

Outputs are logits and everything is computed in float32, whatever comes in: log p is taken from the logits at once, so
that it is finite, and has a finite gradient, where p itself would round to 0 or 1.
Shapes: B batch, C classes, ... any axes.  Nothing is averaged over samples: `CrossEntropy` and `FocalLoss`, for
`compile`, leave that to Keras; `focal_per_positive` does it as detectors do.
"""

import keras
import numpy as np
from keras import ops

from tfdl.core.serial import serializable

SMALLEST = 1e-7  # float32 cannot tell 1 - p from 0 below this; a power of 0 would have an infinite gradient


def mean_squared_error(targets, outputs):
    """Targets (..., C) and outputs (..., C) -> (...).

    Raises:
        ValueError: the shapes differ; broadcasting (B,) against (B, 1) would compare everything with everything.
    """
    check_same_shape("mean_squared_error", targets, outputs)
    return ops.mean(ops.square(float32(targets) - float32(outputs)), axis=-1)


def cross_entropy(labels, logits, *, label_smoothing=0.0, class_weights=None):
    """Minus the log-probability of the true class.  -> (B,)

    Args:
        labels: (B,) class numbers, or (B, C) probabilities, such as mixed labels.  A number that is no class, such as
            -1 or 1.5, or no probability gives NaN.
        logits: (B, C); -inf excludes a class, which may not be the label.
        label_smoothing: the fraction of every label that is spread evenly over the C classes.
        class_weights: (C,), 0 or more; a sample of class c counts class_weights[c] times.  The mean over a batch then
            is over B, as with Keras's `class_weight`; PyTorch divides by the sum of the weights.

    Raises:
        ValueError: shapes that do not fit each other, or a number out of its range.
    """
    check_fraction("label_smoothing", label_smoothing)
    targets = soft_targets("cross_entropy", labels, logits)
    if label_smoothing:
        targets = (1.0 - label_smoothing) * targets + label_smoothing / logits.shape[-1]
    return -sum_of_products(weighted(targets, class_weights), log_softmax(logits))


def softmax_focal(labels, logits, *, gamma=2.0, alpha=None):
    """Cross-entropy in which a sample counts less the surer the network already is of its class.  -> (B,)

    Eq. 5 of arXiv:1708.02002 with the softmax's p; at p = 0.9 and gamma = 2 a sample counts 1/100.  gamma = 0 is
    `cross_entropy(labels, logits, class_weights=alpha)`.

    Args:
        labels: (B,) class numbers, or (B, C) probabilities.
        logits: (B, C).
        gamma: how fast the weight falls, 0 or more.
        alpha: (C,), weights of the classes, 0 or more; None weighs all alike.

    Raises:
        ValueError: shapes that do not fit each other, or a number out of its range.
    """
    check_gamma(gamma)
    targets = weighted(soft_targets("softmax_focal", labels, logits), alpha)
    log_p = log_softmax(logits)
    missing = ops.maximum(-ops.expm1(log_p), SMALLEST)  # 1 - p, without the cancellation
    return -sum_of_products(targets * ops.power(missing, gamma), log_p)


def sigmoid_focal(targets, logits, *, gamma=2.0, alpha=0.25):
    """Focal loss of independent yes-or-no outputs, eq. 5 of arXiv:1708.02002.  -> the shape of `logits`

    For a target of 1 it is -alpha (1 - p)^gamma log p, for 0 it is -(1 - alpha) p^gamma log(1 - p); a target between
    mixes the two.  gamma = 0 is binary cross-entropy, weighted by alpha and 1 - alpha.

    Args:
        targets: (..., C) in [0, 1]; another number gives NaN.
        logits: (..., C).
        gamma: how fast the weight of easy outputs falls, 0 or more.
        alpha: weight of the targets that are 1, in [0, 1]; None weighs both sides by 1.

    Raises:
        ValueError: the shapes differ, or a number is out of its range.
    """
    check_gamma(gamma)
    check_same_shape("sigmoid_focal", targets, logits)
    if alpha is not None and not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}; give a number in [0, 1], or None to weigh both sides by 1.")
    positive, negative = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    targets, logits = probabilities(targets), float32(logits)
    yes, no = ops.softplus(-logits), ops.softplus(logits)  # -log p and -log(1 - p)
    # (1 - p)^gamma = exp(-gamma * no): as a power its gradient would be infinite where 1 - p rounds to 0.
    return targets * positive * ops.exp(-gamma * no) * yes + (1.0 - targets) * negative * ops.exp(-gamma * yes) * no


def focal_per_positive(targets, logits, *, gamma=2.0, alpha=0.25):
    """RetinaNet's reduction: the sum of `sigmoid_focal` over all outputs / number of positive targets.  -> ()

    Section 4.1 of arXiv:1708.02002: nearly all of the 100,000 outputs of an image are easy, so their mean would be next
    to nothing.  Without a positive target the sum is divided by 1.
    """
    losses = sigmoid_focal(targets, logits, gamma=gamma, alpha=alpha)
    return ops.sum(losses) / ops.maximum(ops.sum(probabilities(targets)), 1.0)


# For `compile`


@serializable
class CrossEntropy(keras.losses.Loss):
    """`cross_entropy`; takes class numbers (B,) and mixed labels (B, C) alike."""

    def __init__(self, label_smoothing=0.0, class_weights=None, name="cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)
        check_fraction("label_smoothing", label_smoothing)
        self.label_smoothing, self.class_weights = label_smoothing, plain(class_weights)

    def call(self, y_true, y_pred):
        return cross_entropy(y_true, y_pred, label_smoothing=self.label_smoothing, class_weights=self.class_weights)

    def get_config(self):
        own = {"label_smoothing": self.label_smoothing, "class_weights": self.class_weights}
        return super().get_config() | own


@serializable
class FocalLoss(keras.losses.Loss):
    """`softmax_focal`; takes class numbers (B,) and mixed labels (B, C) alike."""

    def __init__(self, gamma=2.0, alpha=None, name="focal_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        check_gamma(gamma)
        self.gamma, self.alpha = gamma, plain(alpha)

    def call(self, y_true, y_pred):
        return softmax_focal(y_true, y_pred, gamma=self.gamma, alpha=self.alpha)

    def get_config(self):
        return super().get_config() | {"gamma": self.gamma, "alpha": self.alpha}


# Parts


def float32(x):
    return ops.cast(x, "float32")


def log_softmax(logits):
    """Eq. 4.104 of Bishop, as logits - log sum exp(logits).  (B, C) -> (B, C) float32, at most 0."""
    return ops.log_softmax(float32(logits), axis=-1)


def soft_targets(name, labels, logits):
    """Labels (B,) or (B, C) -> (B, C) float32."""
    expected, given = tuple(logits.shape), tuple(labels.shape)
    if len(expected) != 2:
        raise ValueError(f"{name} got logits of shape {expected}; give (B, C).")
    if not fits(given, expected[:1]) and not fits(given, expected):
        raise ValueError(f"{name} got labels of shape {given} for logits {expected}; give (B,) or (B, C).")
    if len(given) == 2:
        return probabilities(labels)
    # Before the cast, which would make 1 of 1.5 and 0 of 2^32
    known = ops.any(ops.equal(ops.convert_to_tensor(labels)[:, None], ops.arange(expected[-1], dtype=labels.dtype)), -1)
    one_hot = ops.one_hot(ops.cast(labels, "int32"), expected[-1], dtype="float32")
    return ops.where(known[:, None], one_hot, np.nan)


def probabilities(targets):
    """As float32, NaN where they are not in [0, 1]."""
    targets = float32(targets)
    return ops.where(ops.logical_and(targets >= 0.0, targets <= 1.0), targets, np.nan)


def sum_of_products(weights, log_p):
    """Sum over the last axis, where a weight of 0 counts nothing even if log p is -inf."""
    ignored = ops.equal(weights, 0.0)
    return ops.sum(weights * ops.where(ignored, 0.0, log_p), axis=-1)


def weighted(targets, weights):
    """Targets (B, C) times weights (C,)."""
    if weights is None:
        return targets
    if tuple(np.shape(weights)) != (targets.shape[-1],):
        raise ValueError(f"There are {targets.shape[-1]} classes, but weights of shape {np.shape(weights)}; give (C,).")
    check_weights(weights)
    return targets * float32(weights)


def plain(weights):
    """An array of class weights as a list of numbers, which JSON can hold."""
    if weights is None:
        return None
    weights = [float(weight) for weight in weights]
    check_weights(weights)
    return weights


def fits(given, expected):
    """Equal shapes, as far as their sizes are known."""
    return len(given) == len(expected) and all(g == e or None in (g, e) for g, e in zip(given, expected))


def check_same_shape(name, targets, outputs):
    given, expected = tuple(targets.shape), tuple(outputs.shape)
    if not fits(given, expected):
        raise ValueError(f"{name} got targets {given} and outputs {expected}; give equal shapes.")


def check_fraction(name, fraction):
    if not 0.0 <= fraction < 1.0:
        raise ValueError(f"{name} is {fraction}; give a number from 0 to below 1.")


def check_weights(weights):
    """ValueError for weights that are known now, and not a tensor in a graph, if one is negative, infinite or NaN."""
    if isinstance(weights, (list, tuple, np.ndarray)) and not all(0.0 <= weight < np.inf for weight in weights):
        raise ValueError(f"The class weights are {list(weights)}; give finite numbers, 0 or more.")


def check_gamma(gamma):
    if not gamma >= 0.0:
        raise ValueError(f"gamma is {gamma}; give 0 or more.")
