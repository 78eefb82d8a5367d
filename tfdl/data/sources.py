"""Finds an image-classification set by its name and reads it in a fixed order.

Three kinds of names, tried in this order:
- a set that comes with a package: `digits` (see `embedded.py`);
- a folder of class sub-folders: `folder:photos`, or any path of an existing directory;
- any tensorflow_datasets name: `mnist`, `cifar10`, or one that lives only in the data directory.

The data directory is that of the environment variable TFDL_DATA_DIR, else tensorflow_datasets' own default.
Nothing is downloaded unless the caller says so or TFDL_DOWNLOAD=1 is set.
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
NEIGHBORS = 4096  # encoded images held at once to shuffle a set of records that cannot be indexed


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
    """An image set as stored: sizes in `image_shape` are None where they differ from image to image."""

    name: str
    image_shape: tuple[int | None, int | None, int]
    labels: tuple[str, ...]
    splits: dict[str, Split | Listed]  # some of train, validation, test
    decode: Callable  # (raw, image_shape, resize) -> image_shape uint8
    window: int | None = None  # examples that can be held undecoded at once; None: all of them


def open_source(name, data_dir=None, download=False, **splitting):
    """The source called `name`.

    Args:
        splitting: for folders, see `folders.read`.

    Raises:
        FileNotFoundError: the set is known but not there.
        ValueError: nothing has this name, or it is no set of images with one label each.
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
    """Whether a tensorflow_datasets set has this name, here or anywhere: it goes before a folder of the same name."""
    base = name.split(":")[0]
    here = names_in(pathlib.Path(folder).expanduser() if folder else data_dir())
    return base in here or base in tfds.list_builders(with_community_datasets=False)


def short_name(name):
    """A set's name for files and titles: "photos" for folder:/some/where/photos, "mnist" for mnist:3.0.1."""
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
    """Turns what tensorflow_datasets says of a broken dataset_info.json into a ValueError that names the set."""
    try:
        yield
    except json_format.ParseError as error:
        reason = str(error).partition("Failed to load JSON:")[2].strip() or str(error)
        raise ValueError(
            f"The dataset_info.json of {name!r} in {folder} is damaged ({reason}); copy the set again, or correct "
            "TFDL_DATA_DIR."
        ) from error


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
    with undamaged(name, folder):
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
        for key in SPLITS
        if key in datasets
    }

    def decode(raw, image_shape, resize):
        return pictures.decode(raw, image_shape, resize, stored_channels=image.shape[-1] or 3)

    return Source(name, tuple(image.shape), tuple(label.names), splits, decode, NEIGHBORS)


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
