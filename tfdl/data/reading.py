"""The pictures of one split: held in memory once, or read anew in each epoch.

    Held       decoded pixels in memory, wherever they came from
    Files      picture files, read and decoded again in each epoch; memory holds their names
    Records    examples that come one after the other; stored neighbors are shuffled, a window at a time

They are used alike: `train(order)` is one epoch of images (B, H, W, C) uint8, labels (B) int32 and a seed (2);
`in_order(batch_size)` all images and labels as they are stored; `labels` the class numbers, `len` their count.
No Python runs while they are read.
"""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tfdl.core import pictures, static
from tfdl.data.order import permutation

# More calls than cores: threads that run out of tiny files spend their time on waking each other (on two cores, 24,000
# images of 40 pixels a second against 16,000).  Only decoded and resized images wait in line.
PARALLEL = 8 * (os.cpu_count() or 1)
PIECE = 512  # images that are decoded before they are moved to where they are held
NAMED = 5  # files that a message names; of more it says how many
BROKEN = " cannot be decoded; replace or remove it, or leave out broken files with skip_broken."


@dataclass(frozen=True, eq=False)
class Held:
    """Decoded pictures in memory."""

    images: tf.Variable  # (N, H, W, C) uint8; of constants, TensorFlow makes copies for its graphs
    all_labels: np.ndarray  # (N) int32
    rows: np.ndarray  # the rows of both that are used

    def __len__(self):
        return len(self.rows)

    @property
    def labels(self):
        return self.all_labels[self.rows]

    def chosen(self, places, labels):
        """The examples at `places`, with other labels."""
        rows, all_labels = self.rows[places], self.all_labels.copy()
        all_labels[rows] = labels
        return replace(self, rows=rows, all_labels=all_labels)

    def train(self, order):
        gather = self.gatherer()
        return order.keys().map(lambda places, seed: (*gather(places), seed), tf.data.AUTOTUNE)

    def in_order(self, batch_size):
        gather = self.gatherer()

        def batch(step):
            return gather(tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, len(self))))

        return tf.data.Dataset.range(steps_of(len(self), batch_size)).map(batch)

    def gatherer(self):
        """A function: places (B) -> images and labels."""
        rows, labels = tf.constant(self.rows, tf.int64), tf.constant(self.labels)
        return lambda places: (tf.gather(self.images, tf.gather(rows, places)), tf.gather(labels, places))


@dataclass(frozen=True, eq=False)
class Files:
    """Picture files."""

    paths: tuple[str, ...]
    labels: np.ndarray  # (N) int32
    decode: Callable  # path, a () string tensor -> (H, W, C) uint8

    def __len__(self):
        return len(self.paths)

    @functools.cached_property
    def tensors(self):
        """Paths and labels, to be used inside of graphs without being copied into them."""
        return tf.constant([os.fsencode(path) for path in self.paths]), tf.constant(self.labels)

    def chosen(self, places, labels):
        """The examples at `places`, with other labels."""
        return replace(self, paths=tuple(self.paths[place] for place in places), labels=np.asarray(labels, "int32"))

    def examples(self):
        return tf.data.Dataset.from_tensor_slices(self.tensors)

    def train(self, order):
        tensors = self.tensors

        def remaining(epoch, step):
            batches = self.batches(tensors, order.rows(epoch), step, order.steps, order.batch_size)
            return batches.map(lambda step, *batch: (*batch, order.batch_seed(epoch, step)))

        return order.one_epoch(remaining)

    def in_order(self, batch_size):
        steps = steps_of(len(self), batch_size)
        batches = self.batches(self.tensors, tf.range(len(self), dtype=tf.int64), 0, steps, batch_size)
        return batches.map(lambda step, *batch: batch).apply(tf.data.experimental.assert_cardinality(steps))

    def batches(self, tensors, rows, first, last, batch_size):
        """(step, images, labels) of the steps `first` ... `last` - 1, where the files are taken in the order `rows`.

        TensorFlow leaves out what it can't decode, and here it is found missing: an operation that fails can't say
        which file it was.
        """
        paths, labels = tensors
        first = tf.cast(first, tf.int64)
        end = min(last * batch_size, len(self))

        def example(place):
            return place, self.decode(paths[rows[place]]), labels[rows[place]]

        def checked(step, batch):
            places, images, numbers = batch
            expected = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, end))
            common = tf.minimum(tf.size(places), tf.size(expected))
            is_right = tf.cast(places[:common] == expected[:common], tf.int32)
            right = tf.reduce_sum(tf.math.cumprod(is_right))  # before the first that is missing
            missing = expected[tf.minimum(right, tf.size(expected) - 1)]
            complaint = tf.strings.join(("The image file ", paths[rows[missing]], BROKEN))
            complete = tf.raw_ops.Assert(condition=right == tf.size(expected), data=[complaint])
            with tf.control_dependencies([complete]):
                return step, tf.identity(images), numbers

        found = tf.data.Dataset.range(first * batch_size, end).map(example, PARALLEL).ignore_errors().batch(batch_size)
        shape = found.element_spec[1].shape[1:]
        nothing = (tf.constant([-1], tf.int64), tf.zeros((1, *shape), tf.uint8), tf.constant([-1], tf.int32))
        end_mark = tf.data.Dataset.from_tensors(nothing)  # in place of a last batch that is missing as a whole
        return found.concatenate(end_mark).enumerate(first).take(last - first).map(checked)


