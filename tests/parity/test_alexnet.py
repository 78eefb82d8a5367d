"""AlexNets give what torchvision's gives with the same weights, and its change to two towers."""

import numpy as np
import pytest

from tests.parity.references import compare, difference, images_of, outputs, randomize, torchvision
from tfdl.models.convnets.alexnet import alexnet

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (127, 190, 3)])
def test_logits_and_maps_equal_torchvision(image_shape):
    modules = {"stride4": "features.1", "stride8": "features.4", "stride16": "features.11", "stride32": "features.12"}
    reference = awake(torchvision().models.alexnet())
    differences = compare(alexnet, "one_tower", reference, image_shape=image_shape, modules=modules)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3


def test_two_towers_are_grouped_convolutions_with_response_norm():
    reference = randomize(awake(two_tower_oracle()))
    ours = alexnet("two_tower", image_shape=(127, 190, 3), normalize=None)
    places = {"conv1": "features.0", "conv2": "features.3", "conv3": "features.6", "conv4": "features.8"}
    places |= {"conv5": "features.10", "fc1": "classifier.1", "fc2": "classifier.4", "logits": "classifier.6"}
    for layer in ours.layers:
        if not layer.weights:
            continue
        name, _, tower = layer.name.partition("_tower")
        kernel, bias = (p.detach().numpy() for p in reference.get_submodule(places[name]).parameters())
        if tower:
            kernel, bias = (np.split(part, 2)[int(tower) - 1] for part in (kernel, bias))
        if name == "fc1":  # from (C, H, W) to (H, W, C)
            kernel = kernel.reshape(-1, 256, 6, 6).transpose(0, 2, 3, 1).reshape(kernel.shape)
        layer.set_weights([kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T, bias])
    images = 10 * images_of(2, 127, 190, 3)  # large responses, which the norm changes
    assert difference(ours(images), outputs(reference, images)[0]) <= 1e-4


def awake(network):
    """PyTorch's own start lets the images fade out over eight layers, He's does not."""
    torch = pytest.importorskip("torch")
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight, generator=torch.Generator().manual_seed(0))
    return network


def two_tower_oracle():
    """torchvision's AlexNet with the layers of Krizhevsky et al. 2012, section 3, in their places."""
    nn = pytest.importorskip("torch").nn
    network = torchvision().models.alexnet()
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)  # PyTorch divides alpha by the size, 5
    for place, module in {
        0: nn.Conv2d(3, 96, 11, 4, 2),
        1: nn.Sequential(nn.ReLU(), norm),
        3: nn.Conv2d(96, 256, 5, padding=2, groups=2),
        4: nn.Sequential(nn.ReLU(), norm),
        6: nn.Conv2d(256, 384, 3, padding=1),
        8: nn.Conv2d(384, 384, 3, padding=1, groups=2),
        10: nn.Conv2d(384, 256, 3, padding=1, groups=2),
    }.items():
        network.features[place] = module
    return network
