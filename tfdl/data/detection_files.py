"""Pictures with boxes, as people keep them: COCO, Pascal VOC, YOLO, LabelMe and tensorflow_datasets, in one form.

| name           | what it is                                                                                       |
|----------------|--------------------------------------------------------------------------------------------------|
| coco:PLACE     | a .json file of COCO's form, or a folder with such files: instances_train.json, train/any.json ...|
| voc:FOLDER     | Annotations/*.xml, JPEGImages/, and ImageSets/Main/train.txt ... where the splits are given        |
| yolo:FOLDER    | images/train/a.jpg with labels/train/a.txt, lines "class x y w h"; names in data.yaml, classes.txt |
| labelme:FOLDER | a.json beside a.jpg, at any depth; folders train/, val/, test/ are splits                          |
| NAME           | a prepared set of tensorflow_datasets with `image` and `objects` {bbox, label} or `instance_map`  |

A path without a prefix is recognized by what lies there.  Boxes become xyxy in pixels of the picture as a person sees
it, turned upright by its EXIF orientation.  Nothing is dropped silently: `Found.notes` counts what was changed or left
out, and what cannot be understood is an error that names the file and the line, or the number of the entry.

Masks of the objects are read where they are asked for: polygons and run lengths of COCO, polygons of YOLO, all that
LabelMe draws with an area; of tensorflow_datasets an `instance_map` (h, w, 1), 0 where there is no object, or the
things of a `panoptic_image` with its `panoptic_objects`.

Sources: cocodataset.org/#format-data; Everingham et al. 2010, "The Pascal Visual Object Classes Challenge", section 2;
github.com/wkentaro/labelme.
"""

import base64
import collections
import io
import json
import math
import pathlib
import xml.parsers.expat
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from tfdl.core import pictures
from tfdl.data import folders, instance_maps, sources

SPELLINGS = {spelling: split for split, names in folders.SPLITS.items() for spelling in names}
ORIENTATION = 274  # the EXIF tag
CORNERS = 90  # of the polygon that stands for a circle
OBJECT_NAMES = {"nuclei_dsb2018": "nucleus"}  # sets with an instance_map have one class


@dataclass(frozen=True, eq=False)
class Record:
    """One picture and its objects.

    Attributes:
        source: what a message calls it: its file, and the file that describes it.
        content: a path, or the encoded bytes, or pixels (H, W, 3) uint8.
        size: height and width of the upright picture.
        boxes: (n, 4) float64 xyxy in pixels of the upright picture.
        labels: (n,) int32.
        crowd: (n,) bool; True for regions that an evaluation ignores (COCO's iscrowd, VOC's difficult).
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


def read(name, data_dir=None, download=False, masks=False):
    """The data set `name`, see the table above; with `masks` also those of its objects.

    Raises:
        FileNotFoundError: there is no such file, folder or set, or a picture is missing.
        ValueError: something in it cannot be understood; the message names the file and the line or entry.
    """
    kind, colon, place = name.partition(":")
    if colon and kind in READERS:
        found = READERS[kind](existing(pathlib.Path(place).expanduser()), masks)
    elif pathlib.Path(name).expanduser().exists():
        path = pathlib.Path(name).expanduser()
        found = READERS[recognized(path)](path, masks)
    else:
        found = read_tfds(name, data_dir, download, masks)
    if not any(found.splits.values()):
        raise ValueError(f"{name} has no pictures.")
    return Found(found.labels, {key: tidied(rows, found.notes) for key, rows in found.splits.items()}, found.notes)


def existing(path):
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}; give the file or folder of the data set.")
    return path


def recognized(path):
    """The kind of data set that lies at `path`."""
    if path.is_file() and path.suffix.lower() == ".json":
        return "coco"
    if (path / "Annotations").is_dir():
        return "voc"
    if (path / "labels").is_dir() or any((path / part / "labels").is_dir() for part in SPELLINGS):
        return "yolo"
    if path.is_dir() and coco_files(path):
        return "coco"
    if path.is_dir() and any(path.rglob("*.json")):
        return "labelme"
    raise ValueError(f"{path} is no data set of boxes; give coco:, voc:, yolo: or labelme: and its place.")


# What every form has in common


def tidied(records, notes):
    """The records with boxes inside their pictures, counting what was done."""
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


def record_of(source, content, rows, *, stored=None, relative=False, notes, masks=False):
    """A `Record` from rows (box xyxy, label, crowd, place, outline as of `instance_maps.run_lengths` or None).

    Args:
        content: a path or encoded bytes.
        stored: (height, width) that the annotation says; boxes of a picture whose pixels are stored in another
            direction than a person sees it are turned with it if these are the sides before turning.
        relative: whether boxes and polygons are in parts of the picture.
        masks: whether to read the outlines.
    """
    (height, width), orientation = header(content, source)
    upright = (width, height) if orientation > 4 else (height, width)
    boxes = np.array([row[0] for row in rows], "float64").reshape(-1, 4)
    before_turning = stored is not None and tuple(stored) == (height, width) != upright
    if stored is not None and not before_turning and tuple(stored) != upright:
        notes["pictures of another size than their annotation says"] += 1
    size = (height, width) if before_turning else upright  # of the picture in which the boxes are given
    if relative:
        boxes = boxes * ([size[1], size[0]] * 2)
    coded = None
    if masks:
        outlines = [enlarged(row[4], size) if relative else row[4] for row in rows]
        coded = tuple(instance_maps.run_lengths(outline, size, row[3]) for outline, row in zip(outlines, rows))
    if before_turning:
        coded = coded and tuple(instance_maps.turned(mask, orientation) for mask in coded)
        boxes = turned(boxes, orientation, (height, width))
        notes["pictures whose boxes were turned upright with them"] += 1
    labels = np.array([row[1] for row in rows], "int32")
    crowd = np.array([row[2] for row in rows], bool)
    return Record(source, content, upright, boxes, labels, crowd, tuple(row[3] for row in rows), coded)


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


def numbers(values, where, count=4):
    """`count` floats.  Raises ValueError naming `where`."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        found = []
    if len(found) != count:
        raise ValueError(f"{where}: {values!r} is no box of {count} numbers; correct it.")
    return found


