"""COCO: one JSON file for many pictures, with lists of images, annotations and categories that refer to each other.

A box is x, y, width, height in pixels, a mask a list of polygons or run lengths.  Ids of categories may have gaps:
classes are numbered in the order of their ids.  Source: cocodataset.org/#format-data.
"""

import collections

from tfdl.data.annotations.record import Annotation, Found, entries, json_of, numbers, record_of, split_in

LISTS = ("images", "annotations", "categories")
# COCO's own folder describes the same pictures several times, in files that begin with the task.
TASKS = ("instances", "person_keypoints", "captions", "stuff", "panoptic", "image_info")


def read(place, masks=False):
    """One file, or all files of a folder, each of them a split."""
    notes, splits, categories = collections.Counter(), {}, {}
    documents = list(documents_in(place, "instances", notes))
    for file, document, _ in documents:
        for number, category in by_id(document["categories"], file, "category").items():
            name = category.get("name", str(number))
            if categories.setdefault(number, name) != name:
                raise ValueError(
                    f"{file}: category {number} has another name than in {documents[0][0]}; make them equal."
                )
    ids = sorted(categories)
    if ids not in (list(range(len(ids))), list(range(1, len(ids) + 1))):
        notes["categories whose ids have gaps, numbered anew"] += len(ids)
    classes = {number: label for label, number in enumerate(ids)}
    for file, document, split in documents:
        splits.setdefault(split, []).extend(records_of(file, document, classes, notes, masks))
    return Found(tuple(categories[number] for number in ids), splits, notes)


def records_of(file, document, classes, notes, masks):
    """The records of one file; `classes` is category id -> label."""
    images = by_id(document["images"], file, "image")
    objects, seen = {number: [] for number in images}, {}
    for place, row in enumerate(document["annotations"]):
        where = f"{file}, annotation {row.get('id', f'number {place}')}"
        image, category = row.get("image_id"), row.get("category_id")
        if image not in images:
            raise ValueError(f"{where}: there is no image {image}; add it, or remove the annotation.")
        if category not in classes:
            raise ValueError(f"{where}: there is no category {category}; add it to categories.")
        x, y, width, height = numbers(row.get("bbox", ()), where)
        entry = (image, category, x, y, width, height)
        if "id" in row and seen.setdefault(row["id"], entry) != entry:
            notes["annotations with the id of another one, kept"] += 1
        elif "id" in row and seen[row["id"]] is not entry:
            notes["annotations that repeat another one, left out"] += 1
            continue
        box, is_crowd = [x, y, x + width, y + height], bool(row.get("iscrowd", 0))
        objects[image].append(Annotation(box, classes[category], where, is_crowd, row.get("segmentation")))
    records = []
    for number, row in images.items():
        path = picture_of(file, row.get("file_name"), f"{file}, image {number}")
        stored = (row["height"], row["width"]) if "height" in row and "width" in row else None
        source = f"{path} ({file})"
        records.append(record_of(source, str(path), objects[number], stored=stored, notes=notes, masks=masks))
    return records


# For all that is stored in this form, key points too


def documents_in(place, task, notes):
    """(file, content, split) of a file, or of every file of a folder that is not of another task.

    Raises:
        ValueError: there is none, or one lacks a list.
    """
    files = files_in(place) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{place} has no .json file with the images and annotations of COCO's form.")
    others = tuple(f"{other}_" for other in TASKS if other != task)
    chosen = [file for file in files if not file.name.startswith(others)] or files
    notes["files of COCO's other tasks, left out"] += len(files) - len(chosen)
    for file in chosen:
        document = json_of(file)
        for key in LISTS:
            if not isinstance(document, dict) or not isinstance(document.get(key), list):
                raise ValueError(f"{file} has no list {key!r}; COCO's form has images, annotations and categories.")
            entries(document[key], file, key)
        yield file, document, split_in(*words_of(file.stem), *words_of(file.parent.name))


def files_in(folder):
    """The annotation files in a folder: instances_train2017.json, annotations/val.json, test/_annotations.coco.json."""
    places = [folder, folder / "annotations", *(child for child in sorted(folder.iterdir()) if child.is_dir())]
    files = {file: None for place in places if place.is_dir() for file in sorted(place.glob("*.json"))}
    return [file for file in files if is_coco(file)]


def is_coco(file):
    """Whether the beginning of a JSON file names COCO's lists."""
    with open(file, encoding="utf-8", errors="replace") as opened:
        beginning = opened.read(2_000_000)
    return '"images"' in beginning or ('"annotations"' in beginning and '"shapes"' not in beginning)


def words_of(name):
    """ "instances_train2017" -> ["instances", "train"]"""
    return "".join(c if c.isalpha() else " " for c in name).split()


def by_id(rows, file, what):
    """id -> row.  Raises ValueError for a missing or repeated id."""
    found = {}
    for place, row in enumerate(rows):
        number = row.get("id")
        if number is None:
            raise ValueError(f"{file}: {what} number {place} of the list has no id; add one.")
        if number in found:
            raise ValueError(f"{file}: the {what} id {number} occurs twice; ids must differ.")
        found[number] = row
    return found


def picture_of(file, name, where):
    """The picture that an annotation file names: beside it, or in a folder of pictures nearby."""
    if not name:
        raise ValueError(f"{where} has no file_name; add it.")
    above, stem = file.parent.parent, file.stem
    for task in TASKS:
        stem = stem.removeprefix(f"{task}_")  # person_keypoints_val2017.json describes val2017/
    bases = [file.parent, file.parent / "images", file.parent / stem, above]
    bases += [above / "images", above / stem, above / "images" / stem]
    for base in bases:
        if (base / name).is_file():
            return base / name
    raise FileNotFoundError(f"{where}: there is no picture {name} beside it or in {above}/images; add it.")
