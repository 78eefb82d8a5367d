"""VoxelNet: a small PointNet reads the points of each voxel, and convolutions the grid of voxels, to find boxes.

1. Points are grouped by voxels; each voxel feature encoding (VFE) puts beside every point's features the largest of
   the voxel, Fig. 3, and a last one reads the voxel as a whole.
2. Convolutions in space widen the view and flatten the grid to a map seen from above.
3. A region proposal network of three resolutions says for each anchor, two in each cell, whether there is an object,
   and how its box differs, Fig. 4.

One network finds one class, as in the paper.  What it leaves open: voxels that enter (K), and where an axis has an even
number of cells the padding of stride 2, here the same on both sides.

Paper: Zhou & Tuzel 2018, arXiv:1711.06396, sections 2 and 3.1.
Shapes: B batch, P points, D numbers of a point, K voxels, T points of a voxel, X Y Z cells along each axis (W', H', D'
in the paper), A anchors, C channels.
"""

import math

import keras
from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.voxels import AnchorBoxes3D, VoxelGrid, Voxels

YAWS = (0.0, math.pi / 2)  # section 3.1
CAR = (3.9, 1.6, 1.56)  # length, width, height of an anchor in meters, section 3.1


@config
class VoxelNetConfig:
    """One network; the defaults are the paper's for cars, section 3.1 and Fig. 4."""

    low: tuple[float, ...] = (0.0, -40.0, -3.0)  # x, y, z in meters
    high: tuple[float, ...] = (70.4, 40.0, 1.0)
    cell: tuple[float, ...] = (0.2, 0.2, 0.4)
    voxels: int = 12_000  # K, ours: KITTI's frames have about 6,000
    per_voxel: int = 35  # T
    encodings: tuple[int, ...] = (32, 128)  # channels of each VFE
    features: int = 128  # of a voxel
    middle: tuple[tuple[int, int, int], ...] = ((64, 2, 1), (64, 1, 0), (64, 2, 1))  # channels; stride, padding along z
    blocks: tuple[tuple[int, int, int], ...] = ((128, 3, 2), (128, 5, 2), (256, 5, 2))  # channels, further ones, stride
    upsampled: int = 256  # channels of each resolution in the map
    size: tuple[float, ...] = CAR
    height: float = -1.0  # z of the anchors' centers

    def __post_init__(self):
        if any(not a < b for a, b in zip(self.low, self.high)) or not min(self.cell) > 0:
            raise ValueError(
                f"The space from {self.low} to {self.high} has no cells of {self.cell}; give a larger one."
            )
        if min(self.voxels, self.per_voxel) < 1:
            raise ValueError(f"voxels is {self.voxels} and per_voxel {self.per_voxel}; give 1 or more of each.")
        steps = math.prod(stride for *_, stride in self.blocks)
        if any(side % steps for side in self.shape[:2]):
            raise ValueError(f"The grid is {self.shape}; its first two sides must be multiples of {steps}.")

    @property
    def shape(self):
        """X, Y, Z."""
        return tuple(round((b - a) / side) for a, b, side in zip(self.low, self.high, self.cell))


SMALL = dict(
    cell=(0.4, 0.4, 0.5),
    per_voxel=5,
    encodings=(16, 32),
    features=16,
    middle=((16, 2, 1), (16, 1, 0), (16, 2, 1)),
    blocks=((32, 1, 1), (64, 1, 2), (64, 1, 2)),
    upsampled=32,
)

VARIANTS = {
    "nano": VoxelNetConfig(  # ours, for tests
        low=(0.0, -3.2, -3.0),
        high=(6.4, 3.2, 1.0),
        cell=(0.8, 0.8, 0.5),
        voxels=60,
        per_voxel=3,
        encodings=(8, 8),
        features=8,
        middle=((4, 2, 1), (4, 1, 0), (4, 2, 1)),
        blocks=((8, 1, 1), (8, 0, 2), (8, 0, 2)),
        upsampled=8,
    ),
    # Ours, for two cores: coarser voxels, fewer channels, and a map as fine as the grid
    "small": VoxelNetConfig(low=(0.0, -9.6, -3.0), high=(19.2, 9.6, 0.0), voxels=896, **SMALL),
    "small_far": VoxelNetConfig(low=(0.0, -19.2, -3.0), high=(51.2, 19.2, 0.0), voxels=4096, **SMALL),
    "car": VoxelNetConfig(),
}


