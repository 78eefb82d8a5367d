"""What every form of annotations becomes: a `Record` for each picture, in the pixels of the upright picture.

A reader turns what is written about an object into an `Annotation`; `record_of` puts those of a picture together with
its size, and turns them where the picture is stored in another direction than a person sees it.  `tidied` cuts boxes at
the borders and leaves out those without an area, and counts both.
"""

import collections
import io
import json
import pathlib
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfdl.core import pictures
from tfdl.data import folders, instance_maps

SPELLINGS = {spelling: split for split, names in folders.SPLITS.items() for spelling in names}
ORIENTATION = 274  # the EXIF tag


class Annotation(NamedTuple):
    """One object as it is written.

    Attributes:
        box: xyxy, in pixels or in parts of the picture.
        label: number of the class.
        place: where it was written, for messages.
        crowd: whether an evaluation ignores it (COCO's iscrowd, VOC's difficult).
        outline: of the object, as of `instance_maps.run_lengths`; None where only its box is known.
    """

    box: list[float]
    label: int
    place: str
    crowd: bool = False
    outline: object = None


@dataclass(frozen=True, eq=False)
class Record:
    """One picture and its objects.

    Attributes:
        source: what a message calls it: its file, and the file that describes it.
        content: a path, or the encoded bytes, or pixels (H, W, 3) uint8.
        size: height and width of the upright picture.
        boxes: (n, 4) float64 xyxy in pixels of the upright picture.
        labels: (n,) int32.
        crowd: (n,) bool; True for regions that an evaluation ignores.
        places: where each box was written, for messages.
        masks: run lengths of each object in the upright picture, see `instance_maps`; None if they were not asked for.
    """

    source: str
    content: object
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    places: tuple[str, ...] = ()
    masks: tuple | None = None

    def kept(self, rows, **changes):
        """The record with some of its objects, `rows` (n,) bool."""
        masks = self.masks and tuple(mask for mask, is_kept in zip(self.masks, rows) if is_kept)
        changes = {"boxes": self.boxes[rows]} | changes
        return replace(self, labels=self.labels[rows], crowd=self.crowd[rows], masks=masks, places=(), **changes)

    @property
    def name(self):
        """The picture's own, wherever its folder lies."""
        return pathlib.Path(self.content).name if isinstance(self.content, str) else self.source


@dataclass(frozen=True, eq=False)
class Found:
    """A data set as stored: class names, split -> records, and what was changed or left out: sentence -> count."""

    labels: tuple[str, ...]
    splits: dict[str, list[Record]]
    notes: collections.Counter = field(default_factory=collections.Counter)


def record_of(source, content, annotations, *, stored=None, relative=False, notes, masks=False):
    """The `Record` of a picture from its `Annotation`s.

    Args:
        content: a path or encoded bytes.
        stored: (height, width) that the annotation says; boxes of a picture whose pixels are stored in another
            direction than a person sees it are turned with it if these are the sides before turning.
        relative: whether boxes and polygons are in parts of the picture.
        notes: counts what is changed.
        masks: whether to read the outlines.

    Raises:
        FileNotFoundError: there is no such picture.
        ValueError: it cannot be read, or an object has no outline where masks are asked for.
    """
    (height, width), orientation = header(content, source)
    upright = (width, height) if orientation > 4 else (height, width)
    before_turning = stored is not None and tuple(stored) == (height, width) != upright
    if stored is not None and not before_turning and tuple(stored) != upright:
        notes["pictures of another size than their annotation says"] += 1
    size = (height, width) if before_turning else upright  # of the picture in which the boxes are given
    boxes = np.array([one.box for one in annotations], "float64").reshape(-1, 4)
    if relative:
        boxes = boxes * ([size[1], size[0]] * 2)
    coded = None
    if masks:
        outlines = [enlarged(one.outline, size) if relative else one.outline for one in annotations]
        places = [one.place for one in annotations]
        coded = tuple(instance_maps.run_lengths(outline, size, place) for outline, place in zip(outlines, places))
    if before_turning:
        coded = coded and tuple(instance_maps.turned(mask, orientation) for mask in coded)
        boxes = turned(boxes, orientation, size)
        notes["pictures whose boxes were turned upright with them"] += 1
    labels = np.array([one.label for one in annotations], "int32")
    crowd = np.array([one.crowd for one in annotations], bool)
    return Record(source, content, upright, boxes, labels, crowd, tuple(one.place for one in annotations), coded)


