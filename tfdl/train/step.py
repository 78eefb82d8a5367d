"""The train step used by `model.fit`: the same weights and logs on one device, on several, and with accumulation.

`exact(model)` binds a train step and a test step to a compiled model; callbacks, progress bar, `evaluate` and saving
remain Keras's.  A learner with its own train step keeps it, and calls `tfdl.core.gradients` itself.
"""

import collections
import types

import keras
import numpy as np
import tensorflow as tf

from tfdl.core import gradients
from tfdl.core.fused_norms import fuse_batch_norms
from tfdl.distribution import multi_worker
from tfdl.train.accumulation import MicroBatch, micro_batches
from tfdl.train.replicas import fold_replica_into_seeds, samples, samples_here, synchronize_batch_norms

PROBE = 4  # rows on which a user's loss is tested


def exact(model, *, accumulate=1):
    """Gives a compiled `model` global-batch semantics; returns the model.

    Means are taken over the global batch: over its samples, or over the elements that the loss averages over (tokens
    without padding, pixels that are not ignored, sample weights under `mean_with_sample_weight`), for each output by
    its own count.  Gradients are summed over micro-batches and replicas once, then clipped, checked and applied;
    BatchNorm is synchronized, and dropout differs between replicas.  `model.gradient_norm` is the global norm of the
    last gradient before clipping.

    A custom loss must return one value per sample, or a mean; if it averages over other elements, it must divide with
    `gradients.mean_over`.  A sum, even one divided by a fixed batch size, depends on how the batch is split.  On
    several replicas or micro-batches such a loss is refused if it can be detected (a function given to `compile`); in a
    custom `compute_loss` it cannot, and the result is wrong.

    Args:
        model: compiled `keras.Model`, created under the strategy's scope; if it isn't built, its first batch builds it.
        accumulate: number of micro-batches per update, >= 1.

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
    check_reductions(model.loss)
    if strategy.num_replicas_in_sync > 1:
        check_steps(model.steps_per_execution)
        model.jit_compile = False  # XLA fails on variables that live on several devices
    with strategy.scope():
        model.gradient_norm = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, name="gradient_norm"
        )
    model.accumulate = accumulate
    model.is_split = strategy.num_replicas_in_sync * accumulate > 1
    model.is_prepared = False
    if all(layer.built for layer in model._flatten_layers()):
        prepare_layers(model)
    for name, step in (("train_step", train_step), ("test_step", test_step), ("predict_step", predict_step)):
        if getattr(type(model), name) is getattr(keras.Model, name):
            setattr(model, name, types.MethodType(step, model))
    model.train_step = after_data(model.train_step)
    model.train_function = model.test_function = model.predict_function = None
    multi_worker.fit_on_workers(model)
    model._maybe_symbolic_build = types.MethodType(build_first, model)
    return model


def prepare_layers(model):
    """Adapts the layers of a built model to replicas and micro-batches, and creates the optimizer's variables."""
    if model.distribute_strategy.num_replicas_in_sync > 1:
        fold_replica_into_seeds(model)
    fuse_batch_norms(model)
    if model.is_split:
        synchronize_batch_norms(model)
    with model.distribute_strategy.scope():
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    model.is_prepared = True


def build_first(model, iterator=None, data_batch=None):
    """Builds model, metrics and losses before anything is traced; replaces `Model._maybe_symbolic_build`.

    Keras builds in the traced step, where the list of weights would be empty, or, under a strategy, from the mean of
    the replicas' parts of a batch, which fails if their sizes differ.  Building needs only shapes: a batch is drawn
    only if the data does not declare them.
    """
    compiled = () if has_own_step(model) else (model._compile_metrics, model._compile_loss)
    if model.is_prepared and all(part is None or part.built for part in compiled):
        return
    if data_batch is None:
        data_batch = element_of(iterator, model.distribute_strategy)
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=data_batch)
    if not model.is_prepared:
        prepare_layers(model)


def has_own_step(model):
    return type(model).train_step is not keras.Model.train_step


