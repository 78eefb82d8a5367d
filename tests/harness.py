"""The contracts that the models of the catalog keep; `test_models.py` runs them over the whole catalog.

    check_classifier(build, image_shape=(34, 30, 3))      of images
    check_token_model(build)                              of texts

Each check is a function of its own, so that a model's test can also ask for one alone.
"""

import functools
import math
import re
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdl
from tfdl.core.outline import multiply_adds, parameters
from tfdl.core.outline import outline as fresh_outline
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float, run_tflite
from tfdl.train.step import exact

MODELS = {topic.key: topic.module for topic in tfdl.topics(built=True) if topic.is_model}  # key -> its file
CLASSIFIERS = [key for key, module in MODELS.items() if re.search(r"\.(convnets|foundation|vision_\w+)\.", module)]
READERS = [
    "fast_text",
    "rnn",
]  # of tokens, as functional models; others of models/text: tests/models/
CLASSES = 3  # in the checks below
LENGTH = 5  # tokens of a text there


def but_slow(names, *largest):
    """Cases for `parametrize`, with those of the largest networks marked `slow`: they take a second each."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in largest else name for name in names]


outline = functools.cache(fresh_outline)  # tests look at the same large networks again and again, and change none


def check_classifier(build, *, image_shape, tmp_path, pace=None):
    """All checks; returns the model.

    Args:
        build: `build(**kwargs)` makes the smallest variant with the common builder signature.
        image_shape: (H, W, C).
        tmp_path: a folder for the saved model.
        pace: keywords of `check_loss_falls`; None leaves it out, since every training graph takes seconds to build.
    """
    keras.utils.set_random_seed(1)
    model = build(image_shape=image_shape, num_classes=CLASSES)
    check_shapes(model, image_shape)
    check_batch_invariance(model, image_shape)
    check_save_and_load(model, image_shape, tmp_path)
    check_gradients_reach_every_weight(model, image_shape)
    check_multiply_adds(model, image_shape)
    check_phone(model, image_shape)
    if pace is not None:
        check_loss_falls(model, image_shape, **pace)
    check_normalization(build, image_shape)
    check_one_channel(build, image_shape)
    check_mixed_precision(build, image_shape)
    check_num_classes(build, image_shape)
    check_wrong_shapes(build)
    return model


def check_token_model(build, *, tmp_path):
    """All checks of a model that reads tokens; returns the model.

    Args:
        build: `build(**kwargs)` makes the smallest variant with the builder arguments `length` and `num_classes`.
        tmp_path: a folder for the saved model.
    """
    keras.utils.set_random_seed(1)
    shape = (LENGTH,)
    model = build(length=LENGTH, num_classes=CLASSES)
    assert [(t.name, t.shape, t.dtype) for t in model.inputs] == [("tokens", (None, LENGTH), "int32")]
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    check_batch_invariance(model, shape)
    check_save_and_load(model, shape, tmp_path)
    check_gradients_reach_every_weight(model, shape)
    check_phone(model, shape)
    check_padding(build(length=None, num_classes=CLASSES))
    check_mixed_precision(build, shape)
    check_num_classes(build, shape)
    return model


def inputs_of(model, count, shape, seed=0):
    """What the model takes: `count` images (H, W, C), series of numbers (T, D), or texts (T,) without padding."""
    if len(shape) > 1:
        return images_of(count, *shape, seed=seed)
    vocabulary_size = model.get_layer("embedding").input_dim
    return np.random.default_rng(seed).integers(1, vocabulary_size, (count, *shape), "int32")


def sized(shape):
    """The builder's argument for images of a shape, or for texts of a length."""
    return {"image_shape": shape} if len(shape) == 3 else {"length": shape[0]}


def images_of(*shape, seed=0):
    """(N, H, W, C) float32 in [0, 1]."""
    return np.random.default_rng(seed).random(shape, dtype="float32")


def colored(count, *image_shape, seed=0):
    """The same, each image in a color of its own: a deep network tells them apart, where it averages noise away."""
    rng = np.random.default_rng(seed)
    return rng.random((count, *image_shape), "float32") * rng.random((count, 1, 1, image_shape[-1]), "float32")


