"""Clouds of points with a class, or with one for each point: batches of points (B, N, 3) float32, and labels int32, (B)
or (B, N).

    data = load("solids", points=256, batch_size=32, augment=chain(random_turn(), random_jitter()))

Names, both drawn here: `solids`, and `joined`, things put together of solids, each of whose points has the class of its
part, see `joined_solids`.  Or a file .npz, or NAME/NAME.npz in the data directory, with the arrays train_points
(M, P, 3) and train_label, (M) or (M, P), the same for test, and class_names.  Each cloud has its center at 0 and its
farthest point at a distance of 1.  Order and augmentation are pure functions of (seed, epoch, step), see `order`.

Source of the augmentation: Qi et al. 2016, arXiv:1612.00593, section 5.1.
"""

import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.clouds import normalized
from tfdl.core.task import Task
from tfdl.data import joined_solids, sources
from tfdl.data.order import Order, finalized, of_run

SOLIDS = ("sphere", "cube", "cylinder", "cone", "torus", "pyramid", "ellipsoid", "prism", "ring")
SOLID_COUNTS = {"train": 900, "validation": 135, "test": 180}
SOLID_POINTS = 512
FRACTION = 0.1  # of the training clouds: a missing validation split


@dataclass(frozen=True, eq=False)
class PointData:
    """A data set ready for `fit`; see `images.ImageData`, whose fields mean the same here."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    points: int
    labels: tuple[str, ...]
    num_classes: int
    counts: dict[str, int]
    class_counts: dict[str, np.ndarray]
    position: tf.Variable

    per_point: bool = False  # whether each point has a class

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return pathlib.Path(self.name).stem

    @property
    def task(self):
        """The task of a model of these clouds."""
        kind = "point_segmentation" if self.per_point else "point_classification"
        return Task(kind=kind, labels=self.labels, points=self.points)


def load(name, *, points=512, batch_size=32, augment=None, run=None, seed=0, position=None, limit=None, data_dir=None):
    """Loads the data set `name`.

    Args:
        points: N, the first ones of each stored cloud.
        batch_size: clouds in a global batch.
        augment: (points (B, N, 3), seed (2)) -> points, applied to training batches.
        run: a session, whose seed, position and limit replace the arguments.
        limit: use only the first clouds of each split.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has other arrays, or clouds of fewer points.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    drawn = {"solids": solids, "joined": joined_solids.splits}
    splits, labels = drawn[name]() if name in drawn else stored(name, data_dir)
    if batch_size < 1 or points < 1:
        raise ValueError(f"load got points={points} and batch_size={batch_size}; give 1 or more of each.")
    fewest = min(clouds.shape[1] for clouds, _ in splits.values())
    if points > fewest:
        raise ValueError(f"points is {points}, but the clouds of {name} have {fewest}; give that many or fewer.")
    per_point = splits["train"][1].ndim == 2
    splits = {
        key: (normalized(x[:limit, :points]), y[:limit, :points] if per_point else y[:limit])
        for key, (x, y) in splits.items()
    }
    order = Order.start(seed=seed, batch_size=batch_size, count=len(splits["train"][1]), position=position)
    with tf.device("CPU:0"):
        clouds, numbers = (tf.constant(values) for values in splits["train"])

    @tf.autograph.experimental.do_not_convert
    def batch(rows, batch_seed):
        x = tf.gather(clouds, rows)
        if static.is_required():
            x = tf.ensure_shape(x, (batch_size, points, 3))
        return (x if augment is None else augment(x, batch_seed)), tf.gather(numbers, rows)

    def in_order(key):
        size = static.evaluation_batch(len(splits[key][1]), batch_size)
        return tf.data.Dataset.from_tensor_slices(splits[key]).batch(size, static.is_required())

    return PointData(
        name=name,
        train=finalized(order.keys().map(batch, tf.data.AUTOTUNE), (0, 1)),
        validation=finalized(in_order("validation"), (0, 1)),
        test=finalized(in_order("test"), (0, 1)),
        points=points,
        labels=labels,
        num_classes=len(labels),
        counts={key: len(y) for key, (_, y) in splits.items()},
        class_counts={key: np.bincount(y.ravel(), minlength=len(labels)) for key, (_, y) in splits.items()},
        position=order.position,
        per_point=per_point,
    )


