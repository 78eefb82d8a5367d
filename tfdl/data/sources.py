"""Finds an image-classification data set by its name and reads it in a fixed order.

Three kinds of names, tried in this order:
- a set that comes with a package: `digits` (see `embedded.py`);
- a folder of class sub-folders: `folder:photos`, or the path of an existing directory;
- a tensorflow_datasets name: `mnist`, `cifar10`, or one that exists only in the data directory.

The data directory is given by the environment variable TFDL_DATA_DIR; the default is that of tensorflow_datasets.
Nothing is downloaded unless the caller requests it or TFDL_DOWNLOAD=1 is set.
"""

import contextlib
import difflib
import os
import pathlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format

from tfdl.core import pictures
from tfdl.data import folders
from tfdl.data.embedded import EMBEDDED

SPLITS = ("train", "validation", "test")
SHUFFLE_WINDOW = 4096  # encoded images in memory at once to shuffle records, which cannot be indexed


@dataclass(frozen=True, eq=False)
class Split:
    """`examples` yields (raw, label) `count` times, always in the same order; see `Source.decode`."""

    count: int
    examples: tf.data.Dataset

    def part(self, start, stop):
        """Examples start ... stop - 1."""
        return Split(stop - start, self.examples.skip(start).take(stop - start))


@dataclass(frozen=True, eq=False)
class Listed:
    """A split of picture files."""

    paths: tuple[str, ...]
    labels: np.ndarray  # (N) int32

    @property
    def count(self):
        return len(self.paths)

    def part(self, start, stop):
        """Examples start ... stop - 1."""
        return Listed(self.paths[start:stop], self.labels[start:stop])


@dataclass(frozen=True, eq=False)
class Source:
    """An image set as stored; sizes in `image_shape` are None if they differ between images."""

    name: str
    image_shape: tuple[int | None, int | None, int]
    labels: tuple[str, ...]
    splits: dict[str, Split | Listed]  # some of train, validation, test
    decode: Callable  # (raw, image_shape, resize) -> image_shape uint8
    window: int | None = None  # undecoded examples in memory at once; None: all of them


def open_source(name, data_dir=None, download=False, **splitting):
    """The source called `name`.

    Args:
        splitting: for folders, see `folders.read`.

    Raises:
        FileNotFoundError: the set is known but not in the data directory.
        ValueError: there is no set of this name, or it does not consist of images with one label each.
    """
    download = download or os.environ.get("TFDL_DOWNLOAD") == "1"
    if name in EMBEDDED:
        return embedded_source(name)
    if name.startswith("folder:"):
        return folder_source(pathlib.Path(name.removeprefix("folder:")).expanduser(), **splitting)
    if pathlib.Path(name).expanduser().is_dir() and (os.path.basename(name) != name or not is_set(name, data_dir)):
        return folder_source(pathlib.Path(name).expanduser(), **splitting)
    return tfds_source(name, data_dir, download)


def is_set(name, folder=None):
    """Whether tensorflow_datasets has a set of this name, prepared or not; it takes precedence over a folder."""
    base = name.split(":")[0]
    here = names_in(pathlib.Path(folder).expanduser() if folder else data_dir())
    return base in here or base in tfds.list_builders(with_community_datasets=False)


def short_name(name):
    """A name for files and titles: "photos" for folder:/some/where/photos, "mnist" for mnist:3.0.1."""
    if name.startswith("folder:") or os.path.basename(name) != name:
        path = pathlib.Path(name.removeprefix("folder:")).expanduser()
        if name.startswith("folder:") or path.is_dir():
            name = path.resolve().name
    name = re.sub(r":\d+\.\d+\.\d+$", "", name)
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "images"


def embedded_source(name):
    """A set of `embedded.EMBEDDED`."""
    arrays, labels = EMBEDDED[name]()
    splits = {key: Split(len(x), tf.data.Dataset.from_tensor_slices((x, y))) for key, (x, y) in arrays.items()}
    return Source(name, arrays["train"][0].shape[1:], labels, splits, decode=pictures.resize)


