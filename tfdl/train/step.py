"""The step beneath `model.fit`: the same weights and logs on one device, on several, and with accumulation.

`exact(model)` binds a train step and a test step to a compiled model; callbacks, progress bar, `evaluate` and saving
stay Keras's.  Where a learner has a train step of its own it keeps it, and calls `tfdl.core.gradients` itself.
"""

import types

import keras
import tensorflow as tf

from tfdl.core import gradients
from tfdl.core.fused_norms import fuse_batch_norms
from tfdl.distribution import multi_worker
from tfdl.train.accumulation import micro_batches
from tfdl.train.replicas import fold_replica_into_seeds, samples, synchronize_batch_norms


def exact(model, *, accumulate=1):
    """Gives a compiled `model` global-batch semantics; returns the model.

    The loss is divided by the number of samples in the global batch, gradients are summed over micro-batches and
    replicas once, then clipped, checked and applied; BatchNorm is synchronized and dropout differs by replica.
    `model.gradient_norm` holds the global norm of the last unclipped gradient.

    Args:
        model: compiled `keras.Model`, built under the strategy's scope.
        accumulate: micro-batches per update, >= 1.

    Raises:
        ValueError: the model isn't compiled, or an option of the optimizer or the loss would be silently wrong.
    """
    if not model.compiled:
        raise ValueError("The model is not compiled. Call model.compile(optimizer, loss) first.")
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate} is not a number of micro-batches; give 1 or more.")
    strategy = model.distribute_strategy
    for optimizer in gradients.optimizers_of(model).values():
        check_optimizer(getattr(optimizer, "inner_optimizer", optimizer), strategy.num_replicas_in_sync)
    check_loss(model.loss)
    if strategy.num_replicas_in_sync > 1:
        check_steps(model.steps_per_execution)
        model.jit_compile = False  # XLA fails on variables that live on several devices
        fold_replica_into_seeds(model)
    fuse_batch_norms(model)
    if strategy.num_replicas_in_sync * accumulate > 1:
        synchronize_batch_norms(model)
    with strategy.scope():
        if model.built and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        model.gradient_norm = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, name="gradient_norm"
        )
    model.accumulate = accumulate
    for name, step in (("train_step", train_step), ("test_step", test_step), ("predict_step", predict_step)):
        if getattr(type(model), name) is getattr(keras.Model, name):
            setattr(model, name, types.MethodType(step, model))
    model.train_step = after_data(model.train_step)
    model.train_function = model.test_function = model.predict_function = None
    return multi_worker.fit_on_workers(model)


def after_data(step):
    """A train step none of whose effects comes before its data.

    At the end of a data set of unknown length Keras calls the step once more; TensorFlow then counts an update and
    draws random numbers for it before it finds that there is no batch.
    """

    def ordered(data):
        with tf.control_dependencies([t for t in tf.nest.flatten(data) if t is not None]):
            return step(data)

    return ordered


def train_step(model, data):
    """One update on this replica's part of a batch.  Returns the running metrics."""
    pieces = [Piece(piece) for piece in micro_batches(data, model.accumulate)]
    shares = gradients.sample_shares([piece.count for piece in pieces])
    variables = model.trainable_variables
    sums = [None] * len(variables)
    for i, piece in enumerate(pieces):
        with samples(piece.count):
            (loss, outputs), parts = gradients.value_and_gradients(
                lambda piece=piece: forward(model, piece, training=True),
                variables,
                share=shares[i],
                optimizer=model.optimizer,
            )
        sums = [part if total is None else total if part is None else total + part for total, part in zip(sums, parts)]
        track(model, piece, loss, outputs)
    model.gradient_norm.assign(gradients.update(model.optimizer, sums, variables))
    return model.get_metrics_result()


def test_step(model, data):
    """Loss and metrics of this replica's part of a batch."""
    piece = Piece(data)
    with gradients.unscaled_losses():
        loss, outputs = forward(model, piece, training=False)
    track(model, piece, loss, outputs)
    return model.get_metrics_result()


def predict_step(model, data):
    """The outputs for this replica's part of a batch."""
    piece = Piece(data)
    outputs = model(piece.x, training=False) if model._call_has_training_arg else model(piece.x)
    return piece.samples(outputs)


class Piece:
    """A (micro-)batch of one replica: `x, y, weight`, `count` samples and, if it has none, one row of zeros as padding.

    Where the global batch is smaller than replicas times micro-batches, some get nothing, and not all of TensorFlow's
    kernels take an empty batch (oneDNN's fused convolution answers with a wrong shape).
    """

    def __init__(self, data):
        self.count = tf.shape(next(t for t in tf.nest.flatten(data) if t is not None))[0]
        self.x, self.y, self.weight = keras.utils.unpack_x_y_sample_weight(keras.tree.map_structure(self.pad, data))

    def pad(self, t):
        if t is None or (t.shape[0] or 0) > 0:
            return t
        rows = tf.maximum(0, 1 - tf.shape(t)[0])
        padded = tf.pad(t, tf.concat([[[0, rows]], tf.zeros((t.shape.rank - 1, 2), tf.int32)], axis=0))
        return tf.ensure_shape(padded, [None, *t.shape[1:]])  # some layers need to know the size of their images

    def samples(self, outputs):
        """The rows that belong to samples."""
        return keras.tree.map_structure(lambda t: None if t is None else t[: self.count], outputs)


def forward(model, piece, *, training):
    """The mean loss and the outputs."""
    outputs = model(piece.x, training=training) if model._call_has_training_arg else model(piece.x)
    loss = model._compute_loss(x=piece.x, y=piece.y, y_pred=outputs, sample_weight=piece.weight, training=training)
    return loss, outputs


def track(model, piece, loss, outputs):
    """Updates the loss tracker and the compiled metrics, unscaled."""
    model._loss_tracker.update_state(loss, sample_weight=piece.count)
    model.compute_metrics(*(piece.samples(t) for t in (piece.x, piece.y, outputs, piece.weight)))


def check_optimizer(optimizer, replicas):
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            f"optimizer.gradient_accumulation_steps={optimizer.gradient_accumulation_steps} makes schedules count"
            " micro-batches and loses the last incomplete group. Use --run.accumulate, or exact(model, accumulate=...)."
        )
    if replicas > 1 and optimizer.use_ema and optimizer.ema_overwrite_frequency:
        raise ValueError(
            f"optimizer.ema_overwrite_frequency={optimizer.ema_overwrite_frequency} fails on {replicas} replicas."
            " Leave it None: fit() then puts the averaged weights in place at its end."
        )


def check_loss(losses):
    for loss in keras.tree.flatten(losses):
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        if reduction not in ("sum_over_batch_size", "mean"):
            raise ValueError(
                f"The loss {loss.name} has reduction={reduction!r}; the step divides by the number of samples in the"
                " global batch, so use reduction='sum_over_batch_size'."
            )


def check_steps(steps):
    if steps > 1:
        raise ValueError(f"steps_per_execution={steps} does not work on several replicas. Compile with 1.")
