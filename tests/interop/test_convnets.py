"""Convnets under the names of all layouts: there and back, and the logits that torchvision computed with them."""

from dataclasses import replace

import numpy as np
import pytest

import tfdl
from tests.interop.probes import CLASSES, IMAGE, PROBES, image, seeded
from tfdl.interop.files.archives import read_arrays
from tfdl.interop.layouts import entries
from tfdl.interop.weights import LAYOUTS, load_weights, save_weights
from tfdl.models.convnets.efficientnet import EfficientNetConfig
from tfdl.models.convnets.mobilenet import VARIANTS as MOBILENETS
from tfdl.models.convnets.resnet import ResNetConfig
from tfdl.models.convnets.vgg import VGGConfig


@pytest.mark.parametrize("name", PROBES)
def test_logits_of_seeded_weights_are_torchvision_s(name):
    probe = PROBES[name]
    model = tfdl.build(probe.model, probe.variant, image_shape=IMAGE, num_classes=CLASSES, normalize=None)
    shapes = {entry.theirs: entry.their_shape for entry in entries(model, LAYOUTS["torchvision"], probe.model)}
    load_weights(model, seeded(shapes), layout="torchvision")
    np.testing.assert_allclose(model(image())[0], probe.logits, atol=1e-4)


NETWORKS = {  # that every library with the family has
    "densenet": "nano",
    "efficientnet": EfficientNetConfig(
        stages=(("mbconv", 1, 3, 1, 8, 1), ("mbconv", 2, 3, 2, 8, 2)), stem=8, features=16
    ),
    "mobilenet": MOBILENETS["nano"],
    "resnet": ResNetConfig(blocks=(2, 1), channels=4, bottleneck=True, bias=True),
    "vgg": VGGConfig(convolutions=(1, 1, 1, 2), channels=(4, 4, 8, 8), grid=2, features=(24, 20)),
}
CHANGES = {  # what keras.applications computes otherwise
    ("efficientnet", "keras_applications"): dict(epsilon=1e-3, padding="same"),
    ("mobilenet", "keras_applications"): dict(epsilon=1e-3, padding="same"),
}
# Names and shapes of KerasHub 0.32.0, timm 1.0.31, and files of transformers 5.23.0, sizes put in by hand.
NAMES = {
    ("densenet", "keras_hub"): {"stack2_block2_1_conv/kernel": (1, 1, 20, 32), "transition1_bn/beta": (24,)},
    ("efficientnet", "keras_hub"): {"block2b_se_reduce/kernel": (1, 1, 16, 2), "block1a_project/kernel": (1, 1, 8, 8)},
    ("efficientnet", "timm"): {"blocks.0.0.conv_pw.weight": (8, 8, 1, 1), "blocks.1.1.conv_pwl.weight": (8, 16, 1, 1)},
    ("mobilenet", "keras_hub"): {
        "block_0_0/block_0_0_squeeze_excite/block_0_0_squeeze_excite_conv_reduce/bias": (8,),
        "block_1_1/block_1_1_conv2/kernel": (3, 3, 1, 40),
        "block_4_0/block_4_0_conv/kernel": (1, 1, 32, 64),
        "classifier_conv/kernel": (1, 1, 64, 72),
    },
    ("mobilenet", "timm"): {"blocks.2.0.se.conv_expand.weight": (48, 16, 1, 1), "blocks.4.0.bn1.running_mean": (64,)},
    ("resnet", "keras_hub"): {"stack1_block0_0_conv/kernel": (1, 1, 16, 32), "conv1_bn/moving_variance": (4,)},
    ("resnet", "transformers"): {
        "resnet.embedder.embedder.convolution.weight": (4, 3, 7, 7),
        "resnet.encoder.stages.0.layers.1.layer.2.normalization.running_var": (16,),
        "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight": (32, 16, 1, 1),
        "classifier.1.bias": (CLASSES,),
    },
    ("vgg", "keras_hub"): {"head/fc1/kernel": (2, 2, 8, 24), "head/fc2/kernel": (1, 1, 24, 20)},
    ("vgg", "timm"): {"pre_logits.fc1.weight": (24, 8, 2, 2), "head.fc.weight": (CLASSES, 20)},
}


@pytest.mark.parametrize("family", NETWORKS)
def test_every_layout_gives_back_each_bit_under_its_names(family, tmp_path):
    layouts = [name for name, layout in LAYOUTS.items() if family in layout.families]
    assert {layout for key, layout in NAMES if key == family} <= set(layouts)
    for layout in layouts:
        changes = CHANGES.get((family, layout), {})
        config = replace(NETWORKS[family], **changes) if changes else NETWORKS[family]
        model = tfdl.build(family, config, image_shape=(33, 37, 3), num_classes=CLASSES)  # maps of odd sides
        rng = np.random.default_rng(0)
        before = [rng.standard_normal(w.shape, "float32") for w in model.weights]
        model.set_weights(before)
        save_weights(model, tmp_path / "w.npz", layout=layout)
        arrays = read_arrays(tmp_path / "w.npz")
        found = {name: array.shape for name, array in arrays.items()}
        assert NAMES.get((family, layout), {}).items() <= found.items()
        model.set_weights([np.zeros_like(array) for array in before])
        load_weights(model, arrays, layout=layout)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)), layout


@pytest.mark.parametrize(
    "model, variant, layout",
    [("efficientnet", "nano", "keras_hub"), ("vgg", "nano", "keras_hub"), ("mobilenet", "v2", "keras_hub")],
)
def test_a_variant_that_a_library_lacks_is_told(model, variant, layout):
    ours = tfdl.build(model, variant, image_shape=(32, 35, 3), num_classes=CLASSES)
    with pytest.raises(ValueError, match=f"no rule for .* layers of this {model}.* no counterpart there"):
        entries(ours, LAYOUTS[layout], model)


def test_a_mobilenet_of_other_depth_has_no_names_with_stages():
    config = replace(MOBILENETS["nano"], blocks=MOBILENETS["nano"].blocks[:3])
    with pytest.raises(ValueError, match="mobilenet of 3 blocks; build one of its paper's variants"):
        entries(tfdl.build("mobilenet", config, image_shape=(32, 35, 3)), LAYOUTS["timm"], "mobilenet")
