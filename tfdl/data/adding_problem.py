"""The adding problem: sequences of random numbers, two of which are marked, to be summed after the last step.

    data = load(length=100, batch_size=50)
    model.fit(data.train, validation_data=data.validation, epochs=20)

Papers: Hochreiter & Schmidhuber 1997, Neural Computation 9(8), section 5.4, with the numbers in [0, 1] of Le et al.
2015, arXiv:1504.00941, section 4.1, and one mark in each half of the sequence (Arjovsky et al. 2015, arXiv:1511.06464,
section 5.2).
"""

from dataclasses import dataclass

import tensorflow as tf

from tfdl.core import static
from tfdl.data.order import Order, finalized, of_run

HELD_OUT = {"validation": -1, "test": -2}  # split -> its epoch, before those of training
MARKS = 1  # folded into a batch's seed for the marked steps


@dataclass(frozen=True, eq=False)
class AddingData:
    """Batches of sequences (B, T, 2), a number in [0, 1) and a mark at each step, and of their sums (B, 1).

    Each epoch of `train` has new sequences, which are pure functions of (seed, epoch, step); see `order`.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    counts: dict[str, int]  # split -> sequences
    position: tf.Variable


def load(*, length=100, batch_size=50, examples=10_000, held_out=2_000, run=None, seed=0, position=None, limit=None):
    """Draws sequences.

    Args:
        length: T, 2 or more.
        batch_size: sequences in a global batch.
        examples: sequences in a training epoch.
        held_out: sequences of the validation split, and of the test split.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of all sequences.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: largest number of sequences in each split.

    Raises:
        ValueError: an argument out of its range.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    if length < 2:
        raise ValueError(f"length is {length}; two numbers are added, so give 2 or more.")
    sizes = {"batch_size": batch_size, "examples": examples, "held_out": held_out, "limit": limit}
    for argument, value in sizes.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument} is {value}; give 1 or more.")
    counts = {"train": examples, "validation": held_out, "test": held_out}
    counts = counts if limit is None else {key: min(count, limit) for key, count in counts.items()}

    with tf.device("CPU:0"):
        order = Order.start(seed=seed, batch_size=batch_size, count=counts["train"], position=position)
        train = order.keys().map(lambda rows, key: draw(key, tf.shape(rows)[0], length), tf.data.AUTOTUNE)
        fixed = {}
        for key, epoch in HELD_OUT.items():
            pairs = draw(order.epoch_seed(tf.constant(epoch, tf.int64)), counts[key], length)
            batches = tf.data.Dataset.from_tensor_slices(pairs)
            fixed[key] = batches.batch(static.evaluation_batch(counts[key], batch_size))
    return AddingData(
        name=f"adding_{length}",
        train=finalized(train, (0, 1)),
        **{key: finalized(dataset, (0, 1)) for key, dataset in fixed.items()},
        counts=counts,
        position=order.position,
    )


def draw(seed, count, length):
    """Sequences (count, T, 2) and their sums (count, 1), float32, as a pure function of `seed` (2)."""
    numbers = tf.random.stateless_uniform((count, length), seed)
    half = length // 2
    low, high = tf.constant([0, half]), tf.constant([half, length])  # one mark in each half
    places = tf.random.stateless_uniform((count, 2), tf.random.experimental.stateless_fold_in(seed, MARKS))
    steps = low + tf.cast(places * tf.cast(high - low, tf.float32), tf.int32)  # (count, 2)
    marks = tf.reduce_sum(tf.one_hot(steps, length), axis=1)  # (count, T)
    sequences = tf.ensure_shape(tf.stack([numbers, marks], axis=-1), (None, length, 2))
    return sequences, tf.reduce_sum(numbers * marks, axis=1, keepdims=True)
