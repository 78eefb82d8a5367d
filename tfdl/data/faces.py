"""Faces somewhere on textured ground, as batches of images (B, H, W, 3) in [0, 1] and a dict.

It has boxes (B, 1, 4) xyxy in pixels, labels (B, 1), -1 where there is no face, and keypoints (B, 1, P, 3), x, y,
visible.

    data = load("face_keypoints68", image_size=128, augment=lambda body: random_flip(body.mirror))

The faces come from the sets of `keypoint_files`: each picture is placed on a ground at random, as large as FARTHEST to
NEAREST of the side, and some scenes are empty.  A box is the one around all points of the face; the P points are means
of some of them.  Scenes are functions of the picture's place in its split; order and augmentation are pure functions of
(seed, epoch, step), see `order`.
"""

import io
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from tfdl.core.batches import PADDING
from tfdl.core.task import Task
from tfdl.data import images, keypoint_files, sources
from tfdl.data.detection import all_splits
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.shapes import SPLITS, ground

FARTHEST, NEAREST = 0.35, 0.95  # of the scene's side, the smallest and the largest placed picture
EMPTY = 0.1  # of the scenes
LABELS = ("face",)
PARTS = {  # points of a face -> of which of the body's points they are the means
    68: {
        "right eye": range(36, 42),
        "left eye": range(42, 48),
        "nose": (30,),
        "mouth": range(60, 68),
        "right ear": (0,),  # the ends of the jaw
        "left ear": (16,),
    },
    17: {"right eye": (2,), "left eye": (1,), "nose": (0,), "right ear": (4,), "left ear": (3,)},
}
FACE = {68: range(68), 17: range(5)}  # points that the box is around


@dataclass(frozen=True, eq=False)
class FaceData:
    """A data set ready for `fit`; see the module and `images.ImageData`, whose fields mean the same here."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    image_shape: tuple[int, int, int]
    labels: tuple[str, ...]  # of the one class
    points: tuple[str, ...]  # names of the P points
    counts: dict[str, int]  # split -> scenes
    position: tf.Variable
    note: str = ""

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return sources.short_name(self.name)

    @property
    def task(self):
        """The task of a model of these scenes: faces are objects of one class."""
        return Task(kind="detection", labels=self.labels, image_shape=self.image_shape, resize="pad")


def load(
    name,
    *,
    image_size=128,
    batch_size=16,
    augment=None,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
):
    """Loads the faces of the set `name`.

    Args:
        image_size: side of the square scenes.
        augment: as of `keypoints.load`; it moves all points of the set.
        Others as in `images.load`.

    Raises:
        FileNotFoundError, ValueError: as `keypoint_files.read`; or its key points are not those of faces.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    images.check_arguments(batch_size, 3, "stretch", (0, 1), limit)
    image_shape = (image_size, image_size, 3)
    found = keypoint_files.read(name, image_shape, data_dir, limit=limit)
    count = len(found.body.names)
    if count not in PARTS or (count == 17 and not found.body.sigmas):
        raise ValueError(f"{name} has {count} key points; faces are known of sets with the 68 of a face or COCO's 17.")
    records = {key: rows[:limit] for key, rows in all_splits(found.splits).items()}
    scenes = {
        key: [scene(record, np.random.default_rng((SPLITS[key], i)), image_size) for i, record in enumerate(rows)]
        for key, rows in records.items()
    }
    with tf.device("CPU:0"):
        tables = {key: [tf.constant(np.stack(part)) for part in zip(*rows)] for key, rows in scenes.items()}
    order = Order.start(seed=seed, batch_size=batch_size, count=len(scenes["train"]), position=position)
    move = augment(found.body) if augment is not None else None

    @tf.autograph.experimental.do_not_convert
    def training(rows, batch_seed):
        pixels, points = (tf.gather(values, rows) for values in tables["train"])
        pixels = tf.cast(pixels, tf.float32) / 255.0
        return with_faces(*((pixels, points) if move is None else move(pixels, points, batch_seed)))

    def in_order(key):
        rows = tf.data.Dataset.from_tensor_slices(tuple(tables[key])).batch(batch_size)
        return rows.map(lambda pixels, points: with_faces(tf.cast(pixels, tf.float32) / 255.0, points))

    return FaceData(
        name=name,
        train=finalized(order.keys().map(training, tf.data.AUTOTUNE), (0, 1)),
        validation=finalized(in_order("validation"), (0, 1)),
        test=finalized(in_order("test"), (0, 1)),
        image_shape=image_shape,
        labels=LABELS,
        points=tuple(PARTS[count]),
        counts={key: len(rows) for key, rows in scenes.items()},
        position=order.position,
        note=f"{len(PARTS[count])} points of each face",
    )


def scene(record, rng, side):
    """A picture of a set on a ground, (side, side, 3) uint8, and its key points (K, 3); or the ground alone."""
    back = ground(rng, side)
    points = np.zeros_like(record.keypoints)
    if rng.random() >= EMPTY:
        picture = Image.fromarray(record.content) if isinstance(record.content, np.ndarray) else opened(record)
        longest = rng.uniform(FARTHEST, NEAREST) * side
        size = np.maximum(np.round(longest / max(record.size) * np.array(record.size)), 1).astype(int)  # height, width
        top, left = (int(rng.integers(0, side - part + 1)) for part in size)
        placed = picture.resize(tuple(size[::-1]), Image.Resampling.BILINEAR)
        back[top : top + size[0], left : left + size[1]] = np.asarray(placed)
        scale = size[::-1] / record.size[::-1]
        moved = np.concatenate([record.keypoints[:, :2] * scale + [left, top], record.keypoints[:, 2:]], axis=1)
        points = np.where(record.keypoints[:, 2:] > 0, moved, 0.0).astype("float32")
    back = back + rng.normal(0, 4, back.shape)
    return np.clip(np.round(back), 0, 255).astype("uint8"), points


def opened(record):
    """An encoded picture.  Raises ValueError if it is none."""
    try:
        return Image.open(io.BytesIO(record.content)).convert("RGB")
    except OSError as error:
        raise ValueError(f"{record.source} cannot be read ({error}); replace it.") from error


def with_faces(pixels, points):
    """Images and all key points (B, K, 3) -> images, and boxes, labels and the P points of the face.

    A face of which less than half of the points are visible counts as none.
    """
    count = points.shape[1]
    own = tf.gather(points, list(FACE[count]), axis=1)
    here = own[..., 2:] > 0
    low = tf.reduce_min(tf.where(here, own[..., :2], np.inf), axis=1)
    high = tf.reduce_max(tf.where(here, own[..., :2], -np.inf), axis=1)
    is_face = tf.reduce_mean(own[..., 2], axis=1) >= 0.5  # (B,)
    boxes = tf.where(is_face[:, None], tf.concat([low, high], axis=-1), 0.0)
    parts = [tf.gather(points, list(part), axis=1) for part in PARTS[count].values()]
    means = [tf.reduce_mean(part, axis=1) for part in parts]
    visible = [tf.reduce_min(part[..., 2:], axis=1) for part in parts]
    places = tf.stack([tf.concat([mean[:, :2], seen], axis=-1) * seen for mean, seen in zip(means, visible)], axis=1)
    places = tf.where(is_face[:, None, None], places, 0.0)
    labels = tf.where(is_face, 0, PADDING)[:, None]
    return pixels, {"boxes": boxes[:, None], "labels": labels, "keypoints": places[:, None]}
