"""Random augmentation of pictures with boxes, as pure functions of a seed.

Every function here returns an augmentation: (images (B, H, W, C) float32 in [0, 1], truth, seed (2) int) -> images and
truth, consistent with each other.  truth has boxes (B, N, 4) xyxy in pixels, labels (B, N) int32, -1 where padded, and
maybe instances (B, H, W) int32, the row of the object that each pixel shows, -1 for none.  Random numbers are drawn for
each picture of the batch; the same seed gives the same batch on every host.

    augment = chain(random_mosaic(0.5), random_flip(), random_affine(scale=0.3, shift=0.1), random_color())

A picture is moved by one matrix, and so are its boxes: the corner (x, y) in the new picture shows (a x + b, c y + d) of
the old one, and an old box becomes ((x1 - b) / a, (y1 - d) / c, ...), clipped to the picture.  A box of which less than
VISIBLE remains, or less than SMALLEST pixels, is padding from then on: nobody could find the object.  A pixel of
`instances` shows what the nearest one did, and an object without a pixel there is padding as well.
`random_mosaic` makes four times as many boxes per picture, and `random_mixup` twice, so that none is lost.

Sources: mosaic, Bochkovskiy et al. 2020, arXiv:2004.10934 (YOLOv4), section 3.3; mixup of detectors, Zhang et al. 2019,
arXiv:1902.04103, section 3.1.
Shapes: B pictures, H W C height, width and channels, N boxes.
"""

import tensorflow as tf

from tfdl.core.batches import PADDING
from tfdl.data import instance_maps
from tfdl.data.augment import check_strength

VISIBLE = 0.1  # of a box's area, at least
SMALLEST = 2.0  # pixels of its sides


def chain(*augmentations):
    """Applies augmentations one after the other, each with its own seed."""

    def augment(images, truth, seed):
        for stage, augmentation in enumerate(augmentations):
            part = tf.random.experimental.stateless_fold_in(seed, stage)
            images, truth = augmentation(images, truth, part)
        return images, truth

    return augment


def random_flip():
    """Mirrors each picture horizontally with probability 1/2."""

    def augment(images, truth, seed):
        mirrored = uniform(images, seed) < 0.5  # (B,)
        width = tf.cast(tf.shape(images)[2], tf.float32)
        x1, y1, x2, y2 = tf.unstack(truth["boxes"], axis=-1)
        turned = tf.stack([width - x2, y1, width - x1, y2], axis=-1)
        turned = tf.where(truth["labels"][..., None] == PADDING, 0.0, turned)
        truth = truth | {"boxes": tf.where(mirrored[:, None, None], turned, truth["boxes"])}
        if "instances" in truth:
            reverse = tf.reverse(truth["instances"], axis=[2])
            truth["instances"] = tf.where(mirrored[:, None, None], reverse, truth["instances"])
        return tf.where(mirrored[:, None, None, None], tf.reverse(images, axis=[2]), images), truth

    return augment


def random_affine(scale=0.5, shift=0.1, fill=0.0):
    """Enlarges or shrinks each picture by 1 - scale ... 1 + scale about its center, and moves it.

    Args:
        scale: in [0, 1).
        shift: as a part of the picture's sides.
        fill: the pixel value where there is no picture.

    Raises:
        ValueError: a number out of its range.
    """
    if not 0.0 <= scale < 1.0:
        raise ValueError(f"random_affine got scale={scale}; give a number from 0 to below 1.")
    check_strength("random_affine", shift)

    def augment(images, truth, seed):
        height, width = size_of(images)
        draws = uniform(images, seed, 3) * 2.0 - 1.0  # (3, B) in [-1, 1)
        zoom = 1.0 + scale * draws[0]
        left = width / 2 + shift * width * draws[1] - zoom * width / 2  # where the picture's corner goes
        top = height / 2 + shift * height * draws[2] - zoom * height / 2
        return placed(images, truth, zoom, left, top, fill)

    return augment


def random_crop(smallest=0.5):
    """Cuts a window out of each picture, of `smallest` to all of its sides, and enlarges it to the picture's size.

    Raises:
        ValueError: `smallest` is not in (0, 1].
    """
    if not 0.0 < smallest <= 1.0:
        raise ValueError(f"random_crop got smallest={smallest}; give a number above 0 and up to 1.")

    def augment(images, truth, seed):
        height, width = size_of(images)
        draws = uniform(images, seed, 3)
        part = smallest + (1.0 - smallest) * draws[0]
        left, top = draws[1] * (1.0 - part) * width, draws[2] * (1.0 - part) * height
        return placed(images, truth, 1.0 / part, -left / part, -top / part, 0.0)

    return augment


