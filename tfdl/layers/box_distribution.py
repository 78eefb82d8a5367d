"""Boxes from distributions: each side's distance from a point is the mean of a distribution over a few bins.

Source: Li et al. 2020, arXiv:2006.04388 (generalized focal loss), eq. 5: y = sum_i P(y_i) y_i over the bins
y_i = 0, 1 ... n.  Points and strides as Tian et al. 2019, arXiv:1904.01355 (FCOS), section 3.1.
Shapes: B batch, N points of all feature maps, n + 1 bins.
"""

from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.ops.boxes import from_distances, grid_points


@serializable
class BoxDistribution(layers.Layer):
    """Logits (B, N, 4 (n + 1)) -> boxes (B, N, 4) xyxy in pixels, in float32.

    The sides come in the order left, top, right, bottom; distances are in strides of the map that a point belongs to.
    The bins 0 ... n are a weight that is not trained, as published networks count it.

    Args:
        image_shape: (height, width, ...) of the pictures.
        strides: of the feature maps, in the order of their points.
        bins: n + 1.
    """

    def __init__(self, image_shape, strides, bins=16, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.image_shape, self.strides, self.bins = tuple(image_shape), tuple(strides), bins
        self.points, self.steps = grid_points(image_shape, strides)  # (N, 2), (N, 1)

    def build(self, input_shape):
        if tuple(input_shape[1:]) != (len(self.points), 4 * self.bins):
            raise ValueError(
                f"{self.name} got {tuple(input_shape)}; for images {self.image_shape} and strides {self.strides} it"
                f" needs (B, {len(self.points)}, {4 * self.bins})."
            )
        self.values = self.add_weight(
            shape=(self.bins,), initializer=count_up, trainable=False, dtype="float32", name="bins"
        )

    def call(self, logits):
        shares = ops.softmax(ops.reshape(logits, (-1, len(self.points), 4, self.bins)), axis=-1)
        distances = ops.sum(shares * self.values, axis=-1)  # (B, N, 4)
        return from_distances(distances * ops.convert_to_tensor(self.steps), ops.convert_to_tensor(self.points))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], 4)


@serializable
def count_up(shape, dtype=None):
    """0, 1 ... as an initializer."""
    return ops.arange(shape[0], dtype=dtype)
