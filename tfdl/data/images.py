"""Any image-classification set as batches of images (B, H, W, C) float32 in [0, 1] and labels (B) int32.

    data = load("digits", batch_size=64, image_size=32, channels=3, augment=random_shift(2))
    model.fit(data.train, validation_data=data.validation, epochs=5)

The order of the training images and what augmentation does to them are pure functions of (seed, epoch, step): a run
that stops after any step and starts again there sees the same batches, bit for bit.  `position` says where the next
iteration of `train` starts; see `ImageData`.

Several hosts: `load(..., shard=(index, count))` yields the rows of every global batch that belong to input pipeline
`index`, so that the pipelines together hold exactly the batches of a single one, in the same number of steps:

    def pipeline(context):  # a tf.distribute.InputContext; one replica per pipeline
        return load(name, shard=(context.input_pipeline_id, context.num_input_pipelines)).train

    strategy.distribute_datasets_from_function(pipeline)

`batch_size` is the global one.  Under Keras's `fit` leave `shard` alone: TensorFlow splits the batches itself.
"""

import math
import re
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.task import Task
from tfdl.data.sources import open_source

CACHE_BYTES = 2 * 1024**3  # larger sets (decoded, resized, uint8) are decoded anew in every epoch
HELD_OUT = 10  # a set without a validation or test split gives every 10th part of train, from its end
MIX = 1_000_000  # folded into a batch's seed for what mixes it: a number that `augment.chain` does not reach
BALANCE = 2_000_000  # folded into an epoch's seed for the orders of its classes
AUTOMATIC = (-1, 0)  # the position at which each iteration takes the next epoch by itself


