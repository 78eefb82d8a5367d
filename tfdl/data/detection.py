"""Any detection set as batches of images (B, H, W, C) in [0, 1] and of boxes (B, N, 4) with labels (B, N).

    data = load("bccd", image_size=320, batch_size=16, augment=chain(random_flip(), random_color()))
    model.fit(data.train, validation_data=data.validation, epochs=60)

Names: `shapes`, drawn here; and what `annotations.formats` reads, among them sets of tensorflow_datasets.  Boxes are
xyxy in pixels of the resized picture, N is the largest number of objects in a picture of any split, rows behind a
picture's objects are zeros with the label -1.  `validation` and `test` also have `crowd` (B, N), true for regions that
an evaluation ignores; training batches leave these out.  `load(..., masks=True)` adds `instances` (B, H, W) int32: the
row among boxes and labels of the object that each pixel shows, -1 for none, see `instance_maps`.

Order and augmentation are pure functions of (seed, epoch, step), see `order`.  A set is kept in memory, decoded and
resized, if that takes no more than `images.CACHE_BYTES`.
"""

import functools
import math
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

from tfdl.core import pictures, static
from tfdl.core.batches import PADDING
from tfdl.core.task import Task
from tfdl.data import folders, images, instance_maps, reading, shapes, sources
from tfdl.data.annotations import formats
from tfdl.data.annotations.record import Found, Record
from tfdl.data.order import Order, finalized, of_run

RESIZES = ("pad", "stretch")  # a cropped picture would lose objects
SHAPE_COUNTS = {"train": 1200, "validation": 150, "test": 150}
FRACTION = 0.1  # of the training pictures: a missing validation or test split
SHAPE_SIZE = 96


