"""Any image-classification set as batches of images (B, H, W, C) float32 in [0, 1] and labels (B) int32.

    data = load("digits", batch_size=64, image_size=32, channels=3, augment=random_shift(2))
    model.fit(data.train, validation_data=data.validation, epochs=5)

The order and the augmentation of the training images are pure functions of (seed, epoch, step): a run that stops after
any step and is resumed there sees the same batches, bit for bit; see `order`.

A data set is kept in memory, decoded and resized, if that takes no more than CACHE_BYTES.  A larger one is read and
decoded again in each epoch; only the names of its files are kept in memory.

Several hosts: `load(..., shard=(index, count))` yields the rows of every global batch that belong to input pipeline
`index`, so that all pipelines together yield exactly the batches of a single one, in the same number of steps:

    def pipeline(context):  # a tf.distribute.InputContext; one replica per pipeline
        return load(name, shard=(context.input_pipeline_id, context.num_input_pipelines)).train

    strategy.distribute_datasets_from_function(pipeline)

`batch_size` is that of the global batch.  With Keras's `fit` do not set `shard`: TensorFlow splits the batches itself.
"""

import functools
import math
import sys
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import tensorflow as tf

from tfdl.core import pictures, static
from tfdl.core.task import Task
from tfdl.data import reading, sources
from tfdl.data.classes import class_weights
from tfdl.data.order import Order, finalized, of_run, rows_of_shard

CACHE_BYTES = 2 * 1024**3  # larger sets (decoded, resized, uint8) are decoded again in every epoch
SPLIT_FRACTION = 0.1  # of the training images, the last ones: a missing validation or test split
MIX = 1_000_000  # folded into a batch's seed for `mix`; larger than any stage number in `augment.chain`


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set ready for `fit`.

    `train` is one epoch, in a different order each time; `validation` and `test` have a fixed order.  The last batch of
    each may be smaller.  A new iteration of `train` starts at `position` (epoch, step), see `order.Order`.  An epoch
    that is resumed in the middle has fewer steps than `train.cardinality()`; Keras then warns that "input ran out of
    data".
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
    resize: str = "stretch"
    broken: tuple[str, ...] = ()  # files that were left out because they cannot be decoded
    splits: dict = field(default_factory=dict)  # split -> its `reading.Held`, `Files` or `Records`

    @property
    def short_name(self):
        """Name for run folders and titles: "photos" for /some/where/photos, "mnist" for mnist:3.0.1."""
        return sources.short_name(self.name)

    @property
    def task(self):
        """The task of a model of these images, with the preparation of its input."""
        return Task(labels=self.labels, image_shape=self.image_shape, resize=self.resize)

    @functools.cached_property
    def class_counts(self):
        """split -> number of images of each class (num_classes).  Records that aren't in memory are all read once."""
        return {key: np.bincount(split.labels, minlength=self.num_classes) for key, split in self.splits.items()}

    def class_weights(self):
        """Class number -> weight that makes all classes count equally; its mean over the training images is 1.

        Raises:
            ValueError: a class has no training images.
        """
        return class_weights(self.class_counts["train"], self.labels)


