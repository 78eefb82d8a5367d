"""Names of keras.applications (github.com/keras-team/keras), whose kernels are laid out as ours are.

Our variants that end in _keras compute what its networks compute.
"""

from tfdl.interop.layouts import Layout, always


def generation(paths):
    """1, 2 or 3: V1 expands nothing, V3 squeezes and has a dense layer before the logits."""
    if "features" in paths or any("_squeeze_" in path for path in paths):
        return 3
    return 2 if any("_expand_conv" in path for path in paths) else 1


def mobilenet_block(match, paths):
    """conv_dw_1, conv_pw_1 (V1); expanded_conv_project_BN, block_1_expand (V2); expanded_conv_1_expand_bn (V3)."""
    block, part, kind, version = int(match["block"]), match["part"], match["kind"], generation(paths)
    if version == 1:
        return f"conv_{'dw' if part == 'depthwise' else 'pw'}_{block + 1}{'_bn' if kind == 'norm' else ''}"
    if part == "squeeze":
        part, norm = "squeeze_excite", {"reduce": "_conv", "expand": "_conv_1"}[kind]
    else:
        norm = ("_BN" if version == 2 else "_bn") if kind == "norm" else ""
    prefix = "expanded_conv" if block == 0 else f"block_{block}" if version == 2 else f"expanded_conv_{block}"
    return f"{prefix}_{part}{norm}"


def by_generation(*names):
    """The name in V1, V2, V3."""
    return lambda match, paths: names[generation(paths) - 1]


MOBILENET = (
    (r"stem_conv", by_generation("conv1", "Conv1", "conv")),
    (r"stem_norm", by_generation("conv1_bn", "bn_Conv1", "conv_bn")),
    (r"block(?P<block>\d+)_(?P<part>expand|depthwise|squeeze|project)_(?P<kind>\w+)", mobilenet_block),
    (r"head_conv", by_generation(None, "Conv_1", "conv_1")),
    (r"head_norm", by_generation(None, "Conv_1_bn", "conv_1_bn")),
    (r"features", "conv_2 as 1x1"),
    (r"logits", by_generation("conv_preds as 1x1", "predictions", "logits as 1x1")),
)


def resnet_layer(match, paths):
    """conv2_block1_0_conv is the shortcut, _1_conv to _3_conv the branch.  Their stages start with 2, blocks with 1."""
    stage, block = int(match["stage"]) + 1, int(match["block"]) + 1
    number, kind = match["number"] or 0, {"conv": "conv", "norm": "bn"}[match["kind"]]
    return f"conv{stage}_block{block}_{number}_{kind}"


def resnet_stem(match, paths):
    """Only the biases tell these ResNets from torchvision's, whose stride is in another convolution of a block."""
    if "stem_conv/bias" not in paths:
        raise ValueError(
            "keras.applications' ResNets have biases in their convolutions and the stride in each stage's first 1x1;"
            " this resnet has not. Build the variant 50_keras, 101_keras or 152_keras."
        )
    return "conv1_conv"


RESNET = (
    (r"stem_conv", resnet_stem),
    (r"stem_norm", "conv1_bn"),
    (r"stage(?P<stage>\d+)_block(?P<block>\d+)_(shortcut|conv(?P<number>\d))_(?P<kind>conv|norm)", resnet_layer),
    (r"logits", "predictions"),
)

# What published weights expect: normalize="caffe" for ResNet and VGG, "imagenet" for DenseNet and EfficientNet V1,
# "unit" for MobileNet and EfficientNet V2.
VGG = (  # without batch normalization, which they have not
    (r"(block\d+_conv\d+)_conv", r"\1"),
    (r"(fc\d+)", r"\1"),
    (r"logits", "predictions"),
)


def densenet_layer(match, paths):
    """conv2_block1_0_bn and _1_conv reduce, _1_bn and _2_conv grow.  Their blocks start with conv2."""
    number = (match["part"] == "grow") + (match["kind"] == "conv")
    return f"conv{int(match['block']) + 1}_block{match['layer']}_{number}_{'bn' if match['kind'] == 'norm' else 'conv'}"


def densenet_transition(match, paths):
    """pool2_bn, pool2_conv is the first."""
    return f"pool{int(match['number']) + 1}_{'bn' if match['kind'] == 'norm' else 'conv'}"


DENSENET = (
    (r"stem_conv", "conv1_conv"),
    (r"stem_norm", "conv1_bn"),
    (r"block(?P<block>\d)_layer(?P<layer>\d+)_(?P<part>reduce|grow)_(?P<kind>conv|norm)", densenet_layer),
    (r"transition(?P<number>\d)_(?P<kind>conv|norm)", densenet_transition),
    (r"norm", "bn"),
    (r"logits", "predictions"),
)


def efficientnet_letter(match):
    """block2a: a number for the stage, a letter for the block."""
    return f"block{match['stage']}{chr(ord('a') + int(match['block']))}"


def efficientnet_block(match, paths):
    """block2a_expand_conv, block2a_dwconv and so on: a letter for the block.  V2 has dwconv2."""
    part, kind = match["part"], "bn" if match["kind"] == "norm" else match["kind"]
    if part == "depthwise":
        depthwise = "dwconv2" if "stage1_block0_fused_conv" in paths else "dwconv"
        name = "bn" if kind == "bn" else depthwise
    elif part == "fused":  # the only convolution of a block is its project
        name = f"{'expand' if match['owner'] + '_project_conv' in paths else 'project'}_{kind}"
    else:
        name = f"{'se' if part == 'squeeze' else part}_{kind}"
    return f"{efficientnet_letter(match)}_{name}"


EFFICIENTNET = (
    (r"stem_conv", "stem_conv"),
    (r"stem_norm", "stem_bn"),
    (r"(?P<owner>stage(?P<stage>\d)_block(?P<block>\d+))_(?P<part>[a-z]+)_(?P<kind>\w+)", efficientnet_block),
    (r"head_conv", "top_conv"),
    (r"head_norm", "top_bn"),
    (r"logits", "predictions"),
)

LAYOUT = Layout(
    name="keras_applications",
    families={
        "densenet": DENSENET,
        "efficientnet": EFFICIENTNET,
        "mobilenet": MOBILENET,
        "resnet": RESNET,
        "vgg": VGG,
    },
    torch=False,
    conventions={
        "densenet": always((1.001e-5, None)),
        "efficientnet": always((1e-3, "same")),
        "mobilenet": lambda paths, source: ((1e-3, "behind" if generation(paths) == 1 else "same"),),
        "resnet": always((1.001e-5, None)),
    },
    ignored=r"normalization(_\d+)?/.*",  # pixel statistics of EfficientNet
)
