"""EfficientNets give what torchvision's and keras.applications' give with the same weights."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.parity.references import compare, difference, images_of, torchvision
from tfdl.interop.weights import load_weights
from tfdl.models.convnets.efficientnet import VARIANTS, efficientnet

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def seeded():
    pytest.importorskip("torch").manual_seed(1)


@pytest.mark.parametrize(
    "variant, image_shape", [("b0", (64, 97, 3)), ("b1", (97, 65, 3)), ("b5", (33, 50, 3)), ("v2_s", (65, 96, 3))]
)
def test_logits_and_maps_equal_torchvision(variant, image_shape):
    reference = getattr(torchvision().models, f"efficientnet_{variant}")()
    last = 7 if variant == "v2_s" else 8  # the head; before it stand the last stages of each stride
    modules = {f"stride{2**i}": f"features.{place}" for i, place in enumerate((1, 2, 3, 5, last), start=1)}
    differences = compare(efficientnet, variant, reference, image_shape=image_shape, modules=modules, settled=True)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3


@pytest.mark.parametrize("variant", ["b1", "v2_s"])
def test_logits_equal_keras_applications(variant):
    build = {"b1": keras.applications.EfficientNetB1, "v2_s": keras.applications.EfficientNetV2S}[variant]
    shape = (65, 97, 3)  # odd before every stride of 2: there TensorFlow's padding is symmetric too
    options = {"include_preprocessing": False} if variant == "v2_s" else {}
    reference = build(weights=None, input_shape=shape, classifier_activation=None, **options)
    rng = np.random.default_rng(2)
    for norm in [layer for layer in reference.layers if isinstance(layer, keras.layers.BatchNormalization)]:
        norm.momentum = 0.0  # the call below stores the statistics of its images
        norm.gamma.assign(rng.uniform(0.5, 1.0, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.1, norm.beta.shape))
    pixels = 1 if options else 255  # V1 has the division inside
    reference(pixels * images_of(40, *shape, seed=1), training=True)
    ours = efficientnet(replace(VARIANTS[variant], epsilon=1e-3), image_shape=shape, normalize=None)
    load_weights(ours, {w.path: w for w in reference.weights}, layout="keras_applications")
    images = images_of(2, *shape)
    assert difference(ours(images), reference(pixels * images)) <= 1e-4
