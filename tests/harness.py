"""The contract that every image classifier of the catalog keeps; `test_models.py` runs it over the whole catalog.

    check_classifier(build, image_shape=(34, 30, 3))

Each check is a function of its own, so that a model's test can also ask for one alone.
"""

import keras
import numpy as np
import tensorflow as tf

from tfdl.train.step import exact

CLASSES = 3


def check_classifier(build, *, image_shape, tmp_path, rate=5e-3, steps=12):
    """All checks.  `build(**kwargs)` makes the smallest variant with the common builder signature.

    `rate` is Adam's; dense layers on thousands of pixels, all of them positive, need less, and more steps.
    """
    keras.utils.set_random_seed(1)
    model = build(image_shape=image_shape, num_classes=CLASSES)
    check_shapes(model, image_shape)
    check_batch_invariance(model, image_shape)
    check_save_and_load(model, image_shape, tmp_path)
    check_gradients_reach_every_weight(model, image_shape)
    check_loss_falls(model, image_shape, rate, steps)
    check_one_channel(build, image_shape)
    check_mixed_precision(build, image_shape)


def images_of(image_shape, count, seed=0):
    """(N, H, W, C) float32 in [0, 1]."""
    return np.random.default_rng(seed).random((count, *image_shape), dtype="float32")


def check_shapes(model, image_shape):
    assert model.input_shape == (None, *image_shape), "the batch must stay free"
    assert [t.name for t in model.inputs] == ["images"]
    logits = model(images_of(image_shape, 2))
    assert tuple(logits.shape) == (2, CLASSES)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def check_batch_invariance(model, image_shape):
    """In inference an image's logits do not depend on its neighbors."""
    images = images_of(image_shape, 3)
    together, alone = model(images, training=False), model(images[1:2], training=False)
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def check_save_and_load(model, image_shape, tmp_path):
    images = images_of(image_shape, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)
    assert loaded.count_params() == model.count_params()


def check_gradients_reach_every_weight(model, image_shape):
    images, labels = images_of(image_shape, 6), np.arange(6) % CLASSES
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None, f"no gradient reaches {variable.path}"
        values = keras.ops.convert_to_numpy(gradient)
        assert np.isfinite(values).all(), f"the gradient of {variable.path} is not finite"
    total = sum(np.abs(keras.ops.convert_to_numpy(g)).sum() > 0 for g in gradients)
    assert total >= 0.9 * len(gradients), "most gradients are zero: a branch is dead"


def check_loss_falls(model, image_shape, rate=5e-3, steps=12):
    """A few steps on six images of plain colors are enough to tell three classes apart."""
    labels = np.arange(6) % CLASSES
    images = 0.2 * images_of(image_shape, 6) + 0.3 * labels[:, None, None, None].astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    exact(model)  # as in every recipe
    data = tf.data.Dataset.from_tensors((images, labels.astype("int32"))).unbatch().batch(6)  # the batch stays free
    history = model.fit(data, epochs=steps, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.7 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"


def check_features(build, *, image_shape, pyramid, padded=True):
    """Without classes: a dict of maps whose names tell their strides, or one vector per image."""
    features = build(image_shape=image_shape, num_classes=None)(images_of(image_shape, 2))
    if not pyramid:
        assert len(features.shape) == 2 and features.shape[0] == 2
        return
    strides = [int(name.removeprefix("stride")) for name in features]
    assert strides == sorted(strides) and strides
    for stride, maps in zip(strides, features.values()):
        for size, side in zip(maps.shape[1:3], image_shape):
            assert 1 <= size <= -(-side // stride), f"stride{stride} is {tuple(maps.shape)}"
            if padded:  # else every convolution takes a rim off
                assert size >= side // stride, f"stride{stride} is {tuple(maps.shape)}"


def check_one_channel(build, image_shape):
    for normalize in ("imagenet", "unit", None):
        gray = (*image_shape[:2], 1)
        model = build(image_shape=gray, num_classes=CLASSES, normalize=normalize)
        assert tuple(model(images_of(gray, 2)).shape) == (2, CLASSES)


def check_mixed_precision(build, image_shape):
    """bfloat16 inside, float32 weights and logits, finite values."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(image_shape=image_shape, num_classes=CLASSES)
        logits = model(images_of(image_shape, 2))
    finally:
        keras.config.set_dtype_policy(policy)
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.trainable_weights} == {"float32"}
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    assert np.isfinite(keras.ops.convert_to_numpy(logits)).all()
