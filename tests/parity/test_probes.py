"""The numbers in tests/interop/probes.py are torchvision's."""

import numpy as np
import pytest

from tests.interop.probes import CLASSES, PROBES, image, seeded
from tests.parity.references import torch_outputs, torchvision

pytestmark = pytest.mark.parity


def network(name):
    """torchvision's network of the size of ours."""
    nn, models = pytest.importorskip("torch").nn, torchvision().models
    if name == "densenet":
        return models.DenseNet(growth_rate=8, block_config=(1, 2, 2, 1), num_init_features=16, num_classes=CLASSES)
    if name == "mobilenet_v2":
        return models.mobilenet_v2(width_mult=0.35, num_classes=CLASSES)
    if name == "mobilenet_v3":
        return models.mobilenet_v3_small(num_classes=CLASSES)
    if name == "resnet":
        return models.ResNet(models.resnet.BasicBlock, [1, 2, 1, 1], num_classes=CLASSES)
    if name == "shufflenet":
        return models.ShuffleNetV2([2, 2, 1], [8, 16, 24, 32, 64], num_classes=CLASSES)
    if name == "efficientnet":
        module = models.efficientnet
        rows = [
            (1, 3, 1, 8, 8, 1),
            (2, 3, 2, 8, 16, 2),
            (1, 3, 2, 16, 16, 1),
            (4, 5, 2, 16, 24, 2),
            (4, 3, 2, 24, 32, 1),
        ]
        blocks = [(module.FusedMBConvConfig if i < 2 else module.MBConvConfig)(*row) for i, row in enumerate(rows)]
        return models.EfficientNet(blocks, dropout=0.0, last_channel=64, num_classes=CLASSES)
    if name == "vgg":
        made = models.VGG(models.vgg.make_layers([4, "M", 8, "M", 8, "M", 12, "M", 16, 16, "M"], batch_norm=True))
        made.avgpool = nn.AdaptiveAvgPool2d(2)
        sizes = (16 * 4, 24, 20, CLASSES)
        for place, before, after in zip((0, 3, 6), sizes, sizes[1:]):
            made.classifier[place] = nn.Linear(before, after)
        return made
    made, channels = models.AlexNet(), (3, 8, 16, 12, 16, 8)
    kernels = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
    for place, before, after, kernel in zip((0, 3, 6, 8, 10), channels, channels[1:], kernels):
        made.features[place] = nn.Conv2d(before, after, *kernel)
    for place, before, after in ((1, 8 * 36, 24), (4, 24, 20), (6, 20, CLASSES)):
        made.classifier[place] = nn.Linear(before, after)
    return made


def logits(name):
    torch, reference = pytest.importorskip("torch"), network(name).eval()
    shapes = {n: t.shape for n, t in reference.state_dict().items() if "num_batches" not in n}
    state = {n: torch.from_numpy(array) for n, array in seeded(shapes).items()}
    reference.load_state_dict(state, strict=False)
    return torch_outputs(reference, image())[0][0]


@pytest.mark.parametrize("name", PROBES)
def test_probes_are_torchvision_s(name):
    np.testing.assert_allclose(PROBES[name].logits, logits(name), rtol=2e-6, atol=2e-6)
