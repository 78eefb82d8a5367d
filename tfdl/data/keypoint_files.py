"""Pictures of one person or face each with key points: drawn, or cut out of tensorflow_datasets' and COCO's.

| name      | what it is                                                                                          |
|-----------|-----------------------------------------------------------------------------------------------------|
| figures   | people as sticks, drawn here: `figures`                                                             |
| coco:FILE | a .json file of COCO's form whose annotations have key points, or a folder with such files           |
| NAME      | a prepared set with `image` and `keypoints` (K, 2): x, y in parts of the picture, here face_keypoints68 |

Of COCO's pictures each annotated person becomes a picture, and of faces each face: the box, enlarged to MARGIN times
its sides and to the proportions of the network's input, as Sun et al. 2019, arXiv:1902.09212, section 4.1; the box of a
face is the one around its points.  In use, a detector or the frame before gives that box.  Nothing is dropped silently:
`Found.notes` counts it.  Source: cocodataset.org/#format-data.
"""

import collections
import io
from dataclasses import dataclass, field

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageOps, UnidentifiedImageError

from tfdl.core.bodies import BODIES, Body
from tfdl.data import figures, sources
from tfdl.data.annotations.coco import by_id, documents_in, picture_of
from tfdl.data.annotations.record import existing

FIGURE_COUNTS = {"train": 1200, "validation": 150, "test": 150}
FIGURE_SIZE = 96
MARGIN = 1.25
PART_OF_BOX = 0.53  # of a box's area is a person's, where no outline says it; the mean over COCO's, as in mmpose
KNOWN = {"face_keypoints68": "faces68"}
OWN = "For files of your own give coco:FILE."


@dataclass(frozen=True, eq=False)
class Record:
    """One picture of a person.

    Attributes:
        source: what a message calls it.
        name: by which it is put into a split, see `folders.place`; the same wherever its folder lies.
        content: the encoded bytes, or pixels (H, W, 3) uint8.
        size: height and width.
        keypoints: (K, 3) float32: x, y in pixels of this picture, 1 if annotated.
        area: of the person in pixels.
    """

    source: str
    name: str
    content: object
    size: tuple[int, int]
    keypoints: np.ndarray
    area: float


@dataclass(frozen=True, eq=False)
class Found:
    """A set as stored: its key points, split -> records, and what was left out: sentence -> count."""

    body: Body
    splits: dict[str, list[Record]]
    notes: collections.Counter = field(default_factory=collections.Counter)


def read(name, image_shape, data_dir=None, download=False, limit=None):
    """The data set `name`, see the table above; of COCO's, pictures of `image_shape`.

    Raises:
        FileNotFoundError: there is no such file or set, or a picture is missing.
        ValueError: something in it cannot be understood; the message names the file and the entry.
    """
    if name == "figures":
        return drawn(limit)
    if name.startswith("coco:"):
        return read_coco(existing(name.removeprefix("coco:")), image_shape, limit)
    return read_tfds(name, image_shape, data_dir, download)


def drawn(limit):
    """The set `figures`."""
    counts = {key: count if limit is None else min(count, limit) for key, count in FIGURE_COUNTS.items()}
    splits = {}
    for key, (images, points) in figures.figures(counts, size=FIGURE_SIZE).items():
        names = [f"figures, {key} {i}" for i in range(len(images))]
        splits[key] = [
            Record(name, name, image, image.shape[:2], own, area_of(own))
            for name, image, own in zip(names, images, points)
        ]
    return Found(BODIES["coco"], splits)


def area_of(keypoints):
    """Of a person whose outline nobody drew: a part of the box around the points (K, 3) that are visible."""
    here = keypoints[keypoints[:, 2] > 0, :2]
    return float(PART_OF_BOX * np.prod(here.max(0) - here.min(0))) if len(here) else 0.0


def read_tfds(name, image_shape, data_dir, download):
    """A prepared set with `image` and `keypoints`, cut out."""
    folder = sources.require(name, data_dir, download, OWN)
    info, datasets = sources.tfds_splits(name, folder, download, decoders={"image": tfds.decode.SkipDecoding()})
    key, notes = name.split(":")[0].split("/")[0], collections.Counter()
    if key not in KNOWN or not {"image", "keypoints"} <= set(info.features):
        raise ValueError(
            f"The data set {name!r} has the features {', '.join(info.features)}; of sets with key points tfdl knows"
            f" {', '.join(KNOWN)}. {OWN}"
        )
    body, splits = BODIES[KNOWN[key]], {}
    for split, dataset in datasets.items():
        splits[split] = []
        for place, example in enumerate(dataset.as_numpy_iterator()):
            source, image = f"{name}, {split} {place}", Image.open(io.BytesIO(example["image"])).convert("RGB")
            points = np.ones((len(body.names), 3))
            points[:, :2] = example["keypoints"] * image.size
            low, high = points[:, :2].min(0), points[:, :2].max(0)
            pixels, points = cut_out(image, points, np.concatenate([low, high - low]), image_shape)
            points = within(points, image_shape[:2], notes)
            splits[split].append(Record(source, source, pixels, image_shape[:2], points, area_of(points)))
    return Found(body, splits, notes)


def within(points, size, notes):
    """Key points (K, 3) without those outside of a picture of `size`, which are zeros from then on."""
    height, width = size
    outside = (points[:, :2] < 0).any(1) | (points[:, 0] > width) | (points[:, 1] > height)
    notes["key points outside of their pictures, left out"] += int(np.sum(outside & (points[:, 2] > 0)))
    return np.where((outside | (points[:, 2] <= 0))[:, None], 0.0, points).astype("float32")


