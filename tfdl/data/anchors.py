"""Sizes of anchors from the boxes of a data set: the means of clusters of boxes that overlap.

Source: Redmon & Farhadi 2016, arXiv:1612.08242 (YOLOv2), section 2, "dimension clusters": k-means with the distance
1 - IoU between a box and a mean, both with the same center, since large boxes would else count most.
"""

import numpy as np

from tfdl.core import pictures

ROUNDS = 100  # at most; most sets need ten to thirty


def anchors_of(data, maps=3, each=3, seed=0):
    """Anchors for the training boxes of a `DetectionData`, in pixels of its resized pictures.

    Args:
        maps: number of feature maps, the one of the smallest stride first.
        each: anchors on a map.

    Returns:
        for each map `each` pairs (width, height), all sorted by their area.

    Raises:
        ValueError: there are fewer boxes than anchors.
    """
    sizes = []
    for record in data.records["train"]:
        scale, _ = pictures.placement(record.size, data.image_shape, data.resize)
        sizes.append((record.boxes[:, 2:] - record.boxes[:, :2]) * scale[::-1])
    means = clusters(np.concatenate(sizes), maps * each, seed)
    pairs = [tuple(round(float(side), 1) for side in mean) for mean in means]
    return tuple(tuple(pairs[i * each : (i + 1) * each]) for i in range(maps))


def clusters(sizes, count, seed=0):
    """`count` mean sizes (count, 2) of the sizes (N, 2), sorted by area.  Raises ValueError for fewer sizes."""
    if len(sizes) < count:
        raise ValueError(f"There are {len(sizes)} boxes for {count} anchors; give more pictures, or the anchors.")
    rng = np.random.default_rng(seed)
    by_area = sizes[np.argsort(sizes.prod(1))]
    means = by_area[np.linspace(0, len(sizes) - 1, 2 * count + 1).astype(int)[1::2]]  # a start at all scales
    nearest = None
    for _ in range(ROUNDS):
        new = np.argmax(shape_iou(sizes, means), axis=1)
        if nearest is not None and (new == nearest).all():
            break
        nearest = new
        lonely = [i for i in range(count) if not (nearest == i).any()]
        means = np.array([sizes[nearest == i].mean(0) if i not in lonely else means[i] for i in range(count)])
        means[lonely] = sizes[rng.integers(0, len(sizes), len(lonely))]
    return means[np.argsort(means.prod(1))]


def shape_iou(sizes, means):
    """IoU of boxes of one center.  (N, 2), (K, 2) -> (N, K)"""
    shared = np.minimum(sizes[:, None], means).prod(-1)
    return shared / (sizes.prod(-1)[:, None] + means.prod(-1) - shared)
