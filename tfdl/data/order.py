"""The order of an epoch, as a pure function of (seed, epoch, step): for images, text, boxes, graphs and pairs alike.

    order = Order.start(seed=0, batch_size=32, count=1000, position=position)
    keys = order.keys()                    # one epoch: the rows of each batch (B,), and the batch's seed (2)
    batches = keys.map(lambda rows, seed: (tf.gather(table, rows), seed))

A run that stops after any step and starts again there sees the same rows with the same seeds.  `position` says where
the next iteration starts; see `Order`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static

AUTOMATIC = (-1, 0)  # the position at which each iteration takes the next epoch by itself
BALANCE = 2_000_000  # folded into an epoch's seed for the order inside of its classes
BATCHES = 3_000_000  # for the order of batches of similar lengths
BUCKET = 64  # batches whose examples are sorted by length together


@dataclass(frozen=True, eq=False)
class Order:
    """What the order of an epoch depends on.

    `position` (epoch, step), an int64 variable: a new iteration starts at that step of that epoch and runs to the end
    of the epoch; it is only read here.  Whoever sets it says so before each epoch, as a training callback does in
    `on_epoch_begin`.  While its epoch is negative, as it is at first, iterations take epochs 0, 1, 2 ... by themselves.
    """

    seed: int
    batch_size: int
    count: int  # examples in an epoch
    position: tf.Variable
    begun: tf.Variable  # epochs that were started automatically
    rows: Callable  # epoch -> the rows of its examples (count) int64

    @classmethod
    def start(cls, *, seed, batch_size, count, position=None, labels=None, lengths=None):
        """Each of the rows 0 ... count - 1 comes once an epoch; or, with `labels`, each class equally often.

        Args:
            position: an int64 variable (2), made here if None; see the class.
            labels: class numbers (count).  The length of an epoch stays; each class is drawn equally often (but for 1),
                so that rows of rare classes come more than once, and of frequent ones not all.

        Raises:
            ValueError: the position is no such variable.
        """
        if isinstance(position, tf.distribute.DistributedValues):
            raise ValueError("position is a distributed variable; make it outside of any strategy's scope.")
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
        """Batches in an epoch; the last may be smaller, unless batches must be static."""
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
        """The dataset `remaining(epoch, step)`, made anew for each iteration; known to have `steps` elements, or fewer.

        `assert_cardinality` would fail on an epoch that is entered in the middle.  So the epoch is followed by a
        dataset that TensorFlow holds for endless, though it has no element, and the two are cut after `steps`.
        """
        epoch = tf.data.Dataset.from_tensors(0).flat_map(lambda _: remaining(*self.begin()))
        nothing = epoch.take(0).filter(lambda *_: False).repeat()
        return epoch.concatenate(nothing).take(self.steps)

    def begin(self):
        """Epoch and step of the iteration that begins now; a step past the end lies in a later epoch."""
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


def permutation(seed, count):
    """0 ... count - 1 in an order that is a pure function of the pair `seed`.  -> (count) int64.

    Not `index_shuffle`, which needs no memory, but whose permutations for seeds (s, 0), (s, 1) ... correlate by 0.9.
    """
    seed = tf.stack([tf.cast(part, tf.int64) for part in seed])
    return tf.random.experimental.stateless_shuffle(tf.range(tf.cast(count, tf.int64)), seed, alg="philox")


def balanced(seed, labels):
    """A function epoch -> as many rows as there are `labels`, of which each class has an equal share, but for 1.

    Slot j belongs to the j-th class, counted round; it takes the class's next row, in an order of this epoch, and
    begins again with the first where there are no more.  Then the slots are shuffled.
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


def share(rows, shard):
    """The rows of one global batch that belong to pipeline `index` of `count`: contiguous, equal but for 1."""
    index, count = shard
    size = tf.shape(rows)[0]
    return rows[index * size // count : (index + 1) * size // count]


def polished(dataset, shard):
    """Prefetched, in a fixed order, untuned, and to be split by TensorFlow only where it is not yet."""
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # costs more than it brings here, and see `tfdl.distribution.untuned`
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = policy.DATA if shard == (0, 1) else policy.OFF
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