def load(
    name,
    *,
    image_size=None,
    batch_size=32,
    channels=None,
    resize="stretch",
    augment=None,
    mix=None,
    classes=None,
    keep=None,
    balanced=False,
    skip_broken=False,
    validation_fraction=None,
    test_fraction=None,
    split_seed=0,
    run=None,
    seed=0,
    position=None,
    limit=None,
    shard=(0, 1),
    data_dir=None,
    download=False,
):
    """Loads the data set `name` (see `sources`; for folders of pictures, `folders`).

    Args:
        image_size: height and width, one number or a pair.  None keeps the stored size, which must be the same for all
            images.
        batch_size: images in a global batch.
        channels: 1 or 3; None keeps the stored number.
        resize: how pictures are resized to that size: "stretch", "crop" or "pad"; see `core.pictures`.
        augment: `(images, seed) -> images`, applied to whole training batches; see `augment`.
        mix: `(images, labels, seed) -> (images, labels)`, applied after `augment`; see `mixing`.  The labels of all
            splits then are probabilities (B, num_classes) float32: mixed in train, one-hot in the others.
        classes: numbers of the classes to use, in all splits; the i-th of them becomes class i.  None uses all.
        keep: class number -> fraction in (0, 1] of its training images to keep, the first ones, rounded up; classes
            that are not named are kept whole.  A single number applies to all classes.  For experiments with few or
            imbalanced examples; `counts` is that of the kept ones.
        balanced: draw each class equally often in an epoch of the same length: images of rare classes are repeated, and
            some images of frequent classes left out.
        skip_broken: leave out files that cannot be decoded, and list them; otherwise the first of them is an error.  A
            set that isn't kept in memory is decoded once to find them.
        validation_fraction, test_fraction: in (0, 1), of each class of a folder that has no such split, or of the
            training images of another data set that has none.  None means 0.1.
        split_seed: of these splits in folders.
        run: a session, whose seed, position and limit replace the arguments.
        seed: of order and augmentation.
        position: an int64 variable (2) to start epochs from; None creates one.
        limit: use only this many images of each split, the first ones; `classes` and `keep` select from them.
        shard: (index, count) of this input pipeline.
        data_dir: the folder of prepared sets; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to download a missing set.

    Raises:
        FileNotFoundError: the set is missing; the message says where it was searched and what to do.
        ValueError: an unknown name, an argument out of its range, a broken file (named), or `classes`, `keep` or
            `balanced` with a set of records of more than CACHE_BYTES.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    check_arguments(batch_size, channels, resize, shard, limit)
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    source = sources.open_source(name, data_dir, download, split_seed=split_seed, **fractions)
    names = source.labels
    if classes is not None:
        check_classes(classes, len(names))
        names = tuple(names[number] for number in classes)
    num_classes = len(names)
    keep = dict.fromkeys(range(num_classes), keep) if isinstance(keep, (int, float)) else keep or {}
    check_keep(keep, num_classes)
    image_shape = final_shape(source, image_size, channels)
    stored = all_splits(source, validation_fraction, test_fraction)
    if limit is not None:
        stored = {key: split.part(0, min(limit, split.count)) for key, split in stored.items()}

    with tf.device("CPU:0"):
        splits, broken = opened(source, stored, image_shape, resize, skip_broken)
        options = {"classes": classes is not None, "keep": bool(keep), "balanced": balanced}
        if any(options.values()) and isinstance(splits["train"], reading.Records):
            option = next(option for option, is_given in options.items() if is_given)
            raise ValueError(
                f"{option} needs {name!r} in memory, but it has more than {CACHE_BYTES:,} bytes; give a limit."
            )
        if classes is not None:
            splits = {key: of_classes(split, classes, name, key) for key, split in splits.items()}
        if keep:
            splits["train"] = kept(splits["train"], keep)
        counts = {key: len(split) for key, split in splits.items()}
        sizes = {key: static.evaluation_batch(counts[key], batch_size) for key in ("validation", "test")}
        order = Order.start(
            seed=seed,
            batch_size=batch_size,
            count=counts["train"],
            position=position,
            labels=splits["train"].labels if balanced else None,
        )
        train = splits["train"].train(order)
        evaluation = {key: splits[key].in_order(size) for key, size in sizes.items()}

    def finish(size, images, labels, batch_seed=None):
        if static.is_required():
            images, labels = tf.ensure_shape(images, (size, *image_shape)), tf.ensure_shape(labels, (size,))
        images = tf.cast(images, tf.float32) / 255.0
        if augment is not None and batch_seed is not None:
            images = augment(images, batch_seed)  # the whole batch, so that no pixel depends on the shards
        if mix is not None:
            labels = tf.one_hot(labels, num_classes)
            if batch_seed is not None:
                images, labels = mix(images, labels, tf.random.experimental.stateless_fold_in(batch_seed, MIX))
        return rows_of_shard(images, shard), rows_of_shard(labels, shard)

    return ImageData(
        name=name,
        train=finalized(train.map(partial(finish, batch_size), tf.data.AUTOTUNE), shard),
        **{
            key: finalized(batches.map(partial(finish, sizes[key]), tf.data.AUTOTUNE), shard)
            for key, batches in evaluation.items()
        },
        image_shape=image_shape,
        labels=names,
        num_classes=num_classes,
        counts=counts,
        position=order.position,
        resize=resize,
        broken=broken,
        splits=splits,
    )


def opened(source, stored, image_shape, resize, skip_broken):
    """split -> `Held` if all splits fit in memory, otherwise `Files` or `Records`; and the files that were left out."""

    @partial(tf.function, autograph=False)  # traced once for all splits
    def decode(raw):
        return source.decode(raw, image_shape, resize)

    def unread(split):
        if isinstance(split, sources.Listed):
            return reading.Files(split.paths, split.labels, decode)
        return reading.Records(split.examples, split.count, decode, source.window or split.count)

    splits, broken = {key: unread(split) for key, split in stored.items()}, ()
    fits = sum(split.count for split in stored.values()) * math.prod(image_shape) <= CACHE_BYTES
    for key, split in splits.items():
        missing = ()
        if fits:
            splits[key], missing = reading.held(split, image_shape, skip_broken)
        elif skip_broken and isinstance(split, reading.Files):
            splits[key], missing = reading.unbroken(split)
        if not len(splits[key]):
            raise ValueError(f"No image of the split {key!r} of {source.name!r} can be decoded, as {missing[0]}.")
        broken += missing
    if broken:
        print(f"{source.name}: left out {len(broken):,} broken files: {reading.listed(broken)}.", file=sys.stderr)
    return splits, broken


# Parts


def check_arguments(batch_size, channels, resize, shard, limit):
    """Raises ValueError for an argument out of its range, or inside a strategy's scope."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels is {channels}; give 1, 3, or None to keep the stored number.")
    if resize not in pictures.RESIZES:
        raise ValueError(f"resize is {resize!r}; give one of {', '.join(pictures.RESIZES)}.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; give 1 or more, or None for the whole set.")
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard is {shard}; give (index, count) with 0 <= index < count.")
    if tf.distribute.has_strategy():
        raise ValueError("load was called inside a strategy's scope; call it before the scope is entered.")


