"""Names of timm's models (github.com/huggingface/pytorch-image-models).

Of its networks without a prefix ours are equal, MobileNetV3 and the largest EfficientNets as the variants that end in
_timm; of those that begin with tf_ our variants that end in _keras.
"""

import re

import keras

from tfdl.interop.layouts import Layout, always, stage_of
from tfdl.interop.torchvision import DENSENET, RESNET, is_v3, vgg_layer

BLOCK_LEAVES = (  # of a residual block, behind its own name
    (r"_shortcut_conv", ".downsample.0"),
    (r"_shortcut_norm", ".downsample.1"),
    (r"_conv(?P<number>\d)_conv", r".conv\g<number>"),
    (r"_conv(?P<number>\d)_norm", r".bn\g<number>"),
)


def fused(match, paths):
    """Coarser maps come through one convolution (0) and its norm (1), finer ones through a sequence of such pairs."""
    step = "" if match["step"] is None else f".{match['step']}"
    return match.expand(rf"stage\g<stage>.\g<module>.fuse_layers.\g<to>.\g<start>{step}.") + CONV_NORM[match["kind"]]


def transition(match, paths):
    """The first map goes through one convolution, a new one through a sequence of them."""
    inner = "" if match["map"] == "0" else ".0"
    return match.expand(rf"transition\g<number>.\g<map>{inner}.") + CONV_NORM[match["kind"]]


CONV_NORM = {"conv": "0", "norm": "1"}
HRNET = (
    (r"stem(\d)_conv", r"conv\1"),
    (r"stem(\d)_norm", r"bn\1"),
    *((rf"stage1_block(?P<block>\d+){leaf}", rf"layer1.\g<block>{there}") for leaf, there in BLOCK_LEAVES),
    (r"transition(?P<number>\d)_map(?P<map>\d)_(?P<kind>conv|norm)", transition),
    *(
        (
            rf"stage(?P<stage>\d)_module(?P<module>\d+)_map(?P<map>\d)_block(?P<block>\d+){leaf}",
            rf"stage\g<stage>.\g<module>.branches.\g<map>.\g<block>{there}",
        )
        for leaf, there in BLOCK_LEAVES
    ),
    (
        r"stage(?P<stage>\d)_module(?P<module>\d+)_fuse(?P<to>\d)_from(?P<start>\d)(_step(?P<step>\d))?"
        r"_(?P<kind>conv|norm)",
        fused,
    ),
    *((rf"head(?P<map>\d)_block0{leaf}", rf"incre_modules.\g<map>.0{there}") for leaf, there in BLOCK_LEAVES),
    (r"head(\d)_down_conv", r"downsamp_modules.\1.0"),
    (r"head(\d)_down_norm", r"downsamp_modules.\1.1"),
    (r"head_last_conv", "final_layer.0"),
    (r"head_last_norm", "final_layer.1"),
    (r"logits", "classifier"),
)

VGG = (
    (r"block(?P<block>\d+)_conv(?P<number>\d+)_(?P<kind>conv|norm)", vgg_layer),
    (r"fc1", "pre_logits.fc1 as map"),
    (r"fc2", "pre_logits.fc2 as 1x1"),
    (r"logits", "head.fc"),
)


def inverted_residual(match, paths, block):
    """Names of the parts by whether the block expands: conv_pw is its first or its last 1x1."""
    part, kind, expands = match["part"], match["kind"], f"{match['owner']}_expand_conv" in paths
    if part == "squeeze":
        return f"{block}.se.conv_{kind}"
    place = ("expand", "depthwise", "project").index(part) if expands else ("depthwise", "project").index(part)
    names = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
    return f"{block}.{names[place]}" if kind == "conv" else f"{block}.bn{place + 1}"


def mobilenet_block(match, paths):
    """blocks.1.0 is the first block of the second stage."""
    stage, number = stage_of(int(match["block"]), paths)
    return inverted_residual(match, paths, f"blocks.{stage}.{number}")


def mobilenet_head(match, paths):
    """V3's convolution before the pooling is a stage of its own."""
    if "features" not in paths:
        return "conv_head" if match["kind"] == "conv" else "bn2"
    blocks = max(int(path[5:].partition("_")[0]) for path in paths if path.startswith("block"))
    return f"blocks.{stage_of(blocks, paths)[0] + 1}.0.{'conv' if match['kind'] == 'conv' else 'bn1'}"


STEM = ((r"stem_conv", "conv_stem"), (r"stem_norm", "bn1"))

MOBILENET = (
    *STEM,
    (r"(?P<owner>block(?P<block>\d+))_(?P<part>expand|depthwise|squeeze|project)_(?P<kind>\w+)", mobilenet_block),
    (r"head_(?P<kind>conv|norm)", mobilenet_head),
    (r"features", "conv_head as 1x1"),
    (r"logits", "classifier"),
)


def efficientnet_block(match, paths):
    """V2's fused blocks have one convolution, or conv_exp and conv_pwl."""
    block = f"blocks.{int(match['stage']) - 1}.{match['block']}"
    if f"{match['owner']}_fused_conv" not in paths:
        return inverted_residual(match, paths, block)
    if match["part"] == "project":
        return f"{block}.{'conv_pwl' if match['kind'] == 'conv' else 'bn2'}"
    first = "conv_exp" if f"{match['owner']}_project_conv" in paths else "conv"
    return f"{block}.{first if match['kind'] == 'conv' else 'bn1'}"


