"""SOLO: a grid lies over the picture, and each of its cells says which object has its middle there, and its mask.

Paper: Wang et al. 2019, arXiv:1912.04488, Fig. 2 (the idea), section 3.2 (the heads), section 3.3 (pyramid and grids)
and section 4 with Fig. 5 (the decoupled head).  Coordinates: Liu et al. 2018, arXiv:1807.03247.

    images -> backbone -> pyramid P2 ... P6, brought to the strides 8, 8, 16, 32, 32
    each level, made S x S points large -> convolutions -> the class of each of the S^2 cells
    each level, with x and y as channels -> convolutions -> S^2 maps, twice as large: the mask of each cell

The S^2 masks of a level are alike in rows and columns, so that the decoupled head has a map for each column and one for
each row of the grid, and the mask of the cell (i, j) is the product of row i and column j.
Shapes: B batch, H W height and width of the picture, h w of a level's masks, S cells of its rows and columns, G cells
of all levels, C channels or classes, D detections.
"""

import math
from dataclasses import replace

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.coordinates import Coordinates
from tfdl.layers.feature_pyramid import feature_pyramid
from tfdl.layers.grid_cells import GridCells, GridObjects
from tfdl.layers.pixels import image_input
from tfdl.models.backbones import backbone_of, freeze
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.ops.mask_suppression import levels_of

FINEST = 4  # stride of the first map of the pyramid, P2
PRIOR = 0.01  # probability of every class at the start, Lin et al. 2017, arXiv:1708.02002, section 4.1


@config
class SOLOConfig:
    """One network.  `strides`, `grids` and `scales` have one entry a level, the finest first."""

    backbone: object  # a configuration of any family in `tfdl.models.backbones`
    strides: tuple[int, ...] = (8, 8, 16, 32, 32)  # of the maps that the heads read
    grids: tuple[int, ...] = (40, 36, 24, 16, 12)  # S, Table 3
    # Objects that a level is to find: sqrt(width x height) in pixels, for pictures of 800
    scales: tuple[tuple[int, int], ...] = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
    channels: int = 256
    depth: int = 7  # convolutions of each head, Fig. 3
    groups: int = 32  # of their normalization
    decoupled: bool = False  # the head of section 4
    candidates: int = 500  # cells and classes with the highest scores, which suppression looks at
    pretrained: bool = True  # the backbone's norms, stem and first stage stay as they are; False: all of it learns

    def __post_init__(self):
        if not len(self.strides) == len(self.grids) == len(self.scales) > 0:
            raise ValueError(
                f"solo needs a stride, a grid and a scale for each level; it has {self.strides}, {self.grids} and"
                f" {self.scales}."
            )
        if min(self.grids) < 1 or self.channels < 1 or self.depth < 1 or self.channels % self.groups:
            raise ValueError(
                f"solo needs cells, channels and convolutions, and groups that divide the channels: {self.grids} cells,"
                f" {self.channels} channels, {self.depth} convolutions, {self.groups} groups."
            )


VARIANTS = {
    "nano": SOLOConfig(  # ours, for tests
        backbone=RESNETS["nano"],
        strides=(8, 16),
        grids=(5, 3),
        scales=((1, 24), (12, 96)),
        channels=8,
        depth=1,
        groups=2,
        candidates=30,
        pretrained=False,
    ),
    # Ours, for pictures of about 100 pixels a side with objects of 8 to 60, trained from scratch.
    "small_images": SOLOConfig(
        backbone=replace(RESNETS["18_half"], blocks=(2, 2, 2)),
        strides=(4, 8, 8),
        grids=(12, 10, 8),
        scales=((1, 24), (16, 40), (32, 1024)),
        channels=48,
        depth=3,
        groups=8,
        candidates=100,
        pretrained=False,
    ),
    "r50": SOLOConfig(backbone=RESNETS["50"]),
    "r101": SOLOConfig(backbone=RESNETS["101"]),
    "decoupled_r50": SOLOConfig(backbone=RESNETS["50"], decoupled=True),
    "decoupled_r101": SOLOConfig(backbone=RESNETS["101"], decoupled=True),
}
CANONICAL = {"small_images": dict(image_shape=(96, 96, 3), num_classes=4)}