def element_of(iterator, strategy):
    """Shapes and dtypes of one replica's part of a batch, or such a part itself if the data doesn't declare them."""
    spec = tf.nest.map_structure(one_spec, iterator.data_adapter.get_tf_dataset().element_spec)
    if all(s is None or (isinstance(s, tf.TensorSpec) and s.shape.rank) for s in tf.nest.flatten(spec)):
        return spec
    _, _, batches = next(iter(iterator))
    return tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], next(batches))


def one_spec(spec):
    """The spec of one replica; None for a missing value."""
    if isinstance(spec, (tf.OptionalSpec, type(None))):
        return None
    return spec._value_specs[0] if hasattr(spec, "_value_specs") else spec  # of a distributed data set


def after_data(step):
    """A train step without side effects before its data is available.

    At the end of a data set of unknown length Keras calls the step once more; TensorFlow would then count an update
    and draw random numbers before it finds that there is no batch.
    """

    def ordered(data):
        with tf.control_dependencies([t for t in tf.nest.flatten(data) if t is not None]):
            return step(data)

    return ordered


def train_step(model, data):
    """One update on this replica's part of a batch.  Returns the running metrics."""
    batches = micro_batches(data, model.accumulate)
    fractions, totals = [1.0], None
    if model.is_split:
        fractions = tf.unstack(gradients.sample_fractions([batch.count for batch in batches]))
        totals = total_elements(model, batches, fractions)
    variables = model.trainable_variables
    sums = [None] * len(variables)
    with gradients.undone_if_skipped(model.non_trainable_variables, model.optimizer):
        for batch, fraction in zip(batches, fractions):
            with samples(batch.count):
                (loss, outputs), parts = gradients.value_and_gradients(
                    lambda batch=batch: forward(model, batch, training=True),
                    variables,
                    fraction=fraction,
                    totals=totals,
                    optimizer=model.optimizer,
                )
            sums = [add(total, part) for total, part in zip(sums, parts)]
            track(model, batch, loss, outputs)
        check_means(model, batches[0], outputs)
        model.gradient_norm.assign(gradients.update(model.optimizer, sums, variables))
    return model.get_metrics_result()


def add(total, part):
    """Sum of two gradients, each of which may be None."""
    if total is None or part is None:
        return part if total is None else total
    return total + part


def test_step(model, data):
    """Loss and metrics of this replica's part of a batch."""
    batch, means = MicroBatch(data), None
    if model.distribute_strategy.num_replicas_in_sync > 1:
        means = gradients.GlobalMeans(gradients.sample_fractions([batch.count])[0])
    with samples(batch.count), gradients.unscaled_losses(), gradients.global_means(means):
        loss, outputs = forward(model, batch, training=False)
    track(model, batch, loss, outputs)
    return model.get_metrics_result()


def predict_step(model, data):
    """The outputs for this replica's part of a batch."""
    batch = MicroBatch(data)
    outputs = model(batch.x, training=False) if model._call_has_training_arg else model(batch.x)
    return batch.samples(outputs)


def forward(model, batch, *, training):
    """The mean loss and the outputs."""
    outputs = model(batch.x, training=training) if model._call_has_training_arg else model(batch.x)
    for metric in getattr(model._compile_loss, "metrics", ()):  # exist if there are several losses
        log_by_samples(metric)
    loss = model._compute_loss(x=batch.x, y=batch.y, y_pred=outputs, sample_weight=batch.weight, training=training)
    return loss, outputs


def total_elements(model, batches, fractions):
    """The number of elements that each loss averages over, in all micro-batches of all replicas.

    It must be known before the first micro-batch is trained on; with a single one it is counted along with the loss.
    Of these additional forward passes only the operations that the masks depend on are executed, as TensorFlow prunes
    the others from the graph.

    Returns:
        list of () float32, with None for a loss over samples; None for a single micro-batch.
    """
    if len(batches) == 1:
        return None
    first = elements(model, batches[0], fractions[0])
    if all(number is None for number in first):
        return first
    every = [first] + [elements(model, batch, fraction) for batch, fraction in zip(batches[1:], fractions[1:])]
    return [None if parts[0] is None else gradients.all_reduce_sum(tf.add_n(parts)) for parts in zip(*every)]


