"""All comparisons with other libraries: which model, with whose network, on what image.

`CASES` is the one list of them, for the tests and for `tools/parity.py`.  Sizes are small, and odd or not square where
the reference allows it; Keras's own "same" padding does only where every map that is halved has odd sides.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import keras
import keras_hub
import numpy as np
import pytest

import tfdl
from tests.parity.references import (
    difference,
    images_of,
    keras_reference,
    timm,
    torch_reference,
    torchvision,
    transformers,
)
from tfdl.catalog import find
from tfdl.interop.layouts import EVERY, Layout, entries
from tfdl.interop.weights import load_weights

ORACLE = Layout(name="oracle", families={EVERY: ((r".*", r"\g<0>"),)}, torch=True)  # our names, PyTorch's shapes
LOGITS, RELATIVE, MAPS = 1e-4, 5e-5, 1e-3  # the largest differences that pass


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        library: whose network, a package on PyPI; that of the oracles is torch.
        network: what the library calls it.
        reference: () -> `Reference`.
        layout: under which our model loads the reference's weights; None for oracles' own names.
        changes: of our variant's config, for a network of another size than any variant; never for what the library
            computes otherwise, which a user would not know.
        brightness: factor of all images.
    """

    model: str
    variant: str
    library: str
    network: str
    image_shape: tuple[int, int, int]
    reference: Callable
    layout: str | None
    changes: Mapping = field(default_factory=dict)
    brightness: float = 1.0

    def __str__(self):
        return f"{self.model}-{self.variant}-{self.layout or 'oracle'}-{'x'.join(map(str, self.image_shape[:2]))}"


def run(case):
    """Both networks with the same weights on two images.

    Returns:
        dict: a row of results/parity.json: numbers of parameters, the largest absolute difference of the logits, the
        same over the largest logit, and the largest absolute difference of the worst map.
    """
    reference = case.reference()
    variants = importlib.import_module(find(case.model).module).VARIANTS
    options = dict(image_shape=case.image_shape, normalize=None)
    config = replace(variants[case.variant], **case.changes)
    ours = tfdl.build(case.model, config, num_classes=reference.classes, **options)
    if case.layout:
        load_weights(ours, reference.weights, layout=case.layout)
    else:
        for entry in entries(ours, ORACLE, case.model):
            entry.assign(reference.weights[entry.theirs])
    images = case.brightness * images_of(2, *case.image_shape)
    logits, maps = reference.outputs(images)
    row = {
        "model": case.model,
        "variant": case.variant,
        "library": case.library,
        "version": version(case.library).partition("+")[0],  # 2.13.0+cpu
        "network": case.network,
        "image": f"{case.image_shape[0]}x{case.image_shape[1]}",
        "parameters": sum(int(w.shape.num_elements()) for w in ours.trainable_weights),
        "their_parameters": reference.parameters,
        "logits": two_digits(apart := difference(ours(images), logits)),
        "relative": two_digits(apart / np.abs(logits).max()),
        "maps": None,
        "worst_map": None,
    }
    if maps:
        features = tfdl.build(case.model, config, num_classes=None, **options)
        features.set_weights(ours.get_weights()[: len(features.weights)])
        our_maps = features(images)
        found = {stride: two_digits(difference(our_maps[stride], maps[stride])) for stride in maps}
        worst = max(found, key=found.get)
        row |= {"maps": found[worst], "worst_map": worst}
    return row


def two_digits(number):
    """More would change from machine to machine."""
    return float(f"{number:.1e}")


# --- references ----------------------------------------------------------------------------------------------------


def of_torch(library, layout, create):
    """(model, variant, their name, image, maps, changes) -> Case; `create(name, image)` gives the PyTorch network."""

    def case(model, variant, network, height, width, maps=None, changes=None, **options):
        shape = (height, width, 1 if model == "lenet" else 3)

        def reference():
            return torch_reference(create(network, shape), shape, maps or {})

        return Case(model, variant, library, network, shape, reference, layout, changes or {}, **options)

    return case


def from_torchvision(network, shape):
    sized = {"image_size": shape[0]} if network.startswith("vit") else {}
    model = getattr(torchvision().models, network)(**sized)
    if network.startswith("densenet"):
        model.features.append(importlib.import_module("torch").nn.ReLU())  # theirs comes behind, and is no module
    return model


