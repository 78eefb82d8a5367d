"""YOLO: a text file for each picture with a line for each object, in parts of the picture's width and height.

    class x y width height                 x, y of the box's center
    class x y width height confidence      as detectors write it; the confidence is not read
    class x1 y1 x2 y2 x3 y3 ...            a polygon

images/train/a.jpg has labels/train/a.txt, or train/images/a.jpg train/labels/a.txt, or there are no splits.  The class
names are `names` of a .yaml file, or the lines of classes.txt.  Source: pjreddie.com/darknet/yolo and the form that
later programs of that name share.
"""

import collections

import yaml

from tfdl.data.annotations.record import (
    SPELLINGS,
    Annotation,
    Found,
    numbers,
    pictures_in,
    record_of,
    split_in,
    text_of,
)


def read(folder, masks=False):
    """A folder with images/ and labels/, of which splits are above or below."""
    labels, notes = labels_in(folder), collections.Counter()
    splits, highest = {}, -1
    for images in picture_folders(folder):
        parts = images.relative_to(folder).parts
        split = split_in(*parts)
        texts = folder.joinpath(*("labels" if part == "images" else part for part in parts))
        paths = pictures_in(images)
        left_over = {file.stem for file in texts.glob("*.txt")} - {path.stem for path in paths} - {"classes"}
        notes["files of labels without a picture, left out"] += len(left_over)
        for path in paths:
            objects = annotations_in(texts / f"{path.stem}.txt", labels, notes)
            highest = max([highest, *(one.label for one in objects)])
            record = record_of(str(path), str(path), objects, relative=True, notes=notes, masks=masks)
            splits.setdefault(split, []).append(record)
    if not splits:
        raise ValueError(f"{folder} has no folder of pictures named images; give one laid out for YOLO.")
    if labels is None:
        labels = tuple(str(number) for number in range(highest + 1))
        notes["classes without names (no data.yaml or classes.txt)"] += len(labels)
    return Found(labels, splits, notes)


def picture_folders(folder):
    """Every folder of pictures: images/, images/train/, train/images/ ..."""
    names = ["images", *(f"images/{word}" for word in SPELLINGS), *(f"{word}/images" for word in SPELLINGS)]
    return [folder / name for name in names if (folder / name).is_dir()]


def labels_in(folder):
    """The class names in data.yaml or another .yaml, or one a line in classes.txt; None without."""
    for file in (*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))):
        if names := names_in(file):
            return names
    for file in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if file.is_file():
            return tuple(line.strip() for line in text_of(file).splitlines() if line.strip())
    return None


def names_in(file):
    """The value of `names` in a .yaml file, a list or a dict {0: name, 1: name ...}; () without."""
    try:
        content = yaml.safe_load(text_of(file))
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else 1
        raise ValueError(f"{file}, line {line}: this is no YAML; correct or replace it.") from None
    names = content.get("names") or () if isinstance(content, dict) else ()
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise ValueError(f"{file}: names has the numbers {', '.join(map(str, names))}; give 0 to {len(names) - 1}.")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, (list, tuple)):
        raise ValueError(f"{file}: names is {names!r}; give a list of class names.")
    return tuple(str(name) for name in names)


def annotations_in(file, labels, notes):
    """The `Annotation`s of a text file; none without a file."""
    if not file.is_file():
        notes["pictures without a file of labels, taken as empty"] += 1
        return []
    lines = enumerate(text_of(file).splitlines(), start=1)
    return [annotation_of(line, f"{file}, line {number}", labels) for number, line in lines if line.strip()]


def annotation_of(line, where, labels):
    """One line as an `Annotation` in parts of the picture."""
    label, *values = line.split()
    is_polygon = len(values) >= 6 and len(values) % 2 == 0
    if len(values) not in (4, 5) and not is_polygon:
        raise ValueError(f"{where}: {line!r} has {len(values) + 1} fields; give class, x, y, width and height.")
    if not label.isdigit() or (labels is not None and int(label) >= len(labels)):
        known = "0, 1, 2 ..." if labels is None else f"0 to {len(labels) - 1}"
        raise ValueError(f"{where}: {label!r} is no class; they are {known}.")
    if is_polygon:
        polygon = numbers(values, where, len(values))
        x, y = polygon[::2], polygon[1::2]
        return Annotation([min(x), min(y), max(x), max(y)], int(label), where, outline=[polygon])
    x, y, width, height = numbers(values[:4], where)
    return Annotation([x - width / 2, y - height / 2, x + width / 2, y + height / 2], int(label), where)
