"""VGGs give what torchvision's and keras.applications' give with the same weights."""

import keras
import numpy as np
import pytest

from tests.parity.references import compare, difference, images_of, torchvision
from tfdl.interop.weights import load_weights
from tfdl.models.convnets.vgg import vgg

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("variant, image_shape", [("11_bn", (97, 66, 3)), ("16", (230, 70, 3))])
def test_logits_and_maps_equal_torchvision(variant, image_shape):
    reference = getattr(torchvision().models, f"vgg{variant}")()
    pools = [i for i, layer in enumerate(reference.features) if type(layer).__name__ == "MaxPool2d"]
    modules = {f"stride{2**i}": f"features.{pool - 1}" for i, pool in enumerate(pools)}
    modules["stride32"] = f"features.{pools[-1]}"
    differences = compare(vgg, variant, reference, image_shape=image_shape, modules=modules)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3


def test_logits_equal_keras_applications():
    reference = keras.applications.VGG16(weights=None, classifier_activation=None)
    rng = np.random.default_rng(1)
    for w in reference.weights:  # Keras's own start lets the images fade out over 16 layers
        spread = (2 / np.prod(w.shape[:-1])) ** 0.5 if len(w.shape) > 1 else 0.1
        w.assign(spread * rng.standard_normal(w.shape, "float32"))
    ours = vgg("16", normalize=None)
    load_weights(ours, {w.path: w for w in reference.weights}, layout="keras_applications")
    images = images_of(2, 224, 224, 3)
    assert difference(ours(images), reference(images)) <= 1e-4