def from_timm(network, shape):
    sized = {"img_size": shape[:2]} if network.startswith(("vit", "swin")) else {}
    if network.startswith("swin") and shape[0] != 224:
        sized["window_size"] = 2  # windows that tile: timm fills others differently
    return timm().create_model(network, **sized)


def from_transformers(network, shape):
    library, sizes = transformers(), TRANSFORMERS[network]
    sized = {} if network == "ResNetForImageClassification" else {"image_size": shape[:2]}
    config = getattr(library, network.replace("ForImageClassification", "Config"))(**sizes, **sized, num_labels=1000)
    return getattr(library, network)(config)


def from_papers(network, shape):
    oracles = pytest.importorskip("tests.parity.oracles", reason="the extra `parity` is not installed")
    if network.startswith("cifar"):
        blocks = {"cifar20": 3, "cifar56": 9}[network.partition("_")[0]]
        return oracles.cifar_resnet(blocks, "_a" not in network, zeros_after=network.endswith("after"))
    sides = shape[:2] if "LeNet" in network else ()
    return getattr(oracles, network)(*sides)


in_torchvision = of_torch("torchvision", "torchvision", from_torchvision)
in_timm = of_torch("timm", "timm", from_timm)
in_transformers = of_torch("transformers", "transformers", from_transformers)
in_papers = of_torch("torch", None, from_papers)
in_papers_as_torchvision = of_torch("torch", "torchvision", from_papers)


def in_keras(model, variant, network, height, width, maps=None, pixels=1, changes=None, **options):
    """A Case of keras.applications; `options` are of its builder."""
    shape = (height, width, 3)

    def reference():
        build = getattr(keras.applications, network)
        made = build(weights=None, input_shape=shape, classifier_activation=None, **options)
        return keras_reference(made, shape, maps or {}, pixels)

    return Case(model, variant, "keras", network, shape, reference, "keras_applications", changes or {})


def in_hub(model, variant, network, height, width, settings, maps=None, changes=None, **options):
    """A Case of KerasHub; `settings` are of its backbone, `options` of its classifier."""
    shape = (height, width, 3)

    def reference():
        sized = "input_shape" if network == "EfficientNet" else "image_shape"
        backbone = getattr(keras_hub.models, f"{network}Backbone")(**settings, **{sized: shape})
        classifier = getattr(keras_hub.models, f"{network}ImageClassifier")
        return keras_reference(classifier(backbone, num_classes=1000, **options), shape, maps or {})

    return Case(model, variant, "keras-hub", f"{network}ImageClassifier", shape, reference, "keras_hub", changes or {})


# --- where the maps are, and sizes ---------------------------------------------------------------------------------


def strides(*names, first=2):
    """{"stride2": name, "stride4": name, ...}."""
    return {f"stride{first * 2**i}": name for i, name in enumerate(names)}


ALEXNET = strides("features.1", "features.4", "features.11", "features.12", first=4)
ALEXNET_2012 = strides("features.1.0", "features.4.0", "features.11", "features.12", first=4)
DENSENET = strides("features.relu0", *(f"features.denseblock{i}" for i in (1, 2, 3)), "features")
DENSENET_KERAS = strides("conv1_relu", *(f"conv{i}_block{n}_concat" for i, n in ((2, 6), (3, 12), (4, 32))), "relu")
EFFICIENTNET = strides(*(f"features.{i}" for i in (1, 2, 3, 5, 8)))
EFFICIENTNET_V2 = strides(*(f"features.{i}" for i in (1, 2, 3, 5, 7)))
RESNET = strides("relu", "layer1", "layer2", "layer3", "layer4")
RESNET_HF = strides("resnet.embedder.embedder", *(f"resnet.encoder.stages.{i}" for i in range(4)))
CIFAR = strides("layer1", "layer2", "layer3", first=1)
MOBILENET_V2 = strides(*(f"features.{i}" for i in (1, 3, 6, 13, 18)))
MOBILENET_V3 = {
    "v3_small": strides(*(f"features.{i}" for i in (0, 1, 3, 8, 12))),
    "v3_large": strides(*(f"features.{i}" for i in (1, 3, 6, 12, 16))),
}
MOBILENET_TIMM = strides("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4")
SHUFFLENET = strides("conv1", "maxpool", "stage2", "stage3", "conv5")
SHUFFLENET_V1 = strides("stages.2", "stages.3", "stages.4", first=8)
SWIN = strides("features.1", "features.3", "features.5", "norm", first=4)
SWIN_TIMM = strides("layers.0", "layers.1", "layers.2", "norm", first=4)


