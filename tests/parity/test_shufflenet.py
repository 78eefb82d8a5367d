"""ShuffleNet V2 gives what torchvision's gives with the same weights.  V1 has no reference library."""

import pytest

from tests.parity.references import compare, torchvision
from tfdl.models.convnets.shufflenet import shufflenet

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def seeded():
    pytest.importorskip("torch").manual_seed(0)


MODULES = {"stride2": "conv1", "stride4": "maxpool", "stride8": "stage2", "stride16": "stage3", "stride32": "conv5"}


@pytest.mark.parametrize(
    "variant, image_shape", [("v2_x0_5", (64, 97, 3)), ("v2_x1_0", (97, 65, 3)), ("v2_x2_0", (33, 70, 3))]
)
def test_logits_and_maps_equal_torchvision(variant, image_shape):
    reference = getattr(torchvision().models, f"shufflenet_{variant}")()
    differences = compare(shufflenet, variant, reference, image_shape=image_shape, modules=MODULES, settled=True)
    assert differences.pop("logits") <= 1e-4
    assert max(differences.values()) <= 1e-3
