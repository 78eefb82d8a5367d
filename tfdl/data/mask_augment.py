"""Random augmentation of pictures with a class for each pixel, as pure functions of a seed.

Every function here returns an augmentation: (images (B, H, W, C) float32 in [0, 1], masks (B, H, W) int32, seed (2)
int) -> the same, moved together.  Pixels from outside of the picture are black, and their class is IGNORE.
"""

import tensorflow as tf

from tfdl.core.batches import IGNORE
from tfdl.data.augment import check_strength, per_image


def chain(*augmentations):
    """Applies augmentations one after the other, each with its own seed."""

    def augment(images, masks, seed):
        for stage, augmentation in enumerate(augmentations):
            images, masks = augmentation(images, masks, tf.random.experimental.stateless_fold_in(seed, stage))
        return images, masks

    return augment


def random_flip():
    """Mirrors each picture horizontally with probability 1/2."""

    def augment(images, masks, seed):
        mirrored = per_image(images, seed) < 0.5  # (B, 1, 1, 1)
        masks = tf.where(mirrored[..., 0], tf.reverse(masks, axis=[2]), masks)
        return tf.where(mirrored, tf.reverse(images, axis=[2]), images), masks

    return augment


def random_affine(scale=0.3, shift=0.1):
    """Enlarges or shrinks each picture by 1 - scale ... 1 + scale about its center, and moves it.

    Args:
        scale: in [0, 1).
        shift: as a part of the picture's sides.

    Raises:
        ValueError: a number out of its range.
    """
    if not 0.0 <= scale < 1.0:
        raise ValueError(f"random_affine got scale={scale}; give a number from 0 to below 1.")
    check_strength("random_affine", shift)

    def augment(images, masks, seed):
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        draws = tf.random.stateless_uniform((3, tf.shape(images)[0]), seed, -1.0, 1.0)
        one = 1.0 / (1.0 + scale * draws[0])  # output pixels are so far apart in the input
        zero = tf.zeros_like(one)
        left, top = (size[axis] * (0.5 - (0.5 + shift * draws[i]) * one) for i, axis in ((1, 1), (2, 0)))
        matrix = tf.stack([one, zero, left + 0.5 * one - 0.5, zero, one, top + 0.5 * one - 0.5, zero, zero], axis=1)

        def moved(values, fill, interpolation):
            return tf.raw_ops.ImageProjectiveTransformV3(
                images=values,
                transforms=matrix,
                output_shape=tf.shape(values)[1:3],
                fill_value=fill,
                interpolation=interpolation,
                fill_mode="CONSTANT",
            )

        new = moved(tf.cast(masks, tf.float32)[..., None], float(IGNORE), "NEAREST")[..., 0]
        pixels = tf.ensure_shape(moved(images, 0.0, "BILINEAR"), images.shape)
        return pixels, tf.ensure_shape(tf.cast(new, tf.int32), masks.shape)

    return augment