@dataclass(frozen=True, eq=False)
class ImageData:
    """One set, ready for `fit`.

    `train` is one epoch, in another order each time; `validation` and `test` keep their order.  The last batch of
    each may be smaller.

    `position` (epoch, step), an int64 variable: a new iteration of `train` starts at that step of that epoch and
    runs to the end of the epoch; it is only read here.  Whoever sets it says so before each epoch, as a training
    callback does in `on_epoch_begin`.  While its epoch is negative, as it is at first, iterations take epochs
    0, 1, 2 ... by themselves.  An epoch entered in the middle has fewer steps than `train.cardinality()`, at which
    Keras warns that "input ran out of data".
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    image_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    num_classes: int
    counts: dict[str, int]  # split -> number of images
    position: tf.Variable
    class_counts: dict[str, np.ndarray] | None = None  # split -> images of each class; None where it is not known

    @property
    def short_name(self):
        """The last part of the name, without a version: "photos" of a folder, "mnist" of mnist:3.0.1."""
        return re.split(r"[/:\\]", re.sub(r":\d+\.\d+\.\d+$", "", self.name).rstrip("/"))[-1]

    def class_weights(self):
        """Class number -> weight that makes all classes count the same, 1 on average over the training images.

        Raises:
            ValueError: the numbers of images are not known, or a class has none.
        """
        if self.class_counts is None:
            raise ValueError(
                f"The numbers of images in the classes of {self.name!r} are not known without reading all."
            )
        counts = self.class_counts["train"]
        if not counts.all():
            missing = self.labels[int(np.flatnonzero(counts == 0)[0])]
            raise ValueError(f"The class {missing!r} has no training images, so it has no weight.")
        return {number: counts.sum() / (len(counts) * count) for number, count in enumerate(counts)}

    @property
    def task(self):
        """What a model of these images answers, and how its input is prepared."""
        return Task(labels=self.labels, image_shape=self.image_shape)


def load(
    name,
    *,
    batch_size=32,
    image_size=None,
    channels=None,
    seed=0,
    position=None,
    augment=None,
    mix=None,
    classes=None,
    keep=None,
    run=None,
    balanced=False,
    shard=(0, 1),
    limit=None,
    data_dir=None,
    download=False,
):
    """Reads the set called `name` (see `sources`).

    Args:
        batch_size: images in a global batch.
        image_size: height and width, one number or a pair; bilinear with antialiasing, without keeping the aspect.
            None keeps the stored size, which must then be the same for all images.
        channels: 1 or 3; None keeps the stored number.
        seed: of order and augmentation.
        position: an int64 variable (2) to start epochs from, made here if None.
        augment: `(images, seed) -> images` applied to whole training batches; see `augment`.
        mix: `(images, labels, seed) -> (images, labels)` applied after it; see `mixing`.  Labels then are
            probabilities (B, num_classes) float32, in all splits: mixed in train, 1 for the class in the others.
        classes: numbers of the classes to choose, in all splits; the one at place i becomes class i.  None takes all.
        keep: class number -> share in (0, 1] of its training images that is kept, the first ones, rounded up; all of a
            class that is not named.  One number is the share of every class.  For experiments with few or with
            unequally many examples; `counts` follows.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        balanced: draw each class equally often in an epoch, whose length stays: images of rare classes come more than
            once, of frequent classes not all.
        shard: (index, count) of this input pipeline.
        limit: keep the first so many images of each split; `classes` and `keep` choose from them.
        data_dir: where prepared sets lie; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Raises:
        FileNotFoundError: the set is not there; the message says where it was looked for and what to do.
        ValueError: an unknown name, an argument out of its range, or `classes` or `keep` with a set of more than
            CACHE_BYTES.
    """
    if run is not None:
        seed, position, limit = run.seed, run.position, run.limit
    check_arguments(batch_size, channels, shard, limit, position)
    source = open_source(name, data_dir, download)
    names = source.labels
    if classes is not None:
        check_classes(classes, len(names))
        names = tuple(names[number] for number in classes)
    num_classes = len(names)
    keep = dict.fromkeys(range(num_classes), keep) if isinstance(keep, (int, float)) else keep or {}
    check_keep(keep, num_classes)
    image_shape = final_shape(source, image_size, channels)
    splits = with_held_out(source.splits)
    if limit is not None:
        splits = {key: split.part(0, min(limit, split.count)) for key, split in splits.items()}
    counts = {key: split.count for key, split in splits.items()}

    def decode(raw, label):
        return resized(source.decode(raw), image_shape), label

    cached = sum(counts.values()) * int(np.prod(image_shape)) <= CACHE_BYTES
    if (keep or balanced or classes is not None) and not cached:
        wishes = {"classes": classes is not None, "keep": bool(keep), "balanced": balanced}
        wish = next(name for name, is_given in wishes.items() if is_given)
        raise ValueError(f"{wish} needs {name!r} in memory, but it has more than {CACHE_BYTES:,} bytes; give a limit.")
    class_counts = None
    with tf.device("CPU:0"):
        if cached:
            tables = {key: table(split, decode, image_shape) for key, split in splits.items()}
            if classes is not None:
                tables = {key: chosen(arrays, classes, name, key) for key, arrays in tables.items()}
            tables["train"] = kept(tables["train"], keep)
            counts = {key: len(labels) for key, (_, labels) in tables.items()}
            class_counts = {
                key: np.bincount(labels.numpy(), minlength=num_classes) for key, (_, labels) in tables.items()
            }
        sizes = {key: static.evaluation_batch(counts[key], batch_size) for key in ("validation", "test")}
        position = tf.Variable(AUTOMATIC, dtype=tf.int64, trainable=False) if position is None else position
        keys = Keys(seed, position, tf.Variable(0, dtype=tf.int64, trainable=False), batch_size, counts["train"])
        if cached:
            table_order = keys.balanced_order(tables["train"][1], num_classes) if balanced else keys.order
            train = keys.shuffled_table(tables["train"], table_order)
            held_out = {key: in_order(tables[key], sizes[key]) for key in ("validation", "test")}
        else:
            train = keys.shuffled_stream(splits["train"], decode, source.window or counts["train"])
            held_out = {
                key: splits[key].examples.map(decode, tf.data.AUTOTUNE).batch(sizes[key], static.is_required())
                for key in ("validation", "test")
            }

    def finish(size, images, labels, batch_seed=None):
        if static.is_required():
            images, labels = tf.ensure_shape(images, (size, *image_shape)), tf.ensure_shape(labels, (size,))
        images = tf.cast(images, tf.float32) / 255.0
        if augment is not None and batch_seed is not None:
            images = augment(images, batch_seed)  # of the whole batch, so that no pixel depends on the shards
        if mix is not None:
            labels = tf.one_hot(labels, num_classes)
            if batch_seed is not None:
                images, labels = mix(images, labels, tf.random.experimental.stateless_fold_in(batch_seed, MIX))
        return share(images, shard), share(labels, shard)

    return ImageData(
        name=name,
        train=polished(train.map(partial(finish, batch_size), tf.data.AUTOTUNE), shard),
        **{key: polished(x.map(partial(finish, sizes[key]), tf.data.AUTOTUNE), shard) for key, x in held_out.items()},
        image_shape=image_shape,
        labels=names,
        num_classes=num_classes,
        counts=counts,
        position=position,
        class_counts=class_counts,
    )


# Training batches: (images uint8, labels, seed of the batch), one epoch from `position` on


@dataclass(frozen=True, eq=False)
class Keys:
    """What the order of an epoch depends on."""

    seed: int
    position: tf.Variable
    begun: tf.Variable  # epochs that were started automatically
    batch_size: int
    count: int

    @property
    def steps(self):
        return static.training_steps(self.count, self.batch_size)

    def order(self, epoch):
        """All rows, each once.  -> (count) int64"""
        return permutation((self.seed, epoch), self.count)

    def balanced_order(self, labels, num_classes):
        """A function epoch -> `count` rows in which each class is drawn equally often, but for 1.

        Slot j belongs to the j-th class, counted round; it takes the next image in that class's order of the epoch,
        and begins again at its first where the class has no more.  Then the slots are shuffled.
        """
        labels = labels.numpy()
        present = [np.flatnonzero(labels == number) for number in range(num_classes)]
        present = [rows for rows in present if len(rows)]
        sizes = tf.constant([len(rows) for rows in present], tf.int64)
        longest = max(map(len, present))
        members = tf.constant([np.resize(rows, longest) for rows in present], tf.int64)  # (classes, longest)
        is_padding = tf.range(longest, dtype=tf.int64)[None] >= sizes[:, None]

        def order(epoch):
            seed = tf.random.experimental.stateless_fold_in(tf.stack((tf.cast(self.seed, tf.int64), epoch)), BALANCE)
            noise = tf.random.stateless_uniform(members.shape, seed) + 2.0 * tf.cast(is_padding, tf.float32)
            shuffled = tf.gather(members, tf.argsort(noise, axis=1), axis=1, batch_dims=1)
            slots = permutation((self.seed, epoch), self.count)
            which, turn = slots % len(present), slots // len(present)
            return tf.gather_nd(shuffled, tf.stack((which, turn % tf.gather(sizes, which)), axis=1))

        return order

    def shuffled_table(self, arrays, table_order):
        """Batches gathered from `arrays`, a pair with axis 0 of `count`; `table_order(epoch)` gives the rows."""

        def epoch_keys(_):
            epoch, step = self.start()
            order = table_order(epoch)

            def key(step):
                return order[step * self.batch_size : (step + 1) * self.batch_size], self.batch_seed(epoch, step)

            return tf.data.Dataset.range(step, self.steps).map(key)

        def gather(rows, batch_seed):
            return *(tf.gather(array, rows) for array in arrays), batch_seed

        return one_epoch(epoch_keys, self.steps).map(gather, tf.data.AUTOTUNE)

    def shuffled_stream(self, split, decode, window):
        """Batches decoded as they come; stored neighbors are shuffled, `window` at a time."""

        def epoch_batches(_):
            epoch, step = self.start()
            epoch_seed = tf.random.experimental.stateless_fold_in(tf.stack((self.seed, epoch)), 0)

            def shuffled(number, block):
                seed = tf.random.experimental.stateless_fold_in(epoch_seed, number)
                order = permutation(tf.unstack(seed), tf.shape(block[1], tf.int64)[0])
                return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(lambda x: tf.gather(x, order), block))

            return (
                split.examples.batch(window)
                .enumerate()
                .flat_map(lambda number, block: shuffled(number, block))
                .skip(step * self.batch_size)
                .map(decode, tf.data.AUTOTUNE)
                .batch(self.batch_size)
                .enumerate(step)
                .map(lambda step, batch: (*batch, self.batch_seed(epoch, step)))
            )

        return one_epoch(epoch_batches, self.steps)

    def start(self):
        """Epoch and step of the iteration that begins now; a step past the end lies in a later epoch."""
        position = self.position.read_value()
        epoch, step = tf.cond(
            position[0] < 0,
            lambda: (self.begun.assign_add(1) - 1, tf.zeros((), tf.int64)),
            lambda: (position[0], position[1]),
        )
        return epoch + step // self.steps, step % self.steps

    def batch_seed(self, epoch, step):
        """() and () -> (2) int64."""
        return tf.random.experimental.stateless_fold_in(tf.stack((self.seed, epoch)), step + 1)


def permutation(seed, count):
    """0 ... count - 1 in an order that is a pure function of the pair `seed`.  -> (count) int64.

    Not `index_shuffle`, which needs no memory, but whose permutations for seeds (s, 0), (s, 1) ... correlate by 0.9.
    """
    seed = tf.stack([tf.cast(part, tf.int64) for part in seed])
    return tf.random.experimental.stateless_shuffle(tf.range(tf.cast(count, tf.int64)), seed, alg="philox")


def one_epoch(make, steps):
    """The dataset that `make` returns, made anew for each iteration and known to have (at most) `steps` elements.

    `assert_cardinality` would fail on an epoch that is entered in the middle.  So the epoch is followed by a dataset
    that TensorFlow holds for endless, though it has no element, and the two are cut after `steps`.
    """
    epoch = tf.data.Dataset.from_tensors(0).flat_map(make)
    nothing = epoch.take(0).filter(lambda *_: False).repeat()
    return epoch.concatenate(nothing).take(steps)


# Parts


def check_arguments(batch_size, channels, shard, limit, position):
    """Errors at the door."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels is {channels}; give 1, 3 or None to keep what is stored.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; give 1 or more, or None for the whole set.")
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard is {shard}; give (index, count) with 0 <= index < count.")
    if tf.distribute.has_strategy():
        raise ValueError("load was called inside a strategy's scope; call it before the scope is entered.")
    if isinstance(position, tf.distribute.DistributedValues):
        raise ValueError("position is a distributed variable; make it outside of any strategy's scope.")
    if position is not None and (position.dtype != tf.int64 or tuple(position.shape) != (2,)):
        raise ValueError(f"position is {position.dtype.name} {tuple(position.shape)}; give an int64 variable (2,).")


