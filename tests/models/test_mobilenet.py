"""MobileNets: the papers' counts and strides, equality with keras.applications, and the builder's contract."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.harness import but_slow, images_of, outline, settle
from tfdl.core.outline import multiply_adds, parameters
from tfdl.models.convnets.mobilenet import VARIANTS, MobileNetConfig, mobilenet

REFERENCES = {
    "v1": keras.applications.MobileNet,
    "v2": keras.applications.MobileNetV2,
    "v3_small": functools.partial(keras.applications.MobileNetV3Small, include_preprocessing=False),
    "v3_large": functools.partial(keras.applications.MobileNetV3Large, include_preprocessing=False),
}
COUNTS = {"v1": 4_231_976, "v2": 3_504_872, "v3_small": 2_542_856, "v3_large": 5_483_032}
MULTIPLY_ADDS = {"v1": 569e6, "v2": 300e6, "v3_small": 56e6, "v3_large": 219e6}  # the papers'; V3, Table 3 and 4
SHAPE = (97, 65, 3)  # the map is odd before every stride of 2: there TensorFlow's padding is symmetric too


@functools.cache
def full_size(variant):
    return mobilenet(variant, image_shape=SHAPE, normalize=None)


def tiny(**kwargs):
    keras.utils.set_random_seed(0)
    return mobilenet("nano", **{"image_shape": (17, 22, 3), "num_classes": 5, **kwargs})


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_published_one(variant):
    assert parameters(outline(mobilenet, variant)) == COUNTS[variant]


@pytest.mark.parametrize("variant", MULTIPLY_ADDS)
def test_multiply_adds_are_the_published_ones(variant):
    assert multiply_adds(outline(mobilenet, variant)) == pytest.approx(MULTIPLY_ADDS[variant], rel=0.02)


@pytest.mark.parametrize("variant, width", [("v1", 0.25), ("v2", 1.4), ("v3_small", 0.75)])
def test_width_narrows_and_widens_as_in_keras_applications(variant, width):
    ours = outline(mobilenet, replace(VARIANTS[variant], width=width), image_shape=(32, 32, 3))
    reference = outline(REFERENCES[variant], alpha=width, weights=None, input_shape=(32, 32, 3))
    assert parameters(ours) == parameters(reference)


@pytest.mark.parametrize("variant", but_slow(REFERENCES, "v3_large"))
def test_logits_equal_keras_applications_given_its_weights(variant):
    ours = full_size(variant)
    reference = REFERENCES[variant](weights=None, input_shape=SHAPE, classifier_activation=None)
    for layer in reference.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = VARIANTS[variant].epsilon  # theirs is 1e-3 everywhere, torchvision's V2 has 1e-5
        if variant == "v1" and isinstance(layer, keras.layers.ZeroPadding2D):
            layer.padding = ((1, 1), (1, 1))  # theirs pads below and right only, odd sizes or not
    randomize(reference)
    sources, targets = ([layer for layer in m.layers if layer.weights] for m in (reference, ours))
    for source, target in zip(sources, targets, strict=True):
        target.set_weights([v.reshape(w.shape) for v, w in zip(source.get_weights(), target.weights, strict=True)])

    images = images_of(2, *SHAPE)
    expected = np.array(reference(images))
    assert np.abs(expected[0] - expected[1]).max() > 0.1  # else the tolerance below says nothing
    np.testing.assert_allclose(ours(images), expected, atol=1e-5 * max(10, np.abs(expected).max()))


def randomize(model):
    """Moves every weight and moving statistic off its start, and keeps the outputs dependent on the images."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        for w in layer.trainable_weights:
            w.assign(w + rng.normal(0, 0.2 if w.ndim == 1 else 0.02, w.shape))
    settle(model)


@pytest.mark.parametrize(
    "variant, channels",
    [
        ("nano", (8, 8, 16, 24, 64)),
        ("v1", (64, 128, 256, 512, 1024)),
        ("v2", (16, 24, 32, 96, 1280)),
        ("v3_small", (16, 16, 24, 48, 576)),
        ("v3_large", (16, 24, 40, 112, 960)),
    ],
)
def test_without_classes_it_gives_the_last_map_at_each_stride(variant, channels):
    maps = outline(mobilenet, variant, image_shape=(75, 34, 3), num_classes=None).output
    assert {name: tuple(m.shape[1:]) for name, m in maps.items()} == {
        f"stride{s}": (-(-75 // s), -(-34 // s), c) for s, c in zip((2, 4, 8, 16, 32), channels)
    }


def test_small_images_variant_is_v2_with_an_eighth_of_its_resolution():
    maps = outline(mobilenet, "v2_small_images", image_shape=(8, 8, 1), num_classes=None).output
    assert maps["stride8"].shape == (None, 1, 1, 1280)


@pytest.mark.parametrize("shape", [(1, 1, 1), (None, None, 3)])
def test_any_image_shape_gives_finite_logits(shape):
    model = tiny(image_shape=shape)
    logits = model(images_of(2, *(s or 40 for s in shape)))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


def test_names_and_dtypes_are_those_that_export_relies_on():
    model = tiny(name="tiny")
    assert (model.name, model.inputs[0].name, model.layers[-1].name) == ("tiny", "images", "logits")
    assert (model.inputs[0].dtype, model.layers[-1].compute_dtype) == ("float32", "float32")


def test_saved_models_need_no_code_of_ours():
    assert "tfdl" not in tiny().to_json()


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match=r"width must be positive, not -0.5"):
        replace(VARIANTS["v2"], width=-0.5)
    with pytest.raises(ValueError, match="strides_removed must be from 0 to 5, not 6"):
        replace(VARIANTS["v2"], strides_removed=6)
    with pytest.raises(ValueError, match=r"activation 'swish'.*hard_swish"):
        MobileNetConfig(blocks=((3, 8, 8, False, "swish", 1),), stem=8)