@dataclass(frozen=True, eq=False)
class DetectionData:
    """A data set ready for `fit`; see the module and `images.ImageData`, whose fields mean the same here."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    image_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    num_classes: int
    counts: dict[str, int]  # split -> pictures
    objects: dict[str, int]  # split -> objects
    position: tf.Variable
    note: str = ""  # what was changed or left out
    resize: str = "pad"
    records: dict = field(default_factory=dict)  # split -> `annotations.record.Record`s

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return sources.short_name(self.name.rpartition(":")[2])

    @property
    def task(self):
        """The task of a model of these pictures, with the preparation of its input."""
        return Task(kind="detection", labels=self.labels, image_shape=self.image_shape, resize=self.resize)


def load(
    name,
    *,
    image_size=320,
    batch_size=16,
    channels=3,
    resize="pad",
    augment=None,
    max_boxes=None,
    masks=False,
    skip_broken=False,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Loads the data set `name`.

    Args:
        channels: 1 or 3.
        resize: "pad" keeps proportions and adds black borders, "stretch" does not keep them.
        augment: applied to whole training batches, see `detection_augment`.
        max_boxes: N; None is the largest number of objects in a picture.
        masks: whether batches have `instances`.
        skip_broken: leave out pictures that cannot be decoded, and list them; otherwise the first is an error.
        Others as in `images.load`; pictures differ in size, so `image_size` is no None.

    Raises:
        FileNotFoundError, ValueError: as `annotations.formats.read`; an argument out of its range; a picture has more
            than `max_boxes` objects; or there are no masks.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    images.check_arguments(batch_size, channels, resize, (0, 1), limit)
    if resize not in RESIZES:
        raise ValueError(f"resize is {resize!r}; give {' or '.join(RESIZES)}: a cropped picture would lose objects.")
    image_shape = (*images.sides(image_size), channels)
    found = drawn(limit, masks) if name == "shapes" else formats.read(name, data_dir, download, masks)
    records = all_splits(found.splits)
    if limit is not None:
        records = {key: rows[:limit] for key, rows in records.items()}
    maps = {}
    if masks:
        for key, rows in records.items():
            records[key], maps[key] = mapped(rows, image_shape, resize, found.notes)
    size = boxes_needed(records, max_boxes)
    decode = decoder(records, image_shape, resize)
    with tf.device("CPU:0"):
        splits, broken = opened(records, image_shape, decode, skip_broken)
        tables = {key: table(rows, image_shape, resize, size) for key, rows in records.items()}
        maps = {key: tf.constant(content) for key, content in maps.items()}
        order = Order.start(seed=seed, batch_size=batch_size, count=len(splits["train"]), position=position)
        train = splits["train"].train(order)
        sizes = {key: static.evaluation_batch(len(splits[key]), batch_size) for key in ("validation", "test")}
        evaluation = {key: splits[key].in_order(size) for key, size in sizes.items()}

    def scaled(pixels, size):
        if static.is_required():
            pixels = tf.ensure_shape(pixels, (size, *image_shape))
        return tf.cast(pixels, tf.float32) / 255.0

    def truth_of(key, rows):
        boxes, labels, crowd = (tf.gather(values, rows) for values in tables[key])
        truth = {"boxes": boxes, "labels": labels, "crowd": crowd}
        if masks:
            truth["instances"] = instance_maps.expanded(tf.gather(maps[key], rows), image_shape)
        return truth

    @tf.autograph.experimental.do_not_convert  # tracing takes a third of the time
    def training(pixels, rows, batch_seed):
        truth = truth_of("train", rows)
        crowd = truth.pop("crowd")
        truth["labels"] = tf.where(crowd, PADDING, truth["labels"])
        truth["boxes"] = tf.where(crowd[..., None], 0.0, truth["boxes"])
        if masks:
            truth = instance_maps.agreed(truth)
        pixels = scaled(pixels, batch_size)
        return (pixels, truth) if augment is None else augment(pixels, truth, batch_seed)

    def evaluated(key):
        @tf.autograph.experimental.do_not_convert
        def batch(pixels, rows):
            return scaled(pixels, sizes[key]), truth_of(key, rows)

        return batch

    note = noted(found.notes, broken)
    if note:
        print(f"{name}: {note}.", file=sys.stderr)
    return DetectionData(
        name=name,
        train=finalized(train.map(training, tf.data.AUTOTUNE), (0, 1)),
        **{key: finalized(rows.map(evaluated(key), tf.data.AUTOTUNE), (0, 1)) for key, rows in evaluation.items()},
        image_shape=image_shape,
        labels=found.labels,
        num_classes=len(found.labels),
        counts={key: len(split) for key, split in splits.items()},
        objects={key: sum(int(np.sum(~row.crowd)) for row in rows) for key, rows in records.items()},
        position=order.position,
        note=note,
        resize=resize,
        records=records,
    )


def drawn(limit, masks):
    """The set `shapes` as records."""
    counts = {key: count if limit is None else min(count, limit) for key, count in SHAPE_COUNTS.items()}
    splits = {}
    for key, rows in shapes.shapes(counts, size=SHAPE_SIZE).items():
        splits[key] = []
        for i, (image, boxes, labels, owner) in enumerate(zip(*rows)):
            source, crowd = f"shapes, {key} {i}", np.zeros(len(labels), bool)
            record = Record(source, image, image.shape[:2], boxes, labels, crowd)
            if masks:
                coded = (instance_maps.run_lengths(owner == n, owner.shape, source) for n in range(len(labels)))
                record = replace(record, masks=tuple(coded))
            splits[key].append(record)
    return Found(shapes.SHAPES, splits)


def all_splits(splits):
    """All three splits; a missing test split, then a missing validation split, is taken from train.

    Which pictures they get depends on their names alone, see `folders.place`.
    """
    splits = dict(splits)
    if not splits.get("train"):
        raise ValueError(f"There are the splits {', '.join(splits)} and none to train on; name one of them train.")
    for key in ("test", "validation"):
        if not splits.get(key):
            rows = sorted(splits["train"], key=lambda record: folders.place(record.name))
            count = max(1, int(len(rows) * FRACTION + 1e-9))
            if len(rows) <= count:
                raise ValueError(f"{len(rows)} pictures are too few to take a {key} split from; give three or more.")
            splits |= {"train": rows[:-count], key: rows[-count:]}
    return {key: splits[key] for key in ("train", "validation", "test")}


def mapped(records, image_shape, resize, notes):
    """Records with the objects of which a pixel is to be seen, and their maps, see `instance_maps.compressed`."""
    seen, maps = [], []
    for record in records:
        drawn_map = instance_maps.drawn(record.masks, record.crowd, record.size, image_shape, resize)
        visible = np.isin(np.arange(len(record.labels)), drawn_map)
        notes["objects without a visible pixel, left out"] += int(np.sum(~visible))
        numbers = np.append(np.cumsum(visible) - 1, PADDING).astype("int32")  # the last is that of -1
        seen.append(record.kept(visible))
        maps.append(instance_maps.compressed(numbers[drawn_map]))
    return seen, maps


def boxes_needed(records, max_boxes):
    """N.  Raises ValueError for a picture with more objects than `max_boxes`."""
    largest = max((record for rows in records.values() for record in rows), key=lambda record: len(record.boxes))
    if max_boxes is None:
        return max(1, len(largest.boxes))
    if max_boxes < len(largest.boxes):
        raise ValueError(
            f"{largest.source} has {len(largest.boxes)} objects, but max_boxes is {max_boxes}; give that many, or None."
        )
    return max_boxes


def decoder(records, image_shape, resize):
    """A function: what a record holds -> pixels `image_shape` uint8; traced once for all splits."""
    contents = [record.content for rows in records.values() for record in rows]
    are_paths, are_pixels = isinstance(contents[0], str), isinstance(contents[0], np.ndarray)
    if any(isinstance(content, str) != are_paths for content in contents):
        raise ValueError("Some pictures are files and some are inside of their annotations; store all as files.")
    has_tiff = are_paths and any(path.lower().endswith(pictures.TIFF_SUFFIXES) for path in contents)

    @functools.partial(tf.function, autograph=False)
    def decode(content):
        if are_pixels:
            return pictures.resize(content, image_shape, resize)
        if are_paths:
            return pictures.read(content, image_shape, resize, tiff=has_tiff)
        return pictures.decode(content, image_shape, resize)

    return decode


def opened(records, image_shape, decode, skip_broken):
    """split -> `reading.Held`, or `Files` or `Records` if they do not fit in memory; and the broken files.

    The "labels" of these are rows of the split's `table`.
    """
    splits, broken = {}, ()
    total = sum(map(len, records.values()))
    fits = total * math.prod(image_shape) <= images.CACHE_BYTES
    for key, rows in records.items():
        if isinstance(rows[0].content, str):
            split = reading.Files(tuple(row.content for row in rows), np.arange(len(rows), dtype="int32"), decode)
        else:
            stored = dataset_of(rows)
            split = reading.Records(stored, len(rows), decode, sources.SHUFFLE_WINDOW)
        missing = ()
        if fits:
            split, missing = reading.held(split, image_shape, skip_broken)
        elif skip_broken and isinstance(split, reading.Files):
            split, missing = reading.unbroken(split)
        if not len(split):
            raise ValueError(f"No picture of the split {key!r} can be decoded, as {missing[0]}.")
        splits[key] = split
        broken += missing
    return splits, broken


def dataset_of(records):
    """Contents of the records, each with its number: a `tf.data.Dataset` of (string or pixels, int32)."""
    rows = np.arange(len(records), dtype="int32")
    contents = [record.content for record in records]
    are_pixels = all(isinstance(content, np.ndarray) for content in contents)
    return tf.data.Dataset.from_tensor_slices((np.stack(contents) if are_pixels else contents, rows))


def table(records, image_shape, resize, size):
    """Boxes (n, N, 4) in pixels of the resized pictures, labels (n, N) and crowd (n, N) of n records, as tensors."""
    boxes = np.zeros((len(records), size, 4), "float32")
    labels = np.full((len(records), size), PADDING, "int32")
    crowd = np.zeros((len(records), size), bool)
    for row, record in enumerate(records):
        scale, offset = pictures.placement(record.size, image_shape, resize)
        count = len(record.boxes)
        boxes[row, :count] = record.boxes * np.tile(scale[::-1], 2) + np.tile(offset[::-1], 2)
        labels[row, :count], crowd[row, :count] = record.labels, record.crowd
    return tf.constant(boxes), tf.constant(labels), tf.constant(crowd)


def noted(notes, broken):
    """The notes as one sentence without its full stop; "" if nothing was changed."""
    parts = [f"{count:,} {what}" for what, count in notes.items() if count]
    if broken:
        parts.append(f"{len(broken):,} broken files left out ({reading.listed(broken)})")
    return "; ".join(parts)