def random_mosaic(probability=1.0, scale=(0.4, 1.0)):
    """Four pictures around a random point, each shrunk: more and smaller objects, in new surroundings.

    (B, N) boxes become (B, 4 N).  The three others are pictures of the same batch.

    Args:
        probability: of each picture; the others stay as they are.
        scale: the smallest and largest factor by which pictures are shrunk.

    Raises:
        ValueError: a number out of its range.
    """
    check_strength("random_mosaic", probability)
    low, high = scale
    if not 0.0 < low <= high:
        raise ValueError(f"random_mosaic got scale={scale}; give two positive numbers, the smaller first.")

    def augment(images, truth, seed):
        height, width = size_of(images)
        batch = tf.shape(images)[0]
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
        draws = uniform(images, seeds[0], 3)
        x, y = (0.25 + 0.5 * draws[0]) * width, (0.25 + 0.5 * draws[1]) * height  # (B,) of the point
        columns, rows = (tf.range(side, dtype=tf.float32) + 0.5 for side in (width, height))
        is_left = (columns < x[:, None])[:, None, :, None]  # (B, 1, W, 1)
        is_upper = (rows < y[:, None])[:, :, None, None]  # (B, H, 1, 1)
        count = tf.shape(truth["labels"])[1]
        mixed, parts = tf.zeros_like(images), []
        for quarter in range(4):
            right, lower = quarter % 2, quarter // 2
            order = tf.range(batch)
            if quarter:
                order = tf.random.experimental.stateless_shuffle(order, seeds[quarter])
            zoom = low + (high - low) * uniform(images, tf.random.experimental.stateless_fold_in(seeds[4], quarter))
            left = x - (0.0 if right else zoom * width)
            top = y - (0.0 if lower else zoom * height)
            limits = (x if right else tf.zeros_like(x), y if lower else tf.zeros_like(y))
            ends = (tf.fill([batch], width) if right else x, tf.fill([batch], height) if lower else y)
            own = {name: tf.gather(values, order) for name, values in truth.items()}
            moved, own = placed(tf.gather(images, order), own, zoom, left, top, 0.0, limits, ends)
            is_here = (~is_left if right else is_left) & (~is_upper if lower else is_upper)
            mixed = tf.where(is_here, moved, mixed)
            if "instances" in own:  # the rows of this picture's objects among those of four
                known = is_here[..., 0] & (own["instances"] >= 0)
                own["instances"] = tf.where(known, own["instances"] + quarter * count, PADDING)
            parts.append(own)
        chosen = draws[2] < probability  # (B,)
        padding = {"boxes": tf.zeros([batch, 3 * count, 4]), "labels": tf.fill([batch, 3 * count], PADDING)}
        longer = {name: tf.concat([truth[name], values], 1) for name, values in padding.items()}
        found = {name: tf.concat([own[name] for own in parts], 1) for name in padding}
        if "instances" in truth:
            found["instances"] = tf.reduce_max([own["instances"] for own in parts], 0)  # at most one is not -1
            found, longer = instance_maps.agreed(found), longer | {"instances": truth["instances"]}
        return tf.where(chosen[:, None, None, None], mixed, images), {
            name: tf.where(tf.reshape(chosen, [-1] + [1] * (values.shape.rank - 1)), values, longer[name])
            for name, values in found.items()
        }

    return augment


def random_mixup(probability=1.0, alpha=1.5):
    """Adds another picture of the batch, t * picture + (1 - t) * other with t from Beta(alpha, alpha), and its boxes.

    (B, N) boxes become (B, 2 N).  The paper takes an alpha of 1.5.

    Raises:
        ValueError: a number out of its range; or, with a batch, there are `instances`: a pixel would show two objects.
    """
    check_strength("random_mixup", probability)
    if not alpha > 0.0:
        raise ValueError(f"random_mixup got alpha={alpha}; give a number above 0.")

    def augment(images, truth, seed):
        if "instances" in truth:
            raise ValueError("random_mixup lays two objects on one pixel, which instances cannot say; leave it out.")
        boxes, labels = truth["boxes"], truth["labels"]
        batch = tf.shape(images)[0]
        first, second, order, which = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
        gammas = [tf.random.stateless_gamma((batch,), part, alpha) for part in (first, second)]
        t = gammas[0] / (gammas[0] + gammas[1])
        chosen = uniform(images, which) < probability
        t = tf.where(chosen, t, 1.0)[:, None, None, None]
        order = tf.random.experimental.stateless_shuffle(tf.range(batch), order)
        others = tf.where(chosen[:, None], tf.gather(labels, order), PADDING)
        other_boxes = tf.where(chosen[:, None, None], tf.gather(boxes, order), 0.0)
        mixed = t * images + (1.0 - t) * tf.gather(images, order)
        return mixed, {"boxes": tf.concat([boxes, other_boxes], 1), "labels": tf.concat([labels, others], 1)}

    return augment