def stored(name, data_dir):
    """Split -> (clouds (M, P, 3), labels (M)), and class names, of a file."""
    path = pathlib.Path(name).expanduser()
    if path.suffix != ".npz":
        path = pathlib.Path(data_dir or sources.data_dir()).expanduser() / name / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}; give solids, joined, a file .npz, or a name in the data directory."
        )
    with np.load(path, allow_pickle=False) as file:
        wanted = ("train_points", "train_label", "test_points", "test_label", "class_names")
        if missing := [key for key in wanted if key not in file]:
            raise ValueError(f"{path} has no array {missing[0]}; it needs {', '.join(wanted)}.")
        arrays = {key: file[key] for key in file.files}
    splits = {
        key: (arrays[f"{key}_points"].astype("float32"), arrays[f"{key}_label"].astype("int32"))
        for key in ("train", "validation", "test")
        if f"{key}_points" in arrays
    }
    for key, (x, y) in splits.items():
        fits = x.ndim == 3 and x.shape[-1] == 3 and y.shape in (x.shape[:1], x.shape[:2])
        if not fits or not np.isfinite(x).all():
            raise ValueError(
                f"{path}: {key}_points is {x.shape} for labels {y.shape}; give finite (M, P, 3) for (M), or (M, P)."
            )
    if "validation" not in splits:
        x, y = splits["train"]
        order = np.random.default_rng(0).permutation(len(y))  # stored by class in some files
        left = len(y) - max(1, int(len(y) * FRACTION))
        splits |= {"train": (x[order[:left]], y[order[:left]]), "validation": (x[order[left:]], y[order[left:]])}
    return splits, tuple(map(str, arrays["class_names"]))


# Augmentation


def chain(*augmentations):
    """Applies augmentations one after the other, each with its own seed."""

    def augment(points, seed):
        for stage, augmentation in enumerate(augmentations):
            points = augmentation(points, tf.random.experimental.stateless_fold_in(seed, stage))
        return points

    return augment


def random_turn():
    """Turns each cloud about the z axis by a random angle."""

    def augment(points, seed):
        angle = tf.random.stateless_uniform((tf.shape(points)[0],), seed, 0.0, 2 * np.pi)
        cosine, sine, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
        rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1.0]
        return tf.matmul(points, tf.reshape(tf.stack(rows, axis=1), (-1, 3, 3)))

    return augment


def random_jitter(deviation=0.02):
    """Moves each point by Gaussian noise."""
    if not deviation >= 0.0:
        raise ValueError(f"random_jitter got deviation={deviation}; give 0 or more.")

    def augment(points, seed):
        return points + deviation * tf.random.stateless_normal(tf.shape(points), seed)

    return augment


# Solids


def solids(seed=0):
    """Split -> (clouds (M, 512, 3), labels (M)), and the names; proportions are random, and turned about z."""
    splits = {}
    for number, (key, count) in enumerate(SOLID_COUNTS.items()):
        rows = [solid(np.random.default_rng((seed, number, i)), i % len(SOLIDS)) for i in range(count)]
        splits[key] = np.stack(rows).astype("float32"), (np.arange(count) % len(SOLIDS)).astype("int32")
    return splits, SOLIDS


def solid(rng, label):
    """SOLID_POINTS points on the surface of a solid."""
    n, name = SOLID_POINTS, SOLIDS[label]
    angle, t = rng.uniform(0, 2 * np.pi, n), rng.random(n)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)  # (n, 2)
    height = rng.uniform(0.8, 1.6)
    if name in ("sphere", "ellipsoid"):
        z = 2 * t - 1
        x = np.concatenate([np.sqrt(1 - z**2)[:, None] * circle, z[:, None]], 1)
        x = x if name == "sphere" else x * [1.0, rng.uniform(0.35, 0.55), rng.uniform(0.35, 0.55)]
    elif name in ("cube", "prism"):
        x = rng.uniform(-1, 1, (n, 3))
        x[np.arange(n), rng.integers(0, 3, n)] = rng.choice([-1.0, 1.0], n)
        x = x if name == "cube" else x * [1.0, rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5)]
    elif name in ("cylinder", "cone"):
        on_side = rng.random(n) < 0.7
        radius = np.where(on_side, 1.0 if name == "cylinder" else np.sqrt(t), np.sqrt(rng.random(n)))
        top = rng.choice([-1.0, 1.0], n) if name == "cylinder" else -1.0
        z = np.where(on_side, 2 * t - 1 if name == "cylinder" else 1 - 2 * np.sqrt(t), top)
        x = np.concatenate([radius[:, None] * circle, height * z[:, None]], 1)
    elif name in ("torus", "ring"):
        thick = rng.uniform(0.3, 0.45) if name == "torus" else rng.uniform(0.06, 0.12)
        turn = rng.uniform(0, 2 * np.pi, n)
        x = np.concatenate([(1 + thick * np.cos(turn))[:, None] * circle, thick * np.sin(turn)[:, None]], 1)
    else:  # a pyramid: four sides and a base
        level = np.where(rng.random(n) < 0.7, 1 - np.sqrt(t), 0.0)
        edge = rng.uniform(-1, 1, (n, 2))
        on_edge = rng.integers(0, 2, n)
        side = level > 0
        edge[np.arange(n)[side], on_edge[side]] = rng.choice([-1.0, 1.0], n)[side]
        x = np.concatenate([edge * (1 - level)[:, None], 1.5 * height * level[:, None]], 1)
    turn = rng.uniform(0, 2 * np.pi)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    return x @ matrix + rng.normal(0, 0.01, (n, 3))
