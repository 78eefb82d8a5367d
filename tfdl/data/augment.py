"""Random changes of whole image batches, as pure functions of a seed.

Every function here returns an augmentation: `(images (B, H, W, C) float32 in [0, 1], seed (2) int) -> the same shape
and range`.  Each image of the batch draws its own numbers; the same seed gives the same images, on every host.

    augment = chain(random_flip(), random_shift(4), random_brightness(0.2))
"""

import tensorflow as tf


def chain(*augmentations):
    """One after the other, each with a seed of its own."""

    def augment(images, seed):
        for stage, augmentation in enumerate(augmentations):
            images = augmentation(images, tf.random.experimental.stateless_fold_in(seed, stage))
        return images

    return augment


def random_flip():
    """Mirrors every second image, on average, left to right."""

    def augment(images, seed):
        return tf.where(per_image(images, seed) < 0.5, tf.reverse(images, axis=[2]), images)

    return augment


def random_shift(pixels):
    """Moves each image by up to `pixels` in both directions; the border pixels are repeated.

    The pad-and-crop of the CIFAR experiments in He et al. 2016, arXiv:1512.03385, section 4.2, with other padding.
    """
    if pixels < 0:
        raise ValueError(f"random_shift got pixels={pixels}; give a number of pixels that is 0 or more.")

    def augment(images, seed):
        shape = tf.shape(images)
        moves = tf.random.stateless_uniform((2, shape[0], 1), seed, -pixels, pixels + 1, tf.int32)
        rows = tf.clip_by_value(tf.range(shape[1]) + moves[0], 0, shape[1] - 1)  # (B, H)
        columns = tf.clip_by_value(tf.range(shape[2]) + moves[1], 0, shape[2] - 1)  # (B, W)
        moved = tf.gather(images, rows, axis=1, batch_dims=1)
        return tf.ensure_shape(tf.gather(moved, columns, axis=2, batch_dims=1), images.shape)

    return augment


def random_brightness(strength):
    """Adds one number from [-strength, strength] to all pixels of an image, then clips to [0, 1]."""
    check_strength("random_brightness", strength)

    def augment(images, seed):
        return tf.clip_by_value(images + strength * (2.0 * per_image(images, seed) - 1.0), 0.0, 1.0)

    return augment


def random_contrast(strength):
    """Scales the distance from each image's mean by 1 - strength ... 1 + strength, then clips to [0, 1]."""
    check_strength("random_contrast", strength)

    def augment(images, seed):
        mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
        scale = 1.0 + strength * (2.0 * per_image(images, seed) - 1.0)
        return tf.clip_by_value(mean + scale * (images - mean), 0.0, 1.0)

    return augment


def per_image(images, seed):
    """One uniform number in [0, 1) for each image.  -> (B, 1, 1, 1)."""
    return tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed)


def check_strength(name, strength):
    """Strengths are fractions of the pixel range."""
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"{name} got strength={strength}; give a number in [0, 1].")
