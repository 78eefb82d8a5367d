"""Swin: attention inside small windows, shifted in every second block, on maps that shrink as in a convnet.

Paper: Liu et al. 2021, arXiv:2103.14030, Fig. 3, section 3.3; rates of stochastic depth: appendix A2.1.
Shapes: B batch, H W height and width of the image, P side of a patch (4), C width of the first stage.
"""

import keras
import numpy as np
from keras import layers

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.attention import WindowAttention
from tfdl.layers.patch_embed import patch_embed, patch_merge
from tfdl.layers.pixels import image_input, normalize_pixels
from tfdl.layers.transformer import pre_norm_block, truncated_normal


@config
class SwinConfig:
    """One network: stage s, counted from 0, has depths[s] blocks on maps of 2^s width channels at stride 2^s patch."""

    width: int  # C
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    patch: int = 4  # side P in pixels
    window: int = 7  # side of a window in positions of the map
    expansion: float = 4.0  # of the feed-forward networks
    drop_path: float = 0.0  # rate of stochastic depth in the last block; grows linearly from 0
    epsilon: float = 1e-5  # of layer normalization

    def __post_init__(self):
        if len(self.depths) != len(self.heads):
            raise ValueError(
                f"swin needs a number of heads for each stage; got heads {self.heads} for depths {self.depths}."
            )
        if self.window < 1:
            raise ValueError(f"window must be at least 1, not {self.window}; the paper's is 7.")


VARIANTS = {
    "nano": SwinConfig(width=16, depths=(2, 1, 1, 1), heads=(1, 2, 4, 8), window=3, expansion=2.0),  # ours, for tests
    "tiny": SwinConfig(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), drop_path=0.2),
    "small": SwinConfig(width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24), drop_path=0.3),
    "base": SwinConfig(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), drop_path=0.5),
    # ours, for 28 to 96 pixels a side: half the stages; windows of 4 tile the maps of images of 32 pixels
    "small_images": SwinConfig(width=72, depths=(2, 2), heads=(3, 6), window=4),
}
# Images and classes of variants that differ from the builder's defaults, for `tfdl show swin --flops`.
CANONICAL = {"small_images": dict(image_shape=(32, 32, 3), num_classes=10)}


def swin(variant="tiny", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="swin"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the feature map of each stage.

    `variant` is a row of VARIANTS or a SwinConfig.  H and W must be fixed, but may have any size: where patches,
    windows or merging do not tile a map, it is padded with zeros below and to the right, as in torchvision (which drops
    an incomplete patch instead).  The maps are returned as {"stride4": (B, H/4, W/4, C), ..., "stride32": (B, H/32,
    W/32, 8 C)}, sizes rounded up; only the last one is normalized, as for the classifier.  `normalize`: see
    `normalize_pixels`.

    Raises:
        ValueError: unknown variant or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="swin")
    check_num_classes(num_classes)
    images = image_input(image_shape)
    if None in image_shape[:2]:
        raise ValueError(f"swin needs a fixed image size, not {tuple(image_shape)}: its masks depend on the size.")
    rates = iter(np.linspace(0, c.drop_path, sum(c.depths)).tolist())

    x = normalize_pixels(images, normalize)
    x = patch_embed(x, c.width, c.patch, name="patch_embed")  # (B, H/4, W/4, C)
    x = layers.LayerNormalization(epsilon=c.epsilon, name="patch_norm")(x)
    maps = {}
    for stage, (depth, heads) in enumerate(zip(c.depths, c.heads), 1):
        if stage > 1:
            x = patch_merge(x, epsilon=c.epsilon, name=f"stage{stage}_merge")  # half of H and W, twice the channels
        for i in range(depth):
            x = block(x, heads, shifted=i % 2 == 1, rate=next(rates), c=c, name=f"stage{stage}_block{i}")
        maps[f"stride{c.patch * 2 ** (stage - 1)}"] = x
    x = layers.LayerNormalization(epsilon=c.epsilon, name="norm")(x)  # (B, H/32, W/32, 8 C)
    if num_classes is None:
        return keras.Model(images, {**maps, list(maps)[-1]: x}, name=name)
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, 8 C)
    x = layers.Dense(num_classes, kernel_initializer=truncated_normal(), dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)


def block(x, heads, *, shifted, rate, c, name):
    """Eq. 3: attention in (shifted) windows, then the feed-forward network.  Same shape."""
    attention = WindowAttention(heads, c.window, shifted, name=f"{name}_windows")
    return pre_norm_block(x, attention, expansion=c.expansion, epsilon=c.epsilon, drop_path=rate, name=name)
