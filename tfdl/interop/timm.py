"""Names of timm's models (github.com/huggingface/pytorch-image-models)."""

from tfdl.interop.layouts import Layout

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

LAYOUT = Layout(
    name="timm",
    families={"vit": VIT, "swin": SWIN},
    torch=True,
    ignored=r".*\.(num_batches_tracked|relative_position_index|attn_mask)",
)
