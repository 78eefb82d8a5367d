"""Any segmentation set as batches of images (B, H, W, C) in [0, 1] and of masks (B, H, W) int32, IGNORE where unknown.

    data = load("camvid", image_size=(192, 256), batch_size=8, augment=chain(random_flip(), random_affine()))
    model.fit(data.train, validation_data=data.validation, epochs=20)

Names: `shapes`, drawn here; a prepared set of tensorflow_datasets with `image` and `segmentation_mask`; or folder:PATH
with images/NAME.jpg and masks/NAME.png, both with train/, validation/, test/ inside or without, where a mask's pixel is
the number of its class and labels.txt may name the classes.  Masks are resized without mixing their numbers.

Order and augmentation are pure functions of (seed, epoch, step), see `order`.
"""

import functools
import math
import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfdl.core import pictures, static
from tfdl.core.batches import IGNORE
from tfdl.core.task import Task
from tfdl.data import folders, images, reading, shapes, sources
from tfdl.data.order import Order, finalized, of_run

RESIZES = ("stretch", "pad")
CAMVID = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
PETS = ("pet", "background", "border")
# Set -> class names, and the pixel value of the first class; all other values are unknown.
KNOWN = {"camvid": (tuple(CAMVID), 0), "oxford_pet_mini": (PETS, 1), "oxford_iiit_pet": (PETS, 1)}
SHAPE_COUNTS = {"train": 600, "validation": 100, "test": 100}
SHAPE_SIZE = 96


@dataclass(frozen=True, eq=False)
class SegmentationData:
    """A data set ready for `fit`; see the module and `images.ImageData`, whose fields mean the same here."""

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    image_shape: tuple[int, int, int]
    labels: tuple[str, ...]
    num_classes: int
    counts: dict[str, int]
    position: tf.Variable
    resize: str = "stretch"

    @property
    def short_name(self):
        """Name for run folders and titles."""
        return sources.short_name(self.name)

    @property
    def task(self):
        """The task of a model of these pictures, with the preparation of its input."""
        return Task(kind="segmentation", labels=self.labels, image_shape=self.image_shape, resize=self.resize)


