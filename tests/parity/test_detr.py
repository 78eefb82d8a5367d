"""DETR gives what transformers' network gives with the same weights, on padded pictures too, in both directions."""

import keras
import numpy as np
import pytest

import tfdl
from tests.parity.references import as_torch, images_of, many_images, randomize, torch, transformers
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.detection.detr import VARIANTS, DETRConfig

pytestmark = pytest.mark.parity

TINY = DETRConfig(
    backbone=RESNETS["18"], width=32, heads=4, encoder=2, decoder=3, inner=48, queries=7, dropout=0.0, pretrained=True
)
CASES = {  # our config, their backbone, classes, height and width
    "tiny": (TINY, "resnet18", 5, (70, 101)),
    "r50": (VARIANTS["r50"], "resnet50", 91, (96, 130)),
}


def reference(config, backbone, classes, shape):
    """transformers' network with random weights and the statistics of images."""
    theirs = transformers().DetrConfig(
        use_timm_backbone=True,
        backbone=backbone,
        use_pretrained_backbone=False,
        d_model=config.width,
        encoder_layers=config.encoder,
        decoder_layers=config.decoder,
        encoder_attention_heads=config.heads,
        decoder_attention_heads=config.heads,
        encoder_ffn_dim=config.inner,
        decoder_ffn_dim=config.inner,
        num_queries=config.queries,
        num_labels=classes,
    )
    network = randomize(transformers().DetrForObjectDetection(theirs))
    for module in network.modules():
        if type(module).__name__ == "DetrFrozenBatchNorm2d":
            module.register_forward_pre_hook(settle)
    with torch().no_grad():
        network(as_torch(many_images(*shape, 3)))
    for module in network.modules():
        module._forward_pre_hooks.clear()
    return network


def settle(norm, inputs):
    """Gives a norm the statistics of what it sees; as `references.settle` does it."""
    (x,) = inputs
    norm.running_mean.copy_(x.mean((0, 2, 3)))
    variance = x.var((0, 2, 3))
    norm.running_var.copy_(variance + variance.mean() / 100)


def both(network, images, mask=None):
    """Logits and boxes of the network there."""
    options = {} if mask is None else {"pixel_mask": torch().tensor(mask, dtype=torch().int64)}
    with torch().no_grad():
        found = network(as_torch(images), **options)
    return found.logits.numpy(), found.pred_boxes.numpy()


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    config, backbone, classes, shape = CASES[request.param]
    network = reference(config, backbone, classes, shape)
    folder = tmp_path_factory.mktemp("theirs")
    network.save_pretrained(folder)
    options = dict(image_shape=(*shape, 3), normalize=None, weights=str(folder / "model.safetensors"))
    return network, lambda **more: tfdl.build("detr", config, **options, **more), classes, shape


def test_logits_and_boxes_are_theirs_and_go_back(case, tmp_path):
    network, build, classes, shape = case
    images = images_of(2, *shape, 3)
    logits, boxes = both(network, images)
    ours = build()  # the weights tell the number of classes
    found = ours(images)
    assert found["scores"].shape[-1] == classes
    assert np.abs(logits[0] - logits[1]).max() > 0.02 * np.abs(logits).max()  # they tell pictures apart
    np.testing.assert_allclose(found["logits"][:, -1], logits, atol=1e-4)
    np.testing.assert_allclose(found["places"][:, -1], boxes, atol=1e-4)
    in_norms = sum(w.shape.num_elements() for n in norms_of(ours) for w in n.weights)
    total = sum(p.numel() for p in network.parameters())
    assert sum(w.shape.num_elements() for w in ours.weights) - in_norms == total

    tfdl.save_weights(ours, tmp_path / "model.safetensors", layout="transformers")
    network.config.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path).eval()
    np.testing.assert_allclose(both(again, images)[0], logits, atol=1e-6)


def test_padded_pictures_are_seen_as_there(case):
    network, build, _, (height, width) = case
    images, mask = images_of(2, height, width, 3), np.ones((2, height, width), "float32")
    mask[0, 50:], mask[1, :, 67:] = 0, 0
    images = images * mask[..., None]
    logits, boxes = both(network, images, mask)
    found = build(padded=True)({"images": images, "mask": mask})
    np.testing.assert_allclose(found["logits"][:, -1], logits, atol=1e-4)
    np.testing.assert_allclose(found["places"][:, -1], boxes, atol=1e-4)
    unmasked, _ = both(network, images)
    assert np.abs(unmasked - logits).max() > 1e-2  # the mask makes a difference


def norms_of(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
