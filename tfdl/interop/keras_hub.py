"""Names of KerasHub's image models (github.com/keras-team/keras-hub), which took their weights over from timm.

model = keras_hub.models.ResNetImageClassifier.from_preset("resnet_50_imagenet")
tfdl.load_weights(ours, {w.path: w for w in model.weights}, layout="keras_hub")

Hand over the weights as above: the files of a preset hold head and backbone apart, and do not tell the layers of a
transformer from each other.  Only these networks are ours, and others are refused: V3 of MobileNet, as there is no
other; V1 of EfficientNet, as V2 has one more convolution in each block of its first stage; DenseNet where the image and
the map in front of the pooling have odd sides, as KerasHub pads even ones to the right alone; VGG at 224 pixels, as it
averages logits of places in place of maps; Swin where windows tile each map.  Not refused, though it computes something
else there: Swin where a map is one window along one side and several along the other.
"""

from tfdl.interop.keras_applications import efficientnet_letter
from tfdl.interop.layouts import Layout, always, stage_of
from tfdl.interop.timm import last_map_and_grid, windows_do_not_tile, windows_shifted_along_one_side


def resnet_layer(match, paths):
    """stack0_block0_0_conv is the shortcut, _1_conv to _3_conv the branch."""
    number, kind = match["number"] or 0, {"conv": "conv", "norm": "bn"}[match["kind"]]
    return f"stack{int(match['stage']) - 1}_block{match['block']}_{number}_{kind}"


RESNET = (
    (r"stem_conv", "conv1_conv"),
    (r"stem_norm", "conv1_bn"),
    (r"stage(?P<stage>\d+)_block(?P<block>\d+)_(shortcut|conv(?P<number>\d))_(?P<kind>conv|norm)", resnet_layer),
    (r"logits", "predictions"),
)

VGG = (  # without batch normalization, which they have not
    (r"(block\d+_conv\d+)_conv", r"\1"),
    (r"fc1", "head/fc1 as map"),
    (r"(fc\d+)", r"head/\1 as 1x1"),
    (r"logits", "head/predictions"),
)

DENSENET = (
    (r"stem_conv", "conv1_conv"),
    (r"stem_norm", "conv1_bn"),
    (r"block(\d)_layer(\d+)_reduce_norm", r"stack\1_block\2_1_bn"),
    (r"block(\d)_layer(\d+)_reduce_conv", r"stack\1_block\2_1_conv"),
    (r"block(\d)_layer(\d+)_grow_norm", r"stack\1_block\2_2_bn"),
    (r"block(\d)_layer(\d+)_grow_conv", r"stack\1_block\2_2_conv"),
    (r"transition(\d)_norm", r"transition\1_bn"),
    (r"transition(\d)_conv", r"transition\1_conv"),
    (r"norm", "bn"),
    (r"logits", "predictions"),
)


def efficientnet_block(match, paths):
    """block2a_expand_conv, block2a_dwconv and so on: a letter for the block."""
    part, kind = match["part"], match["kind"]
    names = {
        ("expand", "conv"): "expand_conv",
        ("expand", "norm"): "expand_bn",
        ("depthwise", "conv"): "dwconv",
        ("depthwise", "norm"): "dwconv_bn",
        ("squeeze", "reduce"): "se_reduce",
        ("squeeze", "expand"): "se_expand",
        ("project", "conv"): "project",
        ("project", "norm"): "project_bn",
    }
    return f"{efficientnet_letter(match)}_{names[part, kind]}"


EFFICIENTNET = (  # of version 1
    (r"stem_conv", "stem_conv"),
    (r"stem_norm", "stem_bn"),
    (
        r"stage(?P<stage>\d)_block(?P<block>\d+)_(?P<part>expand|depthwise|squeeze|project)_(?P<kind>\w+)",
        efficientnet_block,
    ),
    (r"head_conv", "top_conv"),
    (r"head_norm", "top_bn"),
    (r"logits", "predictions"),
)


def mobilenet_block(match, paths):
    """V3's first block, which expands nothing, is block_0_0 there; the others are counted within their stages."""
    if "features" not in paths and not any("_squeeze_" in path for path in paths):
        return None  # V1 and V2
    stage, number = stage_of(int(match["block"]), paths)
    block = f"block_{stage}_{number}"
    first = int(stage == 0)
    part, kind = match["part"], match["kind"]
    if part == "squeeze":
        squeeze = f"{block}_squeeze_excite" if first else f"{block}_se"
        return f"{block}/{squeeze}/{squeeze}_conv_{kind}"
    place = {"expand": 1, "depthwise": 2 - first, "project": 3 - first}[part]
    form = " as grouped" if part == "depthwise" else ""
    return f"{block}/{block}_{'bn' if kind == 'norm' else 'conv'}{place}{form}"