def check_classes(classes, num_classes):
    """Raises ValueError unless each entry of `classes` is a class number, named once."""
    classes = list(classes)
    if unknown := [number for number in classes if number not in range(num_classes)]:
        raise ValueError(f"classes names the class {unknown[0]}; the classes are 0 to {num_classes - 1}.")
    if not classes or len(set(classes)) < len(classes):
        raise ValueError(f"classes is {classes}; give each class number once, and at least one.")


def check_keep(keep, num_classes):
    """Raises ValueError unless `keep` maps class numbers to fractions."""
    for number, part in keep.items():
        if number not in range(num_classes):
            raise ValueError(f"keep names the class {number}; the classes are 0 to {num_classes - 1}.")
        if not 0.0 < part <= 1.0:
            raise ValueError(f"keep is {part} for class {number}; give a fraction above 0 and up to 1.")


def final_shape(source, image_size, channels):
    """(H, W, C) after resizing."""
    height, width, stored_channels = source.image_shape
    if image_size is not None:
        height, width = sides(image_size)
    if height is None or width is None:
        raise ValueError(f"The images of {source.name!r} differ in size; give an image_size.")
    return height, width, channels or stored_channels


def sides(image_size):
    """(height, width) of one number or a pair."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height < 1 or width < 1:
        raise ValueError(f"image_size is {image_size}; give 1 or more pixels.")
    return height, width


def all_splits(source, validation_fraction, test_fraction):
    """All three splits; a missing test split, then a missing validation split, is taken from the end of train."""
    splits = source.splits
    for key, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        is_given = fraction is not None
        if is_given and not 0.0 < fraction < 1.0:
            raise ValueError(f"{key}_fraction is {fraction}; give a number above 0 and below 1.")
        if key not in splits:
            train = splits["train"]
            left = train.count - int(train.count * (fraction if is_given else SPLIT_FRACTION) + 1e-9)
            splits = splits | {"train": train.part(0, left), key: train.part(left, train.count)}
        elif is_given and isinstance(splits[key], sources.Split):
            raise ValueError(f"{source.name!r} already has the split {key!r}; leave out {key}_fraction.")
    return {key: splits[key] for key in ("train", "validation", "test")}


def of_classes(split, classes, name, key):
    """The examples whose label is in `classes`, relabeled with its index there."""
    found, places = np.nonzero(split.labels[:, None] == np.array(list(classes)))
    if not len(found):
        raise ValueError(f"No image of {name!r}, split {key}, is of the classes {list(classes)}; raise the limit.")
    return split.chosen(found, places)


def kept(split, keep):
    """The examples that remain when each class in `keep` is reduced to its fraction, in stored order."""
    rows = np.ones(len(split), bool)
    for number, part in keep.items():
        members = np.flatnonzero(split.labels == number)
        rows[members[math.ceil(part * len(members) - 1e-9) :]] = False  # 0.07 * 100 is more than 7
    places = np.flatnonzero(rows)
    return split.chosen(places, split.labels[places])