def random_color(hue=0.015, saturation=0.5, brightness=0.3):
    """Turns the hue by up to `hue` of the circle, and scales saturation and brightness by 1 - s ... 1 + s.

    Gray pictures change in brightness only.

    Raises:
        ValueError: a strength that is not in [0, 1].
    """
    for strength in (hue, saturation, brightness):
        check_strength("random_color", strength)

    def augment(images, truth, seed):
        draws = (uniform(images, seed, 3) * 2.0 - 1.0)[:, :, None, None]  # (3, B, 1, 1)
        if images.shape[-1] == 1:
            return tf.clip_by_value(images * (1.0 + brightness * draws[2][..., None]), 0.0, 1.0), truth
        h, s, v = tf.unstack(tf.image.rgb_to_hsv(images), axis=-1)
        h = tf.math.floormod(h + hue * draws[0], 1.0)
        s = tf.clip_by_value(s * (1.0 + saturation * draws[1]), 0.0, 1.0)
        v = tf.clip_by_value(v * (1.0 + brightness * draws[2]), 0.0, 1.0)
        return tf.image.hsv_to_rgb(tf.stack([h, s, v], axis=-1)), truth

    return augment


# Parts


def placed(images, truth, zoom, left, top, fill, low=None, high=None):
    """Pictures enlarged `zoom` (B,) times, their upper left corners at (`left`, `top`) (B,), with their objects.

    Args:
        low, high: (x, y) between which boxes are visible, each (B,); None is the whole picture.
    """
    height, width = size_of(images)
    zero, one = tf.zeros_like(zoom), 1.0 / zoom
    # Output pixel i shows the center (i + 1/2 - left) / zoom - 1/2 of the input's pixels.
    matrix = tf.stack(
        [one, zero, (0.5 - left) * one - 0.5, zero, one, (0.5 - top) * one - 0.5, zero, zero], axis=1
    )  # (B, 8)
    moved = transformed(images, matrix, fill, "BILINEAR")
    boxes, labels = truth["boxes"], truth["labels"]
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    zoom, left, top = zoom[:, None], left[:, None], top[:, None]
    x1, x2, y1, y2 = x1 * zoom + left, x2 * zoom + left, y1 * zoom + top, y2 * zoom + top
    low = low or (tf.zeros_like(left[:, 0]), tf.zeros_like(top[:, 0]))
    high = high or (tf.fill(tf.shape(left)[:1], width), tf.fill(tf.shape(top)[:1], height))
    a1, a2 = (tf.clip_by_value(x, low[0][:, None], high[0][:, None]) for x in (x1, x2))
    b1, b2 = (tf.clip_by_value(y, low[1][:, None], high[1][:, None]) for y in (y1, y2))
    visible = (a2 - a1) * (b2 - b1) > VISIBLE * (x2 - x1) * (y2 - y1)
    visible &= (a2 - a1 >= SMALLEST) & (b2 - b1 >= SMALLEST) & (labels != PADDING)
    boxes = tf.where(visible[..., None], tf.stack([a1, b1, a2, b2], axis=-1), 0.0)
    placed_truth = {"boxes": boxes, "labels": tf.where(visible, labels, PADDING)}
    if "instances" in truth:
        placed_truth["instances"] = transformed(truth["instances"][..., None], matrix, PADDING, "NEAREST")[..., 0]
        placed_truth = instance_maps.agreed(placed_truth)
    return moved, placed_truth


def transformed(images, matrix, fill, interpolation):
    """Images (B, H, W, C) seen through matrices (B, 8), see `tf.raw_ops.ImageProjectiveTransformV3`."""
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrix,
        output_shape=tf.shape(images)[1:3],
        fill_value=fill,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(moved, images.shape)


def size_of(images):
    """Height and width as float32."""
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    return size[0], size[1]


def uniform(images, seed, count=None):
    """Numbers in [0, 1) for each picture: (B,), or (count, B)."""
    batch = tf.shape(images)[0]
    return tf.random.stateless_uniform((batch,) if count is None else (count, batch), seed)
