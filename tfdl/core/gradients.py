"""The update step: exact gradients of the global batch on one device, several devices or several hosts.

Every learner updates its weights through these four functions, whatever the strategy:

    fraction = sample_fraction(images)                                 # this replica's part of the global batch
    (loss, aux), gradients = value_and_gradients(loss_fn, variables, fraction=fraction, optimizer=optimizer)
    norm = update(optimizer, gradients, variables)                     # reduce, clip, check, apply

Keras's own step silently differs from a run on a single device in four ways: it averages the replicas' losses even when
the last batch is uneven, clips before the gradients are summed, lets each replica decide for itself whether float16
overflowed, and gives every replica the same dropout mask.

A loss need not be a mean over samples.  Keras's losses leave out padded tokens (masks) and pixels of `ignore_class`,
and divide by the number of the others; inside `global_means` they divide by their number in the global batch.  A
learner that divides by another number, such as that of matched boxes, uses `mean_over`.
"""

import contextlib
import threading

import keras
import tensorflow as tf
from keras.src.losses import loss as keras_loss  # no public name for the scaling that `unscaled_losses` turns off


def sample_fraction(batch):
    """The fraction of the global batch that is in this replica's `batch`, any structure of tensors (B, ...).  -> ()."""
    return sample_fractions([tf.shape(tf.nest.flatten(batch)[0])[0]])[0]


def sample_fractions(counts):
    """The same for K micro-batches of `counts` samples, 0 allowed; over all replicas they sum to 1.  -> (K,)."""
    counts = tf.cast(tf.stack(counts), tf.float32)
    return counts / all_reduce_sum(tf.reduce_sum(counts))


def value_and_gradients(loss_fn, variables, *, fraction=1.0, totals=None, optimizer=None):
    """Calls `loss_fn` and differentiates `fraction * loss`.

    Args:
        loss_fn: () -> (loss, aux): the mean over this replica's (micro-)batch, a scalar, and any other results.
            Keras losses inside it are not divided by the number of replicas; those that leave elements out, and
            `mean_over`, are divided by the number of elements in the global batch.
        variables: list of `keras.Variable`.
        fraction: weight of this (micro-)batch in the global batch, from `sample_fraction`.
        totals: see `GlobalMeans`; for several micro-batches.
        optimizer: its loss scale multiplies the loss (mixed_float16), as `update` expects.

    Returns:
        `(loss, aux)` as returned by `loss_fn`, and one dense gradient per variable (None if the loss does not depend on
        it).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        means = None if isinstance(fraction, float) else GlobalMeans(fraction, totals)
        with unscaled_losses(), global_means(means):
            loss, aux = loss_fn()
        scaled = tf.cast(loss, tf.float32) * fraction
        if optimizer is not None:
            scaled = optimizer.scale_loss(scaled)
    gradients = tape.gradient(scaled, [v.value for v in variables])
    return (loss, aux), [None if g is None else tf.convert_to_tensor(g) for g in gradients]


def update(optimizer, gradients, variables):
    """Sums the gradients over all replicas once, then clips, checks that they are finite, and applies them.

    Clipping and the float16 check are the optimizer's own (`clipnorm`, `global_clipnorm`, `clipvalue`,
    `LossScaleOptimizer`); because they see the reduced gradients, every replica makes the same decision.

    Args:
        optimizer: a `keras.optimizers.Optimizer`; its `iterations`, schedule and EMA advance by one.
        gradients: this replica's part of the global gradient, None allowed.
        variables: the list of variables that they belong to.

    Raises:
        ValueError: all gradients are None.

    Returns:
        the global norm of the reduced, unscaled, unclipped gradients, scalar float32.
    """
    gradients = list(gradients)
    known = [i for i, g in enumerate(gradients) if g is not None]
    if not known:
        raise ValueError(
            "The loss depends on none of the trainable weights. Check that `compute_loss` uses the model's outputs."
        )
    reduced = all_reduce_sum([gradients[i] for i in known])
    halves = [tf.cast(tf.nn.l2_loss(gradient), tf.float32) for gradient in reduced]  # half of each sum of squares
    for i, gradient, half in zip(known, reduced, halves):
        # Afterwards only the optimizer reads the gradient and can reuse its memory, which saves 10 % of VGG-16's step.
        with tf.control_dependencies([half]):
            gradients[i] = tf.identity(gradient)
    # The optimizer must not sum a second time.  A LossScaleOptimizer delegates to its inner optimizer.
    getattr(optimizer, "inner_optimizer", optimizer)._all_reduce_sum_gradients = list
    scale = tf.cast(optimizer.scale_loss(1.0), tf.float32)
    optimizer.apply(gradients, variables)
    return tf.sqrt(2 * tf.add_n(halves)) / scale


def all_reduce_sum(values):
    """Sum over replicas of a tensor or list of tensors; outside a replica context the values themselves."""
    replica = tf.distribute.get_replica_context()
    return values if replica is None else replica.all_reduce(tf.distribute.ReduceOp.SUM, values)


@contextlib.contextmanager
def undone_if_skipped(variables, optimizer):
    """Restores `variables` after the block if `optimizer` skipped the update because float16 overflowed.

    BatchNorm updates its moving statistics in the forward pass, before it is known that the gradients are not finite,
    and a moving average never recovers from a NaN.  Does nothing unless `optimizer` is a `LossScaleOptimizer`.

    Args:
        variables: list of `keras.Variable`; only those of float dtypes are restored.
    """
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        yield
        return
    kept = [(v, tf.identity(v.value)) for v in variables if keras.backend.is_float_dtype(v.dtype)]
    updates = tf.identity(optimizer.iterations.value)  # a skipped update is not counted
    yield
    applied = optimizer.iterations.value > updates
    for variable, before in kept:
        after = tf.convert_to_tensor(variable.value)
        # A map that overflows after a layer whose gradient is zero makes the statistics infinite, but not the update.
        finite = tf.reduce_all(tf.math.is_finite(after))
        variable.assign(tf.where(tf.logical_and(applied, finite), after, before))


_thread = threading.local()  # MirroredStrategy traces each replica in its own thread


class GlobalMeans:
    """Rescales the losses of a (micro-)batch so that `fraction * loss` sums to the mean over the global batch.

    A loss that averages over `number` elements of this (micro-)batch, and over `total` in the global batch, contributes
    number / total of the global mean, while the (micro-)batch as a whole is weighted by its `fraction` of the samples.

    Args:
        fraction: from `sample_fractions`, () float32; 0 for a (micro-)batch that is all padding.
        totals: sums of `numbers` over all micro-batches and replicas, in the order in which losses are computed; None
            computes each total along with its loss, which is possible for a single micro-batch.

    Attributes:
        numbers: elements that each loss averages over, () float32; None if proportional to the number of samples.
    """

    def __init__(self, fraction, totals=None):
        self.fraction, self.totals, self.numbers = fraction, totals, []

    def factor(self, number):
        """The factor that turns a mean over `number` elements into a part of the global mean; () float32."""
        number = tf.cast(number, tf.float32) * tf.cast(self.fraction > 0, tf.float32)  # padding does not count
        place = len(self.numbers)
        self.numbers.append(number)
        total = all_reduce_sum(number) if self.totals is None else self.totals[place]
        return tf.math.divide_no_nan(number, total * self.fraction)

    def in_proportion(self):
        """Records a loss that averages over samples, or over the same number of elements in each."""
        self.numbers.append(None)


@contextlib.contextmanager
def global_means(means):
    """Rescales Keras's losses and `mean_over` inside the block by `means`, a `GlobalMeans`; None has no effect."""
    before = getattr(_thread, "means", None)
    _thread.means = means
    try:
        yield means
    finally:
        _thread.means = before


