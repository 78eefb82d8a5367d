"""Clouds of a LiDAR and the cars in them, as batches of points (B, P, 4) and of boxes (B, N, 7) with labels (B, N).

    data = load("scenes", points=4096, batch_size=4, augment=chain(random_objects(), random_scale(), random_turn()))
    model.fit(data.train, validation_data=data.validation, epochs=12)

Names: `scenes`, drawn here; `kitti`, the frames in the data directory that have cars, and `kitti:FRAME`, one of them,
which is all splits at once: what a network learns by heart; see `kitti_frames`.

Points are x, y, z in meters and the reflectance in [0, 1].  P of a cloud are drawn without repetition in random order,
so that the first of a voxel are a random sample too; a cloud with fewer ends with points outside of everything.  Boxes
are those of `tfdl.ops.boxes_3d`; rows behind a cloud's objects are zeros with the label -1.  `ignored` (B, N) marks
objects that training and evaluation leave alone, since too few points are on them or they are of a class that looks
alike.

Order, sampling and augmentation are pure functions of (seed, epoch, step), see `order`; a drawn scene is one of (seed,
split, number).
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import OUTSIDE, PADDING
from tfdl.core.task import Task
from tfdl.data import kitti_frames, sources
from tfdl.data.order import Order, finalized, of_run

SCENE_COUNTS = {"train": 500, "validation": 40, "test": 100}
REPEATS = 50  # of KITTI's frames in an epoch of training: there are so few
FEATURES = 4  # x, y, z, reflectance
SAMPLING = 4_000_000  # folded into a batch's seed for the choice of points

# Drawn scenes; lengths in meters
GROUND = -1.73  # below the sensor, as KITTI's is mounted
ELEVATIONS = np.radians(np.linspace(-18, 2, 36))  # of the beams; KITTI's Velodyne HDL-64E has 64 from -24.8 to 2
AZIMUTHS = np.radians(np.linspace(-45, 45, 128))
FARTHEST = 30.0
NOISE = 0.02  # standard deviation of a measured distance
CAR, SPREAD = np.array([3.9, 1.6, 1.56]), np.array([0.25, 0.1, 0.1])  # mean and deviation of the sizes
CABIN = np.array([0.55, 0.85, 0.45])  # size of a car's cabin as parts of the car, on a body of the remaining height
TURN = 0.2  # deviation of the angle to the street, along or across which all stand
CLUTTER = {  # smallest and largest length, width, height
    "pole": ((0.2, 0.2, 2.5), (0.4, 0.4, 4.0)),
    "wall": ((2.0, 0.2, 1.2), (8.0, 0.4, 2.5)),
    "bin": ((0.6, 0.6, 0.8), (1.5, 1.5, 1.6)),
    "hedge": ((2.0, 0.6, 0.6), (6.0, 1.2, 1.2)),
}
FEWEST = 20  # points on a car that has to be found


class Scene(NamedTuple):
    """One cloud.

    Attributes:
        points: (M, 4) float32.
        boxes: (n, 7) float32.
        labels: (n,) int32.
        ignored: (n,) bool.
        name: of the frame.
    """

    points: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    name: str


@dataclass(frozen=True, eq=False)
class SceneData:
    """A data set ready for `fit`; see the module and `images.ImageData`, whose fields mean the same here."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    points: int
    labels: tuple[str, ...]
    num_classes: int
    counts: dict[str, int]  # split -> clouds
    objects: dict[str, int]  # split -> objects to be found
    position: tf.Variable
    scenes: dict = dataclasses.field(default_factory=dict)  # split -> `Scene`s

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return sources.short_name(self.name.replace(":", "_"))

    @property
    def task(self):
        """The task of a model of these clouds."""
        return Task(kind="point_detection", labels=self.labels, points=self.points, features=FEATURES)