def load_json(file):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 1)
        raise ValueError(f"{file}, line {line}: this is no JSON ({error}); correct or replace it.") from None


def split_in(*words):
    """The split that one of the words means, or "train"."""
    return next((SPELLINGS[word.lower()] for word in words if word.lower() in SPELLINGS), "train")


# COCO


def coco_files(folder):
    """The annotation files in a folder: instances_train2017.json, annotations/val.json, test/_annotations.coco.json."""
    places = [folder, folder / "annotations", *(child for child in sorted(folder.iterdir()) if child.is_dir())]
    files = {file: None for place in places if place.is_dir() for file in sorted(place.glob("*.json"))}
    return [file for file in files if is_coco(file)]


def is_coco(file):
    with open(file, encoding="utf-8", errors="replace") as opened:
        beginning = opened.read(2_000_000)
    return '"images"' in beginning or ('"annotations"' in beginning and '"shapes"' not in beginning)


def read_coco(place, masks=False):
    """One file, or all files of a folder, each of them a split."""
    files = coco_files(place) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{place} has no .json file with the images and annotations of COCO's form.")
    notes, splits, categories = collections.Counter(), {}, {}
    documents = {file: load_json(file) for file in files}
    for file, document in documents.items():
        for key in ("images", "annotations", "categories"):
            if not isinstance(document, dict) or not isinstance(document.get(key), list):
                raise ValueError(f"{file} has no list {key!r}; COCO's form has images, annotations and categories.")
        own = by_id(document["categories"], file, "category")
        for number, category in own.items():
            if categories.setdefault(number, category.get("name", str(number))) != category.get("name", str(number)):
                raise ValueError(f"{file}: category {number} has another name than in {files[0]}; make them equal.")
    places = {number: place for place, number in enumerate(sorted(categories))}  # ids may have gaps
    if sorted(categories) != list(range(len(categories))) and sorted(categories) != list(range(1, len(categories) + 1)):
        notes["categories whose ids have gaps, numbered anew"] += len(categories)
    for file, document in documents.items():
        words = [word for part in (file.stem, file.parent.name) for word in split_words(part)]
        rows = coco_records(file, document, places, notes, masks)
        splits.setdefault(split_in(*words), []).extend(rows)
    return Found(tuple(categories[number] for number in sorted(categories)), splits, notes)


def split_words(name):
    """ "instances_train2017" -> ["instances", "train"]"""
    return "".join(c if c.isalpha() else " " for c in name).split()


