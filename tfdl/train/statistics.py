"""BatchNorm statistics that match the weights: moving mean and variance are recomputed before they are used.

In training BatchNorm normalizes by each batch's own statistics, in inference by moving averages of them, which lag
behind the weights.  After only a few dozen updates, as on a small folder of photographs, the averages belong to much
earlier weights, and a network that has learned predicts at chance level.  Therefore, before validation, at the end of
training and before an export, some batches of the epoch's training data are passed through the network, normalized by
their own statistics, with constant weights and without dropout:

    mean = sum_b n_b mean_b / N        variance = sum_b n_b (variance_b + (mean_b - mean)^2) / N

over batches b of n_b samples, N in total: the mean and the variance over all inputs of a layer (Wu & Johnson 2021,
arXiv:2105.07576, section 3, "precise BatchNorm").

    model.fit(data.train, validation_data=data.validation, epochs=9, callbacks=[FreshStatistics(data)])
    refresh(model, data)                                  # once, for a model that was trained elsewhere

Nothing else changes: neither weights, random generators and metrics nor the position in the training data.  The
batches are a function of (seed, epoch), so that a resumed run computes the same statistics.  They are summed over all
replicas.  With `accumulate`, batches are not split into micro-batches: without gradients only a few layers' maps are in
memory at a time.
"""

import contextlib
import time

import keras
import numpy as np
import tensorflow as tf

from tfdl.core import gradients
from tfdl.train.accumulation import MicroBatch
from tfdl.train.fine_tuning import in_inference
from tfdl.train.replicas import batch_norms, samples, synchronized_batch_norms

IMAGES = 512  # minimum; for MobileNetV2 on digits, 256 give the validation loss of all images within 0.02
FRACTION = 0.04  # minimum of an epoch's batches; a forward pass takes 0.4 of a step, so this takes 2 % of a long epoch
DRAWS = 997  # random numbers by which a generator's state is advanced from one batch to the next; arbitrary


