"""The one update step: exact global-batch gradients on one device, several devices or several hosts.

Every learner updates its weights through these four functions, whatever the strategy:

    share = sample_share(images)                                       # this replica's part of the global batch
    (loss, aux), gradients = value_and_gradients(loss_fn, variables, share=share, optimizer=optimizer)
    norm = update(optimizer, gradients, variables)                     # reduce, clip, check, apply

Keras's own step differs silently from the single-device run in four ways: it averages the replicas' losses even when
the last batch is uneven, clips before the gradients are summed, lets each replica decide by itself whether float16
overflowed, and gives every replica the same dropout mask.
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


def value_and_gradients(loss_fn, variables, *, share=1.0, optimizer=None):
    """Calls `loss_fn` and differentiates `share * loss`.

    Args:
        loss_fn: () -> (loss, aux): the mean over this replica's (micro-)batch, a scalar, and anything else worth
            keeping.  Keras losses inside it are not divided by the number of replicas.
        variables: list of `keras.Variable`.
        share: weight of this (micro-)batch in the global batch, from `sample_share`.
        optimizer: its loss scale multiplies the loss (mixed_float16), as `update` expects.

    Returns:
        `(loss, aux)` as `loss_fn` gave them, and one dense gradient per variable (None where the loss does not depend
        on it).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        with unscaled_losses():
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


_thread = threading.local()  # MirroredStrategy traces each replica in a thread of its own


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