def by_id(rows, file, what):
    """id -> row.  Raises ValueError for a missing or repeated id."""
    found = {}
    for place, row in enumerate(rows):
        number = row.get("id") if isinstance(row, dict) else None
        if number is None:
            raise ValueError(f"{file}: {what} number {place} of the list has no id; add one.")
        if number in found:
            raise ValueError(f"{file}: the {what} id {number} occurs twice; ids must differ.")
        found[number] = row
    return found


def coco_records(file, document, places, notes, masks):
    """The records of one file."""
    images = by_id(document["images"], file, "image")
    boxes, seen = {number: [] for number in images}, {}
    for place, row in enumerate(document["annotations"]):
        where = f"{file}, annotation {row.get('id', f'number {place}')}"
        if row.get("image_id") not in images:
            raise ValueError(f"{where}: there is no image {row.get('image_id')}; add it, or remove the annotation.")
        if row.get("category_id") not in places:
            raise ValueError(f"{where}: there is no category {row.get('category_id')}; add it to categories.")
        x, y, width, height = numbers(row.get("bbox", ()), where)
        entry = (row["image_id"], row["category_id"], x, y, width, height)
        if "id" in row and seen.setdefault(row["id"], entry) != entry:
            notes["annotations with the id of another one, kept"] += 1
        elif "id" in row and seen[row["id"]] is not entry:
            notes["annotations that repeat another one, left out"] += 1
            continue
        box = [x, y, x + width, y + height]
        crowd, outline = bool(row.get("iscrowd", 0)), row.get("segmentation")
        boxes[row["image_id"]].append((box, places[row["category_id"]], crowd, where, outline))
    records = []
    for number, row in images.items():
        path = picture_of(file, row.get("file_name"), f"{file}, image {number}")
        stored = (row["height"], row["width"]) if "height" in row and "width" in row else None
        source = f"{path} ({file})"
        records.append(record_of(source, str(path), boxes[number], stored=stored, notes=notes, masks=masks))
    return records


def picture_of(file, name, where):
    """The picture that an annotation file names: beside it, or in a folder of pictures nearby."""
    if not name:
        raise ValueError(f"{where} has no file_name; add it.")
    stem = file.stem.removeprefix("instances_")
    bases = [file.parent, file.parent / "images", file.parent / stem, file.parent.parent]
    bases += [file.parent.parent / "images", file.parent.parent / stem, file.parent.parent / "images" / stem]
    for base in bases:
        if (base / name).is_file():
            return base / name
    raise FileNotFoundError(f"{where}: there is no picture {name} beside it or in {file.parent.parent}/images; add it.")


# Pascal VOC


@dataclass
class Node:
    """An XML element: its name, the line it begins on, its text and what is inside."""

    name: str
    line: int
    text: str = ""
    inside: list = field(default_factory=list)

    def find(self, name):
        return next((node for node in self.inside if node.name == name), None)

    def value(self, name, default=None):
        node = self.find(name)
        return default if node is None else node.text.strip()


def read_xml(file):
    """The root `Node` of an XML file; entities of its own are refused, as no annotation needs them."""
    parser, stack = xml.parsers.expat.ParserCreate(), [Node("", 0)]

    def start(name, attributes):
        node = Node(name, parser.CurrentLineNumber)
        stack[-1].inside.append(node)
        stack.append(node)

    def text(letters):
        stack[-1].text += letters

    def entity(*_):
        raise ValueError(f"{file}, line {parser.CurrentLineNumber}: entities are not read; remove them.")

    parser.StartElementHandler, parser.EndElementHandler = start, lambda name: stack.pop()
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, entity
    try:
        parser.Parse(file.read_bytes(), True)
    except xml.parsers.expat.ExpatError as error:
        raise ValueError(f"{file}, line {error.lineno}: this is no XML ({error}); correct or replace it.") from None
    return stack[0].inside[0]