def randomize(model, deviation=0.1):
    """Moves every weight off its start, and moving statistics to those of a few images; returns the model.

    Depthwise networks above all otherwise shrink what an image says from layer to layer, until all images look alike.
    """
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, deviation, weight.shape))
    settle(model)
    return model


def settle(model):
    """The moving statistics become those of a few images, as after a step of training."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(colored(8, *(side or 40 for side in model.input_shape[1:]), seed=1), training=True)


def check_shapes(model, image_shape):
    assert model.input_shape == (None, *image_shape), "the batch must stay free"
    assert [t.name for t in model.inputs] == ["images"]
    assert model.output_shape == (None, CLASSES)
    logits = model(images_of(2, *image_shape))
    assert tuple(logits.shape) == (2, CLASSES)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def check_batch_invariance(model, shape):
    """In inference a sample's logits do not depend on its neighbors."""
    inputs = inputs_of(model, 3, shape)
    together, alone = model(inputs, training=False), model(inputs[1:2], training=False)
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def check_padding(model):
    """Padding on either side changes no logits of real tokens, nor those of a text."""
    texts = inputs_of(model, 3, (LENGTH,))
    logits = np.array(model(texts))
    for before, after in ((0, 2), (2, 0)):
        padded = np.array(model(np.pad(texts, ((0, 0), (before, after)))))
        padded = padded[:, before : before + LENGTH] if logits.ndim == 3 else padded
        np.testing.assert_allclose(padded, logits, atol=1e-5)
    assert np.isfinite(model(np.zeros((2, LENGTH), "int32"))).all()


def check_save_and_load(model, shape, tmp_path):
    inputs = inputs_of(model, 2, shape)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    logits = np.array(model(inputs))
    np.testing.assert_allclose(loaded(inputs), logits, atol=1e-6 * max(1, np.abs(logits).max()))
    assert loaded.count_params() == model.count_params()


def check_gradients_reach_every_weight(model, shape):
    inputs, labels = inputs_of(model, 6, shape), np.arange(6) % CLASSES
    with tf.GradientTape() as tape:
        logits = model(inputs, training=True)
        labels = np.broadcast_to(labels.reshape(-1, *[1] * (len(logits.shape) - 2)), logits.shape[:-1])
        loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None, f"no gradient reaches {variable.path}"
        values = keras.ops.convert_to_numpy(tf.convert_to_tensor(gradient))  # those of embeddings are sparse
        assert np.isfinite(values).all(), f"the gradient of {variable.path} is not finite"
    total = sum(np.abs(tf.convert_to_tensor(g)).sum() > 0 for g in gradients)
    assert total >= 0.9 * len(gradients), "most gradients are zero: a branch is dead"


