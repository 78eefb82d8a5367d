"""Learning rates that change: step decay, linear, cosine, with restarts, inverse root, and warm-up before any of them.

    rate = WarmUp(cosine(0.1, updates=9000), updates=1000)      # up for 1,000 updates, down for 9,000
    rate = after_warm_up(cosine, 0.1, updates=10_000)           # the same
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss)

A schedule is a function of the number of updates made so far: the first update has `step` 0.  Where Keras's schedule is
exact at every step it is used; three are our own, because Keras's are not exact, not composable, or not there:

- `keras.optimizers.schedules.CosineDecayRestarts` finds the period by dividing, and with growth by a logarithm, in
  float32.  With a period of 7 it is off by 0.002 times the rate after 100,000 updates, and where float32 rounds a
  restart away it gives 0 instead of the full rate.  `CosineRestarts` counts in integers.
- Keras has a warm-up for its cosine only.  `WarmUp` goes before every schedule.
- `InverseRoot` is the Transformer's.
"""

from numbers import Integral, Real

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfdl.core.serial import serializable

LONGEST = 2**31  # updates, more than any run makes: where the table of restarts ends


def step_decay(rate, every, factor=0.1):
    """rate * factor^floor(step / every), PyTorch's `StepLR`; He et al. 2016, arXiv:1512.03385, divide by 10 twice.

    The power of `factor` is taken in float32: after n drops the rate is within n * 1e-7 of itself.

    Args:
        rate: positive number.
        every: updates between two drops, an integer >= 1.
        factor: in (0, 1].

    Raises:
        ValueError: a number outside its range.
    """
    check_rate(rate)
    check_updates(every=every)
    if not 0 < factor <= 1:
        raise ValueError(f"factor={factor} should be above 0 and at most 1: the rate is multiplied by it.")
    return keras.optimizers.schedules.ExponentialDecay(float(rate), int(every), float(factor), staircase=True)


def linear(rate, updates, floor=0.0):
    """A straight line from `rate` to `floor` at step `updates`, `floor` from there on.

    After a `WarmUp` this is BERT's schedule, Devlin et al. 2019, and Transformers' `get_linear_schedule_with_warmup`.

    Raises:
        ValueError: a number outside its range.
    """
    check_rate(rate, floor)
    check_updates(updates=updates)
    return keras.optimizers.schedules.PolynomialDecay(float(rate), int(updates), float(floor))


def cosine(rate, updates, floor=0.0):
    """floor + (rate - floor) (1 + cos(pi step / updates)) / 2, `floor` from step `updates` on.

    Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5 without restarts; PyTorch's `CosineAnnealingLR` with
    `eta_min=floor`, and after a `WarmUp` Transformers' `get_cosine_schedule_with_warmup`; both of these climb again
    after `updates`.

    Args:
        rate: positive number.
        updates: steps to the floor, an integer >= 1.
        floor: the last rate, between 0 and `rate`.

    Raises:
        ValueError: a number outside its range.
    """
    check_rate(rate, floor)
    check_updates(updates=updates)
    return keras.optimizers.schedules.CosineDecay(float(rate), int(updates), float(floor / rate))


@serializable
class CosineRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """SGDR: `cosine` over and over, each period `growth` times as long as the one before it.

    Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5; PyTorch's `CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)`.

    Args:
        rate: positive number, taken again at each restart.
        period: updates of the first period, an integer >= 1.
        growth: T_mult, an integer >= 1.
        floor: what the rate falls towards, between 0 and `rate`.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, rate, period, growth=1, floor=0.0):
        check_rate(rate, floor)
        check_updates(period=period, growth=growth)
        self.rate, self.period, self.growth, self.floor = float(rate), int(period), int(growth), float(floor)

    def __call__(self, step):
        step = ops.cast(step, "int64")
        if self.growth == 1:
            done, length = step % self.period, self.period
        else:
            starts, lengths = zip(*self.periods())
            index = ops.sum(ops.cast(step[..., None] >= ops.array(starts, "int64"), "int32"), axis=-1) - 1
            done = step - ops.take(ops.array(starts, "int64"), index)
            length = ops.take(ops.array(lengths, "int64"), index)
        left = ops.cast(length - done, "float32") / ops.cast(length, "float32")
        # (1 + cos(pi done / length)) / 2, without the cancellation of 1 and cos near the end of a period
        return self.floor + (self.rate - self.floor) * ops.square(ops.sin(0.5 * np.pi * left))

    def periods(self):
        """(first step, length) of each period, as integers."""
        start, length = 0, self.period
        while start < LONGEST:
            yield start, length
            start, length = start + length, length * self.growth

    def get_config(self):
        return {"rate": self.rate, "period": self.period, "growth": self.growth, "floor": self.floor}


@serializable
class InverseRoot(keras.optimizers.schedules.LearningRateSchedule):
    """rate sqrt(updates / (updates + step)): with a `WarmUp` of as many updates, the schedule of the Transformer.

        WarmUp(InverseRoot((width * updates) ** -0.5, updates), updates)

    is eq. 3 of Vaswani et al. 2017, arXiv:1706.03762: width^-0.5 min(step^-0.5, step updates^-1.5).

    Args:
        rate: positive number, the peak.
        updates: of the warm-up, an integer >= 1.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, rate, updates):
        check_rate(rate)
        check_updates(updates=updates)
        self.rate, self.updates = float(rate), int(updates)

    def __call__(self, step):
        return self.rate * ops.sqrt(self.updates / (self.updates + ops.cast(step, "float32")))

    def get_config(self):
        return {"rate": self.rate, "updates": self.updates}


