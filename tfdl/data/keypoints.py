"""Pictures of one person or face each with key points, as batches of images (B, H, W, C) in [0, 1] and a dict.

It has keypoints (B, 1, K, 3), x, y in pixels of the resized picture, 1 if visible, and area (B, 1) in these pixels.

    data = load("face_keypoints68", augment=lambda body: chain(random_flip(body.mirror), random_affine()))
    model.fit(data.train, validation_data=data.validation, epochs=20)

Names: see `keypoint_files`.  Key points that nobody annotated, or that are outside of their picture, are zeros.  The
order and the augmentation are pure functions of (seed, epoch, step), see `order`.
"""

import sys
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from tfdl.core import pictures, static
from tfdl.core.bodies import Body
from tfdl.core.task import Task
from tfdl.data import images, keypoint_files, sources
from tfdl.data.detection import all_splits, decoder, noted, opened
from tfdl.data.order import Order, finalized, of_run

RESIZES = ("pad", "stretch")


@dataclass(frozen=True, eq=False)
class KeypointData:
    """A data set ready for `fit`; see the module and `images.ImageData`, whose fields mean the same here."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    image_shape: tuple[int, int, int]
    body: Body
    counts: dict[str, int]  # split -> pictures
    position: tf.Variable
    note: str = ""  # the number of key points, and what was left out
    resize: str = "pad"
    records: dict = field(default_factory=dict)  # split -> `keypoint_files.Record`s

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return sources.short_name(self.name.rpartition(":")[2])

    @property
    def task(self):
        """The task of a model of these pictures, with the preparation of its input."""
        return Task(
            kind="pose",
            labels=self.body.names,
            lines=self.body.lines,
            image_shape=self.image_shape,
            resize=self.resize,
        )


def load(
    name,
    *,
    image_size=96,
    batch_size=16,
    resize="pad",
    augment=None,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
    download=False,
):
    """Loads the data set `name`.

    Args:
        augment: a function of the set's `Body` that gives an augmentation of whole batches, see `keypoint_augment`.
        Others as in `detection.load`.

    Raises:
        FileNotFoundError, ValueError: as `keypoint_files.read`; or an argument is out of its range.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    images.check_arguments(batch_size, 3, resize, (0, 1), limit)
    if resize not in RESIZES:
        raise ValueError(f"resize is {resize!r}; give {' or '.join(RESIZES)}: a cropped picture would lose key points.")
    image_shape = (*images.sides(image_size), 3)
    found = keypoint_files.read(name, image_shape, data_dir, download, limit)
    records = all_splits(found.splits)
    if limit is not None:
        records = {key: rows[:limit] for key, rows in records.items()}
    decode = decoder(records, image_shape, resize)
    with tf.device("CPU:0"):
        splits, _ = opened(records, image_shape, decode, False)
        tables = {key: table(rows, image_shape, resize) for key, rows in records.items()}
        order = Order.start(seed=seed, batch_size=batch_size, count=len(splits["train"]), position=position)
        train = splits["train"].train(order)
        sizes = {key: static.evaluation_batch(len(splits[key]), batch_size) for key in ("validation", "test")}
        evaluation = {key: splits[key].in_order(size) for key, size in sizes.items()}
    move = augment(found.body) if augment is not None else None

    def batch_of(key, size):
        @tf.autograph.experimental.do_not_convert  # tracing takes a third of the time
        def batch(pixels, rows, batch_seed=None):
            points, area = (tf.gather(values, rows) for values in tables[key])
            if static.is_required():
                pixels = tf.ensure_shape(pixels, (size, *image_shape))
            pixels = tf.cast(pixels, tf.float32) / 255.0
            if move is not None and batch_seed is not None:
                pixels, points = move(pixels, points, batch_seed)
            return pixels, {"keypoints": points[:, None], "area": area[:, None]}

        return batch

    note = noted(found.notes, ())
    if note:
        print(f"{name}: {note}.", file=sys.stderr)
    points = f"{len(found.body.names)} key points"
    return KeypointData(
        name=name,
        train=finalized(train.map(batch_of("train", batch_size), tf.data.AUTOTUNE), (0, 1)),
        **{
            key: finalized(rows.map(batch_of(key, sizes[key]), tf.data.AUTOTUNE), (0, 1))
            for key, rows in evaluation.items()
        },
        image_shape=image_shape,
        body=found.body,
        counts={key: len(split) for key, split in splits.items()},
        position=order.position,
        note=f"{points}; {note}" if note else points,
        resize=resize,
        records=records,
    )


def table(records, image_shape, resize):
    """Key points (n, K, 3) in pixels of the resized pictures, and areas (n,), of n records, as tensors."""
    points = np.stack([record.keypoints for record in records]).astype("float32")
    areas = np.array([record.area for record in records], "float32")
    for row, record in enumerate(records):
        scale, offset = pictures.placement(record.size, image_shape, resize)
        here = points[row, :, 2] > 0
        points[row, here, :2] = points[row, here, :2] * scale[::-1] + offset[::-1]
        areas[row] *= np.prod(scale)
    return tf.constant(points), tf.constant(areas)
