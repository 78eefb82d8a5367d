"""Random augmentation of pictures with key points, as pure functions of a seed.

Every function here returns an augmentation: (images (B, H, W, C) float32 in [0, 1], keypoints (B, K, 3) x, y in pixels,
1 if visible, seed (2) int) -> the same, moved together.  A point that leaves its picture is zeros from then on.

    augment = chain(random_flip(body.mirror), random_affine(turn=30), of_pixels(random_brightness(0.2)))

Source: Sun et al. 2019, arXiv:1902.09212, section 4.1, which turns by up to 45 degrees and scales by 0.65 to 1.35.
"""

import math

import numpy as np
import tensorflow as tf

from tfdl.data.augment import check_strength, per_image


def chain(*augmentations):
    """Applies augmentations one after the other, each with its own seed."""

    def augment(images, keypoints, seed):
        for stage, augmentation in enumerate(augmentations):
            images, keypoints = augmentation(images, keypoints, tf.random.experimental.stateless_fold_in(seed, stage))
        return images, keypoints

    return augment


def of_pixels(augmentation):
    """An augmentation of `tfdl.data.augment` that changes colors and moves nothing, such as `random_brightness`."""

    def augment(images, keypoints, seed):
        return augmentation(images, seed), keypoints

    return augment


def random_flip(mirror):
    """Mirrors each picture horizontally with probability 1/2; what was a left hand is a right one then.

    Args:
        mirror: the point that each of the K becomes, see `tfdl.core.bodies`.
    """
    order = np.asarray(mirror)

    def augment(images, keypoints, seed):
        mirrored = per_image(images, seed) < 0.5  # (B, 1, 1, 1)
        width = tf.cast(tf.shape(images)[2], tf.float32)
        x, y, visible = tf.unstack(tf.gather(keypoints, order, axis=1), axis=-1)
        turned = tf.stack([tf.where(visible > 0, width - x, 0.0), y, visible], axis=-1)
        keypoints = tf.where(mirrored[:, 0], turned, keypoints)
        return tf.where(mirrored, tf.reverse(images, axis=[2]), images), keypoints

    return augment


def random_affine(scale=0.25, shift=0.1, turn=0.0):
    """Enlarges each picture by 1 - scale ... 1 + scale about its center, turns it, and moves it.

    Args:
        scale: in [0, 1).
        shift: as a part of the picture's sides.
        turn: largest angle in degrees, to both sides.

    Raises:
        ValueError: a number out of its range.
    """
    if not 0.0 <= scale < 1.0:
        raise ValueError(f"random_affine got scale={scale}; give a number from 0 to below 1.")
    if not 0.0 <= turn <= 180.0:
        raise ValueError(f"random_affine got turn={turn}; give degrees from 0 to 180.")
    check_strength("random_affine", shift)

    def augment(images, keypoints, seed):
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        draws = tf.random.stateless_uniform((4, tf.shape(images)[0]), seed, -1.0, 1.0)
        zoom, angle = 1.0 + scale * draws[0], turn * draws[1] * math.pi / 180.0
        return moved(images, keypoints, zoom, angle, shift * size[1] * draws[2], shift * size[0] * draws[3])

    return augment


def moved(images, keypoints, zoom, angle, right, down):
    """Pictures and key points enlarged, turned clockwise by radians about the center, and shifted in pixels; all (B,).

    The point p goes to zoom R (p - center) + center + shift; a new pixel therefore shows the old picture at
    R^T (p - center - shift) / zoom + center.
    """
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    cx, cy = size[1] / 2, size[0] / 2
    cosine, sine = tf.cos(angle), tf.sin(angle)
    a, b = cosine / zoom, sine / zoom
    x0, y0 = 0.5 - cx - right, 0.5 - cy - down  # a pixel's center is half a pixel from its number
    rows = [a, b, a * x0 + b * y0 + cx - 0.5, -b, a, a * y0 - b * x0 + cy - 0.5, 0 * a, 0 * a]
    pixels = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    x, y, visible = tf.unstack(keypoints, axis=-1)  # (B, K)
    c, s, z = (values[:, None] for values in (cosine, sine, zoom))
    new_x = z * (c * (x - cx) - s * (y - cy)) + cx + right[:, None]
    new_y = z * (s * (x - cx) + c * (y - cy)) + cy + down[:, None]
    inside = (visible > 0) & (new_x >= 0) & (new_x <= size[1]) & (new_y >= 0) & (new_y <= size[0])
    points = tf.where(inside[..., None], tf.stack([new_x, new_y, visible], axis=-1), 0.0)
    return tf.ensure_shape(pixels, images.shape), points
