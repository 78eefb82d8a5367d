"""Names of torchvision's models (github.com/pytorch/vision): the modules of torch.nn.Sequential are numbers."""

import re

from tfdl.interop.layouts import Layout, always


def part(match, paths):
    """Number of a part of an inverted residual block, which counts only the parts that the block has."""
    block, name = match["block"], match["part"]
    parts = [p for p in ("expand", "depthwise", "squeeze", "project") if has(paths, block, p)]
    return parts.index(name)


def has(paths, block, name):
    return any(path.startswith(f"block{block}_{name}_") for path in paths)


def v2_block(match, paths):
    """conv.0 expand (0 convolution, 1 norm), conv.1 depthwise, then project's convolution and norm without a group."""
    number, place, is_norm = int(match["block"]) + 1, part(match, paths), match["kind"] == "norm"
    if match["part"] == "project":
        return f"features.{number}.conv.{place + is_norm}"
    return f"features.{number}.conv.{place}.{int(is_norm)}"


def v3_block(match, paths):
    """block.0 ... block.3, each with 0 convolution and 1 norm; squeeze and excitation has fc1 and fc2."""
    number, kind = int(match["block"]) + 1, match["kind"]
    leaf = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}[kind]
    return f"features.{number}.block.{part(match, paths)}.{leaf}"


def is_v3(paths):
    """V3 has a dense layer before the logits, or where both are missing at least one squeeze and excitation."""
    return "features" in paths or any("_squeeze_" in path for path in paths)


def mobilenet_block(match, paths):
    return (v3_block if is_v3(paths) else v2_block)(match, paths)


def after_blocks(suffix):
    """A layer that follows the last block."""

    def name(match, paths):
        blocks = 1 + max(int(path[5:].partition("_")[0]) for path in paths if path.startswith("block"))
        return f"features.{blocks + 1}.{suffix}"

    return name


MOBILENET = (
    (r"stem_conv", "features.0.0"),
    (r"stem_norm", "features.0.1"),
    (r"block(?P<block>\d+)_(?P<part>expand|depthwise|squeeze|project)_(?P<kind>\w+)", mobilenet_block),
    (r"head_conv", after_blocks("0")),
    (r"head_norm", after_blocks("1")),
    (r"features", "classifier.0"),
    (r"logits", lambda match, paths: "classifier.3" if is_v3(paths) else "classifier.1"),
)

RESNET = (  # our CIFAR networks, which torchvision has not, get the same names
    (r"stem_conv", "conv1"),
    (r"stem_norm", "bn1"),
    (r"stage(\d+)_block(\d+)_shortcut_conv", r"layer\1.\2.downsample.0"),
    (r"stage(\d+)_block(\d+)_shortcut_norm", r"layer\1.\2.downsample.1"),
    (r"stage(\d+)_block(\d+)_conv(\d)_conv", r"layer\1.\2.conv\3"),
    (r"stage(\d+)_block(\d+)_conv(\d)_norm", r"layer\1.\2.bn\3"),
    (r"logits", "fc"),
)


def vgg_layer(match, paths):
    """features counts convolutions, norms, activations and poolings through all blocks."""
    block, number = int(match["block"]), int(match["number"])
    convolutions = [re.fullmatch(r"block(\d+)_conv(\d+)_conv", path) for path in paths]
    before = sum((int(m[1]), int(m[2])) < (block, number) for m in convolutions if m)
    size = 3 if "block1_conv1_norm" in paths else 2  # of a convolution with its norm and activation
    return f"features.{size * before + block - 1 + (match['kind'] == 'norm')}"


def vgg_head(match, paths):
    """classifier counts dense layers, activations and dropouts."""
    before = int(match["number"]) - 1 if match["number"] else sum(bool(re.fullmatch(r"fc\d+", p)) for p in paths)
    return f"classifier.{3 * before}"


VGG = (
    (r"block(?P<block>\d+)_conv(?P<number>\d+)_(?P<kind>conv|norm)", vgg_layer),
    (r"fc(?P<number>\d+)|logits", vgg_head),
)