@dataclass(frozen=True, eq=False)
class Records:
    """Examples (raw, label) that can only be had one after the other."""

    stored: tf.data.Dataset
    count: int
    decode: Callable  # raw -> (H, W, C) uint8
    window: int  # examples that can be held undecoded

    def __len__(self):
        return self.count

    @functools.cached_property
    def labels(self):
        """Read from all records, without decoding them."""
        batches = self.stored.map(lambda raw, label: label).batch(1024).as_numpy_iterator()
        return np.concatenate([np.zeros(0, "int32"), *batches])

    def decoded(self, raw, label):
        return self.decode(raw), label

    def train(self, order):
        def remaining(epoch, step):
            epoch_seed = order.epoch_seed(epoch)

            def shuffled(number, block):
                seed = tf.random.experimental.stateless_fold_in(epoch_seed, number)
                rows = permutation(tf.unstack(seed), tf.shape(block[1], tf.int64)[0])
                return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(lambda x: tf.gather(x, rows), block))

            return (
                self.stored.batch(self.window)
                .enumerate()
                .flat_map(lambda number, block: shuffled(number, block))
                .skip(step * order.batch_size)
                .map(self.decoded, PARALLEL)
                .batch(order.batch_size)
                .enumerate(step)
                .map(lambda step, batch: (*batch, order.batch_seed(epoch, step)))
            )

        return order.one_epoch(remaining)

    def in_order(self, batch_size):
        return self.stored.map(self.decoded, PARALLEL).batch(batch_size, static.is_required())


def steps_of(count, batch_size):
    """Batches of `count` examples that are evaluated."""
    return count // batch_size if static.is_required() else -(-count // batch_size)


# Into memory


def held(split, image_shape, skip_broken=False):
    """`Files` or `Records` in memory, and the paths that could not be decoded.

    Raises:
        ValueError: one can't be, and `skip_broken` is False; the message names it and says why.
    """
    is_files = isinstance(split, Files)
    examples = split.examples() if is_files else split.stored
    images = tf.Variable(tf.zeros((len(split), *image_shape), tf.uint8), trainable=False, name="pictures")
    labels, found = np.zeros(len(split), "int32"), np.zeros(len(split), bool)
    pieces = examples.enumerate().map(lambda row, example: (row, split.decode(example[0]), example[1]), PARALLEL)
    if is_files:
        pieces = pieces.ignore_errors()
    with overheard() as said:
        try:
            for rows, x, y in pieces.batch(PIECE).prefetch(1):
                images.scatter_update(tf.IndexedSlices(x, rows))
                labels[rows.numpy()], found[rows.numpy()] = y.numpy(), True
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"An image cannot be decoded: {pictures.reason(error.message)}; prepare the set anew."
            ) from None
    broken = tuple(split.paths[row] for row in np.flatnonzero(~found)) if is_files else ()
    if broken and not skip_broken:
        raise ValueError(f"The image file {broken[0]} cannot be decoded ({why(broken[0])}); {remedy(broken)}.")
    if "Corrupt JPEG data" in "".join(said):
        tell_damaged(split.paths if is_files else ())
    return Held(images, labels, np.flatnonzero(found)), broken


def why(path):
    return pictures.complaint(path) or "this kind of picture is not read under such a name"


def remedy(broken):
    others = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    return f"replace or remove it{others}, or leave out broken files with skip_broken"


@contextlib.contextmanager
def overheard():
    """Yields a list that gets the lines which C++ writes to file descriptor 2 inside; what isn't of JPEG goes on."""
    said = []
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            said += file.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in said if "JPEG" not in line))


def tell_damaged(paths):
    """One line that names the files of which libjpeg says that they are damaged, though it decodes them."""
    damaged = []
    for path in paths:
        with overheard() as said:
            tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        if any("Corrupt JPEG data" in line for line in said):
            damaged.append(path)
    print(f"damaged, but read: {listed(damaged)}; look at what can be seen of them.", file=sys.stderr)


def listed(names):
    """A few names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more


def unbroken(files):
    """The files that can be decoded, and the paths of those that can't: decodes all of them once."""
    rows = files.examples().enumerate().map(lambda row, example: (row, files.decode(example[0])), PARALLEL)
    rows = rows.ignore_errors().map(lambda row, image: row).batch(PIECE)
    found = np.zeros(len(files), bool)
    for places in rows.as_numpy_iterator():
        found[places] = True
    places = np.flatnonzero(found)
    return files.chosen(places, files.labels[places]), tuple(files.paths[row] for row in np.flatnonzero(~found))
