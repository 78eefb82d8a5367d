"""ViT and Swin under the names of timm, torchvision and transformers: there and back, split, resized, and probed."""

import zlib
from dataclasses import replace

import keras
import numpy as np
import pytest

from tfdl.interop.files.archives import read_arrays
from tfdl.interop.weights import load_weights, save_weights
from tfdl.models.vision_transformers.swin import VARIANTS, swin
from tfdl.models.vision_transformers.vit import vit

LAYOUTS = ("keras_hub", "timm", "torchvision", "transformers")
BUILDERS = {"vit": vit, "swin": swin}


SIZES = {"vit": (24, 40, 3), "swin": (48, 96, 3)}  # windows of 3 tile Swin's maps of 12 x 24 and less


def network(family, seed=0, image_shape=None, variant="nano", num_classes=5):
    keras.utils.set_random_seed(seed)
    image_shape = image_shape or SIZES[family]
    return BUILDERS[family](variant, image_shape=image_shape, num_classes=num_classes, normalize=None)


def saved(model, layout, folder):
    """Name -> array, as they stand in the file."""
    save_weights(model, folder / "w.npz", layout=layout)
    return dict(read_arrays(folder / "w.npz"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", BUILDERS)
def test_round_trip_is_bit_equal(family, layout, tmp_path):
    first, second = network(family, seed=1), network(family, seed=2)
    load_weights(second, saved(first, layout, tmp_path), layout=layout)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


# Names and shapes of KerasHub 0.32.0, timm 1.0.31, torchvision 0.28.0 and files of transformers 5.23.0, sizes by hand.
D, C = 32, 16
NAMES = {
    ("vit", "timm"): {
        "cls_token": (1, 1, D),
        "pos_embed": (1, 16, D),
        "patch_embed.proj.weight": (D, 3, 8, 8),
        "blocks.1.attn.qkv.weight": (3 * D, D),
        "blocks.0.mlp.fc2.weight": (D, 2 * D),
        "head.bias": (5,),
    },
    ("vit", "torchvision"): {
        "class_token": (1, 1, D),
        "encoder.pos_embedding": (1, 16, D),
        "conv_proj.bias": (D,),
        "encoder.layers.encoder_layer_1.self_attention.in_proj_weight": (3 * D, D),
        "encoder.layers.encoder_layer_1.self_attention.in_proj_bias": (3 * D,),
        "encoder.layers.encoder_layer_0.self_attention.out_proj.bias": (D,),
        "encoder.layers.encoder_layer_0.mlp.3.weight": (D, 2 * D),
        "encoder.ln.weight": (D,),
        "heads.head.weight": (5, D),
    },
    ("vit", "transformers"): {
        "vit.embeddings.cls_token": (1, 1, D),
        "vit.embeddings.position_embeddings": (1, 16, D),
        "vit.embeddings.patch_embeddings.projection.weight": (D, 3, 8, 8),
        "vit.encoder.layer.1.attention.attention.key.weight": (D, D),
        "vit.encoder.layer.1.attention.attention.value.bias": (D,),
        "vit.encoder.layer.1.intermediate.dense.weight": (2 * D, D),
        "vit.encoder.layer.0.layernorm_after.bias": (D,),
        "classifier.weight": (5, D),
    },
    ("vit", "keras_hub"): {
        "vit_patching_and_embedding/class_token": (1, 1, D),
        "vit_patching_and_embedding/position_embedding/embeddings": (16, D),
        "vit_patching_and_embedding/patch_embedding/kernel": (8, 8, 3, D),
        "vit_encoder/transformer_block_1/mha/query/kernel": (D, 4, 8),
        "vit_encoder/transformer_block_2/mha/value/bias": (4, 8),
        "vit_encoder/transformer_block_2/mha/attention_output/kernel": (4, 8, D),
        "vit_encoder/transformer_block_1/mha/attention_output/bias": (D,),
        "vit_encoder/transformer_block_1/ln_2/gamma": (D,),
        "vit_encoder/transformer_block_1/mlp/dense_1/kernel": (D, 2 * D),
        "predictions/bias": (5,),
    },
    ("swin", "keras_hub"): {
        "patch_embedding/conv_projection/kernel": (4, 4, 3, C),
        "stage_0/blocks_1/attn/relative_position_bias_table": (25, 1),
        "stage_1/blocks_0/attn/attention_qkv/kernel": (2 * C, 6 * C),
        "stage_0/downsample/reduction/kernel": (4 * C, 2 * C),
        "stage_3/blocks_0/mlp/fc1/bias": (16 * C,),
        "norm/beta": (8 * C,),
    },
    ("swin", "timm"): {
        "patch_embed.norm.weight": (C,),
        "layers.0.blocks.1.attn.relative_position_bias_table": (25, 1),
        "layers.1.blocks.0.attn.qkv.weight": (6 * C, 2 * C),
        "layers.1.downsample.reduction.weight": (2 * C, 4 * C),
        "layers.3.blocks.0.mlp.fc1.bias": (16 * C,),
        "head.fc.weight": (5, 8 * C),
    },
    ("swin", "torchvision"): {
        "features.0.0.weight": (C, 3, 4, 4),
        "features.0.2.bias": (C,),
        "features.1.1.attn.relative_position_bias_table": (25, 1),
        "features.2.reduction.weight": (2 * C, 4 * C),
        "features.3.0.norm2.weight": (2 * C,),
        "features.7.0.mlp.3.weight": (8 * C, 16 * C),
        "head.weight": (5, 8 * C),
    },
    ("swin", "transformers"): {
        "swin.encoder.layers.0.blocks.1.attention.self.relative_position_bias_table": (25, 1),
        "swin.encoder.layers.0.downsample.norm.weight": (4 * C,),
        "swin.encoder.layers.1.blocks.0.attention.self.query.weight": (2 * C, 2 * C),
        "swin.encoder.layers.3.blocks.0.attention.output.dense.bias": (8 * C,),
        "swin.layernorm.weight": (8 * C,),
    },
}


@pytest.mark.parametrize("family, layout", NAMES)
def test_names_and_shapes_are_theirs(family, layout, tmp_path):
    arrays = saved(network(family), layout, tmp_path)
    assert NAMES[family, layout].items() <= {name: array.shape for name, array in arrays.items()}.items()
    model = network(family)
    split = layout == "transformers" or (family, layout) == ("vit", "keras_hub")
    extra = 2 * sum("qkv" in w.path for w in model.weights) if split else 0
    assert len(arrays) == len(model.weights) + extra  # queries, keys and values, in place of the one that holds them


@pytest.mark.parametrize("family", BUILDERS)
def test_queries_keys_and_values_are_the_thirds_of_our_columns(family, tmp_path):
    model = network(family)
    for i, w in enumerate(model.weights):
        w.assign(np.random.default_rng(i).normal(size=w.shape))
    fused, split = (saved(model, layout, tmp_path) for layout in ("timm", "transformers"))
    ours = "blocks.1.attn.qkv" if family == "vit" else "layers.0.blocks.1.attn.qkv"
    theirs = {
        "vit": "vit.encoder.layer.1.attention.attention",
        "swin": "swin.encoder.layers.0.blocks.1.attention.self",
    }[family]
    for leaf in ("weight", "bias"):
        parts = [split[f"{theirs}.{part}.{leaf}"] for part in ("query", "key", "value")]
        np.testing.assert_array_equal(np.concatenate(parts), fused[f"{ours}.{leaf}"])


def test_a_missing_third_is_told_and_nothing_changes(tmp_path):
    model = network("vit")
    arrays = saved(network("vit", seed=1), "transformers", tmp_path)
    del arrays["vit.encoder.layer.0.attention.attention.key.bias"]
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"1 differences.*\s+missing vit.*0.attention.attention.key.bias \(32,\)"):
        load_weights(model, arrays, layout="transformers")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_positions_of_another_image_size_are_resized(layout, tmp_path):
    square, wide = network("vit", seed=1, image_shape=(32, 32, 3)), network("vit", seed=2, image_shape=(24, 40, 3))
    load_weights(wide, saved(square, layout, tmp_path), layout=layout)
    table, source = (np.array(m.get_layer("positions").table) for m in (wide, square))
    np.testing.assert_allclose(table, wide.get_layer("positions").resized(source), atol=1e-6)
    np.testing.assert_array_equal(wide.get_layer("logits").kernel, square.get_layer("logits").kernel)


def test_positions_of_another_image_that_was_no_square_are_refused(tmp_path):
    arrays = saved(network("vit", image_shape=(24, 40, 3)), "timm", tmp_path)
    with pytest.raises(ValueError, match=r"pos_embed is \(1, 16, 32\) and should be \(1, 13, 32\)"):
        load_weights(network("vit", image_shape=(24, 32, 3)), arrays, layout="timm")


def test_bias_tables_of_another_window_are_resized(tmp_path):
    first = network("swin", seed=1)
    second = network("swin", seed=2, variant=replace(VARIANTS["nano"], window=5), image_shape=(80, 80, 3))
    load_weights(second, saved(first, "timm", tmp_path), layout="timm")
    name = "stage1_block1_windows"
    table, source = (np.array(m.get_layer(name).relative_position_bias_table) for m in (second, first))
    np.testing.assert_allclose(table, second.get_layer(name).resized(source), atol=1e-6)


def test_tables_of_their_own_making_are_ignored(tmp_path):
    model = network("swin")
    arrays = saved(model, "torchvision", tmp_path)
    load_weights(model, arrays | {"features.1.0.attn.relative_position_index": np.zeros(81)}, layout="torchvision")


def seeded(arrays):
    """The same names and shapes with values that depend on the name alone."""
    values = {}
    for name, array in arrays.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        near_one = "norm" in name and name.endswith("weight")
        values[name] = (near_one + 0.2 * rng.normal(size=array.shape)).astype("float32")
    return values


# Logits of timm 1.0.31 (PyTorch 2.13.0) with `seeded` weights; see tests/parity for the whole comparison.
PROBES = {
    "vit": [1.348408, -0.011098, 1.32969, 0.010037, 1.361887],
    "swin": [-1.331006, -1.640948, 6.126281, 3.657208, -1.165286],
}


@pytest.mark.parametrize("family", PROBES)
def test_logits_of_seeded_weights_are_timm_s(family, tmp_path):
    size, model = SIZES[family], network(family)
    load_weights(model, seeded(saved(model, "timm", tmp_path)), layout="timm")
    images = np.random.default_rng(0).random((1, *size), dtype="float32")
    np.testing.assert_allclose(model(images)[0], PROBES[family], atol=1e-4)