def check_classes(classes, num_classes):
    """Known classes, each of them once."""
    classes = list(classes)
    if unknown := [number for number in classes if number not in range(num_classes)]:
        raise ValueError(f"classes names the class {unknown[0]}; the classes are 0 to {num_classes - 1}.")
    if not classes or len(set(classes)) < len(classes):
        raise ValueError(f"classes is {classes}; give each class number once, and at least one.")


def check_keep(keep, num_classes):
    """Known classes, and a share of each."""
    for number, part in keep.items():
        if number not in range(num_classes):
            raise ValueError(f"keep names the class {number}; the classes are 0 to {num_classes - 1}.")
        if not 0.0 < part <= 1.0:
            raise ValueError(f"keep is {part} for class {number}; give a share above 0 and up to 1.")


def final_shape(source, image_size, channels):
    """(H, W, C) after resizing."""
    height, width, stored_channels = source.image_shape
    if image_size is not None:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height is None or width is None:
        raise ValueError(f"The images of {source.name!r} differ in size; give an image_size.")
    if height < 1 or width < 1:
        raise ValueError(f"image_size is {image_size}; give 1 or more pixels.")
    return height, width, channels or stored_channels


def with_held_out(splits):
    """All three splits: a missing test split, then a missing validation split, is the last tenth of train."""
    for key in ("test", "validation"):
        if key not in splits:
            train = splits["train"]
            kept = train.count - train.count // HELD_OUT
            splits = splits | {"train": train.part(0, kept), key: train.part(kept, train.count)}
    return {key: splits[key] for key in ("train", "validation", "test")}


