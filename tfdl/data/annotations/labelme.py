"""LabelMe: a JSON file beside each picture, with the shapes that a person drew on it, in pixels.

The box of a shape is the smallest one around it.  Folders train/, val/ and test/ are splits.
Source: github.com/wkentaro/labelme.
"""

import base64
import collections
import math

import numpy as np

from tfdl.core import pictures
from tfdl.data.annotations.record import Annotation, Found, entries, json_of, numbers, record_of, split_in

CORNERS = 90  # of the polygon that stands for a circle


def read(folder, masks=False):
    """Every JSON file of the folder that has `shapes`, at any depth."""
    notes, described = collections.Counter(), []
    for file in sorted(folder.rglob("*.json")):
        document = json_of(file)
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            notes["JSON files that are not LabelMe's, left out"] += 1
            continue
        entries(document["shapes"], file, "shape")
        described.append((file, document))
    labels = sorted({str(shape.get("label")) for _, document in described for shape in document["shapes"]})
    number = {label: place for place, label in enumerate(labels)}
    splits = {}
    for file, document in described:
        objects = []
        for place, shape in enumerate(document["shapes"]):
            where = f"{file}, shape {place}"
            outline = outline_of(shape, where) if masks else None
            label = number[str(shape.get("label"))]
            objects.append(Annotation(box_of(shape, where), label, where, outline=outline))
        sides = document.get("imageHeight"), document.get("imageWidth")
        stored = sides if all(sides) else None
        content = picture_of(file, document)
        record = record_of(str(file), content, objects, stored=stored, notes=notes, masks=masks)
        splits.setdefault(split_in(*file.relative_to(folder).parts[:-1]), []).append(record)
    used = [record.content for records in splits.values() for record in records]
    notes["pictures without a JSON file, left out"] += count_others(folder, [file for file, _ in described], used)
    return Found(tuple(labels), splits, notes)


def count_others(folder, files, used):
    """The number of pictures in a folder that no file describes, neither by its content nor by its name."""
    used, names = {path for path in used if isinstance(path, str)}, {file.with_suffix("") for file in files}
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in pictures.SUFFIXES)
    return sum(str(path) not in used and path.with_suffix("") not in names for path in paths)


def points_of(shape, where):
    """The points (n, 2) of a shape."""
    points = shape.get("points")
    if not isinstance(points, list) or not points:
        raise ValueError(f"{where} has no points; remove it, or draw it anew.")
    return np.array([numbers(point, where, 2) for point in points])


def is_circle(shape, points):
    """Whether the points are a circle's center and one on its edge."""
    return shape.get("shape_type") == "circle" and len(points) == 2


def outline_of(shape, where):
    """The polygon of a polygon, rectangle or circle."""
    points, kind = points_of(shape, where), shape.get("shape_type", "polygon")
    if is_circle(shape, points):
        angles = 2 * np.pi * np.arange(CORNERS) / CORNERS
        points = points[0] + math.dist(*points) * np.stack([np.cos(angles), np.sin(angles)], 1)
    elif kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    elif kind != "polygon":
        raise ValueError(f"{where} is a {kind}; masks need a polygon, a rectangle or a circle.")
    return [points.ravel().tolist()]


def box_of(shape, where):
    """The smallest box around a shape."""
    points = points_of(shape, where)
    if is_circle(shape, points):
        radius = math.dist(*points)
        return [*(points[0] - radius), *(points[0] + radius)]
    return [*points.min(0), *points.max(0)]


def picture_of(file, document):
    """The path of the picture, or its bytes where the file itself holds them."""
    if document.get("imagePath"):
        path = file.parent / str(document["imagePath"]).replace("\\", "/")
        if path.is_file():
            return str(path)
    if document.get("imageData"):
        try:
            return base64.b64decode(document["imageData"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: imageData is no picture in base 64 ({error}); save the file anew.") from None
    raise FileNotFoundError(f"{file}: there is no picture {document.get('imagePath')}; add it, or remove the file.")