# COCO


def read_coco(place, image_shape, limit):
    """One file, or all files of a folder, each of them a split; the people are cut out and kept in memory."""
    notes, splits, body = collections.Counter(), {}, None
    for file, document, split in documents_in(place, "person_keypoints", notes):
        category, own = body_in(document, file)
        if body is not None and own != body:
            raise ValueError(f"{file} has other key points than the file before it; make them equal.")
        body = own
        rows = coco_records(file, document, category, body, image_shape, notes, limit)
        splits.setdefault(split, []).extend(rows)
    return Found(body, splits, notes)


def body_in(document, file):
    """(category id, `Body`) of the one category that has key points."""
    rows = {
        number: row for number, row in by_id(document["categories"], file, "category").items() if "keypoints" in row
    }
    if len(rows) != 1:
        raise ValueError(f"{file} has {len(rows)} categories with key points; tfdl reads files with one.")
    ((number, row),) = rows.items()
    names = tuple(name.replace("_", " ") for name in row["keypoints"])
    if names == BODIES["coco"].names:
        return number, BODIES["coco"]
    mirrored = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in names]
    if set(mirrored) != set(names) or len(set(names)) < len(names):
        odd = sorted(set(mirrored) ^ set(names)) or list(names)
        raise ValueError(f"{file}: of the key points {', '.join(odd)} left and right do not pair; rename them.")
    lines = tuple((a - 1, b - 1) for a, b in row.get("skeleton", ()))
    mirror = tuple(names.index(name) for name in mirrored)
    return number, Body(names=names, lines=lines, mirror=mirror)


def coco_records(file, document, category, body, image_shape, notes, limit):
    """The people of one file."""
    images, records = by_id(document["images"], file, "image"), []
    opened = (None, None)  # one picture after the other: annotations are mostly in their order
    for place, row in enumerate(document["annotations"]):
        where = f"{file}, annotation {row.get('id', f'number {place}')}"
        if row.get("category_id") != category:
            continue
        if row.get("image_id") not in images:
            raise ValueError(f"{where}: there is no image {row.get('image_id')}; add it, or remove the annotation.")
        points, box = numbers_of(row, where, len(body.names))
        if row.get("iscrowd", 0) or not (points[:, 2] > 0).any():
            notes["crowds and people without key points, left out"] += 1
            continue
        if opened[0] != row["image_id"]:
            facts = images[row["image_id"]]
            path = picture_of(file, facts.get("file_name"), f"{file}, image {row['image_id']}")
            opened = row["image_id"], upright(path, facts)
        content, moved = cut_out(opened[1], points, box, image_shape)
        scale = image_shape[1] / np.ptp(window_of(box, image_shape)[::2])
        area = float(row.get("area") or PART_OF_BOX * box[2] * box[3]) * scale**2
        inside, name = within(moved, image_shape[:2], notes), where.removeprefix(f"{file.parent}/")
        records.append(Record(where, name, content, image_shape[:2], inside, area))
        if limit is not None and len(records) >= limit:
            break
    return records


def numbers_of(row, where, count):
    """Key points (K, 3) and box x, y, width, height of an annotation.  Raises ValueError naming it."""
    try:
        points = np.array(row.get("keypoints", ()), "float64").reshape(-1, 3)
        box = np.array(row.get("bbox", ()), "float64")
    except (TypeError, ValueError):
        raise ValueError(f"{where}: keypoints and bbox are no lists of numbers; correct them.") from None
    if len(points) != count:
        raise ValueError(f"{where}: there are {len(points)} key points, and {count} names; give x, y, v of each.")
    if box.shape != (4,) or not (np.isfinite(box).all() and np.isfinite(points).all() and (box[2:] > 0).all()):
        raise ValueError(f"{where}: the box {box.tolist()} or a key point is no finite number, or has no area.")
    return points, box


def upright(path, facts):
    """The picture as its annotation sees it: turned by its EXIF orientation, unless its stated size says otherwise."""
    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            said = (facts.get("width"), facts.get("height"))
            return (image if image.size == said != turned.size else turned).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"The picture {path} cannot be read ({error}); replace it.") from None


def window_of(box, image_shape):
    """x1, y1, x2, y2 of the window with the proportions of `image_shape` around a box x, y, width, height."""
    x, y, width, height = box
    proportion = image_shape[1] / image_shape[0]
    sides = MARGIN * np.array([max(width, height * proportion), max(height, width / proportion)])
    middle = np.array([x + width / 2, y + height / 2])
    low = np.floor(middle - sides / 2)
    return np.concatenate([low, low + np.maximum(np.round(sides), 1)])


def cut_out(image, points, box, image_shape):
    """The part of a picture around a box x, y, width, height, and the key points (K, 3) in it.

    -> `image_shape` (H, W, 3) uint8, black where it reaches beyond the picture, and (K, 3).
    """
    window = window_of(box, image_shape)
    part = image.crop(tuple(int(side) for side in window))
    pixels = np.asarray(part.resize(image_shape[1::-1], Image.Resampling.BILINEAR))
    scale = np.array(image_shape[1::-1]) / (window[2:] - window[:2])
    return pixels, np.concatenate([(points[:, :2] - window[:2]) * scale, points[:, 2:] > 0], axis=1)
