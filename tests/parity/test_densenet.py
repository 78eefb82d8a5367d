"""DenseNets give what torchvision's give with the same weights, and the other way around."""

import pytest

from tests.parity.references import compare, difference, images_of, outputs, torchvision
from tfdl.interop.weights import save_weights
from tfdl.models.convnets.densenet import densenet

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def seeded():
    pytest.importorskip("torch").manual_seed(0)


MODULES = {
    "stride2": "features.relu0",
    "stride4": "features.denseblock1",
    "stride8": "features.denseblock2",
    "stride16": "features.denseblock3",
    "stride32": "features",
}


@pytest.mark.parametrize("variant, image_shape", [("121", (65, 98, 3)), ("161", (98, 65, 3))])
def test_logits_and_maps_equal_torchvision(variant, image_shape):
    reference = getattr(torchvision().models, f"densenet{variant}")()
    reference.features.append(pytest.importorskip("torch").nn.ReLU())  # theirs comes behind, and is no module
    differences = compare(densenet, variant, reference, image_shape=image_shape, modules=MODULES)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3


def test_torchvision_takes_our_weights(tmp_path):
    torch = pytest.importorskip("torch")
    ours = densenet("121", image_shape=(29, 35, 3), num_classes=7, normalize=None)
    save_weights(ours, tmp_path / "w.pth", layout="torchvision")
    reference = torchvision().models.densenet121(num_classes=7).eval()
    result = reference.load_state_dict(torch.load(tmp_path / "w.pth", weights_only=True), strict=False)
    assert not result.unexpected_keys and all("num_batches" in name for name in result.missing_keys)
    images = images_of(2, 29, 35, 3)
    assert difference(ours(images), outputs(reference, images)[0]) <= 1e-4
