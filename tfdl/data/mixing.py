"""Mixup and CutMix: images and labels mixed in pairs, the labels in proportion to the images.

Every function here returns a mixing function for `images.load(..., mix=mixup())`: `(images (B, H, W, C) float32 in
[0, 1], labels (B, classes) float32, seed (2) int) -> (images, labels)` of the same shapes.  Each image gets a random
partner from its batch and a random fraction; the same seed gives the same pairs on every host.
"""

import tensorflow as tf
from keras import layers

from tfdl.data.augment import Seeds


def mixup(alpha=0.2):
    """t * image + (1 - t) * partner, with t drawn from Beta(alpha, alpha), and the labels likewise.

    Zhang et al. 2018, arXiv:1710.09412, section 2; the paper uses alpha from 0.1 to 0.4 on ImageNet.  With a small
    alpha most pairs are hardly mixed.  Uses `keras.layers.MixUp` with explicit seeds.

    Raises:
        ValueError: alpha is not positive.
    """
    check_alpha("mixup", alpha)
    layer = layers.MixUp(alpha=alpha, seed=0, dtype="float32")
    layer.backend.set_backend("tensorflow")

    def mix(images, labels, seed):
        pairs = layer.get_random_transformation(images, seed=Seeds(seed))
        return layer.transform_images(images, pairs), layer.transform_labels(labels, pairs)

    return mix


def cutmix(alpha=1.0):
    """Pastes a box of the partner over the image; the weight of its own label is the fraction of pixels left.

    Yun et al. 2019, arXiv:1905.04899, eqs. 1 and 2: that fraction is drawn from Beta(alpha, alpha); the box has the
    image's proportions and a uniformly random center, and is clipped at the border.

    `keras.layers.CutMix` is not used: it draws alpha itself at random, from 0 to its `factor`, and computes label
    weights from the box's real-valued area instead of its pixels, an error of up to 0.23 on images of 8x8 pixels.

    Raises:
        ValueError: alpha is not positive.
    """
    check_alpha("cutmix", alpha)

    def mix(images, labels, seed):
        batch, height, width = tf.unstack(tf.shape(images)[:3])
        left, right, center, partners = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
        gammas = [tf.random.stateless_gamma((batch,), part, alpha) for part in (left, right)]
        side = tf.sqrt(gammas[1] / (gammas[0] + gammas[1]))  # (B,) of the box, as a fraction of the image's; eq. 2
        middle = tf.random.stateless_uniform((2, batch, 1), center)
        rows = inside(height, middle[0], side)  # (B, H)
        columns = inside(width, middle[1], side)  # (B, W)
        box = (rows[:, :, None] & columns[:, None, :])[..., None]  # (B, H, W, 1)
        partner = tf.random.experimental.stateless_shuffle(tf.range(batch), partners)
        kept = 1.0 - tf.reduce_mean(tf.cast(box, tf.float32), axis=(1, 2))  # (B, 1)
        mixed = tf.where(box, tf.gather(images, partner), images)
        return mixed, kept * labels + (1.0 - kept) * tf.gather(labels, partner)

    return mix


def inside(length, middle, side):
    """Pixels of an axis whose centers are in boxes around `middle` (B, 1) of `side` (B,).  -> (B, length) bool"""
    centers = (tf.range(length, dtype=tf.float32) + 0.5) / tf.cast(length, tf.float32)
    return tf.abs(centers - middle) < side[:, None] / 2.0


def check_alpha(name, alpha):
    if not alpha > 0.0:
        raise ValueError(f"{name} got alpha={alpha}; give a number above 0.")
