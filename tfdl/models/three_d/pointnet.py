"""PointNet: what is said of each point alone, and of all points together by the largest value of each feature.

    f({x_1 ... x_n}) = g(max over i of h(x_i))                                                       eq. 1

so that the order of the points changes nothing.  Two small networks of the same kind ("T-Nets") first turn the points,
and their features, into a pose that is easy to read; the second is kept near a rotation, by
0.001 |I - A A^T|^2 in the loss (eq. 2).

Paper: Qi et al. 2016, arXiv:1612.00593, Fig. 2, section 4.2 and appendix C; for the parts of things Fig. 9 of its
supplement, where each point keeps the outputs of all layers but the widest, and is told what thing it belongs to.
Shapes: B batch, N points, D = 3 + F numbers of a point, C classes, K categories of things.
"""

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.core.serial import serializable


@config
class PointNetConfig:
    """One network; widths are those of Fig. 2."""

    first: tuple[int, ...] = (64, 64)  # of each point, before the second T-Net
    second: tuple[int, ...] = (64, 128, 1024)  # after it; the last is the number of features of the whole
    head: tuple[int, ...] = (512, 256)  # of the whole, or of each point where points are classified
    transform: tuple[int, ...] = (64, 128, 1024)  # of each point in a T-Net
    transform_head: tuple[int, ...] = (512, 256)
    per_point: bool = False  # True: a class for each point (segmentation), False: one for all
    skips: bool = False  # True: points are classified by all of their features, Fig. 9; False: by the turned ones
    dropout: float = 0.3  # before the logits, appendix C
    momentum: float = 0.9  # of batch normalization
    orthogonal: float = 1e-3  # weight of eq. 2

    def __post_init__(self):
        widths = (self.first, self.second, self.head, self.transform, self.transform_head)
        if not all(part and min(part) >= 1 for part in widths):
            raise ValueError(f"Every part of pointnet needs at least one layer of one unit; they are {widths}.")


TINY = dict(first=(8, 8), second=(8, 16), head=(8,), transform=(8, 16), transform_head=(8,))

VARIANTS = {
    "nano": PointNetConfig(**TINY),  # ours, for tests
    "nano_segmentation": PointNetConfig(**TINY, per_point=True, dropout=0.0),
    "nano_parts": PointNetConfig(**TINY, per_point=True, skips=True, dropout=0.0),
    "classification": PointNetConfig(),
    "segmentation": PointNetConfig(head=(512, 256, 128), per_point=True, dropout=0.0),
    "part_segmentation": PointNetConfig(
        first=(64, 128, 128), second=(512, 2048), head=(256, 256, 128), per_point=True, skips=True, dropout=0.0
    ),
}
CANONICAL = {"part_segmentation": dict(points=2048, num_classes=50, categories=16)}  # ShapeNet's parts, section 5.1


