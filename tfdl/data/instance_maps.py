"""Which object each pixel of a picture shows: masks of any form -> one map (H, W) int32, -1 where there is none.

A mask comes as COCO writes it, a list of polygons [x1, y1, x2, y2, ...] or run lengths {"size", "counts"}, or as
pixels; it is kept as the compressed run lengths of pycocotools.  In the map of a picture an object is the number of its
row among the boxes.  Where objects overlap, the smaller lies on top; regions that an evaluation ignores lie below all.

Source: cocodataset.org/#format-data.
"""

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

from tfdl.core import pictures
from tfdl.core.batches import PADDING


def run_lengths(outline, size, where):
    """The compressed run lengths {"size", "counts"} of one object.

    Args:
        outline: polygons or run lengths as above, or pixels (height, width), not 0 on the object.
        size: (height, width) of the picture.
        where: what a message calls the object.

    Raises:
        ValueError: there is no outline, or it cannot be understood.
    """
    if isinstance(outline, np.ndarray):
        return coco_mask.encode(np.asfortranarray(outline != 0, "uint8"))
    if not outline:
        raise ValueError(f"{where} has no mask; add one, or load the data set without masks.")
    if isinstance(outline, dict):
        return of_counts(outline, size, where)
    polygons = [np.array(polygon, "float64") for polygon in outline if isinstance(polygon, list)]
    good = [p.ndim == 1 and len(p) >= 6 and len(p) % 2 == 0 and np.isfinite(p).all() for p in polygons]
    if len(polygons) < len(outline) or not all(good):
        raise ValueError(f"{where}: a polygon needs x and y of three corners or more, all finite; correct it.")
    return coco_mask.merge(coco_mask.frPyObjects([polygon.tolist() for polygon in polygons], *size))


def of_counts(outline, size, where):
    """Run lengths as a list of numbers or as COCO's string -> the latter, checked."""
    counts = outline.get("counts")
    if list(outline.get("size", ())) != list(size):
        raise ValueError(f"{where}: its mask has the size {outline.get('size')}, its picture {list(size)}; correct it.")
    if isinstance(counts, list):
        if any(not isinstance(count, int) or count < 0 for count in counts) or sum(counts) != size[0] * size[1]:
            raise ValueError(f"{where}: the run lengths do not add up to the {size[0] * size[1]} pixels; correct them.")
        return coco_mask.frPyObjects(outline, *size)
    try:
        coded = {"size": list(size), "counts": counts.encode() if isinstance(counts, str) else counts}
        coco_mask.decode(coded)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: the run lengths cannot be read ({error}); correct them.") from None
    return coded


def turned(coded, orientation):
    """Run lengths of a stored picture, turned as `core.pictures` turns its pixels by their EXIF orientation."""
    pixels = coco_mask.decode(coded)
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    return coco_mask.encode(np.asfortranarray(pixels.T if orientation > 4 else pixels))


def drawn(masks, crowd, stored, image_shape, resize):
    """The map (H, W) int32 of n objects.

    Args:
        masks: n run lengths.
        crowd: (n,) bool, true for regions that an evaluation ignores.
        stored: (height, width) of the upright picture.
        image_shape, resize: as of `pictures.resize`; each pixel shows what the nearest stored one does.
    """
    found = np.full(image_shape[:2], PADDING, "int32")
    if not masks:
        return found
    scale, offset = pictures.placement(stored, image_shape, resize)
    y, x = (
        np.floor((np.arange(size) + 0.5 - start) / factor).astype(int)
        for size, start, factor in zip(image_shape, offset, scale)
    )
    rows, columns = (np.flatnonzero((old >= 0) & (old < size)) for old, size in zip((y, x), stored))
    here = np.ix_(rows, columns)
    for number in np.lexsort((-coco_mask.area(list(masks)).astype(int), ~np.asarray(crowd))):
        shown = coco_mask.decode(masks[number])[np.ix_(y[rows], x[columns])] > 0
        found[here] = np.where(shown, number, found[here])
    return found


def compressed(instances):
    """A map as the bytes of a PNG file, a hundredth of its size."""
    return tf.io.encode_png((instances + 1).astype("uint16")[..., None]).numpy()


def expanded(content, image_shape):
    """Maps (B,) as `compressed` makes them -> (B, H, W) int32."""
    pixels = tf.map_fn(
        lambda png: tf.io.decode_png(png, channels=1, dtype=tf.uint16),
        content,
        fn_output_signature=tf.TensorSpec((*image_shape[:2], 1), tf.uint16),
    )
    return tf.cast(pixels[..., 0], tf.int32) - 1


def agreed(truth):
    """Boxes (B, N, 4), labels (B, N) and instances (B, H, W) that speak of the same objects.

    A row that is padding loses its pixels, and a row without pixels becomes padding.
    """
    boxes, labels, instances = truth["boxes"], truth["labels"], truth["instances"]
    batch, count = tf.shape(labels)[0], tf.shape(labels)[1]
    known = (instances >= 0) & (tf.gather(labels, tf.maximum(instances, 0), batch_dims=1) != PADDING)  # (B, H, W)
    places = tf.where(known, instances + count * tf.range(batch)[:, None, None], -1)
    pixels = tf.math.unsorted_segment_sum(tf.ones_like(places), places, batch * count)
    visible = (labels != PADDING) & (tf.reshape(pixels, (batch, count)) > 0)
    return {
        "boxes": tf.where(visible[..., None], boxes, 0.0),
        "labels": tf.where(visible, labels, PADDING),
        "instances": tf.where(known, instances, PADDING),
    }
