"""The order of an epoch as a pure function of (seed, epoch, step), for every kind of data.

    order = Order.start(seed=0, batch_size=32, count=1000, position=position)
    keys = order.keys()                    # one epoch: the rows of each batch (B,), and the batch's seed (2)
    batches = keys.map(lambda rows, seed: (tf.gather(table, rows), seed))

A run that stops after any step and is resumed there sees the same rows with the same seeds.  `position` determines
where the next iteration starts; see `Order`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static

AUTOMATIC = (-1, 0)  # the position with which each iteration automatically continues with the next epoch
BALANCE = 2_000_000  # folded into an epoch's seed for the order within classes
BATCHES = 3_000_000  # folded into an epoch's seed for the order of batches of similar lengths
BUCKET = 64  # batches whose examples are sorted by length together


@dataclass(frozen=True, eq=False)
class Order:
    """Everything that the order of an epoch depends on.

    `position` (epoch, step) is an int64 variable: a new iteration starts at that step of that epoch and runs to the end
    of the epoch.  It is only read here and must be set before each epoch, as a training callback does in
    `on_epoch_begin`.  While its epoch is negative, as initially, successive iterations are epochs 0, 1, 2 ...
    """

    seed: int
    batch_size: int
    count: int  # examples in an epoch
    position: tf.Variable
    begun: tf.Variable  # epochs that were started automatically
    rows: Callable  # epoch -> its rows in order, (count) int64

    @classmethod
    def start(cls, *, seed, batch_size, count, position=None, labels=None, lengths=None):
        """An order with each of the rows 0 ... count - 1 once per epoch, or with `labels` each class equally often.

        Args:
            position: an int64 variable (2), see the class; None creates one.
            labels: class numbers (count).  Each class is drawn equally often (to within 1) in an epoch of the same
                length: rows of rare classes are repeated, and some rows of frequent classes left out.

        Raises:
            ValueError: `position` is not an int64 variable (2), or is distributed.
        """
        if isinstance(position, tf.distribute.DistributedValues):
            raise ValueError("position is a distributed variable; create it outside of any strategy's scope.")
        if position is not None and (position.dtype != tf.int64 or tuple(position.shape) != (2,)):
            raise ValueError(f"position is {position.dtype.name} {tuple(position.shape)}; give an int64 variable (2,).")
        if position is None:
            position = tf.Variable(AUTOMATIC, dtype=tf.int64, trainable=False)

        def all_rows(epoch):
            return permutation((seed, epoch), count)

        if labels is not None and lengths is not None:
            raise ValueError("An order is balanced by labels or bucketed by lengths; give one of the two.")
        rows = all_rows if labels is None else balanced(seed, np.asarray(labels))
        rows = rows if lengths is None else bucketed(seed, np.asarray(lengths), batch_size)
        begun = tf.Variable(0, dtype=tf.int64, trainable=False)
        return cls(seed, batch_size, count, position, begun, rows)

    @property
    def steps(self):
        """The number of batches in an epoch; the last may be smaller, unless batches must be static."""
        return static.training_steps(self.count, self.batch_size)

    def keys(self):
        """One epoch, from the position on: (rows (B,) int64, seed of the batch (2) int64)."""

        def remaining(epoch, step):
            rows = self.rows(epoch)

            def key(step):
                return rows[step * self.batch_size : (step + 1) * self.batch_size], self.batch_seed(epoch, step)

            return tf.data.Dataset.range(step, self.steps).map(key)

        return self.one_epoch(remaining)

    def one_epoch(self, remaining):
        """The dataset `remaining(epoch, step)`, created for each iteration, with a known cardinality of `steps`.

        `assert_cardinality` would fail on an epoch that is resumed in the middle.  Therefore the epoch is followed by
        an empty dataset that TensorFlow considers infinite, and `take(steps)` limits both.
        """
        epoch = tf.data.Dataset.from_tensors(0).flat_map(lambda _: remaining(*self.begin()))
        nothing = epoch.take(0).filter(lambda *_: False).repeat()
        return epoch.concatenate(nothing).take(self.steps)

    def begin(self):
        """Epoch and step at which an iteration starts; a step past the end of an epoch means a later epoch."""
        position = self.position.read_value()
        epoch, step = tf.cond(
            position[0] < 0,
            lambda: (self.begun.assign_add(1) - 1, tf.zeros((), tf.int64)),
            lambda: (position[0], position[1]),
        )
        return epoch + step // self.steps, step % self.steps

    def epoch_seed(self, epoch):
        """() -> (2) int64."""
        return tf.random.experimental.stateless_fold_in(tf.stack((self.seed, epoch)), 0)

    def batch_seed(self, epoch, step):
        """() and () -> (2) int64."""
        return tf.random.experimental.stateless_fold_in(tf.stack((self.seed, epoch)), step + 1)


def of_run(run, seed, position, limit):
    """Seed, position and limit of a session, or the arguments if there is none.

    Raises:
        ValueError: a session and one of the arguments.
    """
    if run is None:
        return seed, position, limit
    if seed != 0 or position is not None or limit is not None:
        raise ValueError("load got a run beside seed, position or limit; the run has them, so leave them out.")
    return run.seed, run.position, run.limit


def permutation(seed, count):
    """0 ... count - 1 in an order that is a pure function of the pair `seed`.  -> (count) int64.

    `index_shuffle` would need no memory, but its permutations for seeds (s, 0), (s, 1) ... have a correlation of 0.9.
    """
    seed = tf.stack([tf.cast(part, tf.int64) for part in seed])
    return tf.random.experimental.stateless_shuffle(tf.range(tf.cast(count, tf.int64)), seed, alg="philox")


def balanced(seed, labels):
    """A function epoch -> as many rows as there are `labels`, with the same number of each class, to within 1.

    The classes take turns; each contributes its rows in an order of this epoch, repeated from the start when they run
    out.  Then all are shuffled.
    """
    present, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    classes, sizes = tf.constant(classes, tf.int64), tf.constant(sizes, tf.int64)
    starts = tf.cumsum(sizes, exclusive=True)

    def rows(epoch):
        inner = tf.random.experimental.stateless_fold_in(tf.stack((tf.cast(seed, tf.int64), epoch)), BALANCE)
        mixed = permutation(tf.unstack(inner), len(labels))
        by_class = tf.gather(mixed, tf.argsort(tf.gather(classes, mixed), stable=True))
        slots = permutation((seed, epoch), len(labels))
        which, turn = slots % len(present), slots // len(present)
        return tf.gather(by_class, tf.gather(starts, which) + turn % tf.gather(sizes, which))

    return rows


def bucketed(seed, lengths, batch_size):
    """A function epoch -> all rows in an order in which batches hold rows of similar lengths.

    The rows, shuffled, are cut into buckets of BUCKET batches; each is sorted by length and cut into batches, and all
    full batches are shuffled.
    """
    count = len(lengths)
    lengths = tf.constant(lengths, tf.int64)
    buckets = tf.range(count, dtype=tf.int64) // (BUCKET * batch_size)
    full = count // batch_size

    def rows(epoch):
        mixed = permutation((seed, epoch), count)
        longest = tf.reduce_max(lengths) + 1  # each bucket's keys lie above those of the one before
        by_length = tf.gather(mixed, tf.argsort(buckets * longest + tf.gather(lengths, mixed), stable=True))
        inner = tf.random.experimental.stateless_fold_in(tf.stack((tf.cast(seed, tf.int64), epoch)), BATCHES)
        batches = tf.reshape(by_length[: full * batch_size], (full, batch_size))
        batches = tf.gather(batches, permutation(tf.unstack(inner), full))
        return tf.concat([tf.reshape(batches, (-1,)), by_length[full * batch_size :]], axis=0)

    return rows


def rows_of_shard(rows, shard):
    """The rows of a global batch that belong to input pipeline `index` of `count`: contiguous, equal to within 1."""
    index, count = shard
    size = tf.shape(rows)[0]
    return rows[index * size // count : (index + 1) * size // count]


def finalized(dataset, shard):
    """`dataset` with prefetching, deterministic order, no autotuning, and sharding by TensorFlow only if unsharded."""
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # costs more than it gains here; see also `tfdl.distribution.untuned`
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = policy.DATA if shard == (0, 1) else policy.OFF
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
