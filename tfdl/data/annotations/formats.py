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
"""

import pathlib

from tfdl.data.annotations import coco, labelme, prepared, voc, yolo
from tfdl.data.annotations.record import SPELLINGS, Found, existing, tidied

FORMATS = {"coco": coco, "voc": voc, "yolo": yolo, "labelme": labelme}


def read(name, data_dir=None, download=False, masks=False):
    """The data set `name`, see the table above; with `masks` also those of its objects.

    Raises:
        FileNotFoundError: there is no such file, folder or set, or a picture is missing.
        ValueError: something in it cannot be understood; the message names the file and the line or entry.
    """
    kind, colon, place = name.partition(":")
    if colon and kind in FORMATS:
        found = FORMATS[kind].read(existing(place), masks)
    elif pathlib.Path(name).expanduser().exists():
        path = pathlib.Path(name).expanduser()
        found = FORMATS[recognized(path)].read(path, masks)
    else:
        found = prepared.read(name, data_dir, download, masks)
    if not any(found.splits.values()):
        raise ValueError(f"{name} has no pictures.")
    return Found(found.labels, {key: tidied(rows, found.notes) for key, rows in found.splits.items()}, found.notes)


def recognized(path):
    """The kind of data set that lies at `path`."""
    if path.is_file() and path.suffix.lower() == ".json":
        return "coco"
    if (path / "Annotations").is_dir():
        return "voc"
    if (path / "labels").is_dir() or any((path / part / "labels").is_dir() for part in SPELLINGS):
        return "yolo"
    if path.is_dir() and coco.files_in(path):
        return "coco"
    if path.is_dir() and any(path.rglob("*.json")):
        return "labelme"
    raise ValueError(f"{path} is no data set of boxes; give coco:, voc:, yolo: or labelme: and its place.")