def solo(variant="r50", *, image_shape=(800, 800, 3), num_classes=80, normalize="imagenet", name="solo"):
    """Images (B, H, W, C) in [0, 1] -> the class and the mask of each cell, or with None the pyramid's maps.

    scores (B, G, num_classes) are logits of the cells, level by level, row by row.  Of level l there are masks{l}
    (B, h, w, S^2), logits of the masks of its cells; the decoupled head has rows{l} and columns{l}, both (B, h, w, S),
    instead.  h and w are the picture's sides by half of the level's stride.
    What these amount to are found_boxes (B, D, 4), found_scores (B, D), found_labels (B, D), -1 where padded, and
    found_masks (B, D, h, w) of the first level, from `grid_objects`.
    `variant` is a row of VARIANTS or a SOLOConfig.  `normalize`: see `normalize_pixels`.

    Raises:
        ValueError: unknown variant, or a side that is not a multiple of 32.
    """
    c = choose_variant(variant, VARIANTS, model="solo")
    check_num_classes(num_classes)
    image_input(image_shape)
    if any(side is None or side % 32 for side in image_shape[:2]):
        raise ValueError(f"image_shape is {tuple(image_shape)}; solo needs sides that are multiples of 32.")
    backbone = backbone_of(c.backbone, image_shape=image_shape, normalize=normalize)
    if c.pretrained:
        freeze(backbone)
    images = backbone.inputs[0]
    maps = pyramid(backbone, c)
    if num_classes is None:
        return keras.Model(images, {f"level{i}": x for i, x in enumerate(maps)}, name=name)

    scores = class_head(maps, num_classes, c)
    masks = mask_head(maps, c)
    found = GridObjects(c.strides[0] // 2, c.candidates, name="objects")(scores, levels_of(masks))
    found = {f"found_{name}": x for name, x in found.items()}
    return keras.Model(images, {"scores": scores, **masks, **found}, name=name)


def pyramid(backbone, c):
    """A map (B, H/s, W/s, channels) for each level's stride s, from as many maps of the pyramid."""
    height, width = backbone.input_shape[1:3]
    strides = {int(name.removeprefix("stride")): x for name, x in backbone.output.items()}
    found = feature_pyramid([strides[s] for s in sorted(strides) if s >= FINEST], c.channels)
    if len(found) < len(c.strides):
        found.append(layers.MaxPooling2D(1, 2, name="pyramid_last")(found[-1]))  # P6
    if len(found) < len(c.strides):
        raise ValueError(f"solo has {len(c.strides)} levels, but this backbone has maps for {len(found)} only.")
    return [resized(x, (height // stride, width // stride)) for stride, x in zip(c.strides, found)]


# Heads; all levels have the same but for the last layer of masks, since their grids are different


def class_head(maps, num_classes, c):
    """L maps (B, h, w, channels) -> logits (B, G, num_classes)."""
    convolutions = tower(c, "class")
    options = dict(kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), dtype="float32")
    rare = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    classes = layers.Conv2D(num_classes, 3, padding="same", bias_initializer=rare, name="class_logits", **options)
    found = [classes(convolutions(resized(x, (side, side)))) for side, x in zip(c.grids, maps)]  # (B, S, S, C)
    return GridCells(c.grids, c.scales, dtype="float32", name="scores")(found)


def mask_head(maps, c):
    """L maps (B, h, w, channels) -> dict of their mask logits, twice as large."""
    convolutions = tower(c, "mask")
    parts = {"rows": 1, "columns": 1} if c.decoupled else {"masks": 2}  # name -> exponent of S
    found = {}
    for i, (side, x) in enumerate(zip(c.grids, maps)):
        x = convolutions(Coordinates(name=f"coordinates{i}")(x))
        for part, exponent in parts.items():
            # A 1x1 convolution and bilinear interpolation commute; in this order they take a quarter of the time
            logits = layers.Conv2D(side**exponent, 1, dtype="float32", name=f"{part}{i}_logits")(x)
            enlarge = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name=f"{part}{i}")
            found[f"{part}{i}"] = enlarge(logits)
    return found


def tower(c, name):
    """A function that applies `depth` convolutions with group normalization, the same ones at every call."""
    convolutions = [
        layers.Conv2D(c.channels, 3, padding="same", use_bias=False, name=f"{name}{i}_conv") for i in range(c.depth)
    ]
    norms = [layers.GroupNormalization(c.groups, epsilon=1e-5, name=f"{name}{i}_norm") for i in range(c.depth)]

    def apply(x):
        for convolution, norm in zip(convolutions, norms):
            x = ops.relu(norm(convolution(x)))
        return x

    return apply


def resized(x, size):
    """Bilinear interpolation to `size` (height, width)."""
    return x if tuple(x.shape[1:3]) == size else ops.image.resize(x, size, interpolation="bilinear")