ALEXNET = (  # of one tower
    (r"conv(\d)", lambda match, paths: f"features.{(0, 3, 6, 8, 10)[int(match[1]) - 1]}"),
    (r"fc(\d)", lambda match, paths: f"classifier.{(1, 4)[int(match[1]) - 1]}"),
    (r"logits", "classifier.6"),
)

DENSENET = (
    (r"stem_(conv|norm)", r"features.\g<1>0"),
    (r"block(\d)_layer(\d+)_reduce_(conv|norm)", r"features.denseblock\1.denselayer\2.\g<3>1"),
    (r"block(\d)_layer(\d+)_grow_(conv|norm)", r"features.denseblock\1.denselayer\2.\g<3>2"),
    (r"transition(\d)_(conv|norm)", r"features.transition\1.\2"),
    (r"norm", "features.norm5"),
    (r"logits", "classifier"),
)


def efficientnet_block(match, paths):
    """block counts the parts that a block has, each with 0 convolution and 1 norm; the squeeze has fc1 and fc2."""
    firsts = {"fused": "conv", "expand": "conv", "depthwise": "conv", "squeeze": "reduce", "project": "conv"}
    parts = [part for part, first in firsts.items() if f"{match['block']}_{part}_{first}" in paths]
    leaf = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}[match["kind"]]
    return f"features.{match['stage']}.{match['number']}.block.{parts.index(match['part'])}.{leaf}"


def efficientnet_head(match, paths):
    """The head follows the last stage."""
    stages = max(int(path[5:].partition("_")[0]) for path in paths if path.startswith("stage"))
    return f"features.{stages + 1}.{int(match['kind'] == 'norm')}"


EFFICIENTNET = (
    (r"stem_conv", "features.0.0"),
    (r"stem_norm", "features.0.1"),
    (r"(?P<block>stage(?P<stage>\d+)_block(?P<number>\d+))_(?P<part>[a-z]+)_(?P<kind>\w+)", efficientnet_block),
    (r"head_(?P<kind>conv|norm)", efficientnet_head),
    (r"logits", "classifier.1"),
)


def mobilenet_conventions(paths, source):
    """The epsilon of the authors in both sizes of V3, which have eleven blocks and fifteen."""
    return ((1e-3 if is_v3(paths) and "block10_project_conv" in paths else 1e-5, "both"),)


def efficientnet_conventions(paths, source):
    """The epsilon of the authors in B5 to B7 and V2, which have nine blocks or more in their sixth stage."""
    return ((1e-3 if "stage6_block8_project_conv" in paths else 1e-5, "both"),)


def shufflenet_unit(match, paths):
    """branch1 is the shortcut; both count convolutions, norms and activations.  V1 has other parts, hence no rule."""
    places = {
        "shortcut_depthwise": ("branch1", 0),
        "shortcut_pointwise": ("branch1", 2),
        "pointwise1": ("branch2", 0),
        "depthwise": ("branch2", 3),
        "pointwise2": ("branch2", 5),
    }
    branch, place = places[match["part"]]
    return f"stage{match['stage']}.{match['block']}.{branch}.{place + (match['kind'] == 'norm')}"


SHUFFLENET = (
    (r"stem_conv", "conv1.0"),
    (r"stem_norm", "conv1.1"),
    (
        r"stage(?P<stage>\d)_block(?P<block>\d+)_(?P<part>(shortcut_)?(depthwise|pointwise)\d?)_(?P<kind>conv|norm)",
        shufflenet_unit,
    ),
    (r"head_conv", "conv5.0"),
    (r"head_norm", "conv5.1"),
    (r"logits", "fc"),
)


VIT = (
    (r"patch_embed", "conv_proj"),
    (r"class_token", "class_token!"),
    (r"positions", "encoder.pos_embedding!"),
    (r"block(\d+)_norm(\d)", r"encoder.layers.encoder_layer_\1.ln_\2"),
    (r"block(\d+)_attention/qkv", r"encoder.layers.encoder_layer_\1.self_attention.in_proj_"),
    (r"block(\d+)_attention/project", r"encoder.layers.encoder_layer_\1.self_attention.out_proj"),
    (r"block(\d+)_mlp/up", r"encoder.layers.encoder_layer_\1.mlp.0"),
    (r"block(\d+)_mlp/down", r"encoder.layers.encoder_layer_\1.mlp.3"),
    (r"norm", "encoder.ln"),
    (r"logits", "heads.head"),
)


