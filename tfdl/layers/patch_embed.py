"""Patch embedding maps pixels to tokens; patch merging maps four tokens to one.

Papers: Dosovitskiy et al. 2020, arXiv:2010.11929 (ViT), section 3.1, eq. 1; Liu et al. 2021, arXiv:2103.14030 (Swin),
section 3.1.
Shapes: B batch, H W height and width, P side of a patch, C channels, D width.
"""

from keras import layers

from tfdl.layers.transformer import truncated_normal
from tfdl.ops.windows import stack_neighbors


def patch_embed(images, width, patch, *, name):
    """Cuts images into patches and maps each linearly to `width` numbers.  (B, H, W, C) -> (B, H/P, W/P, width).

    This is a convolution whose stride equals its kernel size.  Sizes are rounded up: images are padded with zeros below
    and to the right.
    """
    images = pad_to_multiple(images, patch, name=f"{name}_pad")
    return layers.Conv2D(width, patch, strides=patch, name=name)(images)


def patch_merge(x, *, epsilon, name):
    """Merges each 2 x 2 square into one token of twice the width.  (B, H, W, C) -> (B, H/2, W/2, 2 C), rounded up.

    `epsilon`: of the layer normalization before the linear map.
    """
    channels = x.shape[-1]
    x = stack_neighbors(pad_to_multiple(x, 2, name=f"{name}_pad"))  # (B, H/2, W/2, 4 C)
    x = layers.LayerNormalization(epsilon=epsilon, name=f"{name}_norm")(x)
    return layers.Dense(2 * channels, use_bias=False, kernel_initializer=truncated_normal(), name=f"{name}_reduce")(x)


def pad_to_multiple(x, size, *, name):
    """Pads with zeros below and to the right until `size` divides both sides.  (B, H, W, C) -> (B, H', W', C)."""
    below, right = (-side % size for side in x.shape[1:3])
    return layers.ZeroPadding2D(((0, below), (0, right)), name=name)(x) if below or right else x