def check_multiply_adds(model, shape):
    """The count is that of the products which Keras makes for one sample."""
    made = 0

    def counting(operation, products):
        """The backend's `operation` as it is, and `products(result, its two arguments)` on the count."""

        def counted(x, y, *args, **kwargs):
            nonlocal made
            result = operation(x, y, *args, **kwargs)
            made += products(result, x, y)
            return result

        return counted

    products = {
        "numpy.matmul": lambda result, x, y: math.prod(result.shape) * x.shape[-1],
        "nn.conv": lambda result, x, kernel: math.prod(result.shape) * math.prod(kernel.shape[:-1]),
        "nn.depthwise_conv": lambda result, x, kernel: math.prod(result.shape) * math.prod(kernel.shape[:-2]),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, rule in products.items():
            module, _, function = name.partition(".")
            module = getattr(keras.src.backend, module)
            patch.setattr(module, function, counting(getattr(module, function), rule))
        model(inputs_of(model, 1, shape), training=False)
    assert multiply_adds(model) == made > 0


def check_phone(model, shape):
    """A TFLite file has built-in operators only and computes the same."""
    inputs = inputs_of(model, 2, shape)
    logits = run_tflite(convert_float(graph(model, signature_of(model))), {model.inputs[0].name: inputs})["logits"]
    np.testing.assert_allclose(logits, model(inputs), atol=1e-4)


def check_loss_falls(model, image_shape, rate=5e-3, steps=12):
    """A few steps on six images of plain colors are enough to tell three classes apart.

    `rate` is Adam's; dense layers on thousands of pixels, all of them positive, need less, and more steps.
    """
    labels = np.arange(6) % CLASSES
    images = 0.2 * images_of(6, *image_shape) + 0.3 * labels[:, None, None, None].astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    exact(model)  # as in every recipe
    data = tf.data.Dataset.from_tensors((images, labels.astype("int32"))).unbatch().batch(6)  # the batch stays free
    history = model.fit(data, epochs=steps, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.7 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"


def check_features(build, *, image_shape, pyramid, padded=True):
    """Without classes: a dict of maps whose names tell their strides, or one vector per image."""
    features = fresh_outline(build, image_shape=image_shape, num_classes=None).output
    if not pyramid:
        assert len(features.shape) == 2 and features.shape[0] is None
        return
    strides = [int(name.removeprefix("stride")) for name in features]
    assert strides == sorted(strides) and strides
    for stride, maps in zip(strides, features.values()):
        for size, side in zip(maps.shape[1:3], image_shape):
            assert 1 <= size <= -(-side // stride), f"stride{stride} is {tuple(maps.shape)}"
            if padded:  # else every convolution takes a rim off
                assert size >= side // stride, f"stride{stride} is {tuple(maps.shape)}"


def check_normalization(build, image_shape):
    """A model that normalizes computes what one that does not makes of images normalized by hand.

    The other ways to normalize are the layer's business: tests/layers/test_pixels.py.
    """
    images = images_of(2, *image_shape)
    outside = randomize(build(image_shape=image_shape, num_classes=CLASSES, normalize=None))
    inside = build(image_shape=image_shape, num_classes=CLASSES, normalize="imagenet")
    inside.set_weights(outside.get_weights())
    expected = np.array(outside((images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(inside(images), expected, atol=1e-5 * max(1, scale))
    assert np.abs(expected - outside(images)).max() > 0.1 * scale  # else the line above says nothing


def check_one_channel(build, image_shape):
    """Gray images are taken too."""
    model = fresh_outline(build, image_shape=(*image_shape[:2], 1), num_classes=CLASSES, normalize="imagenet")
    assert model.output_shape == (None, CLASSES)


def check_mixed_precision(build, shape):
    """bfloat16 inside, float32 weights and logits, finite values."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(**sized(shape), num_classes=CLASSES)
        logits = model(inputs_of(model, 2, shape))
    finally:
        keras.config.set_dtype_policy(policy)
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    assert np.isfinite(keras.ops.convert_to_numpy(logits)).all()


def check_num_classes(build, shape):
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=rf"num_classes must be at least 1, or None.* {wrong}\.$"):
            build(**sized(shape), num_classes=wrong)
    with pytest.raises(ValueError, match="^num_classes is '10'; give an integer"):
        build(**sized(shape), num_classes="10")


WRONG_SHAPES = {
    (32, 32): r"^image_shape is \(32, 32\); give the channels too, such as \(32, 32, 3\)\.$",
    (3, 32, 64): r"looks like channels first; give \(height, width, channels\), such as \(32, 64, 3\)\.$",
    (32, 32, None): r"^image_shape is \(32, 32, None\); give \(height, width, channels\)",
    (32, 0, 3): r"^image_shape is \(32, 0, 3\); give \(height, width, channels\)",
    "32": r"^image_shape is '32'; give \(height, width, channels\)",
}


def check_wrong_shapes(build):
    """A network says what is wrong with the shape of its images, and what to give instead."""
    for shape, message in WRONG_SHAPES.items():
        with pytest.raises(ValueError, match=message):
            build(image_shape=shape, num_classes=CLASSES)
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="set_image_data_format"):
            build(image_shape=(32, 32, 3), num_classes=CLASSES)
    finally:
        keras.config.set_image_data_format("channels_last")


def check_strides_removed(build, config):
    """Without its first three strides of 2 a network sees small images in full, and has as many parameters."""
    removed = replace(config, strides_removed=3)
    maps = outline(build, removed, image_shape=(8, 12, 1), num_classes=None).output
    sizes = {name: x.shape[1:3] for name, x in maps.items()}
    assert sizes == {"stride1": (8, 12), "stride2": (4, 6), "stride4": (2, 3)}
    kept, without = (parameters(outline(build, c, image_shape=(32, 32, 1))) for c in (config, removed))
    assert kept == without