def swin_stage(suffix):
    """Of the features 0 is the patches, odd numbers are the stages' blocks, even ones the merging before a stage."""

    def name(match, paths):
        return f"features.{2 * int(match[1]) - (2 if 'merge' in match[0] else 1)}.{match.expand(suffix)}"

    return name


SWIN = (
    (r"patch_embed", "features.0.0"),
    (r"patch_norm", "features.0.2"),
    (r"stage(\d)_block(\d+)_norm(\d)", swin_stage(r"\2.norm\3")),
    (r"stage(\d)_block(\d+)_windows", swin_stage(r"\2.attn")),
    (r"stage(\d)_block(\d+)_windows/attention/qkv", swin_stage(r"\2.attn.qkv")),
    (r"stage(\d)_block(\d+)_windows/attention/project", swin_stage(r"\2.attn.proj")),
    (r"stage(\d)_block(\d+)_mlp/up", swin_stage(r"\2.mlp.0")),
    (r"stage(\d)_block(\d+)_mlp/down", swin_stage(r"\2.mlp.3")),
    (r"stage(\d)_merge_norm", swin_stage("norm")),
    (r"stage(\d)_merge_reduce", swin_stage("reduction")),
    (r"norm", "norm"),
    (r"logits", "head"),
)

FASTER_RCNN = (
    *((pattern, f"backbone.body.{name}") for pattern, name in RESNET[:-1]),
    (r"pyramid_thin(\d)", r"backbone.fpn.inner_blocks.\1.0"),
    (r"pyramid_out(\d)", r"backbone.fpn.layer_blocks.\1.0"),
    (r"rpn_conv", "rpn.head.conv.0.0"),
    (r"rpn_objectness", "rpn.head.cls_logits"),
    (r"rpn_offsets", "rpn.head.bbox_pred"),
    (r"fc(\d)", lambda match, paths: f"roi_heads.box_head.fc{int(match[1]) + 5}"),
    (r"logits", "roi_heads.box_predictor.cls_score"),
    (r"box_offsets", "roi_heads.box_predictor.bbox_pred"),
)

MASK_RCNN = (
    *FASTER_RCNN,
    (r"mask_conv(\d)", lambda match, paths: f"roi_heads.mask_head.{int(match[1]) - 1}.0"),
    (r"mask_up", "roi_heads.mask_predictor.conv5_mask"),
    (r"mask_logits", "roi_heads.mask_predictor.mask_fcn_logits"),
)

LAYOUT = Layout(
    name="torchvision",
    families={
        "alexnet": ALEXNET,
        "densenet": DENSENET,
        "efficientnet": EFFICIENTNET,
        "faster_rcnn": FASTER_RCNN,
        "mask_rcnn": MASK_RCNN,
        "mobilenet": MOBILENET,
        "resnet": RESNET,
        "shufflenet": SHUFFLENET,
        "swin": SWIN,
        "vgg": VGG,
        "vit": VIT,
    },
    torch=True,
    conventions={
        "densenet": always((1e-5, None)),
        "efficientnet": efficientnet_conventions,
        "mobilenet": mobilenet_conventions,
        "resnet": always((1e-5, None)),
        "shufflenet": always((1e-5, None)),
        "vgg": always((1e-5, None)),
    },
    ignored=r".*\.(num_batches_tracked|relative_position_index)",
    old_names=(
        (r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),  # DenseNet before 2018: norm.1, not norm1
        (r"(^|\.)linear\.(weight|bias)$", r"\1fc.\2"),  # ResNets for CIFAR-10 that people have published
        (r"(layer\d+\.\d+)\.shortcut\.", r"\1.downsample."),
        # Detectors before torchvision 0.13, among them all published ones
        (r"(fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),
        (r"rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
        *((rf"mask_head\.mask_fcn{i + 1}\.", f"mask_head.{i}.0.") for i in range(4)),
    ),
)