def vgg_maps(*poolings, before="features.{}"):
    """A pooling ends each block; the map of a stride is the one before it, of the last stride the one behind."""
    return strides(*(before.format(p - 1) for p in poolings), before.format(poolings[-1]), first=1)


VGG19_KERAS = strides(
    "block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4", "block5_pool", first=1
)

TRANSFORMERS = {
    "ResNetForImageClassification": dict(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic"),
    "SwinForImageClassification": dict(
        embed_dim=16, depths=[2, 1, 2], num_heads=[1, 2, 4], mlp_ratio=2.0, window_size=3
    ),
    "ViTForImageClassification": dict(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, patch_size=8
    ),
}
HUB_RESNET = dict(
    input_conv_filters=[64],
    input_conv_kernel_sizes=[7],
    stackwise_num_blocks=[3, 4, 6, 3],
    stackwise_num_filters=[64, 128, 256, 512],
    stackwise_num_strides=[1, 2, 2, 2],
)
HUB_MAPS = strides("P2", "P3", "P4", "P5", first=4)
HUB_B0 = dict(
    stackwise_width_coefficients=[1.0] * 7,
    stackwise_depth_coefficients=[1.0] * 7,
    stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
    stackwise_num_repeats=[1, 2, 2, 3, 3, 4, 1],
    stackwise_input_filters=[32, 16, 24, 40, 80, 112, 192],
    stackwise_output_filters=[16, 24, 40, 80, 112, 192, 320],
    stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
    stackwise_squeeze_and_excite_ratios=[0.25] * 7,
    stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
    stackwise_block_types=["v1"] * 7,
    use_depth_divisor_as_min_depth=True,
    cap_round_filter_decrease=True,
)
SMALL = ((24, 24), (40, 40, 40), (48, 48), (96, 96, 96))  # channels of MobileNetV3's stages behind the first block
HUB_V3_SMALL = dict(
    stackwise_num_blocks=[2, 3, 2, 3],
    stackwise_expansion=[[72, 88], [96, 240, 240], [120, 144], [288, 576, 576]],
    stackwise_num_filters=SMALL,
    stackwise_kernel_size=[[3, 3], [5, 5, 5], [5, 5], [5, 5, 5]],
    stackwise_num_strides=[[2, 1], [2, 1, 1], [1, 1], [2, 1, 1]],
    stackwise_se_ratio=[[None] * 2, [0.25] * 3, [0.25] * 2, [0.25] * 3],
    stackwise_activation=[["relu"] * 2, ["hard_swish"] * 3, ["hard_swish"] * 2, ["hard_swish"] * 3],
    stackwise_padding=[[1, 1], [2, 2, 2], [2, 2], [2, 2, 2]],
    output_num_filters=1024,
    depthwise_filters=16,
    depthwise_stride=2,
    depthwise_residual=False,
    last_layer_filter=576,
    squeeze_and_excite=0.5,
)
HUB_SWIN = dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window_size=2)