def load(
    name="scenes",
    *,
    points=4096,
    batch_size=4,
    augment=None,
    run=None,
    seed=0,
    position=None,
    limit=None,
    data_dir=None,
):
    """Loads the data set `name`.

    Args:
        points: P.
        batch_size: clouds in a global batch.
        augment: (points (B, P, 4), boxes (B, N, 7), labels (B, N), seed (2)) -> the same three, applied to training
            batches; see `scene_augment`.
        run: a session, whose seed, position and limit replace the arguments.
        limit: use only the first clouds of each split.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown name or frame, or an argument out of range.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    if batch_size < 1 or points < 1:
        raise ValueError(f"load got points={points} and batch_size={batch_size}; give 1 or more of each.")
    scenes = {key: rows[:limit] for key, rows in read(name, limit, data_dir).items()}
    size = max(1, *(len(scene.boxes) for rows in scenes.values() for scene in rows))
    order = Order.start(seed=seed, batch_size=batch_size, count=len(scenes["train"]), position=position)
    with tf.device("CPU:0"):
        tables = {key: table(rows, size) for key, rows in scenes.items()}

    @tf.autograph.experimental.do_not_convert
    def training(rows, batch_seed):
        clouds, boxes, labels, ignored = (tf.gather(values, rows) for values in tables["train"])
        if static.is_required():
            clouds = tf.ensure_shape(clouds, (batch_size, *clouds.shape[1:]))
        clouds = sampled(clouds, points, tf.random.experimental.stateless_fold_in(batch_seed, SAMPLING))
        if augment is not None:
            clouds, boxes, labels = augment(clouds, boxes, labels, batch_seed)
        return clouds, {"boxes": boxes, "labels": labels, "ignored": ignored}

    def in_order(key):
        clouds, *truth = tables[key]
        clouds = fitted(clouds[:, :points], points)  # they are stored in random order
        size = static.evaluation_batch(len(scenes[key]), batch_size)
        rows = (clouds, dict(zip(("boxes", "labels", "ignored"), truth)))
        return tf.data.Dataset.from_tensor_slices(rows).batch(size, static.is_required())

    return SceneData(
        name=name,
        train=finalized(order.keys().map(training, tf.data.AUTOTUNE), (0, 1)),
        validation=finalized(in_order("validation"), (0, 1)),
        test=finalized(in_order("test"), (0, 1)),
        points=points,
        labels=("car",),
        num_classes=1,
        counts={key: len(rows) for key, rows in scenes.items()},
        objects={key: sum(int(np.sum(~scene.ignored)) for scene in rows) for key, rows in scenes.items()},
        position=order.position,
        scenes=scenes,
    )


def read(name, limit, data_dir):
    """split -> `Scene`s."""
    if name == "scenes":
        counts = {key: count if limit is None else min(count, limit) for key, count in SCENE_COUNTS.items()}
        return {key: [scene(0, key, i) for i in range(count)] for key, count in counts.items()}
    kind, _, frame = name.partition(":")
    if kind != "kitti":
        raise ValueError(f"There are no scenes {name!r}; give scenes, kitti, or kitti:FRAME.")
    frames = [Scene(*fields) for fields in kitti_frames.read(frame, data_dir)]
    frames = [one._replace(points=mixed(one.points, np.random.default_rng(0))) for one in frames]
    return {key: frames * REPEATS if key == "train" else frames for key in SCENE_COUNTS}


def table(scenes, size):
    """The scenes as tensors: points (n, M, 4), boxes (n, N, 7), labels (n, N), ignored (n, N)."""
    most = max(len(scene.points) for scene in scenes)
    points = np.full((len(scenes), most, FEATURES), OUTSIDE, "float32")
    boxes = np.zeros((len(scenes), size, 7), "float32")
    labels = np.full((len(scenes), size), PADDING, "int32")
    ignored = np.zeros((len(scenes), size), bool)
    for row, one in enumerate(scenes):
        count = len(one.boxes)
        points[row, : len(one.points)] = one.points
        boxes[row, :count], labels[row, :count], ignored[row, :count] = one.boxes, one.labels, one.ignored
    return tuple(tf.constant(values) for values in (points, boxes, labels, ignored))


def sampled(clouds, count, seed):
    """`count` points of each cloud (B, M, D), without repetition in random order; those outside come last.

    -> (B, count, D)
    """
    keys = tf.random.stateless_uniform(tf.shape(clouds)[:2], seed)
    keys = tf.where(clouds[..., 0] >= OUTSIDE, 2.0, keys)
    order = tf.argsort(keys, axis=-1)[:, :count]
    return fitted(tf.gather(clouds, order, batch_dims=1), count)


def fitted(clouds, count):
    """Clouds of at most `count` points (B, M, D), with points outside of everything behind them.  -> (B, count, D)"""
    missing = max(0, count - clouds.shape[1]) if clouds.shape[1] is not None else count - tf.shape(clouds)[1]
    clouds = tf.pad(clouds, [(0, 0), (0, missing), (0, 0)], constant_values=OUTSIDE)
    return tf.ensure_shape(clouds, (None, count, FEATURES))


# Drawn scenes


def scene(seed, split, number):
    """A street in front of a LiDAR: cars, clutter and the ground, each beam ending at what it meets first."""
    rng = np.random.default_rng((seed, list(SCENE_COUNTS).index(split), number))
    cars, clutter = placed(rng)
    solids = np.concatenate([*map(parts, cars), clutter])
    owner = np.concatenate([np.repeat(np.arange(len(cars)), 2), np.full(len(clutter), -1)])
    directions = beams()
    distance = distances(directions, solids)  # (R, S)
    floor = np.where(directions[:, 2] < 0, GROUND / np.minimum(directions[:, 2], -1e-9), np.inf)
    all_distances = np.concatenate([distance, floor[:, None]], axis=1)
    nearest = all_distances.argmin(1)
    far = all_distances[np.arange(len(nearest)), nearest]
    is_hit = far < FARTHEST
    met = np.append(owner, -1)[nearest]
    shine = np.append(rng.uniform(0.05, 0.9, len(solids)), 0.2)[nearest]  # cars and clutter alike
    shine = np.clip(shine + rng.normal(0, 0.05, len(nearest)), 0, 1)
    far = far + rng.normal(0, NOISE, len(far))
    points = np.concatenate([directions * np.where(is_hit, far, 0)[:, None], shine[:, None]], axis=1)[is_hit]
    hits = np.bincount(met[is_hit & (met >= 0)], minlength=len(cars))
    return Scene(
        mixed(points.astype("float32"), rng),
        cars.astype("float32"),
        np.zeros(len(cars), "int32"),
        hits < FEWEST,
        f"{split}-{number}",
    )


def mixed(points, rng):
    """The points in random order."""
    return points[rng.permutation(len(points))]


def placed(rng):
    """Cars (n, 7) and clutter (m, 7) that stand apart on the ground, in the view of the sensor."""
    kinds = list(CLUTTER)
    wanted = ["car"] * rng.integers(1, 6) + [kinds[i] for i in rng.integers(0, len(kinds), rng.integers(2, 8))]
    circles, boxes = [], {True: [], False: []}
    for kind in wanted:
        size = rng.normal(CAR, SPREAD) if kind == "car" else rng.uniform(*CLUTTER[kind])
        radius = np.hypot(*size[:2]) / 2
        for _ in range(20):
            x = rng.uniform(4.0, 18.0)
            y = rng.uniform(-1, 1) * min(8.5, 0.9 * x)
            if all(np.hypot(x - a, y - b) > radius + r for a, b, r in circles):
                circles.append((x, y, radius))
                yaw = np.pi / 2 * rng.integers(-2, 2) + rng.normal(0, TURN)
                boxes[kind == "car"].append((x, y, GROUND + size[2] / 2, *size, yaw))
                break
    return (np.array(boxes[is_car]).reshape(-1, 7) for is_car in (True, False))


def parts(car):
    """Body and cabin of a car, which stands a little behind its middle.  (7) -> (2, 7)"""
    x, y, z, length, width, height, yaw = car
    low, back = (1 - CABIN[2]) * height, 0.05 * length
    body = (x, y, z - height / 2 + low / 2, length, width, low, yaw)
    top = z + height / 2 - CABIN[2] * height / 2
    return np.array([body, (x - back * np.cos(yaw), y - back * np.sin(yaw), top, *CABIN * car[3:6], yaw)])


def beams():
    """Directions of the beams.  -> (R, 3), of length 1"""
    up, aside = (values.ravel() for values in np.meshgrid(ELEVATIONS, AZIMUTHS, indexing="ij"))
    return np.stack([np.cos(up) * np.cos(aside), np.cos(up) * np.sin(aside), np.sin(up)], axis=1).astype("float32")


def distances(directions, boxes):
    """How far each beam from 0 goes until it enters each box, infinity where it misses.  (R, 3), (S, 7) -> (R, S)"""
    x, y, z, length, width, height, yaw = boxes.astype("float32").T  # (S,) each
    cosine, sine = np.cos(yaw), np.sin(yaw)
    enters, leaves = -np.inf, np.inf
    for start, course, size in (  # along each axis of the box, between its two sides
        (-(cosine * x + sine * y), directions[:, :1] * cosine + directions[:, 1:2] * sine, length),
        (-(cosine * y - sine * x), directions[:, 1:2] * cosine - directions[:, :1] * sine, width),
        (-z, directions[:, 2:] + 0 * z, height),
    ):
        slowness = 1 / np.where(np.abs(course) < 1e-9, np.float32(1e-9), course)  # (R, S)
        middle, half = -start * slowness, np.abs(size / 2 * slowness)
        enters, leaves = np.maximum(enters, middle - half), np.minimum(leaves, middle + half)
    return np.where((enters <= leaves) & (enters > 0), enters, np.inf)
