"""Names of torchvision's models (github.com/pytorch/vision): the modules of torch.nn.Sequential are numbers."""

from tfdl.interop.layouts import Layout


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


def mobilenet_block(match, paths):
    """V3 has a features layer before the logits, V2 has not."""
    return (v3_block if "features" in paths else v2_block)(match, paths)


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
    (r"logits", lambda match, paths: "classifier.3" if "features" in paths else "classifier.1"),
)

LAYOUT = Layout(
    name="torchvision",
    families={"mobilenet": MOBILENET},
    torch=True,
    ignored=r".*\.num_batches_tracked",
)
