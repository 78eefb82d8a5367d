import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.augment import chain, random_brightness, random_contrast, random_flip, random_shift

IMAGES = tf.constant(np.random.default_rng(0).uniform(size=(6, 5, 7, 3)).astype("float32"))
ALL = [random_flip(), random_shift(2), random_brightness(0.5), random_contrast(0.8)]
EACH = pytest.mark.parametrize("augment", [*ALL, chain(*ALL)], ids=["flip", "shift", "brightness", "contrast", "chain"])


@EACH
def test_seed_alone_decides(augment):
    first, again, other = (augment(IMAGES, tf.constant(seed, tf.int64)).numpy() for seed in ((3, 1), (3, 1), (3, 2)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@EACH
def test_shape_dtype_and_range_stay(augment):
    traced = tf.function(augment, input_signature=[tf.TensorSpec((None, 5, 7, 3)), tf.TensorSpec((2,), tf.int64)])
    out = traced(IMAGES, (0, 0))
    assert out.shape == IMAGES.shape and out.dtype == tf.float32
    assert out.numpy().min() >= 0.0 and out.numpy().max() <= 1.0
    assert traced(IMAGES[:0], (0, 0)).shape == (0, 5, 7, 3)


def test_flip_mirrors_some_images_and_leaves_the_others():
    out = random_flip()(IMAGES, (1, 0)).numpy()
    flipped = [np.array_equal(a, b[:, ::-1]) for a, b in zip(out, IMAGES.numpy(), strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(out, IMAGES.numpy(), strict=True)]
    assert all(f != k for f, k in zip(flipped, kept, strict=True)) and any(flipped) and any(kept)


def test_shift_moves_each_image_as_a_whole():
    out = random_shift(2)(IMAGES, (0, 5)).numpy()
    moves = set()
    for moved, image in zip(out, IMAGES.numpy(), strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        found = [(i, j) for i in range(5) for j in range(5) if np.array_equal(moved, padded[i : i + 5, j : j + 7])]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) > 1


def test_chain_gives_each_stage_its_own_seed():
    noise = [lambda images, seed: images + tf.random.stateless_uniform((6, 1, 1, 1), seed)] * 2
    twice = (chain(*noise)(IMAGES, (0, 0)) - IMAGES).numpy().ravel()
    once = (chain(noise[0])(IMAGES, (0, 0)) - IMAGES).numpy().ravel()
    assert np.abs(twice - 2 * once).max() > 0.1


@pytest.mark.parametrize(
    "make", [lambda: random_shift(-1), lambda: random_brightness(2), lambda: random_contrast(-0.1)]
)
def test_bad_strength_is_refused(make):
    with pytest.raises(ValueError, match=r"got (pixels|strength)=(-1|2|-0\.1); give"):
        make()