def read_voc(folder, masks=False):
    """The corners count pixels from 1 and belong to the box: xmin - 1 is its left side, xmax its right one."""
    if masks:
        raise ValueError(f"{folder} has boxes alone, as every set of Pascal VOC's form; for masks give another form.")
    files = sorted((folder / "Annotations").glob("*.xml"))
    if not files:
        raise ValueError(f"{folder}/Annotations has no .xml file.")
    notes = collections.Counter()
    described = {file.stem: voc_rows(file) for file in files}
    labels = sorted({row[1] for _, rows, _ in described.values() for row in rows})
    number = {label: place for place, label in enumerate(labels)}
    records = {}
    for stem, (path, rows, stored) in described.items():
        rows = [(box, number[label], crowd, where) for box, label, crowd, where in rows]
        source = f"{path} ({folder / 'Annotations' / stem}.xml)"
        records[stem] = record_of(source, str(path), rows, stored=stored, notes=notes)
    lists = {
        split: names for file in sorted((folder / "ImageSets/Main").glob("*.txt")) for split, names in listed(file)
    }
    if not lists:
        return Found(tuple(labels), {"train": list(records.values())}, notes)
    splits = {}
    for split, (file, names) in lists.items():
        if missing := [name for name in names if name not in records]:
            raise ValueError(f"{file} names {missing[0]}, of which there is no Annotations/{missing[0]}.xml; add it.")
        splits[split] = [records[name] for name in names]
    chosen = {name for _, names in lists.values() for name in names}
    notes["pictures in no list of ImageSets/Main, left out"] += len(set(records) - chosen)
    return Found(tuple(labels), splits, notes)


def listed(file):
    """(split, (file, names)) of a list in ImageSets/Main; nothing of trainval.txt and those of single classes."""
    if file.stem.lower() in SPELLINGS:
        names = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        yield SPELLINGS[file.stem.lower()], (file, names)


def voc_rows(file):
    """Path of the picture, rows (box, class name, difficult, place), and the size that the file says."""
    root = read_xml(file)
    rows = []
    for node in root.inside:
        if node.name != "object":
            continue
        where, label, corners = f"{file}, line {node.line}", node.value("name"), node.find("bndbox")
        if not label or corners is None:
            raise ValueError(f"{where}: the object has no {'bndbox' if label else 'name'}; add it.")
        x1, y1, x2, y2 = numbers([corners.value(key) for key in ("xmin", "ymin", "xmax", "ymax")], where)
        rows.append(([x1 - 1, y1 - 1, x2, y2], label, node.value("difficult", "0") == "1", where))
    size = root.find("size")
    sides = [] if size is None else [size.value(key, "0") for key in ("height", "width")]
    stored = tuple(map(int, sides)) if len(sides) == 2 and all(s.isdigit() and int(s) for s in sides) else None
    name = root.value("filename") or f"{file.stem}.jpg"
    for base in (file.parent.parent / "JPEGImages", file.parent.parent / "images", file.parent):
        for candidate in (base / name, *(base / f"{file.stem}{suffix}" for suffix in pictures.SUFFIXES)):
            if candidate.is_file():
                return candidate, rows, stored
    raise FileNotFoundError(f"{file}: there is no picture {name} in JPEGImages; add it, or remove the file.")


# YOLO


def read_yolo(folder, masks=False):
    """images/train/a.jpg and labels/train/a.txt, or train/images/a.jpg and train/labels/a.txt, or without splits."""
    labels, notes = yolo_labels(folder), collections.Counter()
    splits, highest = {}, -1
    for images in yolo_folders(folder):
        parts = images.relative_to(folder).parts
        split = split_in(*parts)
        texts = folder.joinpath(*("labels" if part == "images" else part for part in parts))
        for path in sorted(p for p in images.iterdir() if p.suffix.lower() in pictures.SUFFIXES):
            rows = yolo_rows(texts / f"{path.stem}.txt", labels, notes)
            highest = max([highest, *(row[1] for row in rows)])
            record = record_of(str(path), str(path), rows, relative=True, notes=notes, masks=masks)
            splits.setdefault(split, []).append(record)
    if not splits:
        raise ValueError(f"{folder} has no folder of pictures named images; give one laid out for YOLO.")
    if labels is None:
        labels = tuple(str(number) for number in range(highest + 1))
        notes["classes without names (no data.yaml or classes.txt)"] += len(labels)
    return Found(labels, splits, notes)


def yolo_folders(folder):
    """Every folder of pictures: images/, images/train/, train/images/ ..."""
    names = ["images", *(f"images/{word}" for word in SPELLINGS), *(f"{word}/images" for word in SPELLINGS)]
    return [folder / name for name in names if (folder / name).is_dir()]


def yolo_labels(folder):
    """The class names in data.yaml or another .yaml, or one a line in classes.txt; None without."""
    for file in (*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))):
        if names := yaml_names(file):
            return names
    for file in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if file.is_file():
            return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    return None