CASES = (
    in_torchvision("alexnet", "one_tower", "alexnet", 127, 190, ALEXNET),
    # Only large responses are worth normalizing.
    in_papers("alexnet", "two_tower", "two_tower_alexnet", 127, 190, ALEXNET_2012, brightness=10.0),
    in_torchvision("densenet", "121", "densenet121", 65, 98, DENSENET),
    in_torchvision("densenet", "161", "densenet161", 98, 65, DENSENET),
    in_timm("densenet", "121", "densenet121", 64, 97),
    in_keras("densenet", "169", "DenseNet169", 65, 98, DENSENET_KERAS),
    in_keras("densenet", "121", "DenseNet121", 224, 224),
    in_hub(
        "densenet",
        "121",
        "DenseNet",
        65,
        97,
        dict(stackwise_num_repeats=[6, 12, 24, 16]),
        strides("P2", "P3", "P4", first=4),
    ),
    in_torchvision("efficientnet", "b0", "efficientnet_b0", 64, 97, EFFICIENTNET),
    in_torchvision("efficientnet", "b5", "efficientnet_b5", 65, 34, EFFICIENTNET),
    in_torchvision("efficientnet", "v2_s", "efficientnet_v2_s", 65, 96, EFFICIENTNET_V2),
    in_timm("efficientnet", "b1", "efficientnet_b1", 66, 97),
    in_timm("efficientnet", "v2_s_timm", "efficientnetv2_s", 65, 66),
    in_timm("efficientnet", "b0", "efficientnet_b0", 224, 224),
    in_timm("efficientnet", "b0_keras", "tf_efficientnet_b0", 224, 224),
    in_timm("efficientnet", "v2_s_keras", "tf_efficientnetv2_s", 64, 98),
    in_keras("efficientnet", "b0_keras", "EfficientNetB0", 75, 97, pixels=255),
    in_keras("efficientnet", "b0_keras", "EfficientNetB0", 224, 224, pixels=255),
    in_keras("efficientnet", "b1_keras", "EfficientNetB1", 64, 97, pixels=255),
    in_keras("efficientnet", "v2_s_keras", "EfficientNetV2S", 66, 96, include_preprocessing=False),
    in_hub("efficientnet", "b0", "EfficientNet", 66, 97, HUB_B0),
    in_timm("hrnet", "w18", "hrnet_w18", 64, 96),
    in_timm("hrnet", "w32", "hrnet_w32", 96, 64),
    in_papers("lenet", "lenet5", "LeNet5", 32, 45),
    in_papers("lenet", "original", "OriginalLeNet5", 32, 45),
    in_timm("mobilenet", "v1", "mobilenetv1_100", 66, 97, MOBILENET_TIMM),
    in_torchvision("mobilenet", "v2", "mobilenet_v2", 66, 97, MOBILENET_V2),
    in_torchvision("mobilenet", "v3_small", "mobilenet_v3_small", 66, 97, MOBILENET_V3["v3_small"]),
    in_torchvision("mobilenet", "v3_large", "mobilenet_v3_large", 66, 97, MOBILENET_V3["v3_large"]),
    in_timm("mobilenet", "v2", "mobilenetv2_100", 65, 98),
    in_torchvision("mobilenet", "v2", "mobilenet_v2", 224, 224),
    in_torchvision("mobilenet", "v3_large", "mobilenet_v3_large", 224, 224),
    in_timm("mobilenet", "v3_small_timm", "mobilenetv3_small_100", 65, 98),
    in_timm("mobilenet", "v3_large_timm", "mobilenetv3_large_100", 66, 97),
    in_timm("mobilenet", "v3_small_keras", "tf_mobilenetv3_small_100", 224, 224),
    in_timm("mobilenet", "v3_large_keras", "tf_mobilenetv3_large_100", 66, 98),
    in_keras("mobilenet", "v1_keras", "MobileNet", 75, 97),
    in_keras("mobilenet", "v1_keras", "MobileNet", 224, 224),
    in_keras("mobilenet", "v2_keras", "MobileNetV2", 75, 97),
    in_keras("mobilenet", "v2_keras", "MobileNetV2", 224, 224),
    in_keras("mobilenet", "v3_small_keras", "MobileNetV3Small", 64, 97, include_preprocessing=False),
    in_keras("mobilenet", "v3_large_keras", "MobileNetV3Large", 224, 224, include_preprocessing=False),
    in_hub("mobilenet", "v3_small_timm", "MobileNet", 66, 97, HUB_V3_SMALL),
    in_torchvision("resnet", "18", "resnet18", 97, 130, RESNET),
    in_torchvision("resnet", "50", "resnet50", 65, 98, RESNET),
    in_torchvision("resnet", "152", "resnet152", 34, 65, RESNET),
    in_timm("resnet", "50", "resnet50", 66, 97),
    in_transformers("resnet", "18", "ResNetForImageClassification", 65, 98, RESNET_HF),
    in_keras("resnet", "50_keras", "ResNet50", 65, 98),
    in_keras("resnet", "50_keras", "ResNet50", 224, 224),
    in_torchvision("resnet", "50", "resnet50", 224, 224),
    in_keras("resnet", "101_keras", "ResNet101", 65, 98),
    in_keras("resnet", "152_keras", "ResNet152", 65, 98),
    in_hub(
        "resnet",
        "50",
        "ResNet",
        65,
        98,
        HUB_RESNET | dict(stackwise_num_blocks=[3, 4, 6, 3], block_type="bottleneck_block"),
        HUB_MAPS,
    ),
    in_hub(
        "resnet",
        "34",
        "ResNet",
        66,
        97,
        HUB_RESNET | dict(stackwise_num_blocks=[3, 4, 6, 3], block_type="basic_block"),
        HUB_MAPS,
    ),
    in_papers_as_torchvision("resnet", "cifar20", "cifar20", 33, 46, CIFAR),
    in_papers_as_torchvision("resnet", "cifar20_a", "cifar20_a", 33, 46, CIFAR),
    in_papers_as_torchvision("resnet", "cifar56_a", "cifar56_a_after", 33, 46, CIFAR, changes={"zeros": "after"}),
    in_papers("shufflenet", "v1_g3", "ShuffleNetV1", 66, 97, SHUFFLENET_V1),
    in_torchvision("shufflenet", "v2_x0_5", "shufflenet_v2_x0_5", 64, 97, SHUFFLENET),
    in_torchvision("shufflenet", "v2_x1_0", "shufflenet_v2_x1_0", 97, 65, SHUFFLENET),
    in_torchvision("shufflenet", "v2_x2_0", "shufflenet_v2_x2_0", 33, 70, SHUFFLENET),
    in_torchvision("shufflenet", "v2_x1_0", "shufflenet_v2_x1_0", 224, 224),
    in_torchvision("swin", "tiny", "swin_t", 132, 180, SWIN),  # stages with windows to fill and odd sides to merge
    in_torchvision("swin", "small", "swin_s", 92, 64, SWIN),
    in_timm("swin", "tiny", "swin_tiny_patch4_window7_224", 64, 128, SWIN_TIMM, changes={"window": 2}),
    in_timm("swin", "tiny", "swin_tiny_patch4_window7_224", 224, 224),
    in_transformers(
        "swin",
        "nano",
        "SwinForImageClassification",
        58,
        83,  # not even the patches divide them
        changes=dict(depths=(2, 1, 2), heads=(1, 2, 4), window=3),
    ),
    in_hub("swin", "tiny", "SwinTransformer", 64, 64, HUB_SWIN, changes={"window": 2}),
    in_torchvision("vgg", "11_bn", "vgg11_bn", 97, 66, vgg_maps(3, 7, 14, 21, 28)),
    in_torchvision("vgg", "16", "vgg16", 66, 97, vgg_maps(4, 9, 16, 23, 30)),
    in_timm("vgg", "11", "vgg11", 224, 224),
    in_keras("vgg", "16", "VGG16", 64, 64, changes={"grid": 2}),
    in_keras("vgg", "19", "VGG19", 64, 64, VGG19_KERAS, changes={"grid": 2}),
    in_hub(
        "vgg",
        "11",
        "VGG",
        224,
        224,
        dict(stackwise_num_repeats=[1, 1, 2, 2, 2], stackwise_num_filters=[64, 128, 256, 512, 512]),
    ),
    in_timm("vit", "tiny_patch16", "vit_tiny_patch16_224", 96, 64, {"stride16": "norm"}),
    in_timm("vit", "small_patch16", "vit_small_patch16_224", 64, 112, {"stride16": "norm"}),
    in_timm("vit", "base_patch32", "vit_base_patch32_224", 96, 160, {"stride32": "norm"}),
    in_torchvision("vit", "base_patch16", "vit_b_16", 96, 96, {"stride16": "encoder.ln"}),
    in_timm("vit", "tiny_patch16", "vit_tiny_patch16_224", 224, 224),
    in_transformers(
        "vit",
        "nano",
        "ViTForImageClassification",
        40,
        24,
        {"stride8": "vit.layernorm"},
        changes=dict(width=48, depth=3, heads=4),  # its epsilon, 1e-12, makes no difference to ours
    ),
    in_hub(
        "vit",
        "small_patch16",
        "ViT",
        64,
        112,
        dict(patch_size=16, num_layers=12, num_heads=6, hidden_dim=384, mlp_dim=1536),
    ),
)