def after_warm_up(schedule, rate, updates, part=0.1):
    """`schedule` after a linear warm-up over a part of all updates.

    Args:
        schedule: a function of (rate, updates), such as `cosine` or `linear`.
        rate: its first one, to which the warm-up leads.
        updates: of the whole training.
        part: of these, for the warm-up, in [0, 1), rounded down.

    Raises:
        ValueError: a number outside its range.
    """
    check_updates(updates=updates)
    if not 0 <= part < 1:
        raise ValueError(f"part={part} should be a fraction of the updates, 0 or more and less than 1.")
    warm_up = int(part * updates)
    return WarmUp(schedule(rate, updates - warm_up), warm_up)


@serializable
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line up to a schedule's first rate, then that schedule from its step 0.

        rate(step) = schedule(0) (start + (1 - start) step / updates)      step < updates
        rate(step) = schedule(step - updates)                              from there on

    Goyal et al. 2017, arXiv:1706.02677, section 2.2.  With `start=0`, the convention of Transformers, the very first
    update has rate 0 and changes nothing.  PyTorch: `SequentialLR` of `LinearLR(start_factor=start)` and the schedule.

    Args:
        schedule: any Keras schedule, or a positive number for a constant rate.
        updates: length of the warm-up, an integer >= 0; 0 is the schedule alone.
        start: where the line begins, as a fraction of `schedule(0)`, in [0, 1].

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, schedule, updates, start=0.0):
        if isinstance(schedule, Real):
            check_rate(schedule)
            schedule = float(schedule)
        elif not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError(f"schedule={schedule!r} is neither a number nor a LearningRateSchedule.")
        check_updates(least=0, updates=updates)
        if not 0 <= start <= 1:
            raise ValueError(f"start={start} should be a fraction of the schedule's first rate, between 0 and 1.")
        self.schedule, self.updates, self.start = schedule, int(updates), float(start)

    def __call__(self, step):
        step = ops.cast(step, "int64")
        after = ops.maximum(step - self.updates, 0)  # 0 during the warm-up: the schedule's first rate
        rate = self.schedule(after) if callable(self.schedule) else ops.cast(self.schedule, "float32")
        if not self.updates:
            return rate
        done = ops.cast(ops.minimum(step, self.updates), "float32") / self.updates
        return rate * (self.start + (1 - self.start) * done)

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "updates": self.updates, "start": self.start}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {"schedule": keras.saving.deserialize_keras_object(config["schedule"])})


def rates(schedule, steps):
    """The rates at many steps, for plots and tests.

    Args:
        schedule: any Keras schedule, or a number.
        steps: integers >= 0, any shape; or one integer N for the first N steps.

    Returns:
        float32, of the shape of `steps` or (N,).

    Raises:
        ValueError: a negative step, or one that is not an integer.
    """
    steps = np.asarray(steps)
    if steps.size and steps.dtype.kind not in "iu":
        raise ValueError(f"steps are {steps.dtype}; give integers: a schedule counts the updates made so far.")
    steps = np.arange(steps) if steps.ndim == 0 else steps
    if steps.size and steps.min() < 0:
        raise ValueError(f"Step {steps.min()} is negative: a schedule counts the updates made so far, from 0.")
    if not callable(schedule):
        return np.full(steps.shape, schedule, "float32")
    # One step at a time is all that some of Keras's schedules take.
    graph = tf.function(lambda many: tf.vectorized_map(schedule, many))
    values = graph.get_concrete_function(tf.TensorSpec([None], "int64"))(tf.constant(steps.ravel(), "int64"))
    return values.numpy().reshape(steps.shape)


def check_rate(rate, floor=0.0):
    if not (isinstance(rate, Real) and 0 < rate < float("inf")):
        raise ValueError(f"rate={rate} is no learning rate; give a positive number.")
    if not (isinstance(floor, Real) and 0 <= floor <= rate):
        raise ValueError(f"floor={floor} should lie between 0 and the rate {rate}.")


def check_updates(least=1, **counts):
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < least:
            raise ValueError(f"{name}={count} should be an integer, {least} or more.")