def elements(model, batch, fraction):
    """The number of elements that each loss of one micro-batch averages over, in order of computation: () or None."""
    means = gradients.GlobalMeans(fraction, totals=collections.defaultdict(lambda: 1.0))  # only its numbers are used
    weights = [(v, v.value) for v in model.trainable_variables]  # regularizers read them from the scope
    with keras.StatelessScope(weights), samples(batch.count), gradients.global_means(means):
        forward(model, batch, training=True)
    return means.numbers


def track(model, batch, loss, outputs):
    """Updates the loss tracker and the compiled metrics by the unscaled loss."""
    model._loss_tracker.update_state(loss, sample_weight=batch.count)
    model.compute_metrics(*(batch.samples(t) for t in (batch.x, batch.y, outputs, batch.weight)))


def log_by_samples(metric):
    """Makes the logged loss of one output weight each batch by its number of samples, as the total loss does.

    Keras weights it by the batch's static size, which is usually unknown: a last batch of 1 would count as much as one
    of 32.
    """
    if "update_state" not in vars(metric):
        update = metric.update_state
        metric.update_state = lambda value, sample_weight=None: update(value, sample_weight=samples_here())


# Input validation


def check_optimizer(optimizer, replicas):
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            f"optimizer.gradient_accumulation_steps={optimizer.gradient_accumulation_steps} makes schedules count"
            " micro-batches and drops the last incomplete group. Use --run.accumulate or exact(model, accumulate=...)."
        )
    if replicas > 1 and optimizer.use_ema and optimizer.ema_overwrite_frequency:
        raise ValueError(
            f"optimizer.ema_overwrite_frequency={optimizer.ema_overwrite_frequency} fails on {replicas} replicas."
            " Leave it None: fit() then assigns the averaged weights at the end of training."
        )


def check_reductions(losses):
    for loss in keras.tree.flatten(losses):
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        if reduction not in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
            raise ValueError(
                f"The loss {loss.name} has reduction={reduction!r}; the step divides by the number of samples in the"
                " global batch, so use reduction='sum_over_batch_size'."
            )


def check_steps(steps):
    if steps > 1:
        raise ValueError(f"steps_per_execution={steps} does not work on several replicas; compile with 1.")


def check_means(model, batch, outputs):
    """Refuses a loss whose value doubles when the batch is repeated: a sum, possibly divided by a constant.

    Only losses that return a scalar are tested: once, on a few rows of zeros and random outputs, while the step is
    traced, and only if the batch is split into micro-batches or over replicas.
    """
    known = model.is_split and model._compile_loss is not None and not hasattr(model, "means_checked")
    model.means_checked = True
    if not known or any(keras.tree.is_nested(t) or t is None for t in (batch.y, outputs)):
        return
    shapes = [(PROBE, *t.shape[1:]) for t in (batch.y, outputs)]
    if None in shapes[0] + shapes[1]:
        return
    with tf.init_scope():
        y = tf.zeros(shapes[0], batch.y.dtype)
        predicted = tf.constant(np.random.default_rng(0).uniform(0.1, 0.9, shapes[1]), outputs.dtype)
        for loss in model._compile_loss._flat_losses:
            once = loss.loss.call(y, predicted)
            if once.shape.rank == 0:
                twice = loss.loss.call(tf.concat([y, y], 0), tf.concat([predicted, predicted], 0))
                check_mean(loss.loss.name, float(once), float(twice))


def check_mean(name, once, twice):
    if once != 0 and np.isclose(twice, 2 * once, rtol=1e-3):
        raise ValueError(
            f"The loss {name!r} returns a sum ({once:.4g}, for twice the rows {twice:.4g}), which would depend on the"
            " number of replicas and micro-batches. Return one value per sample, or the mean."
        )
