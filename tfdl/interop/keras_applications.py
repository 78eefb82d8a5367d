"""Names of keras.applications (github.com/keras-team/keras), whose kernels are laid out as ours are."""

from tfdl.interop.layouts import Layout


def generation(paths):
    """1, 2 or 3: V1 expands nothing, V3 has a features layer before the logits."""
    if "features" in paths:
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

LAYOUT = Layout(name="keras_applications", families={"mobilenet": MOBILENET}, torch=False)