def mobilenet_head(match, paths):
    """The convolution behind the last stage counts as one more."""
    blocks = max(int(path[5:].partition("_")[0]) for path in paths if path.startswith("block"))
    block = f"block_{stage_of(blocks, paths)[0] + 1}_0"
    return f"{block}/{block}_{'bn' if match['kind'] == 'norm' else 'conv'}"


MOBILENET = (
    (r"stem_conv", "input_conv"),
    (r"stem_norm", "input_batch_norm"),
    (r"block(?P<block>\d+)_(?P<part>expand|depthwise|squeeze|project)_(?P<kind>\w+)", mobilenet_block),
    (r"head_(?P<kind>conv|norm)", mobilenet_head),
    (r"features", "classifier_conv as 1x1"),
    (r"logits", "predictions"),
)


def vit_block(suffix):
    """A layer of a block, which is counted from 1 there."""
    return lambda match, paths: match.expand(
        suffix.replace("BLOCK", f"vit_encoder/transformer_block_{int(match[1]) + 1}")
    )


VIT = (
    (r"patch_embed", "vit_patching_and_embedding/patch_embedding"),
    (r"class_token", "vit_patching_and_embedding/class_token!"),
    (r"positions", "vit_patching_and_embedding/position_embedding/embeddings! as rows"),
    (r"block(\d+)_norm(\d)", vit_block(r"BLOCK/ln_\2")),
    (
        r"block(\d+)_attention/qkv",
        vit_block("BLOCK/mha/query as heads | BLOCK/mha/key as heads | BLOCK/mha/value as heads"),
    ),
    (r"block(\d+)_attention/project", vit_block("BLOCK/mha/attention_output as of heads")),
    (r"block(\d+)_mlp/up", vit_block("BLOCK/mlp/dense_1")),
    (r"block(\d+)_mlp/down", vit_block("BLOCK/mlp/dense_2")),
    (r"norm", "vit_encoder/ln"),
    (r"logits", "predictions"),
)


def swin_stage(suffix):
    """A layer of a stage, which is counted from 0 there; merging ends a stage there and begins the next here."""

    def name(match, paths):
        return f"stage_{int(match[1]) - (2 if 'merge' in match[0] else 1)}/{match.expand(suffix)}"

    return name


SWIN = (
    (r"patch_embed", "patch_embedding/conv_projection"),
    (r"patch_norm", "patch_embedding/norm"),
    (r"stage(\d)_block(\d+)_norm(\d)", swin_stage(r"blocks_\2/norm\3")),
    (r"stage(\d)_block(\d+)_windows", swin_stage(r"blocks_\2/attn")),
    (r"stage(\d)_block(\d+)_windows/attention/qkv", swin_stage(r"blocks_\2/attn/attention_qkv")),
    (r"stage(\d)_block(\d+)_windows/attention/project", swin_stage(r"blocks_\2/attn/attention_projection")),
    (r"stage(\d)_block(\d+)_mlp/up", swin_stage(r"blocks_\2/mlp/fc1")),
    (r"stage(\d)_block(\d+)_mlp/down", swin_stage(r"blocks_\2/mlp/fc2")),
    (r"stage(\d)_merge_norm", swin_stage("downsample/norm")),
    (r"stage(\d)_merge_reduce", swin_stage("downsample/reduction")),
    (r"norm", "norm"),
    (r"logits", "predictions"),
)


def even_sides(model):
    """It pads maps of even sides to the right alone."""
    for name in ("stem_conv_pad", "stem_pool_pad", "stem_pad"):
        layer = next((layer for layer in model.layers if layer.name == name), None)
        if layer is not None and any(side is None or side % 2 == 0 for side in layer.input.shape[1:3]):
            height, width = layer.input.shape[1:3]
            return (
                f"it pads a map of {height}x{width} to the right alone. Build it for images whose maps have odd sides"
            )
    return ""


def other_maps(model):
    """It averages the logits of all places of a map, ours the map: the same where there is a single place."""
    last, grid = last_map_and_grid(model)
    if any(side != grid for side in last):
        return (
            f"it averages logits over a map of {last[0]}x{last[1]}. Build it for a map of {grid}x{grid}, as of 224x224"
        )
    return ""


def other_windows(model):
    return windows_shifted_along_one_side(model) or windows_do_not_tile(model)


LAYOUT = Layout(
    name="keras_hub",
    families={
        "densenet": DENSENET,
        "efficientnet": EFFICIENTNET,
        "mobilenet": MOBILENET,
        "resnet": RESNET,
        "swin": SWIN,
        "vgg": VGG,
        "vit": VIT,
    },
    torch=False,
    conventions={
        "densenet": always((1.001e-5, None)),
        "efficientnet": always((1e-5, "both")),
        "mobilenet": always((1e-5, "both")),
        "resnet": always((1e-5, None)),
    },
    limits={"densenet": even_sides, "swin": other_windows, "vgg": other_maps},
)