def yaml_names(file):
    """The value of `names` in a .yaml file: [a, b], or a line "- a" or "0: a" for each."""
    names, inside = [], False
    for line in file.read_text(encoding="utf-8").splitlines():
        line = line.split(" #")[0].rstrip()
        if line.startswith("names:"):
            rest, inside = line.removeprefix("names:").strip(), True
            if rest.startswith("["):
                return tuple(word.strip(" '\"") for word in rest.strip("[]").split(",") if word.strip())
        elif inside and line[:1] in (" ", "-", "\t"):
            names.append(line.strip().lstrip("-").split(":")[-1].strip(" '\""))
        elif inside and line:
            break
    return tuple(names)


def yolo_rows(file, labels, notes):
    """Rows (box xyxy in parts of the picture, class, False, place, outline) of a text file; none without a file."""
    if not file.is_file():
        notes["pictures without a file of labels, taken as empty"] += 1
        return []
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where, fields = f"{file}, line {number}", line.split()
        if len(fields) not in (5, 6) and (len(fields) < 7 or len(fields) % 2 == 0):
            raise ValueError(f"{where}: {line!r} has {len(fields)} fields; give class, x, y, width and height.")
        values = numbers(fields[1:] if len(fields) > 6 else fields[1:5], where, max(4, len(fields[1:]) // 2 * 2))
        if not fields[0].isdigit() or (labels is not None and int(fields[0]) >= len(labels)):
            known = "0, 1, 2 ..." if labels is None else f"0 to {len(labels) - 1}"
            raise ValueError(f"{where}: {fields[0]!r} is no class; they are {known}.")
        outline = None
        if len(values) > 4:  # a polygon: x, y of its corners
            outline = [values]
            box = [min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])]
        else:
            x, y, width, height = values
            box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        rows.append((box, int(fields[0]), False, where, outline))
    return rows


# LabelMe


def read_labelme(folder, masks=False):
    """Rectangles, circles and polygons; of each the smallest box around it."""
    notes, described = collections.Counter(), []
    for file in sorted(folder.rglob("*.json")):
        document = load_json(file)
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            notes["JSON files that are not LabelMe's, left out"] += 1
            continue
        described.append((file, document))
    labels = sorted({str(shape.get("label")) for _, document in described for shape in document["shapes"]})
    number = {label: place for place, label in enumerate(labels)}
    splits = {}
    for file, document in described:
        rows = []
        for place, shape in enumerate(document["shapes"]):
            where = f"{file}, shape {place}"
            outline = labelme_outline(shape, where) if masks else None
            rows.append((labelme_box(shape, where), number[str(shape.get("label"))], False, where, outline))
        content = labelme_picture(file, document)
        sides = document.get("imageHeight"), document.get("imageWidth")
        stored = sides if all(sides) else None
        record = record_of(f"{file}", content, rows, stored=stored, notes=notes, masks=masks)
        splits.setdefault(split_in(*file.relative_to(folder).parts[:-1]), []).append(record)
    return Found(tuple(labels), splits, notes)


def labelme_points(shape, where):
    points = shape.get("points")
    if not isinstance(points, list) or not points:
        raise ValueError(f"{where} has no points; remove it, or draw it anew.")
    return np.array([numbers(point, where, 2) for point in points])


def labelme_outline(shape, where):
    """The polygon of a polygon, rectangle or circle."""
    points, kind = labelme_points(shape, where), shape.get("shape_type", "polygon")
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    elif kind == "circle" and len(points) == 2:  # its center, and a point on it
        angles = 2 * np.pi * np.arange(CORNERS) / CORNERS
        points = points[0] + math.dist(*points) * np.stack([np.cos(angles), np.sin(angles)], 1)
    elif kind != "polygon":
        raise ValueError(f"{where} is a {kind}; masks need a polygon, a rectangle or a circle.")
    return [points.ravel().tolist()]


def labelme_box(shape, where):
    corners = labelme_points(shape, where)
    if shape.get("shape_type") == "circle" and len(corners) == 2:  # its center, and a point on it
        radius = math.dist(*corners)
        return [*(corners[0] - radius), *(corners[0] + radius)]
    return [*corners.min(0), *corners.max(0)]


def labelme_picture(file, document):
    """The path of the picture, or its bytes where the file itself holds them."""
    if document.get("imagePath"):
        path = file.parent / document["imagePath"].replace("\\", "/")
        if path.is_file():
            return str(path)
    if document.get("imageData"):
        return base64.b64decode(document["imageData"])
    raise FileNotFoundError(f"{file}: there is no picture {document.get('imagePath')}; add it, or remove the file.")


READERS = {"coco": read_coco, "voc": read_voc, "yolo": read_yolo, "labelme": read_labelme}


# tensorflow_datasets


