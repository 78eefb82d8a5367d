import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import augment as augment_module
from tfdl.data.augment import (
    Seeds,
    chain,
    equalize,
    rand_augment,
    random_brightness,
    random_contrast,
    random_flip,
    random_shift,
    random_solarize,
    seeded,
    stock_layers,
)

IMAGES = tf.constant(np.random.default_rng(0).uniform(size=(6, 5, 7, 3)).astype("float32"))
ALL = [random_flip(), random_shift(2), random_brightness(0.5), random_contrast(0.8), rand_augment()]
NAMES = ["flip", "shift", "brightness", "contrast", "rand_augment"]
EACH = pytest.mark.parametrize("augment", [*ALL, chain(*ALL)], ids=[*NAMES, "chain"])
STOCK = stock_layers(0.9)


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


def test_every_shift_up_to_the_largest_is_drawn_as_often():
    """Pixels that say where they came from: of each image the middle one tells how far it moved."""
    places = tf.stack(tf.meshgrid(tf.range(5.0), tf.range(7.0), indexing="ij"), -1) - (2.0, 3.0)  # (5, 7, 2)
    middle = random_shift(2)(tf.tile(places[None], (5000, 1, 1, 1)), (0, 0))[:, 2, 3].numpy()
    moves, counts = np.unique(middle, axis=0, return_counts=True)
    assert {tuple(move) for move in moves} == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200)


def test_half_of_the_images_are_mirrored():
    columns = tf.tile(tf.range(3.0)[None, None, :, None], (1000, 2, 1, 1))
    first = random_flip()(columns, (0, 0))[:, 0, 0, 0].numpy()
    assert set(first) == {0.0, 2.0} and abs((first == 2.0).sum() - 500) < 5 * np.sqrt(250)


def test_chain_gives_each_stage_its_own_seed():
    noise = [lambda images, seed: images + tf.random.stateless_uniform((6, 1, 1, 1), seed)] * 2
    twice = (chain(*noise)(IMAGES, (0, 0)) - IMAGES).numpy().ravel()
    once = (chain(noise[0])(IMAGES, (0, 0)) - IMAGES).numpy().ravel()
    assert np.abs(twice - 2 * once).max() > 0.1


def test_neighbors_do_not_matter_to_what_is_not_drawn():
    """Keras's equalization fails here: it has one histogram for the whole batch."""
    still = (equalize, seeded(STOCK[-1]))
    for augment in still:
        together = augment(IMAGES, (0, 0)).numpy()
        alone = np.concatenate([augment(IMAGES[i : i + 1], (0, 0)) for i in range(6)])
        np.testing.assert_allclose(together, alone, atol=1e-6)
    assert (
        np.abs(keras.layers.Equalization((0, 1))(IMAGES)[:1] - keras.layers.Equalization((0, 1))(IMAGES[:1])).max()
        > 0.01
    )


def test_equalized_levels_are_equally_frequent():
    levels = np.random.default_rng(1).permutation(np.repeat([0.1, 0.11, 0.12, 0.9, 1.0], 7)).reshape(1, 5, 7, 1)
    found = equalize(levels.astype("float32")).numpy()
    expected = np.searchsorted([0.1, 0.11, 0.12, 0.9, 1.0], levels) / 4
    np.testing.assert_allclose(found, expected, atol=1e-6)
    flat = np.full((2, 3, 4, 1), 0.3, "float32")
    np.testing.assert_array_equal(equalize(flat), flat)
    image = IMAGES.numpy()[:1, :, :, :1]
    share = (image.reshape(-1, 1) >= image.reshape(1, -1)).sum(1).reshape(image.shape)  # the histogram, summed up
    np.testing.assert_allclose(equalize(image), (share - 1) / (share.max() - 1), atol=1e-6)


@pytest.mark.parametrize("layer", STOCK, ids=lambda layer: layer.name)
def test_each_stock_layer_is_driven_by_the_seed_alone(layer):
    same = tf.repeat(IMAGES[:1], 6, axis=0)
    first, again, other = (seeded(layer)(same, seed).numpy() for seed in ((3, 1), (3, 1), (3, 2)))
    np.testing.assert_array_equal(first, again)
    if not isinstance(layer, keras.layers.AutoContrast):  # which draws nothing
        assert (first != other).any()
        assert len({image.tobytes() for image in first}) > 1, "the images of a batch draw one number together"


def test_each_number_that_a_layer_draws_has_a_seed_of_its_own():
    first, again = Seeds((3, 1)), Seeds((3, 1))
    numbers = [float(keras.random.uniform((), seed=first)) for _ in range(4)]
    assert len(set(numbers)) == 4
    assert numbers == [float(keras.random.uniform((), seed=again)) for _ in range(4)]


def test_keras_rand_augment_ignores_its_seed():
    """Why there is one of ours; once this fails, Keras's may do."""
    layer = keras.layers.RandAugment(value_range=(0, 1), seed=0)
    layer.build(IMAGES.shape)
    chosen = [tuple(layer.get_random_transformation(IMAGES, seed=5)["layer_idxes"].numpy()) for _ in range(6)]
    assert len(set(chosen)) > 1


