"""Random augmentation of image batches, as pure functions of a seed.

Every function here returns an augmentation: `(images (B, H, W, C) float32 in [0, 1], seed (2) int) -> the same shape
and range`.  Random numbers are drawn for each image of the batch; the same seed gives the same images on every host.

    augment = chain(random_flip(), random_shift(4), random_brightness(0.2))

Augmentations that also mix labels are in `mixing`.
"""

import keras
import tensorflow as tf
from keras import layers


def chain(*augmentations):
    """Applies augmentations one after the other, each with its own seed."""

    def augment(images, seed):
        for stage, augmentation in enumerate(augmentations):
            images = augmentation(images, tf.random.experimental.stateless_fold_in(seed, stage))
        return images

    return augment


def random_flip():
    """Mirrors each image horizontally with probability 1/2."""

    def augment(images, seed):
        return tf.where(per_image(images, seed) < 0.5, tf.reverse(images, axis=[2]), images)

    return augment


def random_shift(pixels):
    """Shifts each image by up to `pixels` along both axes; the border pixels are repeated.

    This is the pad-and-crop of the CIFAR experiments in He et al. 2015, arXiv:1512.03385, section 4.2, with the border
    repeated instead of zeros.

    Raises:
        ValueError: `pixels` is negative.
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
    """Adds a random number from [-strength, strength] to all pixels of an image, then clips to [0, 1]."""
    check_strength("random_brightness", strength)

    def augment(images, seed):
        return tf.clip_by_value(images + strength * (2.0 * per_image(images, seed) - 1.0), 0.0, 1.0)

    return augment


def random_contrast(strength):
    """Scales the deviation from each image's mean by 1 - strength ... 1 + strength, then clips to [0, 1]."""
    check_strength("random_contrast", strength)

    def augment(images, seed):
        mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
        scale = 1.0 + strength * (2.0 * per_image(images, seed) - 1.0)
        return tf.clip_by_value(mean + scale * (images - mean), 0.0, 1.0)

    return augment


def rand_augment(operations=2, magnitude=9):
    """Applies `operations` random transformations of the 14 of RandAugment to each image, one after the other.

    Cubuk et al. 2019, arXiv:1909.13719, Figure 2.  `magnitude`, 0 to 10, determines the range of strengths in tenths of
    AutoAugment's (arXiv:1805.09501, Table 6); each image draws its strength from it, in both directions.  Regions from
    outside of the image are black.

    Keras's layers are used with explicit seeds where they are correct.  `keras.layers.RandAugment` itself chooses once
    for the whole batch, ignores its seed, and shifts, rotates and brightens in one direction only; keras-cv's takes no
    seed.  `keras.layers.Equalization` uses one histogram for the whole batch, so that an image would depend on the
    others, and `keras.layers.Solarization` ignores the lower end of its range.

    Raises:
        ValueError: fewer than 1 operation, or a magnitude outside of [0, 10].
    """
    if operations < 1:
        raise ValueError(f"rand_augment got operations={operations}; give 1 or more.")
    if not 0 <= magnitude <= 10:
        raise ValueError(f"rand_augment got magnitude={magnitude}; give a number in [0, 10].")
    part = magnitude / 10
    transformations = (unchanged, equalize, random_solarize(part), *map(seeded, stock_layers(part)))

    def augment(images, seed):
        for stage in range(operations):
            stage_seed = tf.random.experimental.stateless_fold_in(seed, stage)
            drawn = tf.floor(len(transformations) * per_image(images, stage_seed))  # (B, 1, 1, 1)
            chosen = images
            for number, transformation in enumerate(transformations):
                changed = transformation(images, tf.random.experimental.stateless_fold_in(stage_seed, number))
                chosen = tf.where(drawn == number, changed, chosen)
            images = tf.ensure_shape(tf.clip_by_value(chosen, 0.0, 1.0), images.shape)
        return images

    return augment


def stock_layers(part):
    """Keras's layers, each with the fraction `part`, 0 to 1, of its range."""
    always = dict(dtype="float32", seed=0)  # under every dtype policy; the seed is not used
    moving, coloring = dict(fill_mode="constant", **always), dict(value_range=(0, 1), **always)
    return (
        layers.RandomShear(0.3 * part, 0.0, **moving),
        layers.RandomShear(0.0, 0.3 * part, **moving),
        layers.RandomTranslation(0.45 * part, 0.0, **moving),  # 150 of 331 pixels
        layers.RandomTranslation(0.0, 0.45 * part, **moving),
        layers.RandomRotation(30 / 360 * part, **moving),
        layers.RandomBrightness(0.9 * part, **coloring),  # added, where the paper multiplies
        layers.RandomContrast(0.9 * part, **coloring),
        layers.RandomColorDegeneration(0.9 * part, **coloring),  # toward gray only
        layers.RandomSharpness((0.5 - 0.45 * part, 0.5 + 0.45 * part), **coloring),  # 0.5 changes nothing
        layers.RandomPosterization((8 - round(4 * part), 8), **coloring),  # number of bits kept
        layers.AutoContrast(value_range=(0, 1), dtype="float32"),
    )


def seeded(layer):
    """A Keras image layer as an augmentation whose random numbers depend on the given seed, not on internal state."""
    layer.backend.set_backend("tensorflow")  # the pipeline uses TensorFlow under every backend of Keras

    def augment(images, seed):
        return layer.transform_images(images, layer.get_random_transformation(images, seed=Seeds(seed)))

    return augment


class Seeds(keras.random.SeedGenerator):
    """A sequence of seeds for Keras's random functions, each a function of `seed` (2), without a variable."""

    def __init__(self, seed):
        self.seed, self.drawn = seed, 0

    def next(self, ordered=True):
        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.drawn)


def unchanged(images, seed=None):
    return images


def random_solarize(part):
    """Inverts the pixels above a random threshold from [1 - part, 1], drawn for each image."""
    return lambda images, seed: tf.where(images < 1.0 - part * per_image(images, seed), images, 1.0 - images)


def equalize(images, seed=None):
    """Histogram equalization of each channel: a pixel becomes the fraction of pixels that are not lighter.

    The result is stretched so that the darkest level is 0; a constant channel is not changed.
    """
    shape = tf.shape(images)
    rows = tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (shape[0] * shape[3], shape[1] * shape[2]))  # (B C, H W)
    ranks = tf.cast(tf.searchsorted(tf.sort(rows, axis=-1), rows, side="right"), tf.float32)
    first, last = tf.reduce_min(ranks, -1, keepdims=True), tf.cast(shape[1] * shape[2], tf.float32)
    rows = tf.where(first < last, (ranks - first) / tf.maximum(last - first, 1.0), rows)
    return tf.transpose(tf.reshape(rows, tf.gather(shape, (0, 3, 1, 2))), (0, 2, 3, 1))


def per_image(images, seed):
    """One uniform number in [0, 1) for each image.  -> (B, 1, 1, 1)."""
    return tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed)


def check_strength(name, strength):
    """Raises ValueError unless the strength is a fraction of the pixel range."""
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"{name} got strength={strength}; give a number in [0, 1].")