EFFICIENTNET = (
    *STEM,
    (r"(?P<owner>stage(?P<stage>\d+)_block(?P<block>\d+))_(?P<part>[a-z]+)_(?P<kind>\w+)", efficientnet_block),
    (r"head_conv", "conv_head"),
    (r"head_norm", "bn2"),
    (r"logits", "classifier"),
)

VIT = (
    (r"patch_embed", "patch_embed.proj"),
    (r"class_token", "cls_token!"),
    (r"positions", "pos_embed!"),
    (r"block(\d+)_norm(\d)", r"blocks.\1.norm\2"),
    (r"block(\d+)_attention/qkv", r"blocks.\1.attn.qkv"),
    (r"block(\d+)_attention/project", r"blocks.\1.attn.proj"),
    (r"block(\d+)_mlp/up", r"blocks.\1.mlp.fc1"),
    (r"block(\d+)_mlp/down", r"blocks.\1.mlp.fc2"),
    (r"norm", "norm"),
    (r"logits", "head"),
)


def stage(suffix):
    """A layer of a stage, which timm counts from 0 and we, as the paper does, from 1."""
    return lambda match, paths: f"layers.{int(match[1]) - 1}.{match.expand(suffix)}"


SWIN = (
    (r"patch_embed", "patch_embed.proj"),
    (r"patch_norm", "patch_embed.norm"),
    (r"stage(\d)_block(\d+)_norm(\d)", stage(r"blocks.\2.norm\3")),
    (r"stage(\d)_block(\d+)_windows", stage(r"blocks.\2.attn")),
    (r"stage(\d)_block(\d+)_windows/attention/qkv", stage(r"blocks.\2.attn.qkv")),
    (r"stage(\d)_block(\d+)_windows/attention/project", stage(r"blocks.\2.attn.proj")),
    (r"stage(\d)_block(\d+)_mlp/up", stage(r"blocks.\2.mlp.fc1")),
    (r"stage(\d)_block(\d+)_mlp/down", stage(r"blocks.\2.mlp.fc2")),
    (r"stage(\d)_merge_norm", stage("downsample.norm")),
    (r"stage(\d)_merge_reduce", stage("downsample.reduction")),
    (r"norm", "norm"),
    (r"logits", "head.fc"),
)

PYTORCH, TENSORFLOW = (1e-5, "both"), (1e-3, "same")


def with_or_without_tf(paths, source):
    """EfficientNets and MobileNetV3s whose names begin with tf_ are the authors'; names and shapes do not tell."""
    if re.search(r"(^|[^a-z])tf_(efficientnet|mobilenet)", source):
        return (TENSORFLOW,)
    if re.search(r"(^|/|timm--)(efficientnet(v2)?|mobilenetv3)_[^/]*$|timm--(efficient|mobile)net", source):
        return (PYTORCH,)
    return PYTORCH, TENSORFLOW


def windows_do_not_tile(model):
    """timm shifts a map before it fills it up to whole windows, ours and torchvision's afterwards."""
    for layer in shifted_windows(model):
        height, width = layer.input.shape[1:3]
        if any(distance and side % layer.window for side, distance in zip((height, width), layer.distance)):
            return (
                f"windows of {layer.window} do not tile a map of {height}x{width}. Build it for images whose sides they"
                " tile, such as 224, and load the weights there; `load_weights(model, {w.path: w for w in"
                " other.weights})` brings them to a model of other sizes"
            )
    return ""


def windows_shifted_along_one_side(model):
    """keras-hub and transformers shift a map that is one window along one side along neither, ours along the other."""
    for layer in shifted_windows(model):
        height, width = layer.input.shape[1:3]
        if any(layer.distance) and min(height, width) <= layer.window:
            return (
                f"it does not shift the windows of {layer.window} in a map of {height}x{width}. Build it for images"
                " whose sides are longer, and load the weights there"
            )
    return ""


def shifted_windows(model):
    """The layers of a Swin in which tokens attend to those in their window."""
    return [layer for layer in model.layers if re.fullmatch(r"stage\d_block\d+_windows", layer.name)]


def larger_maps(model):
    """timm applies VGG's dense layers at each place of a larger map and averages; ours and torchvision's average it."""
    last, grid = last_map_and_grid(model)
    if any(side is None or side > grid for side in last):
        return (
            f"its dense layers see {grid}x{grid} places of the last map at a time, which has {last[0]}x{last[1]} here"
        )
    return ""


def last_map_and_grid(model):
    """Of a VGG: (H, W) of the last map, and the side of what its dense layers see; ((), 0) of a pyramid."""
    pools = [layer for layer in model.layers if re.fullmatch(r"block\d+_pool", layer.name)]
    flatten = next((layer for layer in model.layers if isinstance(layer, keras.layers.Flatten)), None)
    return (pools[-1].output.shape[1:3], flatten.input.shape[1]) if flatten else ((), 0)


LAYOUT = Layout(
    name="timm",
    families={
        "densenet": DENSENET,
        "efficientnet": EFFICIENTNET,
        "hrnet": HRNET,
        "mobilenet": MOBILENET,
        "resnet": RESNET,
        "swin": SWIN,
        "vgg": VGG,
        "vit": VIT,
    },
    torch=True,
    conventions={
        "densenet": always((1e-5, None)),
        "efficientnet": with_or_without_tf,
        "hrnet": always((1e-5, None)),
        "mobilenet": lambda paths, source: with_or_without_tf(paths, source) if is_v3(paths) else (PYTORCH,),
        "resnet": always((1e-5, None)),
        "vgg": always((1e-5, None)),
    },
    limits={"swin": windows_do_not_tile, "vgg": larger_maps},
    ignored=r".*\.(num_batches_tracked|relative_position_index|attn_mask)",
)
