"""Names of Hugging Face's models (github.com/huggingface/transformers), as they stand in its files.

Version 5 has other names in memory and turns them into these when it writes: hand over files, no state dictionaries.
"""

from tfdl.interop import torchvision
from tfdl.interop.layouts import Layout
from tfdl.interop.timm import windows_shifted_along_one_side


def resnet_layer(match, paths):
    """layer counts the convolutions of a branch from 0; stages are counted from 0 too."""
    place = "shortcut" if "shortcut" in match[0] else f"layer.{int(match['number']) - 1}"
    leaf = "convolution" if match["kind"] == "conv" else "normalization"
    return f"resnet.encoder.stages.{int(match['stage']) - 1}.layers.{match['block']}.{place}.{leaf}"


RESNET = (
    (r"stem_conv", "resnet.embedder.embedder.convolution"),
    (r"stem_norm", "resnet.embedder.embedder.normalization"),
    (r"stage(?P<stage>\d+)_block(?P<block>\d+)_(shortcut|conv(?P<number>\d))_(?P<kind>conv|norm)", resnet_layer),
    (r"logits", "classifier.1"),
)


def split_qkv(prefix):
    """Three layers there, of which our one has the columns side by side."""
    return f"{prefix}.query | {prefix}.key | {prefix}.value"


VIT = (
    (r"patch_embed", "vit.embeddings.patch_embeddings.projection"),
    (r"class_token", "vit.embeddings.cls_token!"),
    (r"positions", "vit.embeddings.position_embeddings!"),
    (r"block(\d+)_norm1", r"vit.encoder.layer.\1.layernorm_before"),
    (r"block(\d+)_norm2", r"vit.encoder.layer.\1.layernorm_after"),
    (r"block(\d+)_attention/qkv", split_qkv(r"vit.encoder.layer.\1.attention.attention")),
    (r"block(\d+)_attention/project", r"vit.encoder.layer.\1.attention.output.dense"),
    (r"block(\d+)_mlp/up", r"vit.encoder.layer.\1.intermediate.dense"),
    (r"block(\d+)_mlp/down", r"vit.encoder.layer.\1.output.dense"),
    (r"norm", "vit.layernorm"),
    (r"logits", "classifier"),
)


def stage(suffix):
    """A layer of a stage, which is counted from 0 there; merging ends a stage there and begins the next here."""

    def name(match, paths):
        first = 2 if "merge" in match[0] else 1
        return match.expand(suffix.replace("STAGE", f"swin.encoder.layers.{int(match[1]) - first}"))

    return name


SWIN = (
    (r"patch_embed", "swin.embeddings.patch_embeddings.projection"),
    (r"patch_norm", "swin.embeddings.norm"),
    (r"stage(\d)_block(\d+)_norm1", stage(r"STAGE.blocks.\2.layernorm_before")),
    (r"stage(\d)_block(\d+)_norm2", stage(r"STAGE.blocks.\2.layernorm_after")),
    (r"stage(\d)_block(\d+)_windows", stage(r"STAGE.blocks.\2.attention.self")),
    (r"stage(\d)_block(\d+)_windows/attention/qkv", stage(split_qkv(r"STAGE.blocks.\2.attention.self"))),
    (r"stage(\d)_block(\d+)_windows/attention/project", stage(r"STAGE.blocks.\2.attention.output.dense")),
    (r"stage(\d)_block(\d+)_mlp/up", stage(r"STAGE.blocks.\2.intermediate.dense")),
    (r"stage(\d)_block(\d+)_mlp/down", stage(r"STAGE.blocks.\2.output.dense")),
    (r"stage(\d)_merge_norm", stage("STAGE.downsample.norm")),
    (r"stage(\d)_merge_reduce", stage("STAGE.downsample.reduction")),
    (r"norm", "swin.layernorm"),
    (r"logits", "classifier"),
)


def gpt_embedding(name_1, name_2):
    """GPT-1, which has no last normalization, names its embeddings otherwise than GPT-2."""

    def name(match, paths):
        return f"transformer.{name_2 if 'norm' in paths else name_1}"

    return name


GPT = (
    (r"tokens", gpt_embedding("tokens_embed", "wte")),
    (r"positions", gpt_embedding("positions_embed", "wpe")),
    (r"block(\d+)/attention_norm", r"transformer.h.\1.ln_1"),
    (r"block(\d+)/attention/query", r"transformer.h.\1.attn.c_attn[0/3] as columns"),
    (r"block(\d+)/attention/key", r"transformer.h.\1.attn.c_attn[1/3] as columns"),
    (r"block(\d+)/attention/value", r"transformer.h.\1.attn.c_attn[2/3] as columns"),
    (r"block(\d+)/attention/output", r"transformer.h.\1.attn.c_proj as columns"),
    (r"block(\d+)/feed_forward_norm", r"transformer.h.\1.ln_2"),
    (r"block(\d+)/feed_forward/up", r"transformer.h.\1.mlp.c_fc as columns"),
    (r"block(\d+)/feed_forward/down", r"transformer.h.\1.mlp.c_proj as columns"),
    (r"norm", r"transformer.ln_f"),
)

