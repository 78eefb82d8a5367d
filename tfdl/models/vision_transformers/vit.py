"""ViT: a standard transformer encoder on a sequence of image patches, such as 16 x 16 pixels.

Paper: Dosovitskiy et al. 2020, arXiv:2010.11929, Fig. 1, eq. 1-4, Table 1; tiny and small: Touvron et al. 2020,
arXiv:2012.12877 (DeiT), Table 1.
Shapes: B batch, H W height and width of the image, P side of a patch, N = (H/P) (W/P) patches, D width.
"""

import keras
import numpy as np
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.attention import SelfAttention
from tfdl.layers.patch_embed import patch_embed
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.positions import ClassToken, GridPositions
from tfdl.layers.transformer import pre_norm_block, truncated_normal


@config
class ViTConfig:
    """One network: `depth` blocks with `heads` attention heads on tokens of width `width`."""

    patch: int  # side P in pixels
    width: int
    depth: int
    heads: int
    expansion: float = 4.0  # of the feed-forward networks
    dropout: float = 0.0  # after every dense layer except queries, keys and values (appendix B.1); 0.1 for ImageNet-1k
    drop_path: float = 0.0  # rate of stochastic depth in the last block; grows linearly from 0 (DeiT: 0.1)
    epsilon: float = 1e-6  # of layer normalization; the default of `transformers` is 1e-12


VARIANTS = {
    "nano": ViTConfig(patch=8, width=32, depth=2, heads=4, expansion=2.0),  # ours, for tests
    "tiny_patch16": ViTConfig(patch=16, width=192, depth=12, heads=3),
    "small_patch16": ViTConfig(patch=16, width=384, depth=12, heads=6),
    "base_patch16": ViTConfig(patch=16, width=768, depth=12, heads=12),
    "base_patch32": ViTConfig(patch=32, width=768, depth=12, heads=12),
    "large_patch16": ViTConfig(patch=16, width=1024, depth=24, heads=16),
    "large_patch32": ViTConfig(patch=32, width=1024, depth=24, heads=16),
    "small_images": ViTConfig(patch=8, width=96, depth=6, heads=3),  # ours, for 32 to 96 pixels a side
}
# Images and classes of variants that differ from the builder's defaults, for `tfdl show vit --flops`.
CANONICAL = {"small_images": dict(image_shape=(32, 32, 3), num_classes=10)}


def vit(variant="base_patch16", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="vit"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None {"strideP": (B, H/P, W/P, D)}.

    `variant` is a row of VARIANTS or a ViTConfig.  H and W must be fixed multiples of P, because each patch has its own
    position embedding.  Weights for another image size can be loaded too: `load_weights` resizes their position
    embeddings (section 3.2).  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="vit")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    rows, columns = patch_grid(image_shape, c.patch)

    x = normalize_pixels(images, normalize)
    x = patch_embed(x, c.width, c.patch, name="patch_embed")  # (B, H/P, W/P, D)
    x = layers.Reshape((rows * columns, c.width), name="tokens")(x)  # (B, N, D)
    x = ClassToken(name="class_token")(x)  # (B, 1 + N, D)
    x = GridPositions((rows, columns), name="positions")(x)  # eq. 1
    x = layers.Dropout(c.dropout, name="dropout")(x)
    for i, rate in enumerate(np.linspace(0, c.drop_path, c.depth).tolist()):
        attention = SelfAttention(c.heads, name=f"block{i}_attention")
        options = dict(expansion=c.expansion, epsilon=c.epsilon, dropout=c.dropout, drop_path=rate)
        x = pre_norm_block(x, attention, name=f"block{i}", **options)  # eq. 2, 3
    x = layers.LayerNormalization(epsilon=c.epsilon, name="norm")(x)
    if num_classes is None:
        x = layers.Cropping1D((1, 0), name="patches")(x)  # (B, N, D): without the class token
        x = layers.Reshape((rows, columns, c.width), name="map")(x)
        return keras.Model(images, {f"stride{c.patch}": x}, name=name)
    y = x[:, 0]  # (B, D): the class token, eq. 4
    logits = layers.Dense(num_classes, kernel_initializer=truncated_normal(), dtype="float32", name="logits")(y)
    return keras.Model(images, logits, name=name)


def patch_grid(image_shape, patch):
    """The numbers of rows and columns of patches.  Raises ValueError if the patch does not divide the image."""
    height, width = image_shape[:2]
    if None in (height, width):
        raise ValueError(f"vit needs a fixed image size, not {tuple(image_shape)}: each patch has its own embedding.")
    if height % patch or width % patch:
        fitting = " x ".join(str(max(patch, round(side / patch) * patch)) for side in (height, width))
        raise ValueError(f"Patches of {patch} do not tile images of {height} x {width}; resize them to {fitting}.")
    return height // patch, width // patch
