"""Finds an image-classification set by its name and reads it in a fixed order.

Three kinds of names, tried in this order:
- a set that comes with a package: `digits` (see `embedded.py`);
- a folder of class sub-folders: `folder:photos`, or any path of an existing directory;
- any tensorflow_datasets name: `mnist`, `cifar10`, or one that lives only in the data directory.

The data directory is that of the environment variable TFDL_DATA_DIR, else tensorflow_datasets' own default.
Nothing is downloaded unless the caller says so or TFDL_DOWNLOAD=1 is set.
"""

import difflib
import hashlib
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf
import tensorflow_datasets as tfds

from tfdl.data.embedded import EMBEDDED

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
LAYOUTS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
TRAIN_SHARE, VALIDATION_SHARE = 0.8, 0.1  # of a folder without split sub-folders; the rest is the test split
NEIGHBORS = 4096  # encoded images held at once to shuffle a set of records that cannot be indexed


@dataclass(frozen=True, eq=False)
class Split:
    """`examples` yields (raw, label) `count` times, always in the same order; `Source.decode` turns raw to pixels."""

    count: int
    examples: tf.data.Dataset

    def part(self, start, stop):
        """Examples start ... stop - 1."""
        return Split(stop - start, self.examples.skip(start).take(stop - start))


@dataclass(frozen=True, eq=False)
class Source:
    """An image set as stored: sizes in `image_shape` are None where they differ from image to image."""

    name: str
    image_shape: tuple[int | None, int | None, int]
    labels: tuple[str, ...]
    splits: dict[str, Split]  # some of train, validation, test
    decode: Callable  # raw -> image (h, w, c) uint8
    window: int | None = None  # examples that can be held undecoded at once; None: all of them


def open_source(name, data_dir=None, download=False):
    """The source called `name`.

    Raises:
        FileNotFoundError: the set is known but not there.
        ValueError: nothing has this name, or it is no set of images with one label each.
    """
    download = download or os.environ.get("TFDL_DOWNLOAD") == "1"
    if name in EMBEDDED:
        return embedded_source(name)
    if name.startswith("folder:"):
        return folder_source(pathlib.Path(name.removeprefix("folder:")).expanduser())
    if pathlib.Path(name).expanduser().is_dir() and os.path.basename(name) != name:
        return folder_source(pathlib.Path(name).expanduser())
    return tfds_source(name, data_dir, download)


def embedded_source(name):
    """A set of `embedded.EMBEDDED`."""
    arrays, labels = EMBEDDED[name]()
    splits = {key: Split(len(x), tf.data.Dataset.from_tensor_slices((x, y))) for key, (x, y) in arrays.items()}
    return Source(name, arrays["train"][0].shape[1:], labels, splits, decode=tf.identity)


# tensorflow_datasets


def data_dir():
    """Where prepared sets are looked for."""
    return pathlib.Path(os.environ.get("TFDL_DATA_DIR") or tfds.core.constants.DATA_DIR).expanduser()


def names_in(folder):
    """Names of the prepared sets in `folder`, sorted: NAME/VERSION or NAME/CONFIG/VERSION with a dataset_info.json."""
    folder = pathlib.Path(folder)
    plain = {path.parent.parent.name for path in folder.glob("*/*/dataset_info.json")}
    configured = {
        f"{path.parts[-4]}/{path.parts[-3]}" for path in folder.glob("*/*/*/dataset_info.json") if path.parts[-3]
    }
    return sorted(plain | configured)


def tfds_splits(name, folder=None, download=False, decoders=None):
    """The prepared set's `info`, and split name -> tf.data.Dataset of feature dicts in stored order.

    Raises: as `require`.
    """
    folder = require(name, folder, download)
    datasets, info = tfds.load(
        name,
        data_dir=str(folder),
        download=download,
        shuffle_files=False,
        decoders=decoders,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),  # one file after the other
        with_info=True,
    )
    return info, datasets


def require(name, folder=None, download=False):
    """The folder that has the set or may be given it.

    Raises:
        FileNotFoundError: tensorflow_datasets knows the name, but the set is not in `folder` and may not be downloaded.
        ValueError: nothing has this name.
    """
    folder = pathlib.Path(folder).expanduser() if folder else data_dir()
    here = names_in(folder)
    base = name.split(":")[0]  # a name may carry a version, NAME:1.2.3
    if base in {*here, *(known.split("/")[0] for known in here)}:
        return folder
    if base.split("/")[0] not in tfds.list_builders(with_community_datasets=False):
        near = difflib.get_close_matches(name, sorted({*EMBEDDED, *here}), n=3, cutoff=0.0)
        raise ValueError(
            f"There is no set {name!r} in {folder}; the nearest names are {', '.join(near)}, and a folder of class "
            f"sub-folders is given as folder:PATH."
        )
    if not download:
        state = "which does not hold it" if folder.is_dir() else "which does not exist"
        raise FileNotFoundError(
            f"The set {name!r} was looked for in {folder}, {state}: set the environment variable TFDL_DATA_DIR to "
            f"a folder that has {base}/, or allow the download with TFDL_DOWNLOAD=1 (in Python, download=True)."
        )
    return folder


