"""The one update step: exact global-batch gradients on one device, several devices or several hosts.

Every learner updates its weights through these four functions, whatever the strategy:

    share = sample_share(images)                                       # this replica's part of the global batch
    (loss, aux), gradients = value_and_gradients(loss_fn, variables, share=share, optimizer=optimizer)
    norm = update(optimizer, gradients, variables)                     # reduce, clip, check, apply

Keras's own step differs silently from the single-device run in four ways: it averages the replicas' losses even when
the last batch is uneven, clips before the gradients are summed, lets each replica decide by itself whether float16
overflowed, and gives every replica the same dropout mask.

A loss need not be a mean over samples.  Keras's losses leave out tokens that are padding (masks) and pixels of
`ignore_class`, and divide by what is left; inside `global_means` they divide by what is left of the global batch.  A
learner that divides by something of its own, such as the number of matched boxes, says so with `mean_over`.
"""

import contextlib
import threading

import keras
import tensorflow as tf
from keras.src.losses import loss as keras_loss  # no public name for the scaling that `unscaled_losses` turns off


def sample_share(batch):
    """Samples in this replica's `batch` (any structure of tensors (B, ...)) over those of the global batch.  -> ()."""
    return sample_shares([tf.shape(tf.nest.flatten(batch)[0])[0]])[0]


def sample_shares(counts):
    """The same for K micro-batches of `counts` samples, 0 allowed; with all replicas' they sum to 1.  -> (K,)."""
    counts = tf.cast(tf.stack(counts), tf.float32)
    return counts / all_reduce_sum(tf.reduce_sum(counts))


def value_and_gradients(loss_fn, variables, *, share=1.0, totals=None, optimizer=None):
    """Calls `loss_fn` and differentiates `share * loss`.

    Args:
        loss_fn: () -> (loss, aux): the mean over this replica's (micro-)batch, a scalar, and anything else worth
            keeping.  Keras losses inside it are not divided by the number of replicas; those that leave elements out,
            and `mean_over`, are divided by what is left of the global batch.
        variables: list of `keras.Variable`.
        share: weight of this (micro-)batch in the global batch, from `sample_share`.
        totals: see `GlobalMeans`; for several micro-batches.
        optimizer: its loss scale multiplies the loss (mixed_float16), as `update` expects.

    Returns:
        `(loss, aux)` as `loss_fn` gave them, and one dense gradient per variable (None where the loss does not depend
        on it).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        with unscaled_losses(), global_means(None if isinstance(share, float) else GlobalMeans(share, totals)):
            loss, aux = loss_fn()
        scaled = tf.cast(loss, tf.float32) * share
        if optimizer is not None:
            scaled = optimizer.scale_loss(scaled)
    gradients = tape.gradient(scaled, [v.value for v in variables])
    return (loss, aux), [None if g is None else tf.convert_to_tensor(g) for g in gradients]


def update(optimizer, gradients, variables):
    """Sums the gradients over all replicas once, then clips, checks that they are finite, and applies them.

    Clipping and the float16 check are the optimizer's own (`clipnorm`, `global_clipnorm`, `clipvalue`,
    `LossScaleOptimizer`); because they see the reduced gradients, every replica takes the same decision.

    Args:
        optimizer: a `keras.optimizers.Optimizer`; its `iterations`, schedule and EMA advance by one.
        gradients: this replica's part of the global gradient, None allowed.
        variables: the list of variables they belong to.

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
    halves = [tf.cast(tf.nn.l2_loss(gradient), tf.float32) for gradient in reduced]  # of each one's sum of squares
    for i, gradient, half in zip(known, reduced, halves):
        # Behind it only the optimizer reads the gradient and may work in its memory: a tenth of VGG-16's step.
        with tf.control_dependencies([half]):
            gradients[i] = tf.identity(gradient)
    # The optimizer must not sum a second time.  A LossScaleOptimizer hands the work to its inner optimizer.
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
    """Inside, an update that `optimizer` skips because float16 overflowed leaves `variables` as they were.

    BatchNorm changes its moving statistics on the way forward, before anybody knows that the gradients are not finite,
    and a moving average never forgets a NaN.  Does nothing unless `optimizer` is a `LossScaleOptimizer`.

    Args:
        variables: list of `keras.Variable`; others than float ones are left alone.
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
        # A map that overflows behind a layer whose gradient is zero leaves the update finite and the statistics not.
        finite = tf.reduce_all(tf.math.is_finite(after))
        variable.assign(tf.where(tf.logical_and(applied, finite), after, before))


_thread = threading.local()  # MirroredStrategy traces each replica in a thread of its own


class GlobalMeans:
    """What the losses of a (micro-)batch are divided by, so that `share * loss` sums to the mean of the global batch.

    A loss that averages over `number` elements of this (micro-)batch and over `total` in the global one is worth
    number / total of the global mean, while the whole (micro-)batch is weighted by `share`, its part of the samples.

    Args:
        share: as `sample_shares` gives it, () float32; 0 for a (micro-)batch of nothing but padding.
        totals: what `numbers` of all micro-batches sum to over all replicas, in the order in which losses are computed;
            None finds a total where a loss is computed, as a single micro-batch can.

    Attributes:
        numbers: elements that each loss averages over, () float32; None where they are in proportion to the samples.
    """

    def __init__(self, share, totals=None):
        self.share, self.totals, self.numbers = share, totals, []

    def factor(self, number):
        """What turns a mean over `number` elements into a part of the global mean; () float32."""
        number = tf.cast(number, tf.float32) * tf.cast(self.share > 0, tf.float32)  # padding rows count nothing
        place = len(self.numbers)
        self.numbers.append(number)
        total = all_reduce_sum(number) if self.totals is None else self.totals[place]
        return tf.math.divide_no_nan(number, total * self.share)

    def in_proportion(self):
        """Notes a loss that averages over samples, or over equally many elements of each."""
        self.numbers.append(None)


@contextlib.contextmanager
def global_means(means):
    """Inside, Keras's losses and `mean_over` are divided as `means`, a `GlobalMeans`, says; None leaves them alone."""
    before = getattr(_thread, "means", None)
    _thread.means = means
    try:
        yield means
    finally:
        _thread.means = before


def mean_over(total, number):
    """`total / number`, 0 for a number of 0, where a step on several replicas or micro-batches sums both of them first.

    For losses that average over something else than samples, such as matched boxes or tokens.  Inside a step each
    call counts the same thing in every micro-batch.

    Args:
        total: sum over this (micro-)batch, a scalar.
        number: of the elements that were summed, a scalar.
    """
    mean = tf.math.divide_no_nan(total, tf.cast(number, total.dtype))
    means = getattr(_thread, "means", None)
    return mean if means is None else mean * tf.cast(means.factor(number), mean.dtype)


def _reduced(reduce):
    """Keras's `reduce_weighted_values`, whose means become parts of the global ones inside `global_means`."""

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
    """Inside, Keras losses are plain means: Keras neither divides nor multiplies them by the number of replicas.

    Keras scales `Loss` objects and regularisers, but not plain loss functions, so a sum of both has no right factor.
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
    """Every optimizer that `model` holds as an attribute (one for a classifier, two for a GAN), by attribute name."""
    found = {"optimizer": model.optimizer} if isinstance(model.optimizer, keras.optimizers.Optimizer) else {}
    for name, value in vars(model).items():
        if isinstance(value, keras.optimizers.Optimizer) and value not in found.values():
            found[name] = value
    return found