# tensorflow_datasets


def data_dir():
    """The folder of prepared sets."""
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

    Raises as `require` does.
    """
    folder = require(name, folder, download)
    with undamaged(name, folder):
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


@contextlib.contextmanager
def undamaged(name, folder):
    """Converts tensorflow_datasets' error about a broken dataset_info.json into a ValueError that names the set."""
    try:
        yield
    except json_format.ParseError as error:
        reason = str(error).partition("Failed to load JSON:")[2].strip() or str(error)
        raise ValueError(
            f"The dataset_info.json of {name!r} in {folder} is damaged ({reason}); copy the set again, or correct "
            "TFDL_DATA_DIR."
        ) from error


OWN_PICTURES = "For a folder of class sub-folders give folder:PATH."


def require(name, folder=None, download=False, own=OWN_PICTURES):
    """The folder that contains the set, or to which it may be downloaded.

    `own` says, to whoever gives a name that no set has, how files of one's own are given.

    Raises:
        FileNotFoundError: tensorflow_datasets has the set, but it is not in `folder` and may not be downloaded.
        ValueError: there is no set of this name.
    """
    folder = pathlib.Path(folder).expanduser() if folder else data_dir()
    here = names_in(folder)
    base = name.split(":")[0]  # a name may carry a version, NAME:1.2.3
    if base in {*here, *(known.split("/")[0] for known in here)}:
        return folder
    if base.split("/")[0] not in tfds.list_builders(with_community_datasets=False):
        near = difflib.get_close_matches(name, sorted({*EMBEDDED, *here}), n=3, cutoff=0.0)
        raise ValueError(f"There is no data set {name!r} in {folder}; the nearest names are {', '.join(near)}. {own}")
    if not download:
        state = "is not in" if folder.is_dir() else "was not found, because there is no folder"
        raise FileNotFoundError(
            f"The data set {name!r} {state} {folder}: set the environment variable TFDL_DATA_DIR to a folder that "
            f"contains {base}/, or allow the download with TFDL_DOWNLOAD=1 (in Python, download=True)."
        )
    return folder


def tfds_source(name, folder, download):
    """A set whose examples have the features `image` and `label`.  Images remain encoded until they are needed."""
    folder = require(name, folder, download)
    with undamaged(name, folder):
        features = dict(tfds.builder(name, data_dir=str(folder)).info.features.items())
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise ValueError(
            f"The data set {name!r} has the features {', '.join(features)}; for image classification it needs an image "
            "and one class label, called 'image' and 'label'."
        )
    info, datasets = tfds_splits(name, folder, download, decoders={"image": tfds.decode.SkipDecoding()})
    if "train" not in datasets:
        raise ValueError(f"The data set {name!r} has the splits {', '.join(datasets)}; it needs a split called train.")
    splits = {
        key: Split(
            info.splits[key].num_examples,
            datasets[key].map(lambda example: (example["image"], tf.cast(example["label"], tf.int32))),
        )
        for key in SPLITS
        if key in datasets
    }

    def decode(raw, image_shape, resize):
        return pictures.decode(raw, image_shape, resize, stored_channels=image.shape[-1] or 3)

    return Source(name, tuple(image.shape), tuple(label.names), splits, decode, SHUFFLE_WINDOW)


# Folders


def folder_source(folder, **splitting):
    """Pictures in class sub-folders; see `folders`."""
    labels, found = folders.read(folder, **splitting)
    splits = {split: Listed(paths, np.array(numbers, "int32")) for split, (paths, numbers) in found.items()}
    paths = (path for split in splits.values() for path in split.paths)
    has_tiff = any(path.lower().endswith(pictures.TIFF_SUFFIXES) for path in paths)

    def decode(path, image_shape, resize):
        return pictures.read(path, image_shape, resize, tiff=has_tiff)

    return Source(str(folder), (None, None, 3), labels, splits, decode)
