"""Other libraries take our weights as we take theirs, and positions are resized as they do it."""

from dataclasses import replace

import numpy as np
import pytest

import tfdl
from tests.parity.references import as_torch, difference, images_of, randomize, timm, torch_outputs, torchvision
from tests.parity.references import transformers as hugging_face
from tfdl.models.vision_transformers.swin import VARIANTS as SWINS
from tfdl.models.vision_transformers.swin import swin
from tfdl.models.vision_transformers.vit import VARIANTS as VITS
from tfdl.models.vision_transformers.vit import vit

pytestmark = pytest.mark.parity


@pytest.mark.parametrize(
    "model, variant, theirs",
    [
        ("densenet", "121", "densenet121"),
        ("mobilenet", "v3_small", "mobilenet_v3_small"),
        ("resnet", "18", "resnet18"),
        ("shufflenet", "v2_x1_0", "shufflenet_v2_x1_0"),
    ],
)
def test_torchvision_takes_our_weights(model, variant, theirs, tmp_path):
    ours = tfdl.build(model, variant, image_shape=(45, 39, 3), num_classes=7, normalize=None)
    rng = np.random.default_rng(0)
    for w in ours.weights:  # else no image survives to the logits
        if w.name == "kernel":
            w.assign((2 / np.prod(w.shape[:-1])) ** 0.5 * rng.standard_normal(w.shape))
    tfdl.save_weights(ours, tmp_path / "w.pth", layout="torchvision")
    torch = pytest.importorskip("torch")
    reference = getattr(torchvision().models, theirs)(num_classes=7).eval()
    result = reference.load_state_dict(torch.load(tmp_path / "w.pth", weights_only=True), strict=False)
    assert not result.unexpected_keys and all("num_batches" in name for name in result.missing_keys)
    images = images_of(2, 45, 39, 3)
    assert difference(ours(images), torch_outputs(reference, images)[0]) <= 1e-4


def swin_of_transformers(library):
    sizes = dict(embed_dim=16, depths=[2, 1, 2], num_heads=[1, 2, 4], mlp_ratio=2.0, window_size=3)
    config = library.SwinConfig(**sizes, image_size=(60, 84), num_labels=5)
    ours = swin(
        replace(SWINS["nano"], depths=(2, 1, 2), heads=(1, 2, 4)),
        image_shape=(60, 84, 3),
        num_classes=5,
        normalize=None,
    )
    return library.SwinForImageClassification, config, ours


def vit_of_transformers(library):
    sizes = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, patch_size=8)
    config = library.ViTConfig(**sizes, image_size=(40, 24), num_labels=5)
    ours = vit(
        replace(VITS["nano"], width=48, depth=3, epsilon=config.layer_norm_eps),
        image_shape=(40, 24, 3),
        num_classes=5,
        normalize=None,
    )
    return library.ViTForImageClassification, config, ours


@pytest.mark.parametrize("made", [swin_of_transformers, vit_of_transformers])
def test_transformers_reads_the_files_that_we_write(made, tmp_path):
    build, config, ours = made(hugging_face())
    reference = randomize(build(config))
    reference.save_pretrained(tmp_path / "theirs")
    tfdl.load_weights(ours, tmp_path / "theirs" / "model.safetensors", layout="transformers")
    config.save_pretrained(tmp_path / "ours")
    tfdl.save_weights(ours, tmp_path / "ours" / "model.safetensors", layout="transformers")
    back = build.from_pretrained(tmp_path / "ours").eval()
    images = as_torch(images_of(2, *ours.input_shape[1:]))
    np.testing.assert_array_equal(back(images).logits.detach(), reference(images).logits.detach())


@pytest.mark.parametrize("source, target", [((96, 96), (64, 128)), ((48, 48), (80, 112))])
def test_positions_of_another_image_size_are_resized_as_timm_does(source, target):
    library = timm()
    small, big = (randomize(library.create_model("vit_tiny_patch16_224", img_size=size)) for size in (source, target))
    state = small.state_dict()
    state["pos_embed"] = library.layers.resample_abs_pos_embed(state["pos_embed"], [side // 16 for side in target])
    big.load_state_dict(state)
    model = vit("tiny_patch16", image_shape=(*target, 3), normalize=None)
    tfdl.load_weights(model, small.state_dict(), layout="timm")
    images = images_of(2, *target, 3)
    assert difference(model(images), torch_outputs(big, images)[0]) <= 1e-4
