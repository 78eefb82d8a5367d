"""ResNets give what torchvision's, keras.applications' and a short PyTorch oracle give with the same weights."""

from collections import OrderedDict

import keras
import numpy as np
import pytest

from tests.parity.references import compare, difference, images_of, torchvision
from tfdl.interop.weights import load_weights
from tfdl.models.convnets.resnet import VARIANTS, resnet

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("variant, image_shape", [("18", (97, 130, 3)), ("50", (65, 98, 3))])
def test_logits_and_maps_equal_torchvision(variant, image_shape):
    reference = getattr(torchvision().models, f"resnet{variant}")()
    modules = {"stride2": "relu", **{f"stride{2 ** (i + 1)}": f"layer{i}" for i in range(1, 5)}}
    differences = compare(resnet, variant, reference, image_shape=image_shape, modules=modules)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3


@pytest.mark.parametrize("variant", ["cifar20", "cifar20_a", "cifar56_a"])
def test_cifar_networks_equal_an_oracle(variant):
    modules = {"stride1": "layer1", "stride2": "layer2", "stride4": "layer3"}
    differences = compare(resnet, variant, cifar_oracle(VARIANTS[variant]), image_shape=(33, 46, 3), modules=modules)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3


def cifar_oracle(config):
    """Section 4.2 from torchvision's blocks."""
    torch, block = pytest.importorskip("torch"), torchvision().models.resnet.BasicBlock
    nn = torch.nn

    class OptionA(nn.Module):
        def forward(self, x):
            return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))

    def shortcut(before, after):
        if not config.projection:
            return OptionA()
        return nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after))

    parts = OrderedDict(conv1=nn.Conv2d(3, 16, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(16), relu=nn.ReLU())
    for i, blocks in enumerate(config.blocks):
        before, after = 16 * 2 ** max(i - 1, 0), 16 * 2**i
        first = block(before, after, 2, shortcut(before, after)) if i else block(16, 16)
        parts[f"layer{i + 1}"] = nn.Sequential(first, *(block(after, after) for _ in range(blocks - 1)))
    return nn.Sequential(parts | dict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, 10)))


def test_logits_equal_keras_applications():
    reference = keras.applications.ResNet50(weights=None, input_shape=(65, 98, 3), classifier_activation=None)
    rng = np.random.default_rng(1)
    for w in reference.weights:  # the last norm of a branch small, or the sums over 16 blocks grow out of measure
        low, high = (0.1, 0.3) if "3_bn/gamma" in w.path else (0.5, 1.5)
        if w.name in ("gamma", "moving_variance"):
            w.assign(rng.uniform(low, high, w.shape))
        elif w.ndim == 1:
            w.assign(rng.normal(0, 0.1, w.shape))
    ours = resnet("50_keras", image_shape=(65, 98, 3), normalize=None)
    load_weights(ours, {w.path: w for w in reference.weights}, layout="keras_applications")
    images = images_of(2, 65, 98, 3)
    assert difference(ours(images), reference(images)) <= 1e-4