LLAMA = (
    (r"tokens", "model.embed_tokens"),
    (r"block(\d+)/attention_norm", r"model.layers.\1.input_layernorm"),
    (r"block(\d+)/attention/query", r"model.layers.\1.self_attn.q_proj"),
    (r"block(\d+)/attention/key", r"model.layers.\1.self_attn.k_proj"),
    (r"block(\d+)/attention/value", r"model.layers.\1.self_attn.v_proj"),
    (r"block(\d+)/attention/output", r"model.layers.\1.self_attn.o_proj"),
    (r"block(\d+)/feed_forward_norm", r"model.layers.\1.post_attention_layernorm"),
    (r"block(\d+)/feed_forward/(up|gate|down)", r"model.layers.\1.mlp.\2_proj"),
    (r"norm", "model.norm"),
    (r"logits", "lm_head"),
)


def encoder(prefix):
    """What BERT's and RoBERTa's files have in common."""
    layer = rf"{prefix}.encoder.layer.\1"
    return (
        (r"tokens", f"{prefix}.embeddings.word_embeddings"),
        (r"positions", f"{prefix}.embeddings.position_embeddings"),
        (r"segments", f"{prefix}.embeddings.token_type_embeddings"),
        (r"norm", f"{prefix}.embeddings.LayerNorm"),
        (r"block(\d+)/attention/(query|key|value)", rf"{layer}.attention.self.\2"),
        (r"block(\d+)/attention/output", f"{layer}.attention.output.dense"),
        (r"block(\d+)/attention_norm", f"{layer}.attention.output.LayerNorm"),
        (r"block(\d+)/feed_forward/up", f"{layer}.intermediate.dense"),
        (r"block(\d+)/feed_forward/down", f"{layer}.output.dense"),
        (r"block(\d+)/feed_forward_norm", f"{layer}.output.LayerNorm"),
    )


BERT = (
    *encoder("bert"),
    (r"top_pooler", "bert.pooler.dense"),
    (r"top_transform", "cls.predictions.transform.dense"),
    (r"top_norm", "cls.predictions.transform.LayerNorm"),
    (r"top_bias", "cls.predictions.bias!"),
    (r"top_next", "cls.seq_relationship"),
    (r"top_span", "qa_outputs"),
    (r"logits", "classifier"),
)
ROBERTA = (
    *encoder("roberta"),
    (r"top_pooler", lambda match, paths: "classifier.dense" if "logits" in paths else "roberta.pooler.dense"),
    (r"top_transform", "lm_head.dense"),
    (r"top_norm", "lm_head.layer_norm"),
    (r"top_bias", "lm_head.bias!"),
    (r"top_span", "qa_outputs"),
    (r"logits", lambda match, paths: "classifier.out_proj" if "top_pooler" in paths else "classifier"),
)