def test_rand_augment_chooses_anew_for_each_image_and_stage():
    same = tf.repeat(IMAGES[:1], 300, axis=0)
    once, twice = (rand_augment(operations)(same, (0, 1)).numpy() for operations in (1, 2))
    unchanged = [np.abs(images - same.numpy()).max(axis=(1, 2, 3)) == 0 for images in (once, twice)]
    assert 0.03 < unchanged[0].mean() < 0.15  # 1 of 14 operations, and what draws a strength of 0
    assert unchanged[1].mean() < unchanged[0].mean()
    assert len({image.tobytes() for image in once}) > 200


def test_rand_augment_keeps_the_static_shape_in_a_pipeline():
    data = tf.data.Dataset.from_tensors((IMAGES[..., :1], (0, 1))).map(rand_augment(operations=3))
    assert data.element_spec.shape == (6, 5, 7, 1)
    augment = rand_augment()
    unknown = data.unbatch().batch(4).map(lambda images: augment(images, (0, 1)))
    assert unknown.element_spec.shape.as_list() == [None, 5, 7, 1]
    assert len(list(unknown)) == 2


def test_rand_augment_of_magnitude_0_only_equalizes_and_stretches():
    same = tf.repeat(IMAGES[:1], 60, axis=0)
    out = rand_augment(1, 0)(same, (0, 1)).numpy()
    assert len({np.round(image, 2).tobytes() for image in out}) <= 4  # unchanged, equalized, stretched, 8 bits


def test_rand_augment_is_float32_under_any_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        augment = rand_augment()
        assert augment(IMAGES, (0, 1)).dtype == tf.float32
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(augment(IMAGES, (0, 1)), rand_augment()(IMAGES, (0, 1)))


def test_solarize_inverts_what_is_light():
    out = random_solarize(0.6)(IMAGES, (0, 0)).numpy()
    inverted = out != IMAGES.numpy()
    np.testing.assert_allclose(out[inverted], 1 - IMAGES.numpy()[inverted])
    for image, changed in zip(IMAGES.numpy(), inverted, strict=True):
        assert image[changed].min(initial=1) > image[~changed].max() and image[~changed].max() > 0.3
    np.testing.assert_array_equal(random_solarize(0.0)(IMAGES, (0, 0)), IMAGES)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: random_shift(-1), "pixels=-1"),
        (lambda: random_brightness(2), "strength=2"),
        (lambda: random_contrast(-0.1), "strength=-0.1"),
        (lambda: rand_augment(0), "operations=0"),
        (lambda: rand_augment(magnitude=11), "magnitude=11"),
    ],
)
def test_bad_strength_is_refused(make, words):
    with pytest.raises(ValueError, match=f"got {words}; give"):
        make()


# What a thousand draws show


def test_brightness_moves_evenly_in_both_directions():
    moved = random_brightness(0.3)(tf.fill((1000, 1, 2, 3), 0.5), (0, 1)).numpy() - 0.5
    assert np.ptp(moved, axis=(1, 2, 3)).max() < 1e-6  # one number for all pixels of an image
    assert -0.3 <= moved.min() < -0.29 and 0.29 < moved.max() <= 0.3 + 1e-6
    assert abs(moved.mean()) < 0.02


def test_contrast_scales_around_the_mean_of_all_channels():
    image = np.array([[[0.4, 0.5, 0.6], [0.45, 0.5, 0.55]]], "float32")
    out = random_contrast(0.8)(tf.repeat(image[None], 1000, axis=0), (0, 1)).numpy()
    differs = np.abs(image - image.mean()) > 0.01
    scales = ((out - image.mean()) / np.where(differs, image - image.mean(), 1))[:, differs]
    assert np.ptp(scales, axis=1).max() < 1e-4
    assert 0.2 <= scales.min() + 1e-5 < 0.22 and 1.78 < scales.max() < 1.8 + 1e-5


def test_each_of_the_14_operations_is_drawn_as_often(monkeypatch):
    def paints(number):
        return lambda images, seed=None: tf.ones_like(images) * number / 13

    monkeypatch.setattr(augment_module, "unchanged", paints(0))
    monkeypatch.setattr(augment_module, "equalize", paints(1))
    monkeypatch.setattr(augment_module, "random_solarize", lambda part: paints(2))
    monkeypatch.setattr(augment_module, "stock_layers", lambda part: range(3, 14))
    monkeypatch.setattr(augment_module, "seeded", paints)
    painted = rand_augment(1)(tf.zeros((1400, 1, 1, 1)), (0, 1)).numpy().ravel()
    drawn = np.bincount(np.round(painted * 13).astype(int), minlength=14)
    assert len(drawn) == 14 and drawn.min() > 60 and drawn.max() < 140


def test_rotation_goes_as_far_as_30_degrees_and_no_farther():
    images = np.zeros((300, 41, 41, 1), "float32")
    images[:, 19:22, 36:39] = 1.0  # right of the middle
    turned = seeded(stock_layers(1.0)[4])(tf.constant(images), (0, 1)).numpy()[..., 0]
    rows, columns = np.mgrid[-20:21, -20:21]
    mass = turned.sum((1, 2))
    angles = np.degrees(np.arctan2((turned * rows).sum((1, 2)) / mass, (turned * columns).sum((1, 2)) / mass))
    assert -31 < angles.min() < -28 and 28 < angles.max() < 31
