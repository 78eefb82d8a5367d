"""Sets of tensorflow_datasets with objects, whose boxes are ymin, xmin, ymax, xmax in parts of the stored picture.

Masks come from an `instance_map` (h, w, 1), 0 where there is no object, or from a `panoptic_image`, of which those
segments are objects that `panoptic_objects` calls things.
"""

import collections

import numpy as np
import tensorflow_datasets as tfds
from scipy import ndimage

from tfdl.data import sources
from tfdl.data.annotations.record import Annotation, Found, header, record_of

OBJECT_NAMES = {"nuclei_dsb2018": "nucleus"}  # sets with an instance_map have one class


def read(name, data_dir, download, masks=False):
    """A prepared set with `image`, and with `objects` or `instance_map`."""
    own = "For files of your own give coco:FILE, voc:FOLDER, yolo:FOLDER or labelme:FOLDER."
    folder = sources.require(name, data_dir, download, own)
    info, datasets = sources.tfds_splits(name, folder, download, decoders={"image": tfds.decode.SkipDecoding()})
    labels, annotations_in = reader_of(name, info.features, masks)
    notes, splits = collections.Counter(), {}
    for key, dataset in datasets.items():
        if key not in sources.SPLITS:
            notes[f"split {key!r}, left out"] += 1
            continue
        splits[key] = []
        for place, example in enumerate(dataset.as_numpy_iterator()):
            source, content = f"{name}, {key} {place}", bytes(example["image"])
            objects = annotations_in(example, source)
            if objects is None:
                notes["pictures without masks, left out"] += 1
                continue
            stored, _ = header(content, source)
            record = record_of(source, content, objects, stored=stored, relative=True, notes=notes, masks=masks)
            splits[key].append(record)
    return Found(labels, splits, notes)


def reader_of(name, features, masks):
    """Class names, and a function (example, source) -> `Annotation`s, or None for a picture without masks.

    Raises:
        ValueError: the set has no boxes, or no masks where they are asked for.
    """
    objects = dict(features.items()).get("objects")
    fields = dict(getattr(objects, "feature", objects).items()) if objects is not None else {}
    if {"image", "instance_map"} <= set(features):
        return (OBJECT_NAMES.get(name.split(":")[0], "object"),), of_instance_map
    if "image" not in features or not {"bbox", "label"} <= fields.keys():
        raise ValueError(
            f"The data set {name!r} has the features {', '.join(features)}; for detection it needs 'image', and"
            " 'objects' with 'bbox' and 'label'."
        )
    names = tuple(fields["label"].names)
    if not masks:
        crowds = next((key for key in ("is_crowd", "is_difficult") if key in fields), None)
        return names, lambda example, source: of_boxes(example["objects"], crowds, source)
    if not {"panoptic_image", "panoptic_objects"} <= set(features):
        raise ValueError(
            f"The data set {name!r} has boxes alone; for masks it needs 'instance_map' or 'panoptic_image'."
        )
    return names, of_panoptic


def of_boxes(objects, crowds, source):
    """The `objects` of an example; `crowds` is the field of regions that are not evaluated, or None."""
    crowd = objects[crowds] if crowds else np.zeros(len(objects["label"]), bool)
    return [
        Annotation([x1, y1, x2, y2], label, f"{source}, box {i}", is_crowd)
        for i, ((y1, x1, y2, x2), label, is_crowd) in enumerate(zip(objects["bbox"], objects["label"], crowd))
    ]


def of_instance_map(example, source):
    """One for each number of `instance_map`, with the smallest box around its pixels."""
    numbers = example["instance_map"][..., 0].astype("int32")
    height, width = numbers.shape
    found = []
    for number, place in enumerate(ndimage.find_objects(numbers), start=1):
        if place is not None:  # numbers may have gaps
            y, x = place
            box = [x.start / width, y.start / height, x.stop / width, y.stop / height]
            found.append(Annotation(box, 0, f"{source}, object {number}", outline=numbers == number))
    return found


def of_panoptic(example, source):
    """One for each thing of `panoptic_objects`, whose classes come before those of stuff."""
    if not example.get("has_panoptic", True):
        return None
    segments, numbers = example["panoptic_objects"], example["panoptic_image"][..., 0]
    found = []
    for i in np.flatnonzero(segments["is_thing"]):
        y1, x1, y2, x2 = segments["bbox"][i]
        pixels, is_crowd = numbers == segments["segment_id"][i], bool(segments["is_crowd"][i])
        found.append(Annotation([x1, y1, x2, y2], segments["label"][i], f"{source}, segment {i}", is_crowd, pixels))
    return found
