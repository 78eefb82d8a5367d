"""Swin equals torchvision, timm and transformers, given their weights, also where windows have to be filled up."""

from dataclasses import replace

import numpy as np
import pytest

import tfdl
from tests.parity.references import difference, images_of, outputs, randomize, torchvision
from tfdl.models.vision_transformers.swin import VARIANTS, swin

pytestmark = pytest.mark.parity


def as_torch(images):
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize(
    "variant, theirs, image_shape",
    [
        ("tiny", "swin_t", (224, 224, 3)),
        ("tiny", "swin_t", (132, 180, 3)),  # every stage has windows to fill, stage 1 and 2 odd sides to merge
        ("small", "swin_s", (92, 64, 3)),
        ("base", "swin_b", (64, 120, 3)),
    ],
)
def test_swin_is_torchvision_s(variant, theirs, image_shape):
    reference = randomize(getattr(torchvision().models, theirs)())
    model = swin(variant, image_shape=image_shape, normalize=None)
    tfdl.load_weights(model, reference.state_dict(), layout="torchvision")
    images = images_of(2, *image_shape)
    logits, _ = outputs(reference, images)
    assert difference(model(images), logits) <= 1e-4


def test_every_stage_s_map_is_timm_s():
    torchvision()  # timm imports it
    timm = pytest.importorskip("timm")
    options = dict(img_size=(64, 128), window_size=2, num_classes=0)  # windows that tile: timm fills others differently
    reference = randomize(timm.create_model("swin_tiny_patch4_window7_224", **options))
    config = replace(VARIANTS["tiny"], window=2)
    model = swin(config, image_shape=(64, 128, 3), num_classes=None, normalize=None)
    tfdl.load_weights(model, reference.state_dict(), layout="timm")
    images = images_of(2, 64, 128, 3)
    maps = model(images)
    theirs = reference.forward_intermediates(as_torch(images), intermediates_only=True)  # (B, C, H, W)
    for stride, expected in zip((4, 8, 16), theirs):
        assert difference(maps[f"stride{stride}"], expected.detach().permute(0, 2, 3, 1)) <= 1e-3
    assert difference(maps["stride32"], reference.forward_features(as_torch(images)).detach()) <= 1e-3


def test_logits_are_timm_s():
    torchvision()
    timm = pytest.importorskip("timm")
    reference = randomize(timm.create_model("swin_small_patch4_window7_224", img_size=(64, 96), window_size=2))
    config = replace(VARIANTS["small"], window=2)
    model = swin(config, image_shape=(64, 96, 3), normalize=None)
    tfdl.load_weights(model, reference.state_dict(), layout="timm")
    images = images_of(2, 64, 96, 3)
    assert difference(model(images), outputs(reference, images)[0]) <= 1e-4


def test_swin_is_transformers_s_by_way_of_files(tmp_path):
    torchvision()  # transformers imports it
    transformers = pytest.importorskip("transformers")
    sizes = dict(embed_dim=16, depths=[2, 1, 2], num_heads=[1, 2, 4], mlp_ratio=2.0, initializer_range=0.2)
    settings = transformers.SwinConfig(**sizes, window_size=3, image_size=(60, 84), num_labels=5)
    reference = randomize(transformers.SwinForImageClassification(settings))
    reference.save_pretrained(tmp_path / "theirs")
    config = replace(VARIANTS["nano"], depths=(2, 1, 2), heads=(1, 2, 4), window=3)
    model = swin(config, image_shape=(58, 83, 3), num_classes=5, normalize=None)
    tfdl.load_weights(model, tmp_path / "theirs" / "model.safetensors", layout="transformers")
    images = images_of(2, 58, 83, 3)  # not even the patches divide them
    expected = np.array(reference(pixel_values=as_torch(images)).logits.detach())
    assert difference(model(images), expected) <= 1e-4

    settings.save_pretrained(tmp_path / "ours")
    tfdl.save_weights(model, tmp_path / "ours" / "model.safetensors", layout="transformers")
    back = transformers.SwinForImageClassification.from_pretrained(tmp_path / "ours").eval()
    np.testing.assert_array_equal(back(pixel_values=as_torch(images)).logits.detach(), expected)