def resized(image, shape):
    """(h, w, c) uint8 -> `shape` uint8."""
    if shape[2] != image.shape[-1]:
        image = tf.image.grayscale_to_rgb(image) if shape[2] == 3 else tf.image.rgb_to_grayscale(image[..., :3])
    if tuple(image.shape[:2]) != shape[:2]:
        image = tf.image.resize(image, shape[:2], "bilinear", antialias=True)
        image = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    return tf.ensure_shape(image, shape)


def table(split, decode, image_shape):
    """A split in memory: images (N, H, W, C) uint8 and labels (N) int32."""
    images, labels = np.empty((split.count, *image_shape), "uint8"), np.empty(split.count, "int32")
    row = 0
    try:
        for x, y in split.examples.map(decode, tf.data.AUTOTUNE).batch(512).as_numpy_iterator():
            images[row : row + len(x)], labels[row : row + len(x)] = x, y
            row += len(x)
    except tf.errors.InvalidArgumentError as error:
        if "ValueError: " not in error.message:
            raise
        raise ValueError(error.message.split("ValueError: ")[1].splitlines()[0]) from None
    return tf.constant(images), tf.constant(labels)


def chosen(arrays, classes, name, split):
    """The rows of (images, labels) whose label is in `classes`, with its place there as their new label."""
    images, labels = arrays
    found, places = np.nonzero(labels.numpy()[:, None] == np.array(list(classes)))
    if not len(found):
        raise ValueError(f"No image of {name!r}, split {split}, is of the classes {list(classes)}; raise the limit.")
    return tf.gather(images, found), tf.constant(places, tf.int32)


def kept(arrays, keep):
    """The rows of (images, labels) of which each class in `keep` has its share left, in stored order."""
    images, labels = arrays
    rows = np.ones(len(labels), bool)
    for number, part in keep.items():
        members = np.flatnonzero(labels.numpy() == number)
        rows[members[math.ceil(part * len(members) - 1e-9) :]] = False  # 0.07 * 100 is more than 7
    return arrays if rows.all() else (tf.boolean_mask(images, rows), tf.boolean_mask(labels, rows))


def in_order(arrays, batch_size):
    """Batches of `arrays` one after the other."""
    steps = len(arrays[1]) // batch_size if static.is_required() else -(-len(arrays[1]) // batch_size)
    return tf.data.Dataset.range(steps).map(
        lambda step: tuple(array[step * batch_size : (step + 1) * batch_size] for array in arrays)
    )


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