def enlarged(outline, size):
    """Polygons in parts of a picture -> in pixels of a picture of `size` (height, width); pixels stay as they are."""
    if not isinstance(outline, list):
        return outline
    return [(np.reshape(polygon, (-1, 2)) * size[::-1]).ravel().tolist() for polygon in outline]


def header(content, source):
    """((height, width), EXIF orientation) of an encoded picture, without decoding it."""
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            return (image.height, image.width), image.getexif().get(ORIENTATION, 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{source}: there is no picture {content}; add it, or remove its annotation.") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{source}: the picture cannot be read ({error}); replace it.") from None


def turned(boxes, orientation, size):
    """Boxes (n, 4) xyxy of a picture of `size` (height, width), turned as `core.pictures` turns its pixels."""
    height, width = size
    x1, y1, x2, y2 = boxes.T
    x, y = (x1, x2), (y1, y2)
    if orientation in (2, 3, 7, 8):
        x = (width - x2, width - x1)
    if orientation in (3, 4, 6, 7):
        y = (height - y2, height - y1)
    if orientation > 4:
        x, y = y, x
    return np.stack([x[0], y[0], x[1], y[1]], 1)


def tidied(records, notes):
    """The records with boxes inside their pictures, counting what was done.

    Raises:
        ValueError: a box has a number that is not finite; the message says where it is written.
    """
    tidy = []
    for record in records:
        boxes = np.asarray(record.boxes, "float64").reshape(-1, 4)
        broken = np.flatnonzero(~np.isfinite(boxes).all(1))
        if len(broken):
            where = record.places[broken[0]] if record.places else f"{record.source}, box {broken[0]}"
            raise ValueError(
                f"{where}: the box {boxes[broken[0]].tolist()} has a number that is not finite; correct it."
            )
        height, width = record.size
        clipped = np.clip(boxes, 0, [width, height, width, height])
        has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        inside = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
        notes["boxes without an area, left out"] += int(np.sum(~has_area))
        notes["boxes outside of their pictures, left out"] += int(np.sum(has_area & ~inside))
        moved = np.abs(clipped - boxes).max(1, initial=0) > 1e-3 * max(height, width)
        notes["boxes cut at the border of their pictures"] += int(np.sum(inside & has_area & moved))
        kept = has_area & inside
        notes["pictures without objects, kept"] += int(not kept.any())
        tidy.append(record.kept(kept, boxes=clipped[kept]))
    return tidy


# For the readers


def existing(place):
    """The path of a file or folder.  Raises FileNotFoundError if there is none."""
    path = pathlib.Path(place).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}; give the file or folder of the data set.")
    return path


def text_of(file):
    """A text file in UTF-8, with or without a mark of its byte order.  Raises ValueError naming the file and line."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}, line {line}: this is no text in UTF-8 ({error.reason}); save it as UTF-8.") from None


def json_of(file):
    """The content of a JSON file.  Raises ValueError naming the file and line."""
    try:
        return json.loads(text_of(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}, line {error.lineno}: this is no JSON ({error}); correct or replace it.") from None


def entries(rows, file, what):
    """The dicts of a JSON list.  Raises ValueError for one that is none."""
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(
                f"{file}: {what} number {place} of the list is {row!r}, but has to be {{...}}; correct it."
            )
    return rows


def numbers(values, where, count=4):
    """`count` floats.  Raises ValueError naming `where`."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        found = []
    if len(found) != count:
        raise ValueError(f"{where}: {values!r} is no box of {count} numbers; correct it.")
    return found


def split_in(*words):
    """The split that one of the words means, or "train"."""
    return next((SPELLINGS[word.lower()] for word in words if word.lower() in SPELLINGS), "train")


def pictures_in(folder):
    """The picture files in a folder, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in pictures.SUFFIXES)
