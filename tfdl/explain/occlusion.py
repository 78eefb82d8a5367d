"""Occlusion: mask a square of the image and predict again.  It needs no gradients and serves to check other methods.

Paper: Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2.
Shapes: B batch, H W height and width of the images, C channels, P places of the square.
"""

import keras
import numpy as np


def occlusion(model, images, classes, *, side=None, stride=None, batch_size=64):
    """The decrease of the class's logit when a square is masked with the image's mean color.  -> (B, H, W) float32.

    A pixel's value is the mean over all squares that cover it; a negative value speaks against the class.

    Args:
        model: images -> logits (B, num_classes).
        images: (B, H, W, C) as the model takes them.
        classes: (B,) the class to explain in each image.
        side: of the square in pixels; None: a quarter of the shorter side of the image.
        stride: pixels from one position to the next; None: half of `side`.
        batch_size: masked images at a time.

    Raises:
        ValueError: the model returns no logits, there is no such class, or the square does not fit.
    """
    images, classes = np.asarray(images), check_classes(model, images, classes)
    covers = squares(*images.shape[1:3], side, stride)  # (P, H, W)
    before = np.take_along_axis(logits_of(model, images), classes[:, None], 1)  # (B, 1)
    pairs = np.arange(len(images) * len(covers))  # every image with every square
    after = []
    for part in np.array_split(pairs, -(-len(pairs) // batch_size)):
        image, place = np.divmod(part, len(covers))
        logits = logits_of(model, paint(images[image], covers[place]))
        after.append(logits[np.arange(len(part)), classes[image]])
    falls = before - np.concatenate(after).reshape(len(images), len(covers))  # (B, P)
    return (np.einsum("bp,phw->bhw", falls, covers) / covers.sum(0)).astype("float32")


def squares(height, width, side=None, stride=None):
    """Masks (P, H, W) of the square at all positions, which cover every pixel; the last ones end at the border.

    Raises:
        ValueError: the square does not fit, or the stride leaves gaps.
    """
    side = max(1, min(height, width) // 4) if side is None else side
    stride = max(1, side // 2) if stride is None else stride
    if not 1 <= stride <= side <= min(height, width):
        raise ValueError(
            f"A square of {side} pixels every {stride} does not cover images of {height} x {width}; choose 1 <= stride"
            f" <= side <= {min(height, width)}."
        )
    starts = [np.arange(0, n - side + stride, stride).clip(max=n - side) for n in (height, width)]
    down, across = (
        (np.arange(n) >= start[:, None]) & (np.arange(n) < start[:, None] + side)
        for n, start in zip((height, width), starts)
    )
    return (down[:, None, :, None] & across[None, :, None, :]).reshape(-1, height, width)


def hide(images, centers, side):
    """Masks the square around a point in each image with its mean color.  (B, H, W, C) -> same.

    Args:
        centers: (B, 2) row and column in pixels.
        side: of the square in pixels; at the border it is cut off.
    """
    offsets = [np.abs(np.arange(n) - centers[:, i, None]) for i, n in enumerate(images.shape[1:3])]  # (B, H), (B, W)
    down, across = (2 * offset < side for offset in offsets)
    return paint(images, down[:, :, None] & across[:, None])


def peaks(maps, height, width):
    """Where each map is largest, as row and column in images of this size.  (B, h, w) -> (B, 2) float.

    Positions of equal value are averaged: a map of zeros has its peak in the center.
    """
    maps = np.asarray(maps)
    best = maps == maps.max((1, 2), keepdims=True)  # (B, h, w)
    weights = best / best.sum((1, 2), keepdims=True)
    cells = weights.sum(2) @ np.arange(maps.shape[1]), weights.sum(1) @ np.arange(maps.shape[2])  # 2 of (B,)
    scale = np.divide((height, width), maps.shape[1:])
    return (np.stack(cells, -1) + 0.5) * scale - 0.5  # centers of cells to centers of pixels


def paint(images, covers):
    """Images (B, H, W, C) with their own mean color where the masks (B, H, W) are true."""
    return np.where(covers[..., None], images.mean((1, 2), keepdims=True), images)


def logits_of(model, images, batch_size=64):
    """(B, H, W, C) -> (B, num_classes) NumPy, `batch_size` images at a time."""
    batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    return np.concatenate([keras.ops.convert_to_numpy(model(batch, training=False)) for batch in batches])


def check_classes(model, images, classes):
    """`classes` as (B,) int32.  Raises ValueError if the model returns no logits or does not have such a class."""
    outputs = model.outputs[0].shape if getattr(model, "outputs", None) else ()
    if len(outputs) != 2:
        raise ValueError(f"{model.name!r} returns no logits (B, num_classes), so there is no class to explain.")
    classes = np.asarray(classes)
    if classes.shape != (len(images),) or not np.isin(classes, np.arange(outputs[1])).all():
        raise ValueError(
            f"Give one class from 0 to {outputs[1] - 1} for each of the {len(images)} images, not {classes.tolist()}."
        )
    return classes.astype("int32")