def pointnet(variant="classification", *, points=1024, features=3, num_classes=40, categories=0, name="pointnet"):
    """Points (B, N, D) -> logits (B, num_classes), or (B, N, num_classes) of a variant for segmentation.

    With num_classes=None it gives the features of the whole (B, 1024).  With categories it takes a dict of points and
    category (B, K), a one-hot vector.

    Args:
        variant: a row of VARIANTS or a PointNetConfig.
        points: N; None for any number.
        features: D, at least 3: x, y, z and others, such as colors.
        categories: K, of a variant for segmentation: what things there are, whose parts differ; 0: the network is not
            told which one it sees.

    Raises:
        ValueError: unknown variant, or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="pointnet")
    check_num_classes(num_classes)
    if features < 3 or (points is not None and points < 1):
        raise ValueError(f"pointnet got points={points} and features={features}; give 1 and 3, or more.")
    if categories < 0 or (categories and not c.per_point):
        raise ValueError(f"categories is {categories}; give 0, or for a variant for segmentation how many there are.")
    cloud = keras.Input((points, features), name="points")
    placed = layers.Dot((2, 1), name="input_pose")([cloud[..., :3], transform(cloud, 3, c, name="input")])
    x = placed if features == 3 else layers.Concatenate(name="input_all")([placed, cloud[..., 3:]])
    early = every_unit(x, c.first, c, name="first")
    x = early[-1]  # (B, N, 64)
    pose = transform(x, c.first[-1], c, name="feature")
    pose = NearRotation(c.orthogonal, name="feature_rotation")(pose)
    x = own = layers.Dot((2, 1), name="feature_pose")([x, pose])  # (B, N, 64)
    late = every_unit(x, c.second, c, name="second")
    x = late[-1]  # (B, N, 1024)
    whole = layers.GlobalMaxPooling1D(name="whole")(x)  # (B, 1024)
    if num_classes is None:
        return keras.Model(cloud, whole, name=name)
    inputs, x = cloud, whole
    if categories:
        category = keras.Input((categories,), name="category")
        inputs = {"points": cloud, "category": category}
        whole = layers.Concatenate(name="whole_and_category")([whole, category])  # (B, 1024 + K)
    if c.per_point:
        kept = [*early, own, *late[:-1]] if c.skips else [own]
        x = layers.Concatenate(name="both")([*kept, EveryPoint(name="everywhere")([whole, own])])  # (B, N, 1088)
    x = units(x, c.head, c, name="head")
    if c.dropout:
        x = layers.Dropout(c.dropout, name="drop")(x)
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32", name="logits")(x), name=name)


def transform(x, size, c, name):
    """T-Net: a matrix for each cloud, at first the identity.  (B, N, C) -> (B, size, size)"""
    y = units(x, c.transform, c, name=f"{name}_transform")
    y = layers.GlobalMaxPooling1D(name=f"{name}_transform_whole")(y)
    y = units(y, c.transform_head, c, name=f"{name}_transform_head")
    y = layers.Dense(size * size, kernel_initializer="zeros", bias_initializer=identity, name=f"{name}_matrix")(y)
    return layers.Reshape((size, size), name=f"{name}_square")(y)


@serializable
def identity(shape, dtype=None):
    """The identity matrix, row by row, as an initializer."""
    return ops.reshape(ops.eye(int(shape[0] ** 0.5), dtype=dtype), shape)


def units(x, widths, c, name):
    """Dense layers with batch normalization and ReLU, the same for each point.  (..., C) -> (..., widths[-1])"""
    return every_unit(x, widths, c, name)[-1]


def every_unit(x, widths, c, name):
    """The outputs of all these layers."""
    found = []
    for number, width in enumerate(widths, start=1):
        x = layers.Dense(width, name=f"{name}{number}")(x)
        x = ops.relu(layers.BatchNormalization(momentum=c.momentum, name=f"{name}{number}_norm")(x))
        found.append(x)
    return found


@serializable
class NearRotation(layers.Layer):
    """Matrices (B, K, K) unchanged; adds `weight` times the mean of |I - A A^T|^2 to the loss, eq. 2."""

    def __init__(self, weight, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, matrices):
        products = ops.matmul(matrices, ops.transpose(matrices, (0, 2, 1)))
        distance = ops.eye(matrices.shape[-1], dtype=products.dtype) - products
        self.add_loss(self.weight * ops.mean(ops.sum(ops.square(distance), axis=(1, 2))))
        return matrices

    def compute_output_shape(self, input_shape):
        return input_shape


@serializable
class EveryPoint(layers.Layer):
    """[whole (B, C), points (B, N, K)] -> the whole beside each point, (B, N, C)."""

    def call(self, inputs):
        whole, own = inputs
        return ops.broadcast_to(whole[:, None], (ops.shape(own)[0], ops.shape(own)[1], whole.shape[-1]))

    def compute_output_shape(self, input_shape):
        (_, channels), (batch, count, _) = input_shape
        return (batch, count, channels)