class FreshStatistics(keras.callbacks.Callback):
    """Recomputes the statistics before each validation inside `fit`, or at the end of an epoch without validation.

    It must come before the callback that saves the model.  If the optimizer assigns averaged weights at the end of
    training (`use_ema`), the statistics are recomputed for these too.

    Args:
        data: training batches: a `tf.data.Dataset`, or an object with one as `train` and a variable `position` (epoch,
            step) that determines where it begins, such as those of `tfdl.data`.
        batches: number of batches of an epoch to use; None uses at least `IMAGES` samples and at least `FRACTION` of
            the batches, or all batches of a short epoch.

    Attributes:
        seconds: time spent so far, including tracing at the first use.
        tracing_seconds: of these, the time for the first batch of the first pass.
        refreshed: number of passes.
    """

    def __init__(self, data, *, batches=None):
        super().__init__()
        self.statistics = Statistics(data, batches=batches)
        self.seconds = self.tracing_seconds = 0.0
        self.refreshed = 0
        self.epoch = self.due = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.due = epoch, True

    def on_test_begin(self, logs=None):
        self.refresh_if_due()

    def on_epoch_end(self, epoch, logs=None):
        self.refresh_if_due()

    def on_train_end(self, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if self.epoch is not None and optimizer.use_ema:
            self.due = True
            self.refresh_if_due()

    def refresh_if_due(self):
        if not self.due:
            return
        self.due = False
        start = time.perf_counter()
        self.refreshed += self.statistics.refresh(self.model, self.epoch)
        self.seconds += time.perf_counter() - start
        self.tracing_seconds = self.statistics.tracing_seconds


def refresh(model, data, *, batches=None, epoch=0):
    """Recomputes the statistics of `model` once, for an export or a model that was trained elsewhere.

    Args:
        data, batches: see `FreshStatistics`.
        epoch: the epoch whose batches are used, if `data` has a position.

    Returns:
        whether there were any: False for a model without trainable BatchNorm layers.
    """
    return Statistics(data, batches=batches).refresh(model, epoch)


class Statistics:
    """Computes the statistics of one model; the pass is traced once.  `used` is the last pass's number of batches."""

    def __init__(self, data, *, batches=None):
        if batches is not None and batches < 1:
            raise ValueError(f"batches is {batches}; give 1 or more, or None to choose by the length of the epoch.")
        self.train, self.position = getattr(data, "train", data), getattr(data, "position", None)
        if not isinstance(self.train, (tf.data.Dataset, tf.distribute.DistributedDataset)):
            raise ValueError(f"The statistics need a tf.data.Dataset of batches, not {type(self.train).__name__}.")
        self.batches, self.tracing_seconds, self.used = batches, 0.0, 0
        self.model = self.function = None

    def refresh(self, model, epoch):
        """Recomputes the statistics; returns whether `model` has any."""
        layers = [layer for layer in batch_norms(model) if layer.built and layer.trainable and not layer.renorm]
        if not layers:
            return False
        if model is not self.model:
            self.prepare(model, layers)
        with placed_at(self.position, epoch):
            found = self.pooled()
        for layer, calls in zip(layers, self.calls):
            if calls and found.count:
                mean, variance = found.of(calls)
                layer.moving_mean.assign(mean)
                layer.moving_variance.assign(variance)
        return True

    def prepare(self, model, layers):
        """The pass over one batch as a function of a data iterator, and the data for this model's strategy."""
        self.model, strategy = model, model.distribute_strategy
        self.distributed = self.train
        if not isinstance(self.train, tf.distribute.DistributedDataset):
            self.distributed = strategy.experimental_distribute_dataset(self.train)

        def one_batch(iterator, number):
            data = iterator.get_next()
            with momentum_zero(layers), without_noise(model), contextlib.ExitStack() as stack:
                if strategy.num_replicas_in_sync > 1:
                    stack.enter_context(synchronized_batch_norms(model))
                return strategy.run(lambda part: batch_statistics(model, layers, part, number, self), args=(data,))

        self.function = one_batch if model.run_eagerly else tf.function(one_batch)

    def pooled(self):
        """Mean and variance over all batches, the layers concatenated."""
        steps = int(tf.data.experimental.cardinality(self.train)) if isinstance(self.train, tf.data.Dataset) else -1
        found, iterator, images, number, start = Pooled(), iter(self.distributed), 0, 0, time.perf_counter()
        while self.wants_more(number, images, steps):
            try:
                values = self.function(iterator, tf.constant(number, tf.int64))
            except (tf.errors.OutOfRangeError, StopIteration):
                break
            count, mean, variance = self.model.distribute_strategy.experimental_local_results(values)[0].numpy()
            images, number = images + count[0], number + 1
            if np.isfinite(mean).all() and np.isfinite(variance).all():  # float16 may overflow
                found.add(count[0], mean, variance)
            if number == 1 and not self.tracing_seconds:
                self.tracing_seconds = time.perf_counter() - start
        self.used = number
        return found

    def wants_more(self, number, images, steps):
        """Whether to use batch `number`, after `images` images, in an epoch of `steps` batches."""
        if self.batches is not None:
            return number < self.batches
        return images < IMAGES or number < FRACTION * steps


@contextlib.contextmanager
def placed_at(position, epoch):
    """Sets the `position` of training data to the start of `epoch` inside the block, and restores it afterwards."""
    if position is None:
        yield
        return
    before = position.numpy()
    position.assign([epoch, 0])
    try:
        yield
    finally:
        position.assign(before)


class Pooled:
    """Count, mean and variance of batches, merged one by one (Chan et al. 1983, eq. 2.1) in float64."""

    def __init__(self):
        self.count, self.mean, self.squares = 0.0, 0.0, 0.0

    def add(self, count, mean, variance):
        count, mean, variance = float(count), mean.astype("float64"), variance.astype("float64")
        total = self.count + count
        difference = mean - self.mean
        self.squares = self.squares + count * variance + difference**2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total

    def of(self, calls):
        """Mean and variance of a layer whose calls are at the slices `calls` of each batch's statistics."""
        own = Pooled()
        for place in calls:
            own.add(self.count, self.mean[place], self.squares[place] / self.count)
        return own.mean, own.squares / own.count


def batch_statistics(model, layers, data, number, result):
    """Number of samples, mean and variance of one batch over all replicas, all calls concatenated.  -> (3, C) float32

    `result.calls` becomes a list of slices for each layer, one for each time that it is called.
    """
    batch = MicroBatch(data)
    with samples(batch.count), Record(layers, states_of(model, number)) as record:
        model(batch.x, training=True) if model._call_has_training_arg else model(batch.x)
    means, variances, result.calls, place = [], [], [], 0
    for layer in layers:
        result.calls.append([])
        for mean, variance in zip(record.of(layer.moving_mean), record.of(layer.moving_variance)):
            result.calls[-1].append(slice(place, place + mean.shape[0]))
            place += mean.shape[0]
            means.append(tf.cast(mean, tf.float32))
            variances.append(tf.cast(variance, tf.float32))
    count = gradients.all_reduce_sum(tf.cast(batch.count, tf.float32))
    if not means:
        return tf.stack([[count], [0.0], [0.0]])
    means, variances = tf.concat(means, 0), tf.concat(variances, 0)
    return tf.stack([tf.fill(tf.shape(means), count), means, variances])


class Record(keras.StatelessScope):
    """A scope in which assignments to variables have no effect; those to moving statistics are recorded.

    The moving statistics read as zeros, so that with `momentum_zero` exactly the batch's own are assigned.
    """

    def __init__(self, layers, states):
        self.kept = {id(v): [] for layer in layers for v in (layer.moving_mean, layer.moving_variance)}
        variables = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
        super().__init__([(v, tf.zeros(v.shape, v.dtype)) for v in variables] + states)

    def add_update(self, update):
        variable, value = update
        if id(variable) in self.kept:
            self.kept[id(variable)].append(value)
        else:
            super().add_update(update)

    def of(self, variable):
        """The values assigned to a moving mean or variance, one for each call."""
        return self.kept[id(variable)]


def states_of(model, number):
    """States of the random generators, advanced so that masks differ between batches.  -> list of (variable, state)"""
    generators = {id(g): g for layer in model._flatten_layers() for g in layer._seed_generators}.values()
    ahead = tf.stack([tf.zeros((), tf.int64), number * DRAWS])
    return [(g.state, g.state.value + tf.cast(ahead, g.state.dtype)) for g in generators]


@contextlib.contextmanager
def momentum_zero(layers):
    """Makes moving averages equal the batch's own values inside the block."""
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before):
            layer.momentum = momentum


@contextlib.contextmanager
def without_noise(model):
    """Runs dropout, stochastic depth and other random layers in inference mode inside the block.

    In inference nothing is dropped, so that the inputs of BatchNorm layers after them vary less than in training, and
    the variance of training would be too large (Li et al. 2019, arXiv:1801.05134).  Random layers that contain a
    BatchNorm are not changed.
    """
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if layer._seed_generators and layer._call_has_training_arg and not batch_norms(layer)
    ]
    before = {layer: vars(layer).get("call") for layer in layers}
    for layer in layers:
        layer.call = in_inference(layer.call)
    try:
        yield
    finally:
        for layer, call in before.items():
            if call is None:
                del layer.call
            else:
                layer.call = call