def load(
    name,
    *,
    image_size,
    batch_size=8,
    resize="stretch",
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
        augment: applied to whole training batches, see `mask_augment`.
        resize: "stretch", or "pad" with black borders whose class is IGNORE.
        Others as in `detection.load`.

    Raises:
        FileNotFoundError: the set, or the mask of a picture, is missing.
        ValueError: the set has no masks, a mask has another size than its picture, or an argument is out of its range.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    images.check_arguments(batch_size, 3, resize, (0, 1), limit)
    if resize not in RESIZES:
        raise ValueError(f"resize is {resize!r}; give {' or '.join(RESIZES)}.")
    height, width = images.sides(image_size)
    image_shape, stored_shape = (height, width, 3), (height, width, 4)
    labels, first, splits, decode = opened(name, data_dir, download)
    splits = all_splits(splits)
    if limit is not None:
        splits = {key: (rows.take(limit), min(limit, count)) for key, (rows, count) in splits.items()}

    @functools.partial(tf.function, autograph=False)
    def together(raw):
        """Pixels and classes as four channels, which are kept and shuffled like any picture."""
        pixels, mask = decode(raw)
        is_same = tf.reduce_all(tf.shape(pixels)[:2] == tf.shape(mask)[:2])
        complaint = "a mask has not its picture's size"
        with tf.control_dependencies([tf.raw_ops.Assert(condition=is_same, data=[complaint])]):
            mask = resized_mask(mask, image_shape, resize)
        return tf.concat([pictures.resize(pixels, image_shape, resize), mask], axis=-1)

    with tf.device("CPU:0"):
        kept = {}
        total = sum(count for _, count in splits.values())
        for key, (rows, count) in splits.items():
            records = reading.Records(rows, count, together, sources.SHUFFLE_WINDOW)
            fits = total * math.prod(stored_shape) <= images.CACHE_BYTES
            kept[key] = reading.held(records, stored_shape)[0] if fits else records
        if labels is None:
            labels = tuple(str(number) for number in range(1 + largest(kept["train"])))
        order = Order.start(seed=seed, batch_size=batch_size, count=len(kept["train"]), position=position)
        train = kept["train"].train(order)
        sizes = {key: static.evaluation_batch(len(kept[key]), batch_size) for key in ("validation", "test")}
        evaluation = {key: kept[key].in_order(size) for key, size in sizes.items()}
    known = np.full(256, IGNORE, "int32")
    known[first : first + len(labels)] = np.arange(len(labels))
    known = tf.constant(known)

    @tf.autograph.experimental.do_not_convert
    def split(size, stored, rows, batch_seed=None):
        if static.is_required():
            stored = tf.ensure_shape(stored, (size, *stored_shape))
        pixels = tf.cast(stored[..., :3], tf.float32) / 255.0
        masks = tf.gather(known, tf.cast(stored[..., 3], tf.int32))
        if augment is not None and batch_seed is not None:
            pixels, masks = augment(pixels, masks, batch_seed)
        return pixels, masks

    return SegmentationData(
        name=name,
        train=finalized(train.map(functools.partial(split, batch_size), tf.data.AUTOTUNE), (0, 1)),
        **{
            key: finalized(rows.map(functools.partial(split, sizes[key]), tf.data.AUTOTUNE), (0, 1))
            for key, rows in evaluation.items()
        },
        image_shape=image_shape,
        labels=labels,
        num_classes=len(labels),
        counts={key: len(part) for key, part in kept.items()},
        position=order.position,
        resize=resize,
    )


def opened(name, data_dir, download):
    """(labels or None, value of the first class, split -> (dataset of (raw, row), count), decode of raw)."""
    if name == "shapes":
        return of_shapes()
    if name.startswith("folder:") or pathlib.Path(name).expanduser().is_dir():
        return of_folder(pathlib.Path(name.removeprefix("folder:")).expanduser())
    return of_tfds(name, data_dir, download)


def all_splits(splits):
    """All three splits; a missing test split, then a missing validation split, is the last tenth of train."""
    splits = dict(splits)
    if "train" not in splits:
        raise ValueError(f"There are the splits {', '.join(splits)}, and none to train on; name one of them train.")
    for key in ("test", "validation"):
        if key not in splits:
            rows, count = splits["train"]
            left = count - max(1, count // 10)
            if left < 1:
                raise ValueError(f"{count} pictures are too few to take a {key} split from; give three or more.")
            splits |= {"train": (rows.take(left), left), key: (rows.skip(left), count - left)}
    return {key: splits[key] for key in ("train", "validation", "test")}


def of_shapes():
    """Shapes on a ground, drawn from a seed."""
    splits = {}
    for key, (pixels, masks) in shapes.shape_masks(SHAPE_COUNTS, size=SHAPE_SIZE).items():
        stored = np.concatenate([pixels, masks[..., None]], axis=-1)  # (N, H, W, 4)
        rows = tf.data.Dataset.from_tensor_slices((stored, np.arange(len(stored), dtype="int32")))
        splits[key] = rows, len(stored)
    return (*shapes.SHAPES, "ground"), 0, splits, lambda raw: (raw[..., :3], raw[..., 3:])


def of_folder(folder):
    """images/ and masks/, with splits inside or without."""
    if not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        raise FileNotFoundError(f"{folder} needs the folders images and masks; masks are .png files of class numbers.")
    names = {split: spellings for split, spellings in folders.SPLITS.items()}
    parts = {
        split: folder / "images" / word
        for split, spellings in names.items()
        for word in spellings
        if (folder / "images" / word).is_dir()
    } or {"train": folder / "images"}
    splits = {}
    for split, place in parts.items():
        paths = []
        for path in sorted(p for p in place.iterdir() if p.suffix.lower() in pictures.SUFFIXES):
            mask = folder / "masks" / path.relative_to(folder / "images").with_suffix(".png")
            if not mask.is_file():
                raise FileNotFoundError(f"The picture {path} has no mask {mask}; add it, or remove the picture.")
            paths.append([str(path), str(mask)])
        if not paths:
            raise ValueError(f"{place} has no pictures.")
        rows = tf.data.Dataset.from_tensor_slices((paths, np.arange(len(paths), dtype="int32")))
        splits[split] = rows, len(paths)
    file = folder / "labels.txt"
    labels = tuple(file.read_text(encoding="utf-8").split("\n")) if file.is_file() else None
    labels = tuple(label.strip() for label in labels if label.strip()) if labels else None
    return labels, 0, splits, lambda raw: decoded(tf.io.read_file(raw[0]), tf.io.read_file(raw[1]))


def of_tfds(name, data_dir, download):
    """A prepared set, whose examples stay encoded until they are needed."""
    folder = sources.require(name, data_dir, download)
    skip = {"image": tfds.decode.SkipDecoding(), "segmentation_mask": tfds.decode.SkipDecoding()}
    features = dict(tfds.builder(name, data_dir=str(folder)).info.features.items())
    if not {"image", "segmentation_mask"} <= features.keys():
        raise ValueError(
            f"The data set {name!r} has the features {', '.join(features)}; for segmentation it needs 'image' and"
            " 'segmentation_mask'."
        )
    info, datasets = sources.tfds_splits(name, folder, download, decoders=skip)

    def row(number, example):
        return tf.stack([example["image"], example["segmentation_mask"]]), tf.cast(number, tf.int32)

    splits = {
        key: (datasets[key].enumerate().map(row), info.splits[key].num_examples)
        for key in sources.SPLITS
        if key in datasets
    }
    labels, first = KNOWN.get(name.split(":")[0], (None, 0))
    return labels, first, splits, lambda raw: decoded(raw[0], raw[1])


# Pixels


def decoded(image, mask):
    """Encoded picture and mask -> (h, w, 3) uint8 and (h, w, 1) uint8."""
    pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
    classes = tf.io.decode_image(mask, channels=1, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, 3)), tf.ensure_shape(classes, (None, None, 1))


def resized_mask(mask, image_shape, resize):
    """(h, w, 1) uint8 -> (H, W, 1) uint8, the nearest pixel's class; IGNORE in the borders of "pad"."""
    height, width = image_shape[:2]
    if resize == "stretch":
        return tf.image.resize(mask, (height, width), "nearest")
    stored, size = tf.cast(tf.shape(mask)[:2], tf.float32), tf.constant([height, width])
    inner = tf.maximum(tf.cast(tf.round(stored / tf.reduce_max(stored / tf.cast(size, tf.float32))), tf.int32), 1)
    before = (size - inner) // 2
    padding = tf.concat([tf.stack([before, size - inner - before], axis=1), [[0, 0]]], axis=0)
    padded = tf.pad(tf.image.resize(mask, inner, "nearest"), padding, constant_values=IGNORE)
    return tf.ensure_shape(padded, (height, width, 1))


def largest(split):
    """The largest class number of a split, IGNORE left out."""
    found = 0
    for stored, _ in split.in_order(32):
        values = stored[..., 3].numpy()
        found = max(found, int(values[values != IGNORE].max(initial=0)))
    return found
