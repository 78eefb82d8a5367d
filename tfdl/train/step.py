"""The step beneath `model.fit`: the same weights and logs on one device, on several, and with accumulation.

`exact(model)` binds a train step and a test step to a compiled model; callbacks, progress bar, `evaluate` and saving
stay Keras's.  Where a learner has a train step of its own it keeps it, and calls `tfdl.core.gradients` itself.
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

PROBE = 4  # rows on which a loss of unknown origin is tried


def exact(model, *, accumulate=1):
    """Gives a compiled `model` global-batch semantics; returns the model.

    A mean is one over the global batch: over its samples, or over what the loss averages over (tokens that are no
    padding, pixels that are not ignored, sample weights under `mean_with_sample_weight`), each output by its own count.
    Gradients are summed over micro-batches and replicas once, then clipped, checked and applied; BatchNorm is
    synchronized and dropout differs by replica.  `model.gradient_norm` holds the global norm of the last unclipped
    gradient.

    A loss of your own returns one value a sample, or a mean; one that averages over something of its own divides with
    `gradients.mean_over`.  A sum, also one divided by a fixed batch size, depends on the split: it is refused on
    several replicas or micro-batches where it can be told (a function given to `compile`), and wrong where it cannot (a
    `compute_loss` of your own).

    Args:
        model: compiled `keras.Model`, built under the strategy's scope; if it isn't built, its first batch builds it.
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
    """What the layers of a built model must know about replicas and micro-batches, and its optimizer's variables."""
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
    """Builds model, metrics and losses before anything is traced; takes the place of `Model._maybe_symbolic_build`.

    Keras builds in the traced step, whose list of weights would be empty, or, under a strategy, from the mean of the
    replicas' parts of a batch, which fails where their sizes differ.  Sizes are all that is needed: no batch is taken
    from data that says what it holds.
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
    """Shapes and dtypes of one replica's part of a batch, or such a part where the data doesn't say."""
    spec = tf.nest.map_structure(one_spec, iterator.data_adapter.get_tf_dataset().element_spec)
    if all(s is None or (isinstance(s, tf.TensorSpec) and s.shape.rank) for s in tf.nest.flatten(spec)):
        return spec
    _, _, batches = next(iter(iterator))
    return tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], next(batches))


def one_spec(spec):
    """That of one replica, and None for a value that is missing."""
    if isinstance(spec, (tf.OptionalSpec, type(None))):
        return None
    return spec._value_specs[0] if hasattr(spec, "_value_specs") else spec  # of a distributed data set


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
    batches = micro_batches(data, model.accumulate)
    shares, totals = [1.0], None
    if model.is_split:
        shares = tf.unstack(gradients.sample_shares([batch.count for batch in batches]))
        totals = elements_ahead(model, batches, shares)
    variables = model.trainable_variables
    sums = [None] * len(variables)
    with gradients.undone_if_skipped(model.non_trainable_variables, model.optimizer):
        for batch, share in zip(batches, shares):
            with samples(batch.count):
                (loss, outputs), parts = gradients.value_and_gradients(
                    lambda batch=batch: forward(model, batch, training=True),
                    variables,
                    share=share,
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
        means = gradients.GlobalMeans(gradients.sample_shares([batch.count])[0])
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
    for metric in getattr(model._compile_loss, "metrics", ()):  # there are some once there are several losses
        log_by_samples(metric)
    loss = model._compute_loss(x=batch.x, y=batch.y, y_pred=outputs, sample_weight=batch.weight, training=training)
    return loss, outputs


def elements_ahead(model, batches, shares):
    """What each loss averages over in all micro-batches of all replicas, before the first of them is trained on.

    A single micro-batch counts when it comes to it.  Nothing of these forward passes remains but what the masks depend
    on: TensorFlow prunes the rest from the graph.

    Returns:
        list of () float32, with None for a loss over samples; None for a single micro-batch.
    """
    if len(batches) == 1:
        return None
    first = elements(model, batches[0], shares[0])
    if all(number is None for number in first):
        return first
    every = [first] + [elements(model, batch, share) for batch, share in zip(batches[1:], shares[1:])]
    return [None if parts[0] is None else gradients.all_reduce_sum(tf.add_n(parts)) for parts in zip(*every)]


def elements(model, batch, share):
    """What each loss of one micro-batch averages over, in the order in which they are computed: () or None."""
    means = gradients.GlobalMeans(share, totals=collections.defaultdict(lambda: 1.0))  # nothing but numbers is wanted
    weights = [(v, v.value) for v in model.trainable_variables]  # regularizers look for them there
    with keras.StatelessScope(weights), samples(batch.count), gradients.global_means(means):
        forward(model, batch, training=True)
    return means.numbers


def track(model, batch, loss, outputs):
    """Updates the loss tracker and the compiled metrics, unscaled."""
    model._loss_tracker.update_state(loss, sample_weight=batch.count)
    model.compute_metrics(*(batch.samples(t) for t in (batch.x, batch.y, outputs, batch.weight)))


def log_by_samples(metric):
    """Lets the log of one output's loss weight a batch by its samples, as that of the whole loss does.

    Keras weights it by the batch's static size, which is mostly unknown: a last batch of 1 would count like one of 32.
    """
    if "update_state" not in vars(metric):
        update = metric.update_state
        metric.update_state = lambda value, sample_weight=None: update(value, sample_weight=samples_here())


# Errors at the door


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
        raise ValueError(f"steps_per_execution={steps} does not work on several replicas. Compile with 1.")


def check_means(model, batch, outputs):
    """Refuses a loss whose value doubles when each row comes twice: a sum, whatever it is divided by.

    Only what returns a scalar can be one.  Tried once on a few rows of zeros and of random outputs, while the step is
    traced, and only where micro-batches or replicas would make it wrong.
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
            " number of replicas and micro-batches. Return one value a sample, or the mean."
        )