def read_tfds(name, data_dir, download, masks=False):
    """A set with `image` and `objects`, whose boxes are ymin, xmin, ymax, xmax in parts of the stored picture."""
    own = "For files of your own give coco:FILE, voc:FOLDER, yolo:FOLDER or labelme:FOLDER."
    folder = sources.require(name, data_dir, download, own)
    info, datasets = sources.tfds_splits(name, folder, download, decoders={"image": tfds.decode.SkipDecoding()})
    labels, rows_of = tfds_rows(name, info.features, masks)
    notes, splits = collections.Counter(), {}
    for key, dataset in datasets.items():
        if key not in sources.SPLITS:
            notes[f"split {key!r}, left out"] += 1
            continue
        splits[key] = []
        for place, example in enumerate(dataset.as_numpy_iterator()):
            source, content = f"{name}, {key} {place}", bytes(example["image"])
            rows = rows_of(example, source)
            if rows is None:
                notes["pictures without masks, left out"] += 1
                continue
            stored, _ = header(content, source)
            record = record_of(source, content, rows, stored=stored, relative=True, notes=notes, masks=masks)
            splits[key].append(record)
    return Found(labels, splits, notes)


def tfds_rows(name, features, masks):
    """Class names, and a function (example, source) -> rows of `record_of`, or None for a picture without masks.

    Raises:
        ValueError: the set has no boxes, or no masks where they are asked for.
    """
    objects = dict(features.items()).get("objects")
    fields = dict(getattr(objects, "feature", objects).items()) if objects is not None else {}
    if {"image", "instance_map"} <= set(features):
        return (OBJECT_NAMES.get(name.split(":")[0], "object"),), rows_of_map
    if "image" not in features or not {"bbox", "label"} <= fields.keys():
        raise ValueError(
            f"The data set {name!r} has the features {', '.join(features)}; for detection it needs 'image', and"
            " 'objects' with 'bbox' and 'label'."
        )
    names = tuple(fields["label"].names)
    if not masks:
        crowds = next((key for key in ("is_crowd", "is_difficult") if key in fields), None)
        return names, lambda example, source: rows_of_boxes(example["objects"], crowds, source)
    if not {"panoptic_image", "panoptic_objects"} <= set(features):
        raise ValueError(
            f"The data set {name!r} has boxes alone; for masks it needs 'instance_map' or 'panoptic_image'."
        )
    return names, rows_of_panoptic


def rows_of_boxes(objects, crowds, source):
    """Rows of `objects`; `crowds` is the field of regions that are not evaluated, or None."""
    crowd = objects[crowds] if crowds else np.zeros(len(objects["label"]), bool)
    return [
        ([x1, y1, x2, y2], label, is_crowd, f"{source}, box {i}", None)
        for i, ((y1, x1, y2, x2), label, is_crowd) in enumerate(zip(objects["bbox"], objects["label"], crowd))
    ]


def rows_of_map(example, source):
    """A row for each number of `instance_map`, with the smallest box around its pixels."""
    numbers = example["instance_map"][..., 0].astype("int32")
    height, width = numbers.shape
    rows = []
    for number, place in enumerate(ndimage.find_objects(numbers), start=1):
        if place is not None:  # numbers may have gaps
            y, x = place
            box = [x.start / width, y.start / height, x.stop / width, y.stop / height]
            rows.append((box, 0, False, f"{source}, object {number}", numbers == number))
    return rows


def rows_of_panoptic(example, source):
    """A row for each thing of `panoptic_objects`, whose classes come before those of stuff."""
    if not example.get("has_panoptic", True):
        return None
    segments = example["panoptic_objects"]
    numbers, rows = example["panoptic_image"][..., 0], []
    for place in np.flatnonzero(segments["is_thing"]):
        y1, x1, y2, x2 = segments["bbox"][place]
        where, pixels = f"{source}, segment {place}", numbers == segments["segment_id"][place]
        rows.append(([x1, y1, x2, y2], segments["label"][place], bool(segments["is_crowd"][place]), where, pixels))
    return rows


def dataset_of(records):
    """Contents of the records, each with its number: a `tf.data.Dataset` of (string or pixels, int32)."""
    rows = np.arange(len(records), dtype="int32")
    if all(isinstance(record.content, np.ndarray) for record in records):
        return tf.data.Dataset.from_tensor_slices((np.stack([record.content for record in records]), rows))
    return tf.data.Dataset.from_tensor_slices(([record.content for record in records], rows))