def voxelnet(variant="car", *, points=20_000, features=4, name="voxelnet"):
    """Points (B, P, D) -> {"boxes": (B, A, 7), "scores": (B, A, 1), "offsets": (B, A, 7)}

    Boxes are x, y, z, l, w, h, yaw in meters, see `tfdl.ops.boxes_3d`; scores are logits; offsets are those of the
    boxes from the anchors, eq. 1.  Points outside of the grid count for nothing, `tfdl.core.batches.OUTSIDE` for one.

    Args:
        variant: a row of VARIANTS or a VoxelNetConfig.
        points: P.
        features: D, at least 3: x, y, z and others, such as the reflectance.

    Raises:
        ValueError: unknown variant, or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="voxelnet")
    if features < 3 or points < 1:
        raise ValueError(f"voxelnet got points={points} and features={features}; give 1 and 3, or more.")
    cloud = keras.Input((points, features), name="points", dtype="float32")
    voxels = Voxels(c.low, c.cell, c.shape, c.voxels, c.per_voxel, name="voxels")(cloud)
    x, is_point = voxels["points"], voxels["is_point"]  # (B, K, T, D + 3)
    for number, channels in enumerate(c.encodings, start=1):
        x = encoding(x, is_point, channels, name=f"encoding{number}")
    x = ops.max(each_point(x, is_point, c.features, name="voxel"), axis=2)  # (B, K, 128)
    x = VoxelGrid(c.shape, name="grid")([x, voxels["cell"]])  # (B, X, Y, Z, 128)
    for number, (channels, stride, padding) in enumerate(c.middle, start=1):
        x = in_space(x, channels, stride, padding, name=f"middle{number}")
    x = layers.Reshape((*x.shape[1:3], x.shape[3] * x.shape[4]), name="from_above")(x)  # (B, X, Y, 128)
    x = proposals(x, c)  # (B, X / 2, Y / 2, 768)
    scores = layers.Conv2D(len(YAWS), 1, dtype="float32", name="score_map")(x)
    offsets = layers.Conv2D(7 * len(YAWS), 1, dtype="float32", name="regression_map")(x)
    sides = x.shape[1:3]
    offsets = layers.Reshape((-1, 7), dtype="float32", name="offsets")(offsets)  # (B, A, 7)
    cell = [(b - a) / side for a, b, side in zip(c.low, c.high, sides)]
    boxes = AnchorBoxes3D(c.low[:2], cell, sides, c.size, c.height, YAWS, name="boxes")(offsets)
    scores = layers.Reshape((-1, 1), dtype="float32", name="scores")(scores)  # (B, A, 1)
    return keras.Model(cloud, {"boxes": boxes, "scores": scores, "offsets": offsets}, name=name)


def encoding(x, is_point, channels, name):
    """VFE, Fig. 3: each point's features beside the largest of its voxel.  (B, K, T, C) -> (B, K, T, channels)"""
    own = each_point(x, is_point, channels // 2, name)
    most = ops.max(own, axis=2, keepdims=True)
    return ops.concatenate([own, most * ops.cast(is_point, most.dtype)[..., None]], axis=-1)


def each_point(x, is_point, channels, name):
    """A dense layer, batch normalization over points that are there, ReLU; 0 for the others."""
    x = layers.Dense(channels, use_bias=False, name=f"{name}_dense")(x)
    x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_norm")(x, mask=is_point)
    return ops.relu(x) * ops.cast(is_point, x.dtype)[..., None]


def in_space(x, channels, stride, padding, name):
    """A 3 x 3 x 3 convolution, batch normalization, ReLU.  (B, X, Y, Z, C) -> (B, X, Y, Z', channels)"""
    x = layers.ZeroPadding3D(((1, 1), (1, 1), (padding, padding)), name=f"{name}_pad")(x)
    x = layers.Conv3D(channels, 3, strides=(1, 1, stride), use_bias=False, name=f"{name}_conv")(x)
    return ops.relu(layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_norm")(x))


def proposals(x, c):
    """The region proposal network up to its last map, Fig. 4.  (B, X, Y, C) -> (B, X / s, Y / s, 3 upsampled)"""
    maps, factor = [], 1
    for number, (channels, further, stride) in enumerate(c.blocks, start=1):
        for place in range(1 + further):
            step = stride if place == 0 else 1
            x = conv_norm(x, channels, 3, step, activation=ops.relu, name=f"block{number}_{place}")
        factor = 1 if number == 1 else factor * stride
        up = layers.Conv2DTranspose(
            c.upsampled, 3 if factor == 1 else factor, factor, padding="same", use_bias=False, name=f"up{number}"
        )(x)
        maps.append(ops.relu(layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"up{number}_norm")(up)))
    return layers.Concatenate(name="resolutions")(maps)
