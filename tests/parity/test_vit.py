"""ViT equals timm, torchvision and transformers, given their weights; and weights of another image size."""

from dataclasses import replace

import numpy as np
import pytest

import tfdl
from tests.parity.references import difference, images_of, outputs, randomize, torchvision
from tfdl.models.vision_transformers.vit import VARIANTS, vit

pytestmark = pytest.mark.parity


def timm_vit(name, image_shape, **options):
    torchvision()  # timm imports it
    timm = pytest.importorskip("timm")
    return randomize(timm.create_model(name, img_size=image_shape[:2], **options))


@pytest.mark.parametrize(
    "variant, theirs, image_shape",
    [
        ("tiny_patch16", "vit_tiny_patch16_224", (96, 64, 3)),
        ("small_patch16", "vit_small_patch16_224", (64, 112, 3)),
        ("base_patch32", "vit_base_patch32_224", (96, 160, 3)),
    ],
)
def test_vit_is_timm_s(variant, theirs, image_shape):
    reference = timm_vit(theirs, image_shape)
    model = vit(variant, image_shape=image_shape, normalize=None)
    tfdl.load_weights(model, reference.state_dict(), layout="timm")
    images = images_of(2, *image_shape)
    logits, maps = outputs(reference, images)
    assert difference(model(images), logits) <= 1e-4


def test_every_patch_s_features_are_timm_s():
    import torch

    reference = timm_vit("vit_tiny_patch16_224", (80, 48), num_classes=0)
    model = vit("tiny_patch16", image_shape=(80, 48, 3), num_classes=None, normalize=None)
    tfdl.load_weights(model, reference.state_dict(), layout="timm")
    images = images_of(2, 80, 48, 3)
    with torch.no_grad():
        tokens = reference.forward_features(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert difference(model(images)["stride16"], tokens[:, 1:].reshape(2, 5, 3, 192)) <= 1e-3


@pytest.mark.parametrize("source, target", [((96, 96), (64, 128)), ((48, 48), (80, 112))])
def test_positions_of_another_image_size_are_resized_as_timm_does(source, target):
    import torch

    small = timm_vit("vit_tiny_patch16_224", source)
    big = timm_vit("vit_tiny_patch16_224", target)
    timm = pytest.importorskip("timm")
    state = small.state_dict()
    state["pos_embed"] = timm.layers.resample_abs_pos_embed(state["pos_embed"], [side // 16 for side in target])
    with torch.no_grad():
        big.load_state_dict(state)
    model = vit("tiny_patch16", image_shape=(*target, 3), normalize=None)
    tfdl.load_weights(model, small.state_dict(), layout="timm")
    images = images_of(2, *target, 3)
    assert difference(model(images), outputs(big, images)[0]) <= 1e-4


@pytest.mark.parametrize("variant, theirs", [("base_patch16", "vit_b_16"), ("base_patch32", "vit_b_32")])
def test_vit_is_torchvision_s(variant, theirs):
    reference = randomize(getattr(torchvision().models, theirs)(image_size=96))
    model = vit(variant, image_shape=(96, 96, 3), normalize=None)
    tfdl.load_weights(model, reference.state_dict(), layout="torchvision")
    images = images_of(2, 96, 96, 3)
    assert difference(model(images), outputs(reference, images)[0]) <= 1e-4


def test_vit_is_transformers_s_by_way_of_files(tmp_path):
    torchvision()  # transformers imports it
    transformers = pytest.importorskip("transformers")
    sizes = dict(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, initializer_range=0.2
    )
    settings = transformers.ViTConfig(**sizes, image_size=(40, 24), patch_size=8, num_labels=5)
    reference = randomize(transformers.ViTForImageClassification(settings))
    reference.save_pretrained(tmp_path / "theirs")
    config = replace(VARIANTS["nano"], width=48, depth=3, heads=4, epsilon=settings.layer_norm_eps)
    model = vit(config, image_shape=(40, 24, 3), num_classes=5, normalize=None)
    tfdl.load_weights(model, tmp_path / "theirs" / "model.safetensors", layout="transformers")
    images = images_of(2, 40, 24, 3)
    expected = np.array(reference(pixel_values=as_torch(images)).logits.detach())
    assert difference(model(images), expected) <= 1e-4

    settings.save_pretrained(tmp_path / "ours")
    tfdl.save_weights(model, tmp_path / "ours" / "model.safetensors", layout="transformers")
    back = transformers.ViTForImageClassification.from_pretrained(tmp_path / "ours").eval()
    np.testing.assert_array_equal(back(pixel_values=as_torch(images)).logits.detach(), expected)


def as_torch(images):
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