def mean_over(total, number):
    """`total / number`, or 0 if `number` is 0; a step on several replicas or micro-batches sums both over them first.

    For losses that average over other things than samples, such as matched boxes or tokens.  Inside a step, each call
    must count the same thing in every micro-batch.

    Args:
        total: sum over this (micro-)batch, a scalar.
        number: of the elements that were summed, a scalar.
    """
    mean = tf.math.divide_no_nan(total, tf.cast(number, total.dtype))
    means = getattr(_thread, "means", None)
    return mean if means is None else mean * tf.cast(means.factor(number), mean.dtype)


def _reduced(reduce):
    """Keras's `reduce_weighted_values`, whose means become parts of global means inside `global_means`."""

    def weighted_mean(values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None):
        loss = reduce(values, sample_weight=sample_weight, mask=mask, reduction=reduction, dtype=dtype)
        means = getattr(_thread, "means", None)
        if means is None:
            return loss
        if reduction == "mean_with_sample_weight" and (sample_weight is not None or mask is not None):
            weights = keras_loss.apply_mask(sample_weight, mask, dtype="float32", reduction=reduction)
            number = tf.reduce_sum(tf.cast(weights, tf.float32))
        elif reduction in ("mean", "sum_over_batch_size") and mask is not None:
            number = tf.reduce_sum(tf.cast(mask, tf.float32))
        else:
            means.in_proportion()
            return loss
        return loss * tf.cast(means.factor(number), loss.dtype)

    return weighted_mean


keras_loss.reduce_weighted_values = _reduced(keras_loss.reduce_weighted_values)


@contextlib.contextmanager
def unscaled_losses():
    """Keeps Keras from dividing or multiplying losses inside the block by the number of replicas.

    Keras scales `Loss` objects and regularizers, but not plain loss functions, so no single factor suits their sum.
    """
    before = getattr(_thread, "unscaled", False)
    _thread.unscaled = True
    try:
        yield
    finally:
        _thread.unscaled = before


def _unless_unscaled(scale):
    def scaled(value):
        return value if getattr(_thread, "unscaled", False) else scale(value)

    return scaled


for _name in ("scale_loss_for_distribution", "unscale_loss_for_distribution"):
    setattr(keras_loss, _name, _unless_unscaled(getattr(keras_loss, _name)))


def optimizers_of(model):
    """All optimizers among the attributes of `model` (one for a classifier, two for a GAN), by attribute name."""
    found = {"optimizer": model.optimizer} if isinstance(model.optimizer, keras.optimizers.Optimizer) else {}
    for name, value in vars(model).items():
        if isinstance(value, keras.optimizers.Optimizer) and value not in found.values():
            found[name] = value
    return found