def t5_side(side):
    """Layers of a block are numbered: attention, in decoders attention to the source, and the feed-forward network."""
    layer, last = rf"{side}.block.\1.layer", {"encoder": 1, "decoder": 2}[side]

    def up(match, paths):
        gated = f"{side}{match[1]}/feed_forward/gate" in paths
        return match.expand(f"{layer}.{last}.DenseReluDense.{'wi_1' if gated else 'wi'}")

    return (
        (f"{side}_bias", f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight!"),
        (f"{side}_norm", f"{side}.final_layer_norm"),
        (rf"{side}(\d+)/attention_norm", f"{layer}.0.layer_norm"),
        (rf"{side}(\d+)/attention/([qkvo]).*", rf"{layer}.0.SelfAttention.\2"),
        (rf"{side}(\d+)/cross_attention_norm", f"{layer}.1.layer_norm"),
        (rf"{side}(\d+)/cross_attention/([qkvo]).*", rf"{layer}.1.EncDecAttention.\2"),
        (rf"{side}(\d+)/feed_forward_norm", f"{layer}.{last}.layer_norm"),
        (rf"{side}(\d+)/feed_forward/gate", f"{layer}.{last}.DenseReluDense.wi_0"),
        (rf"{side}(\d+)/feed_forward/up", up),
        (rf"{side}(\d+)/feed_forward/down", f"{layer}.{last}.DenseReluDense.wo"),
    )


T5 = ((r"tokens", "shared"), *t5_side("encoder"), *t5_side("decoder"), (r"logits", "lm_head"))

BART = (
    (r"tokens", "model.shared"),
    (r"(encoder|decoder)_positions", r"model.\1.embed_positions"),
    (r"(encoder|decoder)_norm", r"model.\1.layernorm_embedding"),
    (r"(encoder|decoder)(\d+)/attention_norm", r"model.\1.layers.\2.self_attn_layer_norm"),
    (r"(encoder|decoder)(\d+)/cross_attention_norm", r"model.\1.layers.\2.encoder_attn_layer_norm"),
    (r"(encoder|decoder)(\d+)/feed_forward_norm", r"model.\1.layers.\2.final_layer_norm"),
    (r"(encoder|decoder)(\d+)/attention/output", r"model.\1.layers.\2.self_attn.out_proj"),
    (r"(encoder|decoder)(\d+)/cross_attention/output", r"model.\1.layers.\2.encoder_attn.out_proj"),
    (r"(encoder|decoder)(\d+)/attention/([qkv]).*", r"model.\1.layers.\2.self_attn.\3_proj"),
    (r"(encoder|decoder)(\d+)/cross_attention/([qkv]).*", r"model.\1.layers.\2.encoder_attn.\3_proj"),
    (r"(encoder|decoder)(\d+)/feed_forward/up", r"model.\1.layers.\2.fc1"),
    (r"(encoder|decoder)(\d+)/feed_forward/down", r"model.\1.layers.\2.fc2"),
)

DETR_ATTENTION = {"attention": "self_attn", "cross_attention": "encoder_attn"}
DETR_PARTS = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}


def detr_attention(match, paths):
    layer = match.expand(r"model.\g<side>.layers.\g<number>.") + DETR_ATTENTION[match["attention"]]
    return f"{layer}_layer_norm" if match["part"] is None else f"{layer}.{DETR_PARTS[match['part']]}"


DETR = (
    # Published files have the backbone of timm, whose names are torchvision's.
    *((pattern, f"model.backbone.conv_encoder.model.{name}") for pattern, name in torchvision.RESNET[:-1]),
    (r"project", "model.input_projection"),
    (r"transformer", "model.query_position_embeddings.weight!"),
    (r"transformer/norm", "model.decoder.layernorm"),
    (
        r"transformer/(?P<side>encoder|decoder)(?P<number>\d+)/(?P<attention>(cross_)?attention)(_norm|/(?P<part>\w+))",
        detr_attention,
    ),
    (r"transformer/(encoder|decoder)(\d+)/feed_forward_norm", r"model.\1.layers.\2.final_layer_norm"),
    (r"transformer/(encoder|decoder)(\d+)/feed_forward/up", r"model.\1.layers.\2.fc1"),
    (r"transformer/(encoder|decoder)(\d+)/feed_forward/down", r"model.\1.layers.\2.fc2"),
    (r"box(\d)", lambda match, paths: f"bbox_predictor.layers.{int(match[1]) - 1}"),
    (r"logits", "class_labels_classifier"),
)

EXPERT = {"gate": "w1", "up": "w3", "down": "w2"}
MIXTRAL = (
    (r"block(\d+)/feed_forward/router", r"model.layers.\1.block_sparse_moe.gate"),
    (
        r"block(?P<block>\d+)/feed_forward/expert(?P<expert>\d+)/(?P<part>up|gate|down)",
        lambda match, paths: (
            match.expand(r"model.layers.\g<block>.block_sparse_moe.experts.\g<expert>.") + EXPERT[match["part"]]
        ),
    ),
    *LLAMA,
)

LAYOUT = Layout(
    name="transformers",
    families={
        "bart": BART,
        "bert": BERT,
        "detr": DETR,
        "gpt": GPT,
        "llama": LLAMA,
        "mixtral": MIXTRAL,
        "resnet": RESNET,
        "roberta": ROBERTA,
        "swin": SWIN,
        "t5": T5,
        "vit": VIT,
    },
    torch=True,
    # Counters, masks and tables that are computed, and the embeddings again where they also give the logits.
    ignored=r".*\.(num_batches_tracked|relative_position_index|attn\.(masked_)?bias|inv_freq|position_ids)"
    r"|lm_head\.(weight|decoder\..*)|cls\.predictions\.decoder\..*|((model\.)?(encoder|decoder)\.embed_tokens\.weight)"
    # T5 1.0: a table that the authors' program made and never read.
    r"|final_logits_bias|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",
    limits={"swin": windows_shifted_along_one_side},
    heads=r"(cls|lm_head|classifier|class_labels_classifier|qa_outputs|(.*\.)?pooler)\..*",
    old_names=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
)