def tfds_source(name, folder, download):
    """A set whose examples have the features `image` and `label`.  Images stay encoded until they are needed."""
    folder = require(name, folder, download)
    features = dict(tfds.builder(name, data_dir=str(folder)).info.features.items())
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(
            f"The set {name!r} has the features {', '.join(features)}; to classify images, it needs an image and one "
            f"class label, called 'image' and 'label'."
        )
    info, datasets = tfds_splits(name, folder, download, decoders={"image": tfds.decode.SkipDecoding()})
    if "train" not in datasets:
        raise ValueError(f"The set {name!r} has the splits {', '.join(datasets)}; a split called train is needed.")
    splits = {
        key: Split(
            info.splits[key].num_examples,
            datasets[key].map(lambda example: (example["image"], tf.cast(example["label"], tf.int32))),
        )
        for key in LAYOUTS
        if key in datasets
    }

    def decode(raw):
        pixels = tf.io.decode_image(raw, channels=image.shape[-1], expand_animations=False)
        return tf.ensure_shape(pixels, image.shape)

    return Source(name, tuple(image.shape), tuple(label.names), splits, decode, NEIGHBORS)


# Folders


def folder_source(folder):
    """PNG, JPEG, BMP and GIF files in class sub-folders, or in train/, validation/ (val/) and test/ of such.

    Without split sub-folders, each file's split follows from a hash of its path below `folder`, so it stays in its
    split when others come or go: about 80 % train, 10 % validation, 10 % test.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give the path of a folder of class sub-folders.")
    inside = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if not inside:
        raise ValueError(f"The folder {folder} has no sub-folders; put the images of each class in one of its own.")
    if "train" in inside:
        roots = {key: folder / found for key, names in LAYOUTS.items() for found in names if found in inside}
        labels = tuple(sorted(path.name for path in roots["train"].iterdir() if path.is_dir()))
        files = {key: image_files(root, labels) for key, root in roots.items()}
    else:
        labels = tuple(sorted(inside))
        files = {key: [] for key in LAYOUTS}
        for path, label in image_files(folder, labels):
            share = fraction(path.relative_to(folder))
            after = (share >= TRAIN_SHARE) + (share >= TRAIN_SHARE + VALIDATION_SHARE)
            files[tuple(LAYOUTS)[after]].append((path, label))
    for key, found in files.items():
        if not found:
            raise ValueError(
                f"The folder {folder} gives no image to the split {key!r}; add images, or make sub-folders "
                f"train/, validation/ and test/ with class sub-folders in each."
            )
    splits = {}
    for key, found in files.items():
        paths, classes = zip(*found, strict=True)
        examples = tf.data.Dataset.from_tensor_slices(([str(path) for path in paths], tf.constant(classes, tf.int32)))
        splits[key] = Split(len(found), examples)
    return Source(str(folder), (None, None, 3), labels, splits, decode=read_image)


def image_files(root, labels):
    """(path, class number) of every image below `root`, in the order of the paths' hashes: classes come mixed."""
    extra = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name not in labels)
    if extra := [name for name in extra if not name.startswith(".")]:
        raise ValueError(f"The folder {root} has the classes {', '.join(extra)}, which train lacks; add them.")
    found = []
    for number, label in enumerate(labels):
        inside = [path for path in (root / label).rglob("*") if path.suffix.lower() in SUFFIXES]
        found += [(path, number) for path in inside if not path.name.startswith(".")]
    return sorted(found, key=lambda item: fraction(item[0].relative_to(root)))


def fraction(path):
    """A number in [0, 1) that depends on the path's letters alone."""
    return int.from_bytes(hashlib.sha256(path.as_posix().encode()).digest()[:8], "big") / 2**64


def read_image(path):
    """File name () string -> image (h, w, 3) uint8; an unreadable file's error names it."""

    def read(path):
        try:
            return tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0].split("} ")[-1]
            name = path.numpy().decode()
            raise ValueError(f"The image file {name} cannot be decoded ({reason}); replace or remove it.") from None

    image = tf.py_function(read, [path], tf.uint8)
    image.set_shape((None, None, 3))
    return image
