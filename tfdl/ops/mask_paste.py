"""Small masks inside of their boxes -> masks of the whole picture.

A mask of M x M points gets a border of zeros, and its box grows by (M + 2) / M about its center to whole pixels; then
it is resized to the box bilinearly: the convention of torchvision's `paste_masks_in_image`.  Bilinear interpolation is
linear in the mask, and separate in x and y:

    picture = Y mask X^T       Y (H, M + 2) and X (W, M + 2) hold the weights of the points in rows and columns

so that all masks are pasted by two matrix products with static shapes, wherever their boxes are.
Source: He et al. 2017, arXiv:1703.06870, section 3.1, inference.
Shapes: B pictures, D masks, H W height and width.
"""

from keras import ops

from tfdl.ops.boxes import from_corners, sides


def paste_masks(masks, boxes, image_shape):
    """Masks (B, D, M, M) in their boxes (B, D, 4) xyxy in pixels -> (B, D, H, W), zeros outside of the boxes.

    Args:
        masks: numbers in [0, 1].
        image_shape: (height, width, ...) of the picture.
    """
    points = masks.shape[-1] + 2
    masks = ops.pad(masks, [(0, 0), (0, 0), (1, 1), (1, 1)])
    x, y, width, height = sides(from_corners(ops.cast(boxes, "float32"), "cxcywh"))
    growth = points / (points - 2) / 2
    rows = interpolation(y - growth * height, y + growth * height, image_shape[0], points)
    columns = interpolation(x - growth * width, x + growth * width, image_shape[1], points)
    return ops.matmul(ops.matmul(rows, ops.cast(masks, "float32")), ops.swapaxes(columns, -1, -2))


def interpolation(first, last, size, points):
    """Weights of `points` values for each of `size` pixels, between two sides of boxes.  (B, D) -> (B, D, size, points)

    Both sides are cut to whole pixels, which belong to the box; pixels outside have zeros.
    """
    first, last = (ops.trunc(side)[..., None] for side in (first, last))
    pixel = ops.arange(size, dtype="float32")
    length = ops.maximum(last - first + 1.0, 1.0)
    place = ops.clip((0.5 - first + pixel) * points / length - 0.5, 0.0, points - 1.0)  # (B, D, size)
    weights = ops.maximum(1.0 - ops.abs(place[..., None] - ops.arange(points, dtype="float32")), 0.0)
    is_inside = ops.logical_and(first <= pixel, first + length > pixel)
    return ops.where(is_inside[..., None], weights, 0.0)
